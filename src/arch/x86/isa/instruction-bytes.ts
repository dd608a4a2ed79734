/** The bytes of one instruction, read from the front: what is read beyond them, or beyond 15, fails the decoding. */

/** SDM vol. 2A §2.3.11: a longer instruction raises #GP. */
export const MAX_LENGTH_BYTES = 15;

/** Why bytes are no instruction: none is so encoded (#UD), more bytes are needed than there are, or it is too long (#GP). */
export type DecodeFailure = 'undefined' | 'incomplete' | 'tooLong';

/** Thrown inside the decoder. */
export class Failure extends Error {
  readonly reason: DecodeFailure;

  constructor(reason: DecodeFailure) {
    super(reason);
    this.reason = reason;
  }
}

const INCOMPLETE = new Failure('incomplete');
const TOO_LONG = new Failure('tooLong');
export const UNDEFINED = new Failure('undefined');

export class InstructionBytes {
  #bytes: Uint8Array = new Uint8Array(0);
  #start = 0;
  #at = 0;
  #end = 0;

  /** Begins an instruction at `at`; bytes from `end` on may not be looked at. */
  begin(bytes: Uint8Array, at: number, end: number): void {
    this.#bytes = bytes;
    this.#start = at;
    this.#at = at;
    this.#end = end;
  }

  /** Bytes read so far. */
  get lengthBytes(): number {
    return this.#at - this.#start;
  }

  peek(): number {
    if (this.#at - this.#start >= MAX_LENGTH_BYTES) throw TOO_LONG;
    if (this.#at >= this.#end) throw INCOMPLETE;
    return this.#bytes[this.#at]!;
  }

  u8(): number {
    const byte = this.peek();
    this.#at++;
    return byte;
  }

  /** A signed number; of 64 bits a bigint if it does not fit 32. */
  number(bits: number): number | bigint {
    if (bits === 8) return (this.u8() << 24) >> 24;
    if (bits === 16) return (this.#u16() << 16) >> 16;
    if (bits === 32) return this.#s32();
    const low = this.#s32();
    const high = this.#s32();
    return high === low >> 31 ? low : (BigInt(high) << 32n) | BigInt(low >>> 0);
  }

  #u16(): number {
    const low = this.u8();
    return low | (this.u8() << 8);
  }

  #s32(): number {
    const low = this.#u16();
    return low | (this.#u16() << 16);
  }
}
