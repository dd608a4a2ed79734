// What a KVM CPU gets from its host: a vCPU and, on the thread that runs it, a timer, the control signal and perhaps
// counters. Tests give scripted ones.

import type { ControlSignal, RunnableVcpu, RunTimer } from './runner.ts';

/** The architecture-independent part of a vCPU. */
export interface Vcpu extends RunnableVcpu {
  readonly run: { setImmediateExit(on: boolean): void; readonly exitReason: number };
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

/** How a KVM CPU gets its vCPU, at startup. */
export interface KvmCpuParts<V extends Vcpu> {
  createVcpu(): V;
  /** On the thread that will run the vCPU: blocks the control signal, makes timer and counters. */
  attach(vcpu: V): HostParts;
}
