/**
 * The head of an instruction: its bytes up to displacement and immediate, that is prefixes, opcode, ModRM and SIB (SDM vol. 2A
 * §2.1). Instructions with the same head differ in these two numbers only, so that one of them has to be decoded.
 */

import { type DecodeTable, VEX_MAP } from './decode-table.ts';
import { MAX_LENGTH_BYTES } from './instruction-bytes.ts';

const MOST_BYTES = 8;
const SIB = 4;
const REGISTER_FORM = 3;
/** In ModRM.rm and SIB.base with mod 0: a displacement instead of a base; with addresses of 16 bits ModRM.rm is 6. */
const NO_BASE = 5;
const NO_BASE_16 = 6;

/** Legacy prefixes by their byte: 1. 67 changes the displacement. */
const PREFIXES = new Uint8Array(256);
for (const prefix of [0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65]) PREFIXES[prefix] = 1;

export class InstructionHead {
  /** Bytes of the head, and of the displacement behind it. */
  lengthBytes = 0;
  displacementBytes = 0;
  /** The bytes of the head, zeroes behind them: no head begins with another head. */
  low = 0;
  high = 0;
  readonly #table: DecodeTable;

  constructor(table: DecodeTable) {
    this.#table = table;
  }

  /**
   * Looks at the bytes from `at` on, of which 15 may be looked at. Hot path.
   * @returns false: there is no such opcode, or the head is longer than 8 bytes
   */
  scan(bytes: Uint8Array, at: number, is64: boolean): boolean {
    let next = at;
    let has67 = false;
    let byte = bytes[next++]!;
    while (PREFIXES[byte] !== 0 || (is64 && (byte & 0xf0) === 0x40)) {
      has67 ||= byte === 0x67;
      if (next - at >= MAX_LENGTH_BYTES) return false;
      byte = bytes[next++]!;
    }
    let map = 0;
    if (byte === 0x0f) {
      byte = bytes[next++]!;
      map = 1;
      if (byte === 0x38 || byte === 0x3a) {
        map = byte === 0x38 ? 2 : 3;
        byte = bytes[next++]!;
      }
    } else if ((byte === 0xc4 || byte === 0xc5) && (is64 || bytes[next]! >>> 6 === REGISTER_FORM)) {
      map = VEX_MAP + (byte === 0xc4 ? bytes[next]! & 3 : 1);
      next += byte === 0xc4 ? 2 : 1;
      byte = bytes[next++]!;
    }
    const entry = this.#table.entry(map, byte);
    if (entry === undefined) return false;
    let displacementBytes = 0;
    if (entry.hasModrm) {
      const modrm = bytes[next++]!;
      const mod = modrm >>> 6;
      const rm = modrm & 7;
      const is16 = has67 && !is64;
      const hasSib = mod !== REGISTER_FORM && rm === SIB && !is16;
      const base = hasSib ? bytes[next++]! & 7 : rm;
      if (mod === 1) displacementBytes = 1;
      else if (mod === 2 || (mod === 0 && base === (is16 ? NO_BASE_16 : NO_BASE)))
        displacementBytes = is16 ? 2 : 4;
    }
    this.lengthBytes = next - at;
    this.displacementBytes = displacementBytes;
    return this.lengthBytes <= MOST_BYTES && this.#pack(bytes, at);
  }

  #pack(bytes: Uint8Array, at: number): true {
    let [low, high] = [0, 0];
    for (let i = this.lengthBytes - 1; i >= 0; i--) {
      const byte = bytes[at + i]!;
      if (i >= 4) high = (high << 8) | byte;
      else low = (low << 8) | byte;
    }
    this.low = low;
    this.high = high;
    return true;
  }
}
