// What a KVM CPU gets from its host: a vCPU and, on the thread that runs it, a timer, the control signal and perhaps
// counters. Tests give scripted ones.

import type { CoalescedRing, MmioFields } from '../../host/kvm/run.ts';
import type { MemoryMode } from '../../mem/memory-mode.ts';
import type { InstructionEvents } from '../instruction-events.ts';
import type { ControlSignal, RunnableVcpu, RunTimer } from './runner.ts';

/** The architecture-independent part of a vCPU. */
export interface Vcpu extends RunnableVcpu {
  readonly run: {
    setImmediateExit(on: boolean): void;
    readonly exitReason: number;
    readonly mmio: MmioFields;
    /** Where the kernel queues writes to coalesced zones; undefined: this KVM has no such ring. */
    readonly coalesced: CoalescedRing | undefined;
  };
  close(): void;
}

/** Hardware counters of the guest's cycles and instructions. */
export interface GuestCounters {
  /** Before an entry. */
  start(): void;
  /** After it: brings {@link cycles} and {@link instructions} up to date. */
  stop(): void;
  /** Host cycles in the guest since {@link start}. */
  readonly cycles: number;
  /** Instructions that the guest executed since {@link start}. */
  readonly instructions: number;
  /** Raises the control signal after so many instructions of the guest from now; Infinity: never. */
  limitInstructions(distance: number): void;
}

/** The parts that belong to the thread that runs a vCPU. */
export interface HostParts {
  readonly timer: RunTimer;
  readonly signal: ControlSignal;
  /** Frequency of the cycles that are counted. */
  readonly frequencyHz: number;
  readonly counters: GuestCounters | undefined;
  /** Why there are no counters; empty if there are. */
  readonly whyNoCounters: string;
  /** Gives timer and counters back to the host. */
  close(): void;
}

/** What the thread of a vCPU is to be equipped with. */
export interface HostWants {
  /** Count by hardware counters, if the host has them. */
  readonly usePerf: boolean;
  /** Bound a run by an overflow of the cycle counter, not by a POSIX timer. */
  readonly usePerfOverflow: boolean;
}

/** How a KVM CPU gets its vCPU, at startup. */
export interface KvmCpuParts<V extends Vcpu> {
  createVcpu(): V;
  /** On the thread that will run the vCPU: blocks the control signal, makes timer and counters. */
  attach(vcpu: V, wants: HostWants): HostParts;
  /** The system's memory mode; absent: atomicNoncaching. */
  memoryMode?(): MemoryMode;
  /** Instructions and instruction stops of the whole system. */
  readonly systemInstructions?: InstructionEvents;
}
