/**
 * X86ThreadContext: the complete architectural state of one x86-64 hardware thread, in the layout drawn in
 * state-layout.ts, over memory that WebAssembly and TypeScript may share. Values are copied bit by bit;
 * nothing here checks legality (guest-state-check.ts does).
 */

import { FatalError } from '../../sim/trouble.ts';
import { MSRS } from './msrs.ts';
import { Cr0, Debug, Efer, FCW_INIT, MXCSR_INIT, Rflags, Seg } from './registers.ts';
import { type Segment, SegmentAttribute, SegmentPreset } from './segments.ts';
import {
  CLASS_RANGES,
  msrOffset,
  OFFSET,
  REGISTERS,
  RegClass,
  type RegisterDescription,
  SEGMENT,
  STATE_SIZE_BYTES,
  segmentOffset,
} from './state-layout.ts';

export type { RegClassName } from './state-layout.ts';
export { CLASS_RANGES, EVENT, OFFSET, REG_CLASS_NAMES, RegClass, SEGMENT, STRIDE } from './state-layout.ts';

const TWO_32 = 0x1_0000_0000;

/** One register that differs between two contexts, values as `0x…`. */
export type RegisterDifference = { readonly name: string; readonly mine: string; readonly theirs: string };

export class X86ThreadContext {
  /** The raw state: offsets are those of `OFFSET`; divide by the element size. */
  readonly u8: Uint8Array;
  readonly u16: Uint16Array;
  readonly u32: Uint32Array;
  readonly u64: BigUint64Array;
  readonly dataView: DataView;
  /** Views of the classes, made when they are needed: most contexts are short-lived and never need them. */
  #classViews: readonly Uint8Array[] | undefined;

  /**
   * @param buffer memory to keep the state in; a fresh one without it
   * @param byteOffset where the state starts in it, a multiple of 64
   */
  constructor(buffer: ArrayBufferLike = new ArrayBuffer(STATE_SIZE_BYTES), byteOffset = 0) {
    this.u8 = new Uint8Array(buffer, byteOffset, STATE_SIZE_BYTES);
    this.u16 = new Uint16Array(buffer, byteOffset, STATE_SIZE_BYTES >> 1);
    this.u32 = new Uint32Array(buffer, byteOffset, STATE_SIZE_BYTES >> 2);
    this.u64 = new BigUint64Array(buffer, byteOffset, STATE_SIZE_BYTES >> 3);
    this.dataView = new DataView(buffer, byteOffset, STATE_SIZE_BYTES);
  }

  get #classBytes(): readonly Uint8Array[] {
    this.#classViews ??= CLASS_RANGES.map(([start, end]) => this.u8.subarray(start, end));
    return this.#classViews;
  }

  // ---- general registers (hot: no BigInt) ----

  /** Low 32 bits of general register `index` (encoding order), unsigned. */
  gprLo(index: number): number {
    return this.u32[index << 1]!;
  }

  /** High 32 bits of general register `index`, unsigned. */
  gprHi(index: number): number {
    return this.u32[(index << 1) + 1]!;
  }

  /** Sets general register `index` from two 32-bit halves. */
  setGprHalves(index: number, lo: number, hi: number): void {
    this.u32[index << 1] = lo;
    this.u32[(index << 1) + 1] = hi;
  }

  /**
   * General register `index` as an unsigned Number: exact below 2^53, at or above it rounded to at least
   * 2^53.
   */
  gprNumber(index: number): number {
    return this.u32[(index << 1) + 1]! * TWO_32 + this.u32[index << 1]!;
  }

  /** Sets general register `index` from an integer in −2^53…2^53; negative ones become two's complement. */
  setGprNumber(index: number, value: number): void {
    this.u32[index << 1] = value;
    this.u32[(index << 1) + 1] = Math.floor(value / TWO_32);
  }

  /** General register `index` as an unsigned 64-bit value. */
  gpr(index: number): bigint {
    return this.u64[index]!;
  }

  /** Sets general register `index` modulo 2^64. */
  setGpr(index: number, value: bigint): void {
    this.u64[index] = value;
  }

  /** Instruction pointer; Number accessors round like {@link gprNumber}. */
  get rip(): bigint {
    return this.u64[OFFSET.rip >> 3]!;
  }
  set rip(value: bigint) {
    this.u64[OFFSET.rip >> 3] = value;
  }
  get ripNumber(): number {
    return this.#numberAt(OFFSET.rip);
  }
  set ripNumber(value: number) {
    this.#setNumberAt(OFFSET.rip, value);
  }

  /** RFLAGS; the upper 32 bits are reserved and zero. */
  get rflags(): number {
    return this.u32[OFFSET.rflags >> 2]!;
  }
  set rflags(value: number) {
    this.u32[OFFSET.rflags >> 2] = value;
    this.u32[(OFFSET.rflags >> 2) + 1] = 0;
  }

  /**
   * Linear address of the next instruction: CS.base + RIP modulo 2^32, or RIP alone in 64-bit mode, where the
   * processor takes CS.base as zero (SDM vol. 3 §3.2.4).
   */
  get linearPc(): bigint {
    if (this.in64BitMode) return this.rip;
    return BigInt.asUintN(32, this.segmentBase(Seg.CS) + this.rip);
  }

  /** Whether the next instruction is decoded in 64-bit mode: EFER.LMA and CS.L. */
  get in64BitMode(): boolean {
    const attributes = this.u32[(segmentOffset(Seg.CS) + SEGMENT.attributes) >> 2]!;
    return (this.u32[OFFSET.efer >> 2]! & Efer.LMA) !== 0 && (attributes & SegmentAttribute.L) !== 0;
  }

  // ---- 64-bit fields by offset (cold) ----

  /** The u64 at byte offset `at`, an entry of `OFFSET` such as `OFFSET.cr3`. */
  get(at: number): bigint {
    return this.u64[at >> 3]!;
  }
  set(at: number, value: bigint): void {
    this.u64[at >> 3] = value;
  }

  /** CR3's page-table base as a Number, without PCID and flags (SDM vol. 3 §4.5.2). */
  get pageTableBase(): number {
    return (
      (this.u32[(OFFSET.cr3 >> 2) + 1]! & 0xf_ffff) * TWO_32 + ((this.u32[OFFSET.cr3 >> 2]! & ~0xfff) >>> 0)
    );
  }

  /** MSR `index` (its RDMSR number); undefined where the context does not keep it. */
  msr(index: number): bigint | undefined {
    const at = msrOffset(index);
    return at === undefined ? undefined : this.get(at);
  }

  /** Sets MSR `index`; false where the context does not keep it. */
  setMsr(index: number, value: bigint): boolean {
    const at = msrOffset(index);
    if (at === undefined) return false;
    this.set(at, value);
    return true;
  }

  // ---- segments ----

  segmentBase(segment: number): bigint {
    return this.get(segmentOffset(segment) + SEGMENT.base);
  }
  setSegmentBase(segment: number, base: bigint): void {
    this.set(segmentOffset(segment) + SEGMENT.base, base);
  }

  /** Segment register `segment` (an index of `Seg`), copied out. */
  segment(segment: number): Segment {
    const at = segmentOffset(segment);
    return {
      selector: this.u32[(at + SEGMENT.selector) >> 2]!,
      base: this.get(at + SEGMENT.base),
      limit: this.u32[(at + SEGMENT.limit) >> 2]!,
      attributes: this.u32[(at + SEGMENT.attributes) >> 2]!,
    };
  }

  setSegment(segment: number, value: Segment): void {
    const at = segmentOffset(segment);
    this.u32[(at + SEGMENT.selector) >> 2] = value.selector;
    this.set(at + SEGMENT.base, value.base);
    this.u32[(at + SEGMENT.limit) >> 2] = value.limit;
    this.u32[(at + SEGMENT.attributes) >> 2] = value.attributes;
  }

  /** Current privilege level: SS.DPL, as hardware keeps it (SDM vol. 3 §24.4.1). */
  get cpl(): number {
    return (this.u32[(segmentOffset(Seg.SS) + SEGMENT.attributes) >> 2]! >>> 5) & 3;
  }

  // ---- whole contexts ----

  /**
   * Puts the processor into its state after power-on (SDM vol. 3 table 9-1), except that the x87 and SSE
   * state is that of FNINIT, as firmware and operating systems leave it.
   */
  powerOn(): void {
    this.u8.fill(0);
    this.set(OFFSET.rip, 0xfff0n);
    this.rflags = Rflags.FIXED;
    this.set(OFFSET.cr0, BigInt(Cr0.ET + Cr0.NW + Cr0.CD));
    for (const segment of [Seg.ES, Seg.SS, Seg.DS, Seg.FS, Seg.GS]) {
      this.setSegment(segment, SegmentPreset.realMode);
    }
    this.setSegment(Seg.CS, { ...SegmentPreset.realModeCode, selector: 0xf000, base: 0xffff_0000n });
    this.setSegment(Seg.LDTR, SegmentPreset.resetLdtr);
    this.setSegment(Seg.TR, SegmentPreset.resetTr);
    this.u32[(OFFSET.gdtr + SEGMENT.tableLimit) >> 2] = 0xffff;
    this.u32[(OFFSET.idtr + SEGMENT.tableLimit) >> 2] = 0xffff;
    this.set(OFFSET.xcr0, 1n);
    this.set(OFFSET.dr6, BigInt(Debug.DR6_RESET));
    this.set(OFFSET.dr7, BigInt(Debug.DR7_RESET));
    this.initFpu();
    for (const { index, reset } of MSRS) this.setMsr(index, reset ?? 0n);
  }

  /**
   * Initial x87, SSE, AVX and AVX-512 state: FNINIT's (SDM vol. 1 §8.1.5) and MXCSR's default, all else
   * zero.
   */
  initFpu(): void {
    this.u8.fill(0, OFFSET.fcw, OFFSET.msr);
    this.u16[OFFSET.fcw >> 1] = FCW_INIT;
    this.u32[OFFSET.mxcsr >> 2] = MXCSR_INIT;
  }

  /** Copies the given classes of registers (a mask of `RegClass`) from `other`. */
  copyFrom(other: X86ThreadContext, classes: number = RegClass.all): void {
    const mine = this.#classBytes;
    const theirs = other.#classBytes;
    for (let i = 0; i < mine.length; i++) {
      if (classes & (1 << i)) mine[i]!.set(theirs[i]!);
    }
  }

  /** Whether the given classes hold the same bits. */
  equals(other: X86ThreadContext, classes: number = RegClass.all): boolean {
    return this.diff(other, classes).length === 0;
  }

  /** The registers of the given classes that differ, by name. */
  diff(other: X86ThreadContext, classes: number = RegClass.all): RegisterDifference[] {
    const differences: RegisterDifference[] = [];
    for (const register of REGISTERS) {
      if (!(RegClass[register.class] & classes)) continue;
      const mine = this.hex(register);
      const theirs = other.hex(register);
      if (mine !== theirs) differences.push({ name: register.name, mine, theirs });
    }
    return differences;
  }

  /** A register as `0x` and two digits per byte, most significant first. */
  hex(register: Pick<RegisterDescription, 'at' | 'sizeBytes'>): string {
    let digits = '0x';
    for (let i = register.sizeBytes - 1; i >= 0; i--) {
      digits += this.u8[register.at + i]!.toString(16).padStart(2, '0');
    }
    return digits;
  }

  // ---- checkpoint (a sim StateCell) ----

  /** Every register by name, as `0x…`. */
  save(): Record<string, string> {
    return Object.fromEntries(REGISTERS.map((register) => [register.name, this.hex(register)]));
  }

  /**
   * Takes over what {@link save} returned; the context is unchanged if it throws.
   * @throws FatalError where a register is missing, unknown or malformed
   */
  restore(saved: unknown): void {
    if (typeof saved !== 'object' || saved === null)
      throw new FatalError('thread context: not an object of registers');
    const values = saved as Record<string, unknown>;
    const fresh = new Uint8Array(STATE_SIZE_BYTES);
    for (const register of REGISTERS) {
      const value = values[register.name];
      const digits = register.sizeBytes * 2;
      if (typeof value !== 'string' || !new RegExp(`^0x[0-9a-f]{${digits}}$`).test(value)) {
        throw new FatalError(
          `thread context: register ${register.name} is ${JSON.stringify(value) ?? 'missing'}, ` +
            `wanted 0x and ${digits} hex digits`,
        );
      }
      for (let i = 0; i < register.sizeBytes; i++) {
        fresh[register.at + i] = Number.parseInt(
          value.slice(value.length - 2 * i - 2, value.length - 2 * i),
          16,
        );
      }
    }
    const known = new Set(REGISTERS.map((register) => register.name));
    const foreign = Object.keys(values).find((name) => !known.has(name));
    if (foreign !== undefined) throw new FatalError(`thread context: unknown register ${foreign}`);
    this.u8.set(fresh);
  }

  #numberAt(at: number): number {
    return this.u32[(at >> 2) + 1]! * TWO_32 + this.u32[at >> 2]!;
  }

  #setNumberAt(at: number, value: number): void {
    this.u32[at >> 2] = value;
    this.u32[(at >> 2) + 1] = Math.floor(value / TWO_32);
  }
}
