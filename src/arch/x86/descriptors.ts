/**
 * Builders of the tables the processor reads: GDT, IDT and 64-bit TSS with its I/O permission bitmap. Intel
 * SDM vol. 3 §3.5 (descriptor tables), §6.14.1 (64-bit gates), §7.7 (64-bit TSS), vol. 1 §19.5.2 (I/O
 * bitmap). They only write bytes; where the bytes go is the caller's business.
 */

import { encodeDescriptor, type Segment, SegmentAttribute, type SystemType } from './segments.ts';

/** Bytes of a code or data descriptor; system descriptors of long mode take two. */
export const DESCRIPTOR_BYTES = 8;
/** Bytes of a 64-bit interrupt or trap gate. */
export const GATE_BYTES = 16;

/** Selector of GDT entry `index` with requested privilege level `rpl`. SDM vol. 3 §3.4.2. */
export function selectorOf(index: number, rpl = 0): number {
  return (index << 3) | rpl;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** A GDT of `entryCount` 8-byte entries; entry 0 stays the null descriptor. */
export class GdtBuilder {
  readonly bytes: Uint8Array;
  readonly #view: DataView;

  constructor(entryCount: number) {
    this.bytes = new Uint8Array(entryCount * DESCRIPTOR_BYTES);
    this.#view = viewOf(this.bytes);
  }

  /** Limit for GDTR. */
  get limit(): number {
    return this.bytes.length - 1;
  }

  /**
   * Puts a segment at the index its selector names: 8 bytes for code and data, 16 for a TSS or LDT.
   * @returns the segment, as a processor holds it after loading the selector
   */
  set(segment: Segment): Segment {
    const index = segment.selector >>> 3;
    if (index === 0) throw new RangeError('GDT entry 0 is the null descriptor');
    const { lo, hi } = encodeDescriptor(segment);
    this.#view.setUint32(index * DESCRIPTOR_BYTES, lo, true);
    this.#view.setUint32(index * DESCRIPTOR_BYTES + 4, hi, true);
    if (!(segment.attributes & SegmentAttribute.S)) {
      const baseHigh = Number(BigInt.asUintN(32, segment.base >> 32n));
      this.#view.setUint32(index * DESCRIPTOR_BYTES + 8, baseHigh, true);
      this.#view.setUint32(index * DESCRIPTOR_BYTES + 12, 0, true);
    }
    return segment;
  }
}

/** One IDT entry. `offset` is the handler's linear address in `selector`. */
export type Gate = {
  readonly vector: number;
  readonly selector: number;
  readonly offset: bigint;
  /** Interrupt gates clear IF, trap gates leave it. */
  readonly type: typeof SystemType.INTERRUPT_GATE | typeof SystemType.TRAP_GATE;
  /** Least privileged level that may reach it by INT n. */
  readonly dpl: number;
  /** Interrupt stack table entry 1…7, or 0 for none. */
  readonly ist: number;
};

/** Encodes a 64-bit gate into `into` at `at`. SDM vol. 3 figure 6-8. */
export function writeGate(into: Uint8Array, at: number, gate: Omit<Gate, 'vector'>): void {
  const view = viewOf(into);
  const low = Number(BigInt.asUintN(32, gate.offset));
  view.setUint16(at, low & 0xffff, true);
  view.setUint16(at + 2, gate.selector, true);
  view.setUint8(at + 4, gate.ist & 7);
  view.setUint8(at + 5, SegmentAttribute.P | (gate.dpl << SegmentAttribute.DPL_SHIFT) | gate.type);
  view.setUint16(at + 6, low >>> 16, true);
  view.setUint32(at + 8, Number(BigInt.asUintN(32, gate.offset >> 32n)), true);
  view.setUint32(at + 12, 0, true);
}

/** An IDT with room for vectors 0…`vectorCount`−1; absent gates are not present. */
export class IdtBuilder {
  readonly bytes: Uint8Array;

  constructor(vectorCount = 256) {
    this.bytes = new Uint8Array(vectorCount * GATE_BYTES);
  }

  /** Limit for IDTR. */
  get limit(): number {
    return this.bytes.length - 1;
  }

  set(gate: Gate): void {
    writeGate(this.bytes, gate.vector * GATE_BYTES, gate);
  }
}

/** Offsets in the 64-bit TSS. SDM vol. 3 figure 7-11. */
export const TSS64 = { rsp0: 4, ist1: 36, ioMapBase: 102, sizeBytes: 104 } as const;

export type Tss64 = {
  /** Stack pointers for entry to rings 0, 1 and 2. */
  readonly rsp: readonly [bigint, bigint, bigint];
  /** IST1…IST7; shorter lists leave the rest zero. */
  readonly ist: readonly bigint[];
  /** Ports that ring 3 may use whatever IOPL says; without it every port is closed. */
  readonly openPorts?: readonly number[];
};

/** Bytes of the I/O permission bitmap: one bit per port, and the byte of ones behind it. */
export const IO_BITMAP_BYTES = 8192 + 1;

/** A 64-bit TSS; with `openPorts` the I/O bitmap follows it. Its limit is `length − 1`. */
export function buildTss64(tss: Tss64): Uint8Array {
  const bytes = new Uint8Array(TSS64.sizeBytes + (tss.openPorts ? IO_BITMAP_BYTES : 0));
  const view = viewOf(bytes);
  for (const [i, rsp] of tss.rsp.entries()) view.setBigUint64(TSS64.rsp0 + 8 * i, rsp, true);
  for (const [i, rsp] of tss.ist.entries()) view.setBigUint64(TSS64.ist1 + 8 * i, rsp, true);
  // A bitmap that starts at the TSS's end lies beyond the limit: no port is open (SDM vol. 1 §19.5.2).
  view.setUint16(TSS64.ioMapBase, TSS64.sizeBytes, true);
  if (tss.openPorts) {
    bytes.fill(0xff, TSS64.sizeBytes);
    for (const port of tss.openPorts) bytes[TSS64.sizeBytes + (port >> 3)]! &= ~(1 << (port & 7));
  }
  return bytes;
}
