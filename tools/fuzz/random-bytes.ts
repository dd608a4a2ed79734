// Bytes without meaning as code: prefixes in any order and number, and encodings that are none.

import type { CodeSource } from './random-sequence.ts';

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
  // INT n and INT1: PVM.
  [0xcd, () => true],
  [0xf1, () => true],
];

const NOP = 0x90;

export const randomBytesSource: CodeSource = ({ random }) => {
  const bytes = Uint8Array.from({ length: 1 + random.below(15) }, () => random.u32() >>> 13);
  for (const [i, byte] of bytes.entries()) {
    const [, isSecond] = LEFT_OUT.find(([first]) => first === byte) ?? [];
    // What follows the last one is not known yet.
    const next = bytes[i + 1];
    if (isSecond !== undefined && (next === undefined || isSecond(next))) bytes[i] = NOP;
  }
  return { bytes, undefinedFlags: 0 };
};
