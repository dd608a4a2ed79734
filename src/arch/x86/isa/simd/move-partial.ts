/** Moves of parts of SSE registers; moves by a mask, and of masks. SDM vol. 2B "MOV…", "MASKMOV…", "PMOVMSKB". */

import type { Cracker } from '../cracker.ts';
import type { Operand } from '../decoded.ts';
import { enc } from '../encoding.ts';
import { inst } from '../instruction.ts';
import {
  Gd,
  MaskStoreDq,
  MaskStoreQ,
  Md,
  Mq,
  Nq,
  Pq,
  Udq,
  Usd,
  Uss,
  Vdq,
  Vq,
  Vsd,
  Vss,
  Wdq,
  Wq,
} from '../operands.ts';

function copy<V>(u: Cracker<V>, dst: Operand, src: Operand): void {
  u.write(dst, u.read(src));
}

function copyWithZeros<V>(u: Cracker<V>, dst: Operand, src: Operand): void {
  u.writeVector(dst, u.readVector(src));
}

/** Between registers the rest of the destination stays. */
export const MOVSS = inst('MOVSS', {
  forms: [enc(0x0f10, Vss, Uss).pf3(), enc(0x0f11, Uss, Vss).pf3(), enc(0x0f11, Md, Vss).pf3()],
  crack: copy,
});

/** From memory the rest becomes zero. */
export const MOVSS_LOAD = inst('MOVSS', {
  forms: [enc(0x0f10, Vdq, Md).pf3()],
  crack: copyWithZeros,
});

export const MOVSD = inst('MOVSD', {
  forms: [enc(0x0f10, Vsd, Usd).pf2(), enc(0x0f11, Usd, Vsd).pf2(), enc(0x0f11, Mq, Vsd).pf2()],
  crack: copy,
});

export const MOVSD_LOAD = inst('MOVSD', {
  forms: [enc(0x0f10, Vdq, Mq).pf2()],
  crack: copyWithZeros,
});

export const MOVLPS = inst('MOVLPS', {
  forms: [enc(0x0f12, Vq, Mq).np(), enc(0x0f13, Mq, Vq).np()],
  crack: copy,
});

export const MOVLPD = inst('MOVLPD', {
  forms: [enc(0x0f12, Vq, Mq).p66(), enc(0x0f13, Mq, Vq).p66()],
  crack: copy,
});

function loadHigh<V>(u: Cracker<V>, dst: Operand, src: Operand): void {
  u.writeVector(dst, u.withLane('i64x2', u.readVector(dst), 1, u.read(src)));
}

function storeHigh<V>(u: Cracker<V>, dst: Operand, src: Operand): void {
  u.write(dst, u.lane('i64x2', u.readVector(src), 1));
}

export const MOVHPS = inst('MOVHPS', { forms: [enc(0x0f16, Vdq, Mq).np()], crack: loadHigh });
export const MOVHPS_STORE = inst('MOVHPS', { forms: [enc(0x0f17, Mq, Vdq).np()], crack: storeHigh });
export const MOVHPD = inst('MOVHPD', { forms: [enc(0x0f16, Vdq, Mq).p66()], crack: loadHigh });
export const MOVHPD_STORE = inst('MOVHPD', { forms: [enc(0x0f17, Mq, Vdq).p66()], crack: storeHigh });

export const MOVLHPS = inst('MOVLHPS', { forms: [enc(0x0f16, Vdq, Usd).np()], crack: loadHigh });

export const MOVHLPS = inst('MOVHLPS', {
  forms: [enc(0x0f12, Vsd, Udq).np()],
  crack: storeHigh,
});

export const MOVSLDUP = inst('MOVSLDUP', {
  forms: [enc(0x0f12, Vdq, Wdq).pf3()],
  feature: 'pni',
  crack(u, dst, src) {
    const a = u.readVector(src);
    u.writeVector(dst, u.shuffle(a, a, [0, 1, 2, 3, 0, 1, 2, 3, 8, 9, 10, 11, 8, 9, 10, 11]));
  },
});

export const MOVSHDUP = inst('MOVSHDUP', {
  forms: [enc(0x0f16, Vdq, Wdq).pf3()],
  feature: 'pni',
  crack(u, dst, src) {
    const a = u.readVector(src);
    u.writeVector(dst, u.shuffle(a, a, [4, 5, 6, 7, 4, 5, 6, 7, 12, 13, 14, 15, 12, 13, 14, 15]));
  },
});

export const MOVDDUP = inst('MOVDDUP', {
  forms: [enc(0x0f12, Vdq, Wq).pf2()],
  feature: 'pni',
  crack(u, dst, src) {
    u.writeVector(dst, u.splat('i64x2', u.read(src)));
  },
});

// ---- masks ----

export const MOVMSKPS = inst('MOVMSKPS', {
  forms: [enc(0x0f50, Gd, Udq).np()],
  crack(u, dst, src) {
    u.write(dst, u.bitmask('i32x4', u.readVector(src)));
  },
});

export const MOVMSKPD = inst('MOVMSKPD', {
  forms: [enc(0x0f50, Gd, Udq).p66()],
  crack(u, dst, src) {
    u.write(dst, u.bitmask('i64x2', u.readVector(src)));
  },
});

export const PMOVMSKB = inst('PMOVMSKB', {
  forms: [enc(0x0fd7, Gd, Nq).np(), enc(0x0fd7, Gd, Udq).p66()],
  crack(u, dst, src) {
    u.write(dst, u.bitmask('i8x16', u.readVector(src)));
  },
});

/**
 * Stores the bytes whose mask byte has its highest bit set. All others must be writable, too, even where none is stored: the
 * manual leaves that to the implementation, and Zen 4 does so.
 */
function storeMasked<V>(u: Cracker<V>, memory: Operand, src: Operand, mask: Operand): void {
  const chosen = u.vectorShift('i8x16.shr_s', u.readVector(mask), u.int(32, 7));
  const value = u.readVector(src);
  u.writeVector(memory, u.bitselect(value, u.readVector(memory), chosen));
}

export const MASKMOVQ = inst('MASKMOVQ', {
  forms: [enc(0x0ff7, MaskStoreQ, Pq, Nq).np()],
  crack: storeMasked,
});

/** Two accesses of eight bytes, as alignment checks of Zen 4 see it; both of them, or none. */
export const MASKMOVDQU = inst('MASKMOVDQU', {
  forms: [enc(0x0ff7, MaskStoreDq, Vdq, Udq).p66()],
  crack(u, memory, src, mask) {
    const chosen = u.vectorShift('i8x16.shr_s', u.readVector(mask), u.int(32, 7));
    const value = u.readVector(src);
    const start = u.linearAddress(memory);
    const addresses = [start, u.add(64, start, u.int(64, 8))];
    for (const address of addresses) u.probeStore(64, address);
    const halves = addresses.map((address, i) => {
      const bits = u.lane('i64x2', chosen, i);
      const kept = u.and(64, u.load(64, address), u.not(64, bits));
      return u.or(64, u.and(64, u.lane('i64x2', value, i), bits), kept);
    });
    for (const [i, half] of halves.entries()) u.store(64, addresses[i]!, half);
  },
});
