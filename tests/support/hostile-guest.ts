// Guests that mean no good, from a seed: random bytes as code, random accesses to devices, storms of interrupts, control
// registers and MSRs with anything in them. Encodings: SDM vol. 2; the same bytes mean the same in 32-bit and 64-bit code.

import type { BootMode } from '../../src/workload/boot/index.ts';
import type { Random } from './random.ts';

/** What a hostile guest is made of. */
export interface HostileGuest {
  readonly kind: HostileKind;
  readonly mode: BootMode;
  readonly code: Uint8Array;
  /** Interrupt descriptors lead to handlers that return; else whatever is in memory is the IDT. */
  readonly hasHandlers: boolean;
  /** All of memory but the code is random bytes. */
  readonly memoryIsNoise: boolean;
  /** The registers of the processor are random at the start, down to the segments. */
  readonly registersAreNoise: boolean;
}

export const HOSTILE_KINDS = ['noise', 'garbageTables', 'devices', 'storm', 'system', 'registers'] as const;
export type HostileKind = (typeof HOSTILE_KINDS)[number];

const COM1 = 0x3f8;
const LOCAL_APIC = 0xfee0_0000;
const IO_APIC = 0xfec0_0000;
const HPET = 0xfed0_0000;
const M5 = 0xffff_0000;

/** Ports that lead somewhere, and some that do not. */
const PORTS = [
  ...[0x20, 0x21, 0x40, 0x41, 0x42, 0x43, 0x60, 0x61, 0x64, 0x70, 0x71, 0x80, 0x92, 0xa0, 0xa1, 0xb2],
  ...[0xed, 0xf4, 0x2f8, 0x2f9, 0x2fc, COM1, 0x3f9, 0x3fa, 0x3fb, 0x3fc, 0x3fd, 0x4d0, 0x4d1, 0x600],
  ...[0x602, 0x604, 0x608, 0xcf8, 0xcf9, 0xcfc, 0xcfe, 0x1000, 0xfffc, 0xfffd, 0xfffe, 0xffff, 0x63],
];
/** What lies at the ports that end a run early: hit less often. */
const FATAL_PORTS = [0x64, 0x92, 0xf4, 0x604, 0xcf9];

/** MSRs: [first, how many]. SDM vol. 4; APM vol. 2 appendix A; Linux's include/uapi/asm/kvm_para.h. */
const MSR_RANGES = [
  [0x0, 0x20],
  [0x1b, 1],
  [0x3a, 3],
  [0x48, 4],
  [0x79, 1],
  [0x8b, 1],
  [0xc0, 0x30],
  [0x174, 3],
  [0x176, 0x30],
  [0x1d9, 1],
  [0x200, 0x20],
  [0x250, 0x20],
  [0x277, 1],
  [0x2ff, 1],
  [0x38d, 4],
  [0x400, 0x60],
  [0x480, 0x14],
  [0x570, 8],
  [0x6a0, 0x10],
  [0x6e0, 1],
  [0x800, 0x40],
  [0xda0, 1],
  [0x11, 2],
  [0x4b56_4d00, 8],
  [0x4000_0000, 0x20],
  [0x4000_0080, 0x20],
  // Not EFER: see controlRegister.
  [0xc000_0081, 4],
  [0xc000_0100, 4],
  [0xc001_0000, 0x20],
  [0xc001_0110, 0x10],
  [0xc001_1020, 0x10],
] as const;

/** 32 bits, with a liking for edges. */
export function edgy(random: Random): number {
  switch (random.below(6)) {
    case 0:
      return random.pick([0, 1, 0xff, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff]);
    case 1:
      return (1 << random.below(32)) >>> 0;
    case 2:
    case 3:
      return random.below(0x100);
    default:
      return random.u32();
  }
}

export function randomBytes(random: Random, sizeBytes: number): Uint8Array {
  return Uint8Array.from({ length: sizeBytes }, () => random.below(0x100));
}

const u16 = (value: number): number[] => [value & 0xff, (value >>> 8) & 0xff];
const u32 = (value: number): number[] => [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff);
const movEax = (value: number): number[] => [0xb8, ...u32(value)];
const movEcx = (value: number): number[] => [0xb9, ...u32(value)];
const movEdx = (value: number): number[] => [0xba, ...u32(value)];
const movEdi = (value: number): number[] => [0xbf, ...u32(value)];
const movEsi = (value: number): number[] => [0xbe, ...u32(value)];
/** mov [edi], eax */
const store = (address: number, value: number): number[] => [
  ...movEdi(address),
  ...movEax(value),
  0x89,
  0x07,
];
const out8 = (port: number, value: number): number[] => [...movEdx(port), 0xb0, value & 0xff, 0xee];
const HLT = [0xf4];
const STI = [0xfb];
const CLI = [0xfa];

/** Code that does one thing. */
type Snippet = (random: Random) => number[];

const anyPort = (random: Random): number => {
  if (random.oneIn(4)) return random.below(0x1_0000);
  const port = random.pick(PORTS);
  return FATAL_PORTS.includes(port) && !random.oneIn(6) ? 0x3f8 : port;
};

/** IN or OUT of 1, 2 or 4 bytes; one in eight repeats as a string instruction. */
const portAccess: Snippet = (random) => {
  const head = [...movEdx(anyPort(random)), ...movEax(edgy(random))];
  const wide = random.oneIn(2);
  const prefix = wide && random.oneIn(2) ? [0x66] : [];
  if (!random.oneIn(8)) return [...head, ...prefix, random.pick([0xec, 0xee]) + (wide ? 1 : 0)];
  const buffers = [...movEdi(0x20_0000 + random.below(0x1000)), ...movEsi(random.below(0x40_0000))];
  const count = movEcx(random.oneIn(8) ? random.below(5000) : random.below(20));
  const opcode = random.pick([0x6c, 0x6e]) + (wide ? 1 : 0);
  return [...head, ...buffers, ...count, random.pick([0xfc, 0xfd]), 0xf3, ...prefix, opcode, 0xfc];
};

const mmioAddress = (random: Random): number => {
  const base = random.pick([LOCAL_APIC, IO_APIC, HPET, M5, 0xc000_0000, 0xfeff_c000, 0xf000_0000, 0xa_0000]);
  if (base === M5) return (M5 + (random.below(0x100) << 8)) >>> 0;
  const offset = random.oneIn(4) ? random.below(0x1000) : (random.below(0x40) * 0x10) & 0xfff;
  return (base + (random.oneIn(16) ? random.u32() & 0xf_ffff : offset)) >>> 0;
};

/** A load, store, exchange or read-modify-write of 1, 2 or 4 bytes; in 64-bit code sometimes of 8. */
const mmioAccess: Snippet = (random) => {
  const operation = random.pick([
    [0x8b, 0x07], // mov eax, [edi]
    [0x89, 0x07], // mov [edi], eax
    [0x8a, 0x07], // mov al, [edi]
    [0x88, 0x07], // mov [edi], al
    [0x66, 0x8b, 0x07],
    [0x66, 0x89, 0x07],
    [0x48, 0x8b, 0x07], // mov rax, [rdi]; dec eax before it in 32-bit code
    [0x48, 0x89, 0x07],
    [0x87, 0x07], // xchg [edi], eax
    [0xf0, 0x01, 0x07], // lock add [edi], eax
    [0x0f, 0xb6, 0x07], // movzx eax, byte [edi]
    [0xff, 0x37], // push [edi]
    [0x8f, 0x07], // pop [edi]
    [0xa5], // movsd
    [0xf3, 0xa4], // rep movsb
    [0x0f, 0xb1, 0x0f], // cmpxchg [edi], ecx
  ] as const);
  const registers = [
    ...movEsi(random.oneIn(2) ? mmioAddress(random) : edgy(random)),
    ...movEcx(random.below(9)),
  ];
  return [...registers, ...movEdi(mmioAddress(random)), ...movEax(edgy(random)), ...operation];
};

/** A pseudo-instruction of gem5's by number, with anything for arguments. */
const pseudoInstruction: Snippet = (random) => {
  const fn = random.oneIn(2)
    ? random.below(0x100)
    : random.pick([7, 35, 48, 64, 65, 66, 79, 80, 81, 82, 90, 91]);
  const args = [
    ...movEdi(edgy(random)),
    ...movEsi(edgy(random)),
    ...movEdx(edgy(random)),
    ...movEcx(edgy(random)),
  ];
  // mov eax, [ebx]
  return [...args, 0xbb, ...u32((M5 + (fn << 8)) >>> 0), 0x8b, 0x03];
};

const msrIndex = (random: Random): number => {
  const [first, count] = random.pick(MSR_RANGES);
  return random.oneIn(16) ? random.u32() : (first + random.below(count)) >>> 0;
};

const msrAccess: Snippet = (random) => [
  ...movEcx(msrIndex(random)),
  ...movEax(edgy(random)),
  ...movEdx(random.oneIn(3) ? edgy(random) : 0),
  0x0f,
  random.pick([0x30, 0x30, 0x32]),
];

/** IA32_APIC_BASE: onto RAM, away, off, x2APIC on and off. SDM vol. 3 §11.12.5. */
const apicBase: Snippet = (random) => [
  ...movEcx(0x1b),
  ...movEax(
    (random.pick([LOCAL_APIC, 0x30_0000, 0, 0x10_0000, HPET, 0xffff_f000]) | (random.below(16) << 8)) >>> 0,
  ),
  ...movEdx(random.oneIn(8) ? edgy(random) : 0),
  ...[0x0f, 0x30],
];

/**
 * mov crN, eax with anything in it, or with one bit of it changed; mov to DR; a bit of EFER, but not LME: in QEMU 7.2 an
 * exit of a nested guest that has set LME and not yet CR0.PG ruins the state of the hypervisor.
 */
const controlRegister: Snippet = (random) => {
  const modrm = 0xc0 | (random.pick([0, 0, 2, 3, 4]) << 3);
  switch (random.below(5)) {
    case 0:
      return [...movEax(edgy(random)), 0x0f, 0x22, modrm];
    case 1:
    case 2: // mov eax, crN; btc eax, bit; mov crN, eax
      return [0x0f, 0x20, modrm, 0x0f, 0xba, 0xf8, random.below(32), 0x0f, 0x22, modrm];
    case 3:
      return [...movEax(edgy(random)), 0x0f, 0x23, 0xc0 | (random.below(8) << 3)];
    default: // EFER: one bit changed
      return [
        ...movEcx(0xc000_0080),
        0x0f,
        0x32,
        0x0f,
        0xba,
        0xf8,
        random.pick([0, 10, 11, 12, 14]),
        0x0f,
        0x30,
      ];
  }
};

/** LGDT, LIDT, LLDT, LTR, far transfers, software interrupts, and instructions that hypervisors meet seldom. */
const systemInstruction: Snippet = (random) => {
  const at = 0x20_0000 + random.below(0x1_0000);
  switch (random.below(9)) {
    case 0:
      return [...movEdi(at), 0x0f, 0x01, random.pick([0x17, 0x1f, 0x07, 0x0f])];
    case 1:
      return [...movEax(random.below(0x1_0000)), 0x0f, 0x00, random.pick([0xd0, 0xd8])];
    case 2:
      return [...movEax(random.below(0x1_0000)), 0x8e, 0xc0 | (random.pick([0, 2, 3, 4, 5]) << 3)];
    case 3:
      return [0xcd, random.below(0x100)];
    case 4:
      return [0x6a, random.below(0x80), 0x6a, random.below(0x80), random.pick([0xcb, 0xcf, 0x9d])];
    case 5:
      return random.pick([
        [0x0f, 0x01, 0xc1], // vmcall
        [0x0f, 0x01, 0xd9], // vmmcall
        [0x0f, 0x01, 0xd8], // vmrun
        [0x0f, 0x01, 0xdd], // clgi
        [0x0f, 0x01, 0xd1], // xsetbv
        [0x0f, 0x01, 0xc8], // monitor
        [0x0f, 0x01, 0xc9], // mwait
        [0x0f, 0xa2], // cpuid
        [0x0f, 0xaa], // rsm
        [0x0f, 0x09], // wbinvd
        [0x0f, 0x33], // rdpmc
        [0x0f, 0x01, 0xf9], // rdtscp
        [0x0f, 0x05], // syscall
        [0x0f, 0x07], // sysret
        [0x0f, 0x34], // sysenter
        [0x0f, 0x35], // sysexit
        [0xcc], // int3
        [0xf1], // int1
        [0x0f, 0x0b], // ud2
      ]);
    case 6:
      return random.oneIn(4) ? HLT : [...STI, ...HLT];
    case 7: // the code that follows is executed with single steps
      return [0x9c, 0x58, 0x0f, 0xba, 0xe8, random.below(22), 0x50, 0x9d];
    default:
      return random.oneIn(8) ? [0xbb, ...u32(mmioAddress(random)), 0xff, 0xe3] : STI;
  }
};

const pic: Snippet = (random) => [
  ...[0x11, 0x20, 0x04, 0x01].flatMap((value, i) => out8(i === 0 ? 0x20 : 0x21, value)),
  ...[0x11, 0x28, 0x02, 0x01].flatMap((value, i) => out8(i === 0 ? 0xa0 : 0xa1, value)),
  ...out8(0x21, random.oneIn(4) ? random.below(0x100) : 0),
  ...out8(0xa1, 0),
  ...out8(0x4d0, random.oneIn(2) ? 0xf8 : 0),
];
const vector = (random: Random): number =>
  random.oneIn(8) ? random.below(0x100) : 0x30 + random.below(0xc0);
const apicEnabled: Snippet = (random) => store(LOCAL_APIC + 0xf0, 0x100 | vector(random));

/** What makes interrupts, as many as can be. */
const STORMS: readonly Snippet[] = [
  // Local APIC: periodic, by 1, count from 1; or the deadline mode.
  (random) => [
    ...apicEnabled(random),
    ...store(LOCAL_APIC + 0x3e0, random.pick([0xb, 0, 3])),
    ...store(LOCAL_APIC + 0x320, (random.pick([0, 0x2_0000, 0x2_0000, 0x4_0000]) | vector(random)) >>> 0),
    ...store(LOCAL_APIC + 0x380, random.pick([1, 2, 10, 0xffff_ffff])),
    ...movEcx(0x6e0),
    ...movEax(random.pick([1, 0, 0xffff_ffff])),
    ...movEdx(random.below(2)),
    ...[0x0f, 0x30],
  ],
  // PIT: a short period in any mode.
  (random) => [
    ...pic(random),
    ...out8(0x43, 0x30 | (random.below(8) << 1)),
    ...out8(0x40, random.below(4)),
    ...out8(0x40, 0),
  ],
  // Interrupts to itself, for ever: ICR in a loop of 1000.
  (random) => [
    ...apicEnabled(random),
    ...movEcx(1000),
    ...movEdi(LOCAL_APIC + 0x300),
    ...movEax((random.pick([0x4_0000, 0x8_0000, 0]) | (random.below(8) << 8) | vector(random)) >>> 0),
    ...[0x89, 0x07, 0xe2, 0xfc],
  ],
  // I/O APIC: level-triggered input of COM1, whose transmitter is empty at all times.
  (random) => [
    ...apicEnabled(random),
    ...[4, 2, 8, 9].flatMap((input) => [
      ...store(IO_APIC, 0x10 + 2 * input),
      ...store(IO_APIC + 0x10, (0x8000 | (random.oneIn(4) ? 0x2000 : 0) | vector(random)) >>> 0),
    ]),
    ...out8(COM1 + 4, 8),
    ...out8(COM1 + 1, 0xf),
  ],
  // HPET: timer 0 periodic with a tiny period, level or edge.
  (random) => [
    ...apicEnabled(random),
    ...store(IO_APIC, 0x10 + 2 * 2),
    ...store(IO_APIC + 0x10, vector(random) | (random.oneIn(2) ? 0x8000 : 0)),
    ...store(HPET + 0x100, random.pick([0x4c, 0x14c, 0x4e, 0x14e, 0x284c])),
    ...store(HPET + 0x108, random.below(3)),
    ...store(HPET + 0x108, random.below(3)),
    ...store(HPET + 0x10, random.pick([1, 3])),
  ],
  // RTC: 8192 interrupts a second.
  (random) => [
    ...pic(random),
    ...out8(0x70, 0xa),
    ...out8(0x71, 0x23),
    ...out8(0x70, 0xb),
    ...out8(0x71, 0x72),
  ],
];
const storm: Snippet = (random) => random.pick(STORMS)(random);

const SNIPPETS: Readonly<Record<HostileKind, readonly Snippet[]>> = {
  noise: [],
  garbageTables: [
    systemInstruction,
    systemInstruction,
    controlRegister,
    (random) => [...randomBytes(random, 8)],
  ],
  devices: [portAccess, portAccess, mmioAccess, mmioAccess, pseudoInstruction],
  storm: [storm, storm, storm, storm, portAccess, mmioAccess, apicBase, () => STI],
  system: [msrAccess, msrAccess, controlRegister, apicBase, systemInstruction, mmioAccess, storm],
  registers: [],
};

/** How the code ends: it starts again, halts, or runs into what lies behind it. */
const ENDS = [
  (length: number) => [0xe9, ...u32(-(length + 5))],
  (length: number) => [0xe9, ...u32(-(length + 5))],
  () => [...STI, ...HLT, 0xeb, 0xfc],
  () => [...STI, 0xeb, 0xfe],
  () => [...CLI, ...HLT],
  () => [],
] as const;

/** The guest of this kind that the generator comes to. */
export function hostileGuest(random: Random, kind: HostileKind): HostileGuest {
  const isNoise = kind === 'noise' || kind === 'registers';
  const mode = random.pick(
    isNoise ? (['real', 'protected', 'long'] as const) : (['protected', 'long'] as const),
  );
  const code: number[] = [];
  if (isNoise) code.push(...randomBytes(random, 512));
  else {
    const length = 1 + random.below(30);
    for (let i = 0; i < length; i++) {
      if (i === 1 && random.oneIn(2)) code.push(...STI);
      code.push(...random.pick(SNIPPETS[kind])(random));
    }
    code.push(...random.pick(ENDS)(code.length));
  }
  return {
    kind,
    mode,
    code: Uint8Array.from(code),
    hasHandlers: !isNoise && kind !== 'garbageTables' && !random.oneIn(6),
    memoryIsNoise: isNoise || kind === 'garbageTables' || random.oneIn(4),
    registersAreNoise: kind === 'registers',
  };
}

/** Where handlers and the IDT are put. */
export const HANDLERS = { code: 0x8_0000, idt: 0x8_1000 } as const;

/**
 * An IDT whose gates lead to one handler: it ends the interrupt, of the local APIC and of the 8259s, or does not, and
 * returns. SDM vol. 3 §6.11, §6.14.
 */
export function handlers(
  random: Random,
  mode: BootMode,
  selector: number,
): { code: Uint8Array; idt: Uint8Array } {
  const endOfInterrupt = [
    0x50,
    0x52,
    0x57,
    ...store(LOCAL_APIC + 0xb0, 0),
    ...out8(0x20, 0x20),
    ...out8(0xa0, 0x20),
  ];
  const body = random.pick([
    [],
    [...endOfInterrupt, 0x5f, 0x5a, 0x58],
    [...endOfInterrupt, 0x5f, 0x5a, 0x58],
    HLT,
  ]);
  const code = [...body, ...(mode === 'long' ? [0x48, 0xcf] : [0xcf])];
  const gate = [...u16(HANDLERS.code & 0xffff), ...u16(selector), 0, 0x8e, ...u16(HANDLERS.code >>> 16)];
  const entry = mode === 'long' ? [...gate, ...u32(0), ...u32(0)] : gate;
  const idt = Array.from({ length: 256 }, () => entry).flat();
  return { code: Uint8Array.from(code), idt: Uint8Array.from(idt) };
}
