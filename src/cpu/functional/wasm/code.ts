/**
 * CodeWriter: the bytes of WebAssembly code, written front to back. One growable buffer serves a whole module, since
 * encoding is a large part of what translating a block costs. Numbers are LEB128 (WebAssembly Core Specification §5.2.2).
 */

import { type MiscOp, Op, ValueType } from './opcodes.ts';

const TWO_32 = 0x1_0000_0000;
/** Little: many writers are for a section or the head of a function only. Those that are kept grow once. */
const FIRST_SIZE_BYTES = 512;
/** No single write is longer, save `raw`. */
const SLACK_BYTES = 32;
const VECTOR_PREFIX = 0xfd;
const MISC_PREFIX = 0xfc;

export class CodeWriter {
  #bytes = new Uint8Array(FIRST_SIZE_BYTES);
  #length = 0;
  /** Where the last `local.set` begins and ends, and what it sets. */
  #lastSet = -1;
  #behindLastSet = -1;
  #lastSetLocal = -1;

  get length(): number {
    return this.#length;
  }

  /** What has been written; valid until the next write. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  clear(): void {
    this.#length = 0;
    this.#behindLastSet = -1;
  }

  byte(value: number): void {
    if (this.#length + SLACK_BYTES > this.#bytes.length) this.#grow(SLACK_BYTES);
    this.#bytes[this.#length++] = value;
  }

  raw(bytes: Uint8Array): void {
    if (this.#length + bytes.length + SLACK_BYTES > this.#bytes.length)
      this.#grow(bytes.length + SLACK_BYTES);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** An unsigned number below 2^32. */
  u32(value: number): void {
    let rest = value;
    while (rest > 0x7f) {
      this.byte((rest & 0x7f) | 0x80);
      rest >>>= 7;
    }
    this.byte(rest);
  }

  /** A signed number of 32 bits. */
  s32(value: number): void {
    let rest = value | 0;
    while (rest < -0x40 || rest > 0x3f) {
      this.byte((rest & 0x7f) | 0x80);
      rest >>= 7;
    }
    this.byte(rest & 0x7f);
  }

  /** A signed number of 64 bits: an integer of at most 53 bits, or a bigint. */
  s64(value: number | bigint): void {
    if (typeof value === 'bigint') {
      this.#s64Halves(Number(BigInt.asUintN(32, value)), Number(BigInt.asIntN(32, value >> 32n)));
    } else if (value === (value | 0)) this.s32(value);
    else this.#s64Halves(value >>> 0, Math.floor(value / TWO_32) | 0);
  }

  #s64Halves(lo: number, hi: number): void {
    let low = lo >>> 0;
    let high = hi | 0;
    for (;;) {
      const digit = low & 0x7f;
      low = ((low >>> 7) | (high << 25)) >>> 0;
      high >>= 7;
      const isLast =
        (high === 0 && low === 0 && digit < 0x40) || (high === -1 && low === 0xffff_ffff && digit >= 0x40);
      this.byte(isLast ? digit : digit | 0x80);
      if (isLast) return;
    }
  }

  /** Replaces an unsigned number that was written at `at` in so many bytes. */
  replaceUnsigned(at: number, sizeBytes: number, value: number): void {
    for (let i = 0; i < sizeBytes; i++)
      this.#bytes[at + i] = ((value >>> (7 * i)) & 0x7f) | (i === sizeBytes - 1 ? 0 : 0x80);
  }

  /** Replaces a signed number of at most 32 bits that was written at `at` in so many bytes. */
  replaceSigned(at: number, sizeBytes: number, value: number): void {
    for (let i = 0; i < sizeBytes; i++)
      this.#bytes[at + i] = ((value >> Math.min(7 * i, 31)) & 0x7f) | (i === sizeBytes - 1 ? 0 : 0x80);
  }

  // ---- instructions ----

  op(op: Op): void {
    this.byte(op);
  }

  /** An instruction with one index: a local, a label, a function. */
  opIndex(op: Op, index: number): void {
    this.byte(op);
    this.u32(index);
  }

  get(local: number): void {
    this.opIndex(Op.local_get, local);
  }

  set(local: number): void {
    this.#lastSet = this.#length;
    this.#lastSetLocal = local;
    this.opIndex(Op.local_set, local);
    this.#behindLastSet = this.#length;
  }

  /** Reads a local; directly behind the `local.set` that set it, that becomes a `local.tee`. */
  getOrTee(local: number): void {
    if (this.#behindLastSet === this.#length && this.#lastSetLocal === local && this.#length > 0) {
      this.#bytes[this.#lastSet] = Op.local_tee;
      this.#behindLastSet = -1;
    } else this.get(local);
  }

  /** `select`, with its type where it is a vector's. */
  select(type: ValueType): void {
    if (type !== ValueType.v128) this.op(Op.select);
    else {
      this.byte(Op.select_typed);
      this.byte(1);
      this.byte(type);
    }
  }

  tee(local: number): void {
    this.opIndex(Op.local_tee, local);
  }

  i32(value: number): void {
    this.byte(Op.i32_const);
    this.s32(value);
  }

  i64(value: number | bigint): void {
    this.byte(Op.i64_const);
    this.s64(value);
  }

  /** A constant of f32 or f64. */
  float(bits: 32 | 64, value: number): void {
    this.byte(bits === 32 ? Op.f32_const : Op.f64_const);
    const view = new DataView(new ArrayBuffer(8));
    if (bits === 32) view.setFloat32(0, value, true);
    else view.setFloat64(0, value, true);
    this.raw(new Uint8Array(view.buffer, 0, bits / 8));
  }

  /**
   * A load or store of memory `memory` at the address on the stack plus `offset`. The alignment is given as 1: nothing is
   * promised (§5.4.6, bit 6 says that a memory index follows).
   */
  memory(op: Op, memory: number, offset: number): void {
    this.byte(op);
    this.#memoryArgument(memory, offset);
  }

  /** A vector instruction without immediates. */
  vector(number: number): void {
    this.byte(VECTOR_PREFIX);
    this.u32(number);
  }

  vectorMemory(number: number, memory: number, offset: number): void {
    this.vector(number);
    this.#memoryArgument(memory, offset);
  }

  misc(number: (typeof MiscOp)[keyof typeof MiscOp]): void {
    this.byte(MISC_PREFIX);
    this.u32(number);
  }

  #memoryArgument(memory: number, offset: number): void {
    if (memory === 0) this.byte(0);
    else {
      this.byte(0x40);
      this.u32(memory);
    }
    this.u32(offset);
  }

  #grow(bytes: number): void {
    const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + bytes));
    grown.set(this.bytes);
    this.#bytes = grown;
  }
}
