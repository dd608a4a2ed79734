/** What the engine is given, and what it answers. */

import type { Segment } from '../../arch/x86/segments.ts';
import type { XsaveFormat } from '../../arch/x86/xsave.ts';
import type { PhysicalMemory } from '../../mem/physical-memory.ts';
import type { RandomNumbers } from './random.ts';

/** Why a run ended. RIP, the flags and all other state are those of an instruction boundary. */
export type RunEnd =
  | { readonly kind: 'budget' }
  | { readonly kind: 'syscall' }
  | { readonly kind: 'halt' }
  /** INT n, at `at`: RIP is behind it. Whether the program may do so, the gate says. */
  | { readonly kind: 'interrupt'; readonly vector: number; readonly at: bigint }
  /** An exception: RIP is that of the instruction, for traps (#DB, #BP) behind it. */
  | {
      readonly kind: 'exception';
      readonly vector: number;
      readonly errorCode: number;
      readonly address: bigint;
    };

export interface EngineOptions {
  readonly memory: PhysicalMemory;
  /** CPUID features, by their names in /proc/cpuinfo. */
  readonly features: ReadonlySet<string>;
  /**
   * When blocks are translated: when they have been entered often, at once, or never. Results are the same; default `hot`.
   */
  readonly translate?: 'hot' | 'always' | 'never';
  /** How much machine code translated regions may take. Default 256 MiB. */
  readonly codeCacheBytes?: number;
  /** Layout of the area of XSAVE; without it, x87 and SSE. */
  readonly xsave?: XsaveFormat;
  /**
   * Whether another processor that is given RAM can write the page at a virtual address with code, there or elsewhere. A page
   * that it can write from some time on is marked in the page-version map then. Without it, all can be written.
   */
  isWritable?(address: number): boolean;
  readTsc(): readonly [lo: number, hi: number];
  cpuid(leaf: number, subleaf: number): readonly [eax: number, ebx: number, ecx: number, edx: number];
  /** For RDRAND and RDSEED; without it, the sequence is that of every new engine. */
  readonly random?: RandomNumbers;
  /** What a selector other than null stands for; without it, what Linux gives to programs. */
  descriptor?(selector: number): Segment | undefined;
}
