/**
 * The registers of a local APIC as a table: 32 bits each at offsets of 16 bytes in a page of 1 KiB, and in x2APIC mode
 * MSRs from 0x800 on, one per register. Intel SDM vol. 3A, table 10-1 (xAPIC) and table 10-6 (x2APIC).
 */
import { bit, bits, type RegisterDeclaration, reg } from '../../register-file.ts';

/** How a register can be reached as an MSR in x2APIC mode; `none`: the access is #GP. */
export type MsrAccess = 'rw' | 'ro' | 'wo' | 'none';

export interface LocalApicRegister extends RegisterDeclaration {
  readonly access: 'rw' | 'ro' | 'wo';
  readonly msr: MsrAccess;
  /** Whether it is there in memory, in xAPIC mode. */
  readonly isMapped: boolean;
  /** Read-only bits of a writable register: other bits that are not `writable` are reserved. */
  readonly ignored: number;
}

type Given = Pick<LocalApicRegister, 'at' | 'doc'> &
  Partial<
    Pick<LocalApicRegister, 'access' | 'reset' | 'writable' | 'fields' | 'msr' | 'isMapped' | 'ignored'>
  >;

/** As an MSR a register allows what it allows in memory, unless the row says otherwise. */
function row(given: Given): LocalApicRegister {
  const { access = 'rw', msr = access, isMapped = true, ignored = 0, ...declared } = given;
  return { ...reg({ sizeBytes: 4, access, ...declared }), access, msr, isMapped, ignored };
}

/** Eight words with a bit per vector. */
function vectors<const N extends string>(name: N, at: number, doc: string) {
  const words = Array.from({ length: 8 }, (_, i) => {
    const span = `vectors ${32 * i} to ${32 * i + 31}`;
    return [`${name}${i}`, row({ at: at + 16 * i, access: 'ro', doc: `${doc}, ${span}` })] as const;
  });
  return Object.fromEntries(words) as Record<`${N}${0 | 1 | 2 | 3 | 4 | 5 | 6 | 7}`, LocalApicRegister>;
}

const VECTOR = bits(7, 0);
const MODE = bits(10, 8);
const STATUS = bit(12);
const POLARITY = bit(13);
const REMOTE_IRR = bit(14);
const TRIGGER = bit(15);
const MASKED = bit(16);

/** Masked: the state of every local vector table entry after reset. */
const LVT_RESET = 0x1_0000;

export const LOCAL_APIC_REGISTERS = {
  id: row({ at: 0x020, writable: 0xff00_0000, msr: 'ro', doc: 'APIC id', fields: { id: bits(31, 24) } }),
  version: row({
    at: 0x030,
    access: 'ro',
    // An integrated APIC with six LVT entries; no suppression of EOI broadcasts.
    reset: 0x0005_0014,
    doc: 'version',
    fields: { version: bits(7, 0), maxLvt: bits(23, 16) },
  }),
  tpr: row({ at: 0x080, writable: 0xff, doc: 'task priority' }),
  apr: row({ at: 0x090, access: 'ro', msr: 'none', doc: 'arbitration priority' }),
  ppr: row({ at: 0x0a0, access: 'ro', doc: 'processor priority' }),
  eoi: row({ at: 0x0b0, access: 'wo', writable: 0, doc: 'end of interrupt' }),
  ldr: row({ at: 0x0d0, writable: 0xff00_0000, msr: 'ro', doc: 'logical destination' }),
  dfr: row({
    at: 0x0e0,
    writable: 0xf000_0000,
    reset: 0xffff_ffff,
    msr: 'none',
    doc: 'destination format: flat or cluster',
  }),
  svr: row({
    at: 0x0f0,
    writable: 0x3ff,
    reset: 0xff,
    doc: 'spurious vector and software enable',
    fields: { vector: VECTOR, enable: bit(8), focusDisable: bit(9) },
  }),
  ...vectors('isr', 0x100, 'in service'),
  ...vectors('tmr', 0x180, 'trigger mode: level'),
  ...vectors('irr', 0x200, 'interrupt request'),
  esr: row({ at: 0x280, writable: 0, doc: 'error status' }),
  icr: row({
    at: 0x300,
    writable: 0xc_cfff,
    ignored: 0x1000,
    doc: 'interrupt command; as an MSR it has 64 bits',
    fields: {
      vector: VECTOR,
      mode: MODE,
      logical: bit(11),
      status: STATUS,
      assert: bit(14),
      level: TRIGGER,
      shorthand: bits(19, 18),
    },
  }),
  icrHigh: row({ at: 0x310, writable: 0xff00_0000, msr: 'none', doc: 'interrupt command: destination' }),
  lvtTimer: row({
    at: 0x320,
    writable: 0x7_00ff,
    ignored: 0x1000,
    reset: LVT_RESET,
    doc: 'LVT timer',
    fields: { vector: VECTOR, status: STATUS, masked: MASKED, mode: bits(18, 17) },
  }),
  lvtThermal: row({
    at: 0x330,
    writable: 0x1_07ff,
    ignored: 0x1000,
    reset: LVT_RESET,
    doc: 'LVT thermal sensor',
  }),
  lvtPerformance: row({
    at: 0x340,
    writable: 0x1_07ff,
    ignored: 0x1000,
    reset: LVT_RESET,
    doc: 'LVT performance counters',
  }),
  lvtLint0: row({
    at: 0x350,
    writable: 0x1_a7ff,
    ignored: 0x5000,
    reset: LVT_RESET,
    doc: 'LVT pin LINT0',
    fields: {
      vector: VECTOR,
      mode: MODE,
      polarity: POLARITY,
      remoteIrr: REMOTE_IRR,
      level: TRIGGER,
      masked: MASKED,
    },
  }),
  lvtLint1: row({ at: 0x360, writable: 0x1_a7ff, ignored: 0x5000, reset: LVT_RESET, doc: 'LVT pin LINT1' }),
  lvtError: row({ at: 0x370, writable: 0x1_00ff, ignored: 0x1000, reset: LVT_RESET, doc: 'LVT error' }),
  initialCount: row({ at: 0x380, doc: "timer's initial count" }),
  currentCount: row({ at: 0x390, access: 'ro', doc: "timer's current count" }),
  divide: row({ at: 0x3e0, writable: 0xb, doc: "timer's divide configuration" }),
  selfIpi: row({ at: 0x3f0, access: 'wo', isMapped: false, writable: 0xff, doc: 'self IPI, only as an MSR' }),
} as const satisfies Record<string, LocalApicRegister>;

export type LocalApicRegisterName = keyof typeof LOCAL_APIC_REGISTERS;

/** A register is word `offset / 16` of the page. */
export const WORD = Object.fromEntries(
  Object.entries(LOCAL_APIC_REGISTERS).map(([name, { at }]) => [name, at >>> 4]),
) as Readonly<Record<LocalApicRegisterName, number>>;
export const LOCAL_APIC_WORDS = 64;

/** The entries of the local vector table, all masked while the APIC is software-disabled (SDM vol. 3A §10.4.7.2). */
export const LVT_ENTRIES = [
  'lvtTimer',
  'lvtThermal',
  'lvtPerformance',
  'lvtLint0',
  'lvtLint1',
  'lvtError',
] as const satisfies readonly LocalApicRegisterName[];
export type LvtName = (typeof LVT_ENTRIES)[number];

/** Bits that all entries of the local vector table have in common, and those of the pins' entries. */
export const LVT_MASKED = 0x1_0000;
export const LVT_LEVEL = 0x8000;
export const LVT_REMOTE_IRR = 0x4000;

export const SVR_ENABLE = 0x100;

/** Values of the timer's mode (LVT timer bits 18:17); 3 is reserved. */
export const TimerMode = { OneShot: 0, Periodic: 1, TscDeadline: 2 } as const;

/** Values of the ICR's shorthand. */
export const Shorthand = { None: 0, Self: 1, All: 2, Others: 3 } as const;

/** Bits of the error status register that this APIC can set (SDM vol. 3A §10.5.3). */
export const ApicError = {
  SendIllegalVector: 0x20,
  ReceiveIllegalVector: 0x40,
  IllegalRegister: 0x80,
} as const;

/** MSRs (SDM vol. 3A §10.4.4, §10.5.4.1, §10.12.1.2). */
export const APIC_BASE_MSR = 0x1b;
export const TSC_DEADLINE_MSR = 0x6e0;
export const X2APIC_FIRST_MSR = 0x800;
