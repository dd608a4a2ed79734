// GuestTsc: what the guest's time-stamp counter shows. SDM vol. 3 §17.17; Linux Documentation/virt/kvm/devices/vcpu.rst
// (KVM_VCPU_TSC_CTRL) and api.rst.
//
//   host        the host's counter plus an offset that changes only where it would go backwards (a restore)
//   simulated   simulated time × frequency. In the guest it runs by itself; outside, simulated and host time part. Before an
//               entry the drift is measured, and if it exceeds the bound the offset is moved: never so far back that the
//               guest could see less than at its last exit.
//
// RDTSC cannot be executed here. The guest's counter is read by its MSR, and extrapolated by the host's monotonic clock as
// long as that proves right: on a host whose own counter is unstable, KVM stops the guest's between entries. Counter values
// are Numbers relative to an epoch; only what leaves this file is a bigint.

import { MsrIndex } from '../../../arch/x86/msrs.ts';
import { HostError } from '../../../host/errors.ts';
import { MsrRefusedError, type X86Vcpu } from '../../../host/kvm/vcpu.ts';
import type { EventQueue } from '../../../sim/event-queue.ts';
import { TICKS_PER_NS, TICKS_PER_SECOND } from '../../../sim/tick.ts';
import type { ParavirtualClock } from './paravirtual-clock.ts';

export const TSC_POLICIES = ['simulated', 'host'] as const;
export type TscPolicy = (typeof TSC_POLICIES)[number];

export interface GuestTscOptions {
  readonly vcpu: X86Vcpu;
  readonly policy: TscPolicy;
  /** Frequency of the counter in simulated time. */
  readonly hz: number;
  /** Cycles of the guest's counter per second of the host: the same unless KVM scales it. */
  readonly hostHz: number;
  /** Simulated time. */
  readonly queue: EventQueue;
  /** The host's monotonic clock, in ns. */
  readonly now: () => number;
  /** Drift up to which nothing is done, in ns. */
  readonly driftNs: number;
  readonly warn: (message: string) => void;
  /** Runs with the counter, and is set when the counter is moved. */
  readonly clock?: ParavirtualClock | undefined;
}

const NS_PER_SECOND = 1e9;
/** How long a good extrapolation is trusted. */
const EXTRAPOLATION_NS = 50e6;
/** By how much a clock that is disciplined deviates from the counter: 500 ppm. */
const DEVIATION = 500e-6;
/** How finely the host's clock is read. */
const CLOCK_GRAIN_NS = 100;
/** So many good ones make trust. */
const GOOD_EXTRAPOLATIONS = 8;
/** Simulated time after which the epoch is moved on, in ticks: Numbers stay exact. */
const EPOCH_TICKS = 1e15;
/** Far from any value: KVM takes a TSC that is written for the old one if it differs by less than a second. */
const FAR_SECONDS = 8;
const TSC_MSR = Uint32Array.of(MsrIndex.TSC);
const ADJUST_MSR = Uint32Array.of(MsrIndex.TSC_ADJUST);

/** A counter that is ahead is held if it would gain more than this part of the bound, or is so many bounds ahead. */
const HOLD_FRACTION = 10;

/** How the counter can be moved. */
type Mover = 'offset' | 'msr' | 'none';

export class GuestTsc {
  readonly hz: number;
  readonly #options: GuestTscOptions;
  readonly #hostCyclesPerNs: number;
  #policy: TscPolicy;
  #mover: Mover | undefined;
  /** Everything below is relative to this value, which the counter had at the mark. */
  #epoch = 0n;
  readonly #epochMark;
  /** The counter in the guest had this value at that host time, not later. */
  #knownCycles = 0;
  #knownAtNs = Number.NEGATIVE_INFINITY;
  /** It can have been so much less. */
  #doubtCycles = 0;
  #goodExtrapolations = 0;
  /** The most that the guest can have seen. */
  #seenCycles = Number.NEGATIVE_INFINITY;
  #shown: bigint | undefined;
  /** When the guest was left last, by the host's clock. */
  #exitNs = Number.NaN;
  /** The vCPU's TSC offset, once it has been moved. KVM moves it too where it stops the counter between entries. */
  #offset: bigint | undefined;

  constructor(options: GuestTscOptions) {
    this.#options = options;
    this.hz = options.hz;
    this.#policy = options.policy;
    this.#hostCyclesPerNs = options.hostHz / NS_PER_SECOND;
    this.#epochMark = options.queue.mark();
    this.#epoch = this.#readMsr();
    this.#calibrate();
    // The machine's counter starts at zero when its time does.
    if (options.policy === 'simulated') this.#begin(0n);
  }

  /** The counter as the guest would read it now. */
  read(): bigint {
    const cycles =
      this.#policy === 'host'
        ? this.#inGuest(this.#freshAt(this.#options.now()))
        : Math.max(this.#simulated(), this.#seenCycles);
    return this.#epoch + BigInt(Math.floor(cycles));
  }

  /** WRMSR to the counter: it may go backwards. TSC_ADJUST takes the difference (SDM vol. 3 §17.17.3). */
  write(value: bigint): void {
    const moved = value - this.read();
    const adjust = this.#adjust;
    if (adjust !== undefined) this.#adjust = adjust + moved;
    this.#begin(value);
  }

  /** WRMSR to TSC_ADJUST: the counter moves by what it changes. False where the processor has none. */
  writeAdjust(value: bigint): boolean {
    const adjust = this.#adjust;
    if (adjust === undefined) return false;
    this.#adjust = value;
    this.#begin(BigInt.asUintN(64, this.read() + BigInt.asIntN(64, value - adjust)));
    return true;
  }

  /** KVM keeps the value; written from here it moves nothing. */
  get #adjust(): bigint | undefined {
    try {
      return this.#options.vcpu.getMsrs(ADJUST_MSR)[0]!;
    } catch (error) {
      if (error instanceof MsrRefusedError) return undefined;
      throw error;
    }
  }

  set #adjust(value: bigint) {
    this.#options.vcpu.setMsrs(ADJUST_MSR, BigUint64Array.of(BigInt.asUintN(64, value)));
  }

  /** The value for the thread context. */
  show(): bigint {
    this.#options.clock?.left(this.#exitNs);
    this.#shown = this.read();
    return this.#shown;
  }

  /** The thread context's value goes to KVM. Only one that was put there (a restore, a switch) means anything. */
  take(value: bigint): void {
    if (value === this.#shown) return;
    this.#shown = value;
    // The host's counter runs on; it must only not be behind what the guest has seen.
    if (this.#policy === 'host' && this.read() >= value) this.#setClock(0);
    else this.#begin(value);
  }

  /** Before each entry, at this host time. Hot path. */
  beforeEntry(nowNs: number): void {
    if (this.#policy === 'host') return;
    // First: it may move the epoch on.
    const simulated = this.#simulated();
    const here = this.#inGuest(this.#freshAt(nowNs));
    if (Math.abs(here - simulated) <= this.#boundCycles) return;
    // Ahead of simulated time it can only be held: where it was when the guest was left.
    const wanted = Math.max(simulated, this.#seenCycles);
    const isWorthIt = Math.abs(wanted - here) > this.#boundCycles / HOLD_FRACTION;
    if (!isWorthIt && here - simulated <= this.#boundCycles * HOLD_FRACTION) return;
    this.#moveTo(wanted, here);
    this.#setClock(this.#inGuest(this.#options.now()) - simulated);
  }

  /** After each entry, at this host time. Hot path. */
  afterEntry(nowNs: number): void {
    this.#exitNs = nowNs;
    if (this.#policy === 'host') return;
    this.#exitNs = this.#freshAt(nowNs);
    this.#seenCycles = this.#inGuest(this.#exitNs);
  }

  /** From now on the counter goes on from `value`. */
  #begin(value: bigint): void {
    this.#calibrate();
    const atLeast = Number(value - this.#epoch) + this.#doubtCycles;
    this.#moveTo(atLeast, this.#inGuest(this.#options.now()));
    // It shall not be held below what was asked for.
    this.#seenCycles = atLeast;
    this.#setEpoch(value);
    // Before the next entry it is brought into step with the counter.
    this.#setClock(0);
  }

  /** Simulated time since the epoch, in cycles. */
  #simulated(): number {
    const { queue } = this.#options;
    const ticks = queue.ticksSince(this.#epochMark);
    if (ticks > EPOCH_TICKS) {
      this.#setEpoch(this.#epoch + (BigInt(ticks) * BigInt(this.hz)) / BigInt(TICKS_PER_SECOND));
      return 0;
    }
    return (ticks * this.hz) / TICKS_PER_SECOND;
  }

  #setEpoch(value: bigint): void {
    const shift = Number(value - this.#epoch);
    this.#epoch = value;
    this.#knownCycles -= shift;
    this.#seenCycles -= shift;
    this.#options.queue.mark(this.#epochMark);
  }

  /** The guest's counter at a host time, at most. */
  #inGuest(ns: number): number {
    return this.#knownCycles + (ns - this.#knownAtNs) * this.#hostCyclesPerNs;
  }

  /** The host's time `ns`, and an extrapolation that is good for it; a little later where the counter cannot be trusted. */
  #freshAt(ns: number): number {
    if (this.#isTrusted && ns - this.#knownAtNs <= EXTRAPOLATION_NS) return ns;
    this.#calibrate();
    return this.#isTrusted ? ns : this.#options.now();
  }

  get #isTrusted(): boolean {
    return this.#goodExtrapolations >= GOOD_EXTRAPOLATIONS;
  }

  /**
   * Reads the counter. Host times before and behind bound it, and what was known narrows that: on a slow host a single reading
   * says little, many say much. A counter that runs otherwise than the clock soon leaves every bound.
   */
  #calibrate(): void {
    const { now } = this.#options;
    const from = now();
    const cycles = Number(this.#readMsr() - this.#epoch);
    const doubt = (now() - from) * this.#hostCyclesPerNs;
    const expected = this.#inGuest(from);
    const slack =
      (from - this.#knownAtNs) * this.#hostCyclesPerNs * DEVIATION + this.#hostCyclesPerNs * CLOCK_GRAIN_NS;
    const most = Math.min(cycles, expected + slack);
    const least = Math.max(cycles - doubt, expected - this.#doubtCycles - slack);
    const isGood = least <= most;
    this.#goodExtrapolations = isGood ? this.#goodExtrapolations + 1 : 0;
    this.#knownAtNs = from;
    this.#knownCycles = isGood ? most : cycles;
    this.#doubtCycles = isGood ? most - least : doubt;
    // The guest was held by an estimate that was too high by less than this one may be, and may have seen more than it said.
    this.#seenCycles += Math.max(0, (isGood ? most : cycles) - expected) + (isGood ? 0 : doubt);
  }

  #forget(): void {
    this.#knownCycles = 0;
    this.#knownAtNs = Number.NEGATIVE_INFINITY;
  }

  get #boundCycles(): number {
    return this.#options.driftNs * this.#hostCyclesPerNs;
  }

  #readMsr(): bigint {
    return this.#options.vcpu.getMsrs(TSC_MSR)[0]!;
  }

  /**
   * Moves the counter by the difference of two estimates.
   * @param here what it shows now, at most
   */
  #moveTo(wanted: number, here: number): void {
    this.#mover ??= this.#findMover();
    const cycles = Math.ceil(wanted - here);
    const { vcpu } = this.#options;
    if (this.#mover === 'none') return;
    if (this.#mover === 'offset') {
      const known = this.#isTrusted ? this.#offset : undefined;
      this.#offset = (known ?? vcpu.getTscOffset()) + BigInt(cycles);
      vcpu.setTscOffset(this.#offset);
      this.#knownCycles += cycles;
    } else {
      this.#writeMsr(this.#readMsr() + BigInt(cycles));
      // Some time passed between the two.
      this.#forget();
      this.#calibrate();
    }
  }

  /**
   * Without a mover the clock goes on from what was seen.
   * @param leadCycles by how much it is ahead of simulated time, as the counter is
   */
  #setClock(leadCycles: number): void {
    const { clock, queue, now } = this.#options;
    if (clock === undefined) return;
    const isMoved = this.#mover !== 'none';
    const simulatedNs = Number(queue.curTick) / TICKS_PER_NS + leadCycles / this.#hostCyclesPerNs;
    clock.set(isMoved || !clock.hasBeenSeen ? simulatedNs : 0, now(), this.#exitNs);
  }

  /** In two steps, neither of which is taken for the old value. */
  #writeMsr(value: bigint): void {
    for (const step of [value + this.#far, value])
      this.#options.vcpu.setMsrs(TSC_MSR, BigUint64Array.of(BigInt.asUintN(64, step)));
  }

  get #far(): bigint {
    return BigInt(FAR_SECONDS * this.hz);
  }

  /** Tries what this KVM offers. An attribute that is taken and ignored shows itself when it is read back. */
  #findMover(): Mover {
    const { vcpu, warn } = this.#options;
    const half = this.#far / 2n;
    try {
      const offset = vcpu.getTscOffset();
      vcpu.setTscOffset(offset + this.#far);
      const isTaken = vcpu.getTscOffset() - offset > half;
      vcpu.setTscOffset(offset);
      if (isTaken) return 'offset';
    } catch (error) {
      if (!(error instanceof HostError)) throw error;
    }
    const before = this.#readMsr();
    vcpu.setMsrs(TSC_MSR, BigUint64Array.of(before + this.#far));
    if (this.#readMsr() - before > half) {
      vcpu.setMsrs(TSC_MSR, BigUint64Array.of(before));
      return 'msr';
    }
    if (this.#policy === 'simulated') warn("this KVM does not move the TSC: the guest reads the host's");
    this.#policy = 'host';
    return 'none';
  }
}
