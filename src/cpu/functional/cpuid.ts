/**
 * What CPUID says on the functional CPU: the same on every host. Intel SDM vol. 2A "CPUID". The vendor is Intel's and the
 * model is Nehalem's, since libraries choose by them: glibc takes cache sizes from leaf 4 only of Intel's processors, and
 * knows of Nehalem that unaligned accesses are fast.
 */

import { CPUID_FEATURES, type CpuidEntry } from '../../arch/x86/cpuid.ts';
import { Xcr0 } from '../../arch/x86/registers.ts';
import type { XsaveComponent } from '../../arch/x86/xsave.ts';
import { type FeatureSet, linuxName } from './features.ts';

const VENDOR = 'GenuineIntel';
const BRAND = 'hypertick functional CPU';
const FAMILY = 6;
const MODEL = 26;
const STEPPING = 5;
const HIGHEST_LEAF = 0x16;
const HIGHEST_EXTENDED_LEAF = 0x8000_0008;
const LINE_BYTES = 64;
const PHYSICAL_BITS = 39;
const LINEAR_BITS = 48;
const CRYSTAL_HZ = 25e6;
const MHZ = 1e6;

/** Place of AVX state in the standard XSAVE format: SDM vol. 1 §13.4.3. */
export const AVX_COMPONENT: XsaveComponent = { bit: Xcr0.AVX, offset: 576, sizeBytes: 256 };

type Cache = readonly [level: number, type: 1 | 2 | 3, kibibytes: number, ways: number];
/** Types: data, instructions, both. */
const CACHES: readonly Cache[] = [
  [1, 1, 32, 8],
  [1, 2, 32, 4],
  [2, 3, 256, 8],
  [3, 3, 8192, 16],
];

type Registers = readonly [eax: number, ebx: number, ecx: number, edx: number];
const NOTHING: Registers = [0, 0, 0, 0];

export class FunctionalCpuid {
  readonly features: FeatureSet;
  readonly #hz: number;
  readonly #answers = new Map<number, Registers>();
  /** Leaves whose answer depends on ECX. */
  readonly #withSubleaves = new Set<number>();

  /** @param hz frequency of the time-stamp counter, which is the CPU's */
  constructor(features: FeatureSet, hz: number) {
    this.features = features;
    this.#hz = hz;
    this.#addBasic();
    this.#addTopology();
    this.#addExtended();
    for (const { leaf, subleaf, register, bit } of CPUID_FEATURES.filter(({ name }) => features.has(name)))
      this.#setBit(leaf, subleaf, register, bit);
  }

  /** EAX, EBX, ECX and EDX for a leaf and its sub-leaf; zeros where there is none. */
  answer(leaf: number, subleaf: number): Registers {
    return this.#answers.get(key(leaf, this.#withSubleaves.has(leaf) ? subleaf : 0)) ?? NOTHING;
  }

  /** AT_HWCAP as Linux gives it: CPUID.1:EDX. */
  get hwcap(): number {
    return this.answer(1, 0)[3];
  }

  /** AT_HWCAP2: bit 1 says that user code may use WRFSBASE and its like. */
  get hwcap2(): number {
    return this.features.has('fsgsbase') ? 2 : 0;
  }

  /** State components that XCR0 enables. */
  get xcr0(): number {
    return Xcr0.X87 | Xcr0.SSE | (this.features.has('avx') ? Xcr0.AVX : 0);
  }

  /** /proc/cpuinfo as Linux writes it: arch/x86/kernel/cpu/proc.c. */
  get cpuinfo(): string {
    const mhz = this.#hz / MHZ;
    const flags = CPUID_FEATURES.filter(({ name }) => this.features.has(name) && name !== 'invariant_tsc');
    const rows: readonly (readonly [string, string | number])[] = [
      ['processor', 0],
      ['vendor_id', VENDOR],
      ['cpu family', FAMILY],
      ['model', MODEL],
      ['model name', BRAND],
      ['stepping', STEPPING],
      ['cpu MHz', mhz.toFixed(3)],
      ['cache size', `${CACHES.at(-1)![2]} KB`],
      ['physical id', 0],
      ['siblings', 1],
      ['core id', 0],
      ['cpu cores', 1],
      ['apicid', 0],
      ['initial apicid', 0],
      ['fpu', 'yes'],
      ['fpu_exception', 'yes'],
      ['cpuid level', HIGHEST_LEAF],
      ['wp', 'yes'],
      ['flags', [...flags.map(({ name }) => linuxName(name)), ...SYNTHETIC_FLAGS].join(' ')],
      ['bugs', ''],
      ['bogomips', (2 * mhz).toFixed(2)],
      ['clflush size', LINE_BYTES],
      ['cache_alignment', LINE_BYTES],
      ['address sizes', `${PHYSICAL_BITS} bits physical, ${LINEAR_BITS} bits virtual`],
      ['power management', ''],
    ];
    const line = ([name, text]: readonly [string, string | number]) =>
      `${name}${'\t'.repeat(name.length < 8 ? 2 : 1)}: ${text}`.trimEnd();
    return `${rows.map(line).join('\n')}\n\n`;
  }

  #addBasic(): void {
    const [b, d, c] = words(VENDOR) as [number, number, number];
    this.#add(0, [HIGHEST_LEAF, b, c, d]);
    const signature = ((MODEL >> 4) << 16) | (FAMILY << 8) | ((MODEL & 15) << 4) | STEPPING;
    const oneProcessor = 1 << 16;
    this.#add(1, [signature, oneProcessor | ((LINE_BYTES / 8) << 8), 0, 0]);
    // Descriptor FF: see leaf 4.
    this.#add(2, [0xff01, 0, 0, 0]);
    this.#add(7, NOTHING, 0);
    const mhz = Math.round(this.#hz / MHZ);
    this.#add(0x15, [CRYSTAL_HZ / MHZ, mhz, CRYSTAL_HZ, 0]);
    this.#add(0x16, [mhz, mhz, 100, 0]);
    if (this.features.has('xsave')) this.#addXsave();
  }

  /** Areas in standard format, and in the compacted one, of what XCR0 enables: SDM vol. 1 §13.2, §13.4. */
  #addXsave(): void {
    const avx = this.features.has('avx');
    const { offset, sizeBytes: avxBytes } = AVX_COMPONENT;
    const sizeBytes = avx ? offset + avxBytes : offset;
    this.#add(0xd, [this.xcr0, sizeBytes, sizeBytes, 0], 0);
    const isCompacted = this.features.has('xsavec') || this.features.has('xsaves');
    this.#add(0xd, [0, isCompacted ? sizeBytes : 0, 0, 0], 1);
    if (avx) this.#add(0xd, [avxBytes, offset, 0, 0], 2);
  }

  /** Caches, and one processor of one core with one thread. */
  #addTopology(): void {
    for (const [i, [level, type, kibibytes, ways]] of CACHES.entries()) {
      const sets = (kibibytes * 1024) / (ways * LINE_BYTES);
      const initializesItself = 1 << 8;
      const eax = type | (level << 5) | initializesItself;
      this.#add(4, [eax, ((ways - 1) << 22) | (LINE_BYTES - 1), sets - 1, 0], i);
    }
    const [thread, core] = [1 << 8, 2 << 8];
    this.#add(0xb, [0, 1, thread, 0], 0);
    this.#add(0xb, [0, 1, core | 1, 0], 1);
  }

  #addExtended(): void {
    const first = 0x8000_0000;
    this.#add(first, [HIGHEST_EXTENDED_LEAF, 0, 0, 0]);
    const brand = words(BRAND.padEnd(48, '\0'));
    for (let i = 0; i < 3; i++)
      this.#add(first + 2 + i, brand.slice(4 * i, 4 * i + 4) as unknown as Registers);
    const [, , kibibytes] = CACHES[2]!;
    const eightWays = 6 << 12;
    this.#add(first + 6, [0, 0, (kibibytes << 16) | eightWays | LINE_BYTES, 0]);
    this.#add(first + 8, [(LINEAR_BITS << 8) | PHYSICAL_BITS, 0, 0, 0]);
  }

  #add(leaf: number, [eax, ebx, ecx, edx]: Registers, subleaf?: number): void {
    if (subleaf !== undefined) this.#withSubleaves.add(leaf);
    this.#answers.set(key(leaf, subleaf ?? 0), [eax >>> 0, ebx >>> 0, ecx >>> 0, edx >>> 0]);
  }

  #setBit(leaf: number, subleaf: number, register: keyof CpuidEntry, bit: number): void {
    const registers = [...(this.#answers.get(key(leaf, subleaf)) ?? NOTHING)];
    const i = ['eax', 'ebx', 'ecx', 'edx'].indexOf(register);
    registers[i] = (registers[i]! | (1 << bit)) >>> 0;
    this.#answers.set(key(leaf, subleaf), registers as unknown as Registers);
  }
}

/** Flags that Linux sets by itself. */
const SYNTHETIC_FLAGS = ['constant_tsc', 'rep_good', 'nopl', 'nonstop_tsc', 'cpuid'];

function key(leaf: number, subleaf: number): number {
  return leaf * 2 ** 16 + Math.min(subleaf, 0xffff);
}

/** Four characters each, the first in the low byte. */
function words(text: string): number[] {
  const view = new DataView(Uint8Array.from(text, (character) => character.charCodeAt(0)).buffer);
  return Array.from({ length: text.length / 4 }, (_, i) => view.getUint32(4 * i, true));
}
