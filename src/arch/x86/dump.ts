/**
 * Thread contexts as text: readable dumps by group, and the JSON of `--dump-state`. Everything is `name
 * value` with hexadecimal values, most significant digit first.
 */

import { fullTagWord, physicalRegister, topOfStack } from './fxsave.ts';
import { MSRS } from './msrs.ts';
import { ApicBase, Cr0, Cr4, Efer, GPR_NAMES, Rflags, SEGMENT_NAMES, Seg, Xcr0 } from './registers.ts';
import { unpackAttributes } from './segments.ts';
import { OFFSET, REGISTERS, SEGMENT, STRIDE } from './state-layout.ts';
import type { X86ThreadContext } from './thread-context.ts';

/** `value` as `0x` and at least `digits` digits. */
function hex(value: bigint | number, digits = 1): string {
  return `0x${value.toString(16).padStart(digits, '0')}`;
}

function hex64(value: bigint): string {
  return hex(value, 16);
}

function bytesAt(tc: X86ThreadContext, at: number, sizeBytes: number): string {
  return tc.hex({ at, sizeBytes });
}

/** Names of the bits that are set in `value`, as `[CF ZF]`; fields of several bits are left out. */
function flagNames(value: bigint, names: Readonly<Record<string, number>>): string {
  const set = Object.entries(names).filter(([, bit]) => (bit & (bit - 1)) === 0 && value & BigInt(bit));
  return `[${set.map(([name]) => name).join(' ')}]`;
}

/** General registers, RIP, RFLAGS. */
export function dumpInteger(tc: X86ThreadContext): string {
  const lines: string[] = [];
  for (let i = 0; i < 16; i += 4) {
    const row = [0, 1, 2, 3].map((j) => `${GPR_NAMES[i + j]!.padEnd(3)} ${hex64(tc.gpr(i + j))}`);
    lines.push(row.join('  '));
  }
  const { FIXED: _, ...names } = Rflags;
  lines.push(
    `rip ${hex64(tc.rip)}  rflags ${hex(tc.rflags, 8)} ${flagNames(BigInt(tc.rflags), names)} cpl ${tc.cpl}`,
  );
  return lines.join('\n');
}

/** Segments, descriptor tables, control registers, EFER, APIC base. */
export function dumpSpecial(tc: X86ThreadContext): string {
  const lines = SEGMENT_NAMES.map((name, i) => {
    const segment = tc.segment(i);
    const a = unpackAttributes(segment.attributes);
    const { s, present: p, avl, l, db, g } = a;
    const set = Object.entries({ S: s, P: p, AVL: avl, L: l, DB: db, G: g }).filter(([, isSet]) => isSet);
    const bits = set.map(([bit]) => bit).join(' ');
    const rights = a.unusable ? 'unusable' : `type ${hex(a.type)} dpl ${a.dpl} ${bits}`;
    const place = `base ${hex64(segment.base)} limit ${hex(segment.limit, 8)}`;
    return `${name.padEnd(4)} ${hex(segment.selector, 4)} ${place} ${rights}`;
  });
  for (const name of ['gdtr', 'idtr'] as const) {
    const limit = tc.u32[(OFFSET[name] + SEGMENT.tableLimit) >> 2]!;
    lines.push(`${name} base ${hex64(tc.get(OFFSET[name]))} limit ${hex(limit, 4)}`);
  }
  const bitNames = { cr0: Cr0, cr2: {}, cr3: {}, cr4: Cr4, cr8: {}, efer: Efer, apicBase: ApicBase } as const;
  for (const [name, bits] of Object.entries(bitNames)) {
    const value = tc.get(OFFSET[name as keyof typeof bitNames]);
    lines.push(`${name} ${hex64(value)}${Object.keys(bits).length ? ` ${flagNames(value, bits)}` : ''}`);
  }
  return lines.join('\n');
}

/** Debug registers. */
export function dumpDebug(tc: X86ThreadContext): string {
  return (['dr0', 'dr1', 'dr2', 'dr3', 'dr6', 'dr7'] as const)
    .map((name) => `${name} ${hex64(tc.get(OFFSET[name]))}`)
    .join('\n');
}

/** x87 state, MXCSR and the 128-bit view of the vector registers: what FXSAVE holds. */
export function dumpFpu(tc: X86ThreadContext): string {
  const u16 = (at: number): number => tc.u16[at >> 1]!;
  const fsw = u16(OFFSET.fsw);
  const lines = [
    `fcw ${hex(u16(OFFSET.fcw), 4)}  fsw ${hex(fsw, 4)} (top ${topOfStack(fsw)})` +
      `  ftw ${hex(fullTagWord(tc), 4)}  fop ${hex(u16(OFFSET.fop), 4)}  mxcsr ${hex(tc.u32[OFFSET.mxcsr >> 2]!, 8)}`,
    `fip ${hex64(tc.get(OFFSET.fip))}  fdp ${hex64(tc.get(OFFSET.fdp))}`,
  ];
  for (let i = 0; i < 8; i++) {
    const register = physicalRegister(fsw, i);
    const state = u16(OFFSET.ftw) & (1 << register) ? '' : ' empty';
    lines.push(`st${i} (r${register}) ${bytesAt(tc, OFFSET.st + register * STRIDE.st, 10)}${state}`);
  }
  for (let i = 0; i < 16; i++) lines.push(`xmm${i} ${bytesAt(tc, OFFSET.zmm + i * STRIDE.zmm, 16)}`);
  return lines.join('\n');
}

/** XCR0. */
export function dumpXcr(tc: X86ThreadContext): string {
  return `xcr0 ${hex64(tc.get(OFFSET.xcr0))} ${flagNames(tc.get(OFFSET.xcr0), Xcr0)}`;
}

/** Whether XCR0 enables all three components of AVX-512. */
function hasAvx512(tc: X86ThreadContext): boolean {
  return (tc.u32[OFFSET.xcr0 >> 2]! & Xcr0.AVX512) === Xcr0.AVX512;
}

/** The extended state: full vector registers as far as XCR0 enables them, opmasks, PKRU. */
export function dumpXsave(tc: X86ThreadContext): string {
  const lines = [dumpXcr(tc)];
  const wide = hasAvx512(tc);
  const [name, count, sizeBytes] = wide ? ['zmm', 32, 64] : ['ymm', 16, 32];
  for (let i = 0; i < count; i++)
    lines.push(`${name}${i} ${bytesAt(tc, OFFSET.zmm + i * STRIDE.zmm, sizeBytes)}`);
  if (wide) for (let i = 0; i < 8; i++) lines.push(`k${i} ${hex64(tc.get(OFFSET.k + i * STRIDE.k))}`);
  lines.push(`pkru ${hex(tc.u32[OFFSET.pkru >> 2]!, 8)}`);
  return lines.join('\n');
}

/** Events between instructions that are not zero, one per line; `none` without any. */
export function dumpEvents(tc: X86ThreadContext): string {
  const lines = REGISTERS.filter((register) => register.class === 'events')
    .map((register) => [register.name, BigInt(tc.hex(register))] as const)
    .filter(([, value]) => value !== 0n)
    .map(([name, value]) => `${name} ${hex(value)}`);
  return lines.length ? lines.join('\n') : 'none';
}

/** Every MSR that is kept, one per line. */
export function dumpMsrs(tc: X86ThreadContext): string {
  return MSRS.map((msr, slot) => {
    const value = hex64(tc.get(OFFSET.msr + slot * STRIDE.msr));
    return `${msr.name.padEnd(17)} (${hex(msr.index)}) ${value}`;
  }).join('\n');
}

/** All groups under headings: what is written when a guest dies. */
export function dumpAll(tc: X86ThreadContext): string {
  const groups: readonly (readonly [string, (tc: X86ThreadContext) => string])[] = [
    ['integer', dumpInteger],
    ['special', dumpSpecial],
    ['debug', dumpDebug],
    ['fpu', dumpFpu],
    ['xsave', dumpXsave],
    ['events', dumpEvents],
    ['msrs', dumpMsrs],
  ];
  return groups.map(([name, dump]) => `-- ${name}\n${dump(tc)}\n`).join('\n');
}

/** Why the run ended, as the JSON dump says it. */
export type ExitRecord = {
  readonly cause: string;
  readonly signal?: number | string;
  readonly code?: number;
};

/** The architectural state as `--dump-state` writes it. Every number is a string `0x…`. */
export type StateRecord = {
  readonly rip: string;
  readonly rflags: string;
  readonly gpr: Readonly<Record<string, string>>;
  /** YMM0…YMM15, 64 digits each. */
  readonly ymm: readonly string[];
  /** ZMM0…ZMM31, 128 digits each; only where XCR0 enables AVX-512. */
  readonly zmm?: readonly string[];
  /** R0…R7 in physical order, 20 digits each. */
  readonly st: readonly string[];
  readonly fcw: string;
  readonly fsw: string;
  /** The full 16-bit tag word, two bits per physical register, as FNSTENV stores it. */
  readonly ftw: string;
  readonly mxcsr: string;
  readonly fsbase: string;
  readonly gsbase: string;
  readonly segments: Readonly<
    Record<string, { selector: string; base: string; limit: string; attributes: string }>
  >;
  readonly exit: ExitRecord;
};

/** The record that `--dump-state` writes; `JSON.stringify` it. */
export function stateRecord(tc: X86ThreadContext, exit: ExitRecord): StateRecord {
  const vectors = (count: number, sizeBytes: number): string[] =>
    Array.from({ length: count }, (_, i) => bytesAt(tc, OFFSET.zmm + i * STRIDE.zmm, sizeBytes));
  return {
    rip: hex64(tc.rip),
    rflags: hex64(BigInt(tc.rflags)),
    gpr: Object.fromEntries(GPR_NAMES.map((name, i) => [name, hex64(tc.gpr(i))])),
    ymm: vectors(16, 32),
    ...(hasAvx512(tc) ? { zmm: vectors(32, 64) } : {}),
    st: Array.from({ length: 8 }, (_, i) => bytesAt(tc, OFFSET.st + i * STRIDE.st, 10)),
    fcw: bytesAt(tc, OFFSET.fcw, 2),
    fsw: bytesAt(tc, OFFSET.fsw, 2),
    ftw: hex(fullTagWord(tc), 4),
    mxcsr: bytesAt(tc, OFFSET.mxcsr, 4),
    fsbase: hex64(tc.segmentBase(Seg.FS)),
    gsbase: hex64(tc.segmentBase(Seg.GS)),
    segments: Object.fromEntries(
      SEGMENT_NAMES.map((name, i) => {
        const { selector, base, limit, attributes } = tc.segment(i);
        const record = {
          selector: hex(selector, 4),
          base: hex64(base),
          limit: hex(limit, 8),
          attributes: hex(attributes, 5),
        };
        return [name, record];
      }),
    ),
    exit,
  };
}
