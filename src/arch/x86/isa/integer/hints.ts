/**
 * Instructions that change nothing a program can read: NOPs, prefetches, cache control and fences, and CRC32, which is
 * alone of its kind. SDM vol. 2, by mnemonic.
 */

import { enc } from '../encoding.ts';
import { inst } from '../instruction.ts';
import { Eb, Ev, Gy, M, Mb } from '../operands.ts';
import type { Width } from '../ops.ts';

/** 0F 18 to 0F 1F are NOPs where they are nothing else, RDSSP without shadow stacks among them. */
export const NOP = inst('NOP', {
  forms: [
    enc(0x90).b0(),
    ...[0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f].map((code) => enc(0x0f00 + code, Ev)),
  ],
  crack() {
    // That is what it does.
  },
});

/** With REX.B it is XCHG, as 90 is. */
export const PAUSE = inst('PAUSE', {
  forms: [enc(0x90).pf3().b0()],
  crack: NOP.crack,
});

export const ENDBR = inst('ENDBR64', {
  forms: [enc(0x0f1e).ext(7).rm(2).pf3(), enc(0x0f1e).ext(7).rm(3).pf3()],
  crack: NOP.crack,
});

/** Of no address do they fault. */
export const PREFETCH = inst('PREFETCH', {
  forms: [...[0, 1, 2, 3].map((hint) => enc(0x0f18, M).ext(hint)), enc(0x0f0d, M)],
  crack: NOP.crack,
});

/** They fault as a load of a byte does. */
export const CLFLUSH = inst('CLFLUSH', {
  feature: 'clflush',
  forms: [enc(0x0fae, Mb).ext(7).np(), enc(0x0fae, Mb).ext(7).p66().feature('clflushopt')],
  crack(u, line) {
    u.read(line);
  },
});

export const CLWB = inst('CLWB', {
  feature: 'clwb',
  forms: [enc(0x0fae, Mb).ext(6).p66()],
  crack: CLFLUSH.crack,
});

/** What is executed one after another has nothing to order. */
export const FENCES = [
  ['LFENCE', 5],
  ['MFENCE', 6],
  ['SFENCE', 7],
].map(([mnemonic, digit]) =>
  inst(mnemonic as string, {
    forms: [
      enc(0x0fae)
        .ext(digit as number)
        .reg()
        .np(),
    ],
    crack: NOP.crack,
  }),
);

/** The checksum of SCTP and iSCSI, bits reflected. */
export const CRC32 = inst('CRC32', {
  feature: 'sse4_2',
  forms: [enc(0x0f38f0, Gy, Eb).pf2(), enc(0x0f38f1, Gy, Ev).pf2()],
  crack(u, dst, src) {
    const z = src.bits as Width;
    const crc = u.zext(dst.bits as Width, 32, u.read(dst));
    const data = u.read(src);
    const low = u.assist('crc32', crc, u.zext(z, 32, data), u.int(32, Math.min(z, 32)));
    const high = () => u.zext(64, 32, u.shr(64, data, u.int(32, 32)));
    const r = z === 64 ? u.assist('crc32', low, high(), u.int(32, 32)) : low;
    u.write(dst, u.zext(32, dst.bits as Width, r));
  },
});
