// Bytes without meaning as code: prefixes in any order and number, and encodings that are none.

import { isPrefix } from '../../src/arch/x86/isa/missing.ts';
import type { CodeSource } from './random-sequence.ts';

const TWO_BYTE_ESCAPE = 0x0f;

/** First and second bytes of what cannot be compared, wherever it stands; see also excluded.ts. */
const LEFT_OUT: readonly (readonly [first: number, isSecond: (byte: number) => boolean])[] = [
  // Descriptor tables, XGETBV, SMSW; CPUID and counters; XSAVE, FXSAVE, FXRSTOR, RDRAND, RDPID: they
  // show the machine. And segment registers, as below.
  [
    0x0f,
    (byte) =>
      [
        0x00, 0x01, 0x02, 0x03, 0x31, 0x33, 0xa0, 0xa1, 0xa2, 0xa8, 0xa9, 0xae, 0xb2, 0xb4, 0xb5, 0xc7,
      ].includes(byte),
  ],
  // Segment registers: PVM's selectors are others.
  [0x8c, () => true],
  [0x8e, () => true],
  // Transcendental instructions, FNSTENV; FNSAVE.
  [0xd9, (byte) => byte >= 0xf0 || (byte < 0xc0 && (byte & 0x38) === 0x30)],
  [0xdd, (byte) => byte < 0xc0 && (byte & 0x38) === 0x30],
  // MOV with a control or debug register: one that does not exist is #UD; PVM has #GP as for the others.
  [0x0f, (byte) => byte >= 0x20 && byte <= 0x23],
  // INT n and INT1: PVM.
  [0xcd, () => true],
  [0xf1, () => true],
];

/** Whether what cannot be compared begins with these bytes. */
export function isLeftOut(first: number | undefined, second = 0): boolean {
  return LEFT_OUT.some(([known, isSecond]) => known === first && isSecond(second));
}

/** Whether code has in it, maybe in the middle of an instruction, an opcode of two bytes that cannot be compared. */
export function hasLeftOut(code: Uint8Array): boolean {
  return code.some((byte, i) => byte === TWO_BYTE_ESCAPE && isLeftOut(byte, code[i + 1]));
}

const NOP = 0x90;

export const randomBytesSource: CodeSource = ({ random }) => {
  const bytes = Uint8Array.from({ length: 1 + random.below(15) }, () => random.u32() >>> 13);
  for (const [i, byte] of bytes.entries()) {
    // What follows the last one is not known yet.
    const next = bytes[i + 1];
    const isLeftOut = ([first, isSecond]: (typeof LEFT_OUT)[number]) =>
      first === byte && (next === undefined || isSecond(next));
    if (LEFT_OUT.some(isLeftOut) || isRepeatedLoop(bytes, i)) bytes[i] = NOP;
  }
  endRepeats(bytes);
  return { bytes, undefinedFlags: 0 };
};

/** F2 and F3 at the end would belong to what follows, see {@link isRepeatedLoop}. */
function endRepeats(bytes: Uint8Array): void {
  for (let i = bytes.length - 1; i >= 0 && isPrefix(bytes[i]!); i--) if (bytes[i]! >= 0xf2) bytes[i] = NOP;
}

/** Zen 4 takes F2 LOOPE as LOOPNE, and F3 LOOPNE as LOOPE. */
function isRepeatedLoop(bytes: Uint8Array, at: number): boolean {
  if (bytes[at] !== 0xe0 && bytes[at] !== 0xe1) return false;
  return bytes.subarray(0, at).some((byte) => byte === 0xf2 || byte === 0xf3);
}
