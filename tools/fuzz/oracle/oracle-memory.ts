// Memory as a program sees it: every byte of every access goes through the page tables, and nothing is remembered. What is wrong
// with an access is found in the order of priority (SDM vol. 3 table 6-2, §6.15 interrupts 12 to 14 and 17):
//
//   1. an address that is not canonical     #SS through SS, else #GP
//   2. 16 bytes that must be aligned        #GP
//   3. a misaligned access, with AC set     #AC
//   4. the page of the first byte, then that of the last: #PF
//
// As on Zen 4, 2 comes between the first byte of 1 and the last one.

import { PageFaultError, Vector } from '../../../src/arch/x86/exceptions.ts';
import { PAGE_SIZE, PageFlag, walk } from '../../../src/arch/x86/page-table.ts';
import { Cr0, Rflags, Seg } from '../../../src/arch/x86/registers.ts';
import { OFFSET, type X86ThreadContext } from '../../../src/arch/x86/thread-context.ts';
import { GuestException } from './guest-exception.ts';

const PAGE = BigInt(PAGE_SIZE);
const RING_3 = 3;

export interface Access {
  /** `write` also for what is read in order to be written back. */
  readonly kind: 'read' | 'write';
  /** The segment register that it goes through, an index of `Seg`. */
  readonly segment: number;
  /** The address must be a multiple of the size. */
  readonly isAligned: boolean;
}

/** Bits 63 to 47 are all equal. SDM vol. 1 §3.3.7.1. */
export function isCanonical(linear: bigint): boolean {
  return BigInt.asUintN(64, BigInt.asIntN(48, linear)) === linear;
}

export class OracleMemory {
  readonly #tc: X86ThreadContext;
  readonly #ram: Uint8Array;
  readonly #view: DataView;

  /** @param ram physical memory from address 0 */
  constructor(tc: X86ThreadContext, ram: Uint8Array) {
    this.#tc = tc;
    this.#ram = ram;
    this.#view = new DataView(ram.buffer, ram.byteOffset, ram.byteLength);
  }

  /** @throws GuestException */
  load(linear: bigint, sizeBytes: number, access: Access): bigint {
    const places = this.#places(linear, sizeBytes, access);
    return places.reduce((value, place, i) => value | (BigInt(this.#ram[place]!) << BigInt(8 * i)), 0n);
  }

  /** All of the value is stored, or nothing. @throws GuestException */
  store(linear: bigint, sizeBytes: number, value: bigint, access: Access): void {
    const places = this.#places(linear, sizeBytes, { ...access, kind: 'write' });
    for (const [i, place] of places.entries()) this.#ram[place] = Number((value >> BigInt(8 * i)) & 0xffn);
  }

  /** Where bytes of one page lie in RAM. @throws GuestException */
  place(linear: bigint, sizeBytes: number, access: Access): number {
    return this.#places(linear, sizeBytes, access)[0]!;
  }

  /**
   * Bytes of code, up to `most`: those of the next page only if `across`.
   * @throws GuestException if one of them cannot be fetched
   */
  fetch(rip: bigint, most: number, across: boolean): Uint8Array {
    const inPage = Number(PAGE - (rip % PAGE));
    const count = across ? most : Math.min(most, inPage);
    return Uint8Array.from({ length: count }, (_, i) => {
      const at = BigInt.asUintN(64, rip + BigInt(i));
      if (!isCanonical(at)) throw new GuestException(Vector.GP);
      return this.#ram[this.#translate(at, PageFaultError.FETCH)]!;
    });
  }

  /** Physical address of each byte of an access that may take place. */
  #places(linear: bigint, sizeBytes: number, { kind, segment, isAligned }: Access): number[] {
    const bytes = Array.from({ length: sizeBytes }, (_, i) => BigInt.asUintN(64, linear + BigInt(i)));
    const isMultiple = linear % BigInt(sizeBytes) === 0n;
    const checkCanonical = (address: bigint): void => {
      if (!isCanonical(address)) throw new GuestException(segment === Seg.SS ? Vector.SS : Vector.GP);
    };
    checkCanonical(linear);
    if (isAligned && !isMultiple) throw new GuestException(Vector.GP);
    checkCanonical(bytes.at(-1)!);
    if (!isMultiple && this.#checksAlignment()) throw new GuestException(Vector.AC);
    return bytes.map((address) => this.#translate(address, kind === 'write' ? PageFaultError.WRITE : 0));
  }

  #checksAlignment(): boolean {
    const { rflags, cpl } = this.#tc;
    const cr0 = Number(this.#tc.get(OFFSET.cr0));
    return cpl === RING_3 && (rflags & Rflags.AC) !== 0 && (cr0 & Cr0.AM) !== 0;
  }

  /** @param how the bits of the error code that say what kind of access it is */
  #translate(linear: bigint, how: number): number {
    const tc = this.#tc;
    const memory = { readU64: (address: number) => this.#view.getBigUint64(address, true) };
    const found = walk(memory, tc.pageTableBase, linear);
    const isUser = tc.cpl === RING_3;
    const code = how | (isUser ? PageFaultError.USER : 0);
    if (found === undefined) throw new GuestException(Vector.PF, code, linear);
    const { flags, physicalAddress } = found;
    const protectsWrites = isUser || (Number(tc.get(OFFSET.cr0)) & Cr0.WP) !== 0;
    const isRefused =
      (isUser && (flags & PageFlag.U) === 0) ||
      (how === PageFaultError.WRITE && protectsWrites && (flags & PageFlag.W) === 0) ||
      (how === PageFaultError.FETCH && (flags & PageFlag.NX) !== 0);
    if (isRefused) throw new GuestException(Vector.PF, code | PageFaultError.PRESENT, linear);
    return physicalAddress;
  }
}
