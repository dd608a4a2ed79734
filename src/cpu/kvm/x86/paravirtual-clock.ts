// ParavirtualClock: KVM's clock for guests that know it (kvm-clock). Linux needs no other clock to find the frequency of
// its TSC then; measuring it against a timer fails where an exit takes long. Linux Documentation/virt/kvm/x86/cpuid.rst, msr.rst
// ("MSR_KVM_SYSTEM_TIME_NEW", "MSR_KVM_WALL_CLOCK_NEW").
//
// In the guest the clock runs with the TSC. It is set whenever the TSC is moved, and so follows simulated time as the TSC does.

import type { PhysAddr } from '../../../mem/addr.ts';
import type { PhysicalMemory } from '../../../mem/physical-memory.ts';
import { customCell, decodeNumber, type StateCell } from '../../../sim/state.ts';
import type { TscPolicy } from './guest-tsc.ts';
import { hasMsrExits } from './msr-exits.ts';
import type { X86KvmCpuWiring } from './x86-kvm-params.ts';

/** What CPUID leaf 40000001H:EAX shows of KVM's features: the clock, that its TSC is stable, and no delays for I/O ports. */
export const KVM_CLOCK_FEATURES = (1 << 3) | (1 << 24) | (1 << 1);

export interface ParavirtualClockOptions {
  /** Sets the clock of the virtual machine. */
  setClock(ns: bigint): void;
  readonly memory: PhysicalMemory;
  /** Date and time at tick 0, seconds since 1970. */
  readonly startSeconds: number;
}

export class ParavirtualClock {
  readonly #options: ParavirtualClockOptions;
  /** What the clock was set to, and when by the host's clock. */
  #setNs = 0;
  #setAtNs = Number.NaN;
  #leftAtNs = Number.NaN;
  #isRestored = false;

  constructor(options: ParavirtualClockOptions) {
    this.#options = options;
  }

  /**
   * The clock is to show simulated time, but nothing earlier than the guest can have seen.
   * @param simulatedNs since tick 0
   * @param nowNs the host's time
   * @param exitNs when the guest was left, by the same clock; NaN: it has not run
   */
  set(simulatedNs: number, nowNs: number, exitNs: number): void {
    this.#leftAtNs = exitNs;
    const seenNs = this.seenNs;
    this.#setNs = seenNs > simulatedNs ? seenNs : simulatedNs;
    this.#setAtNs = nowNs;
    this.#options.setClock(BigInt(Math.ceil(this.#setNs)));
  }

  /** The guest was left at this host time, and has not been entered since. */
  left(exitNs: number): void {
    this.#leftAtNs = exitNs;
  }

  /** What the guest can have seen, at most. */
  get seenNs(): number {
    const ranNs = this.#leftAtNs - this.#setAtNs;
    // The guest may have been left before the clock was set, or never entered.
    return this.#setNs + (ranNs > 0 ? ranNs : 0);
  }

  /** Whether the guest has run since it began, or was saved, by a clock that follows simulated time. */
  get hasBeenSeen(): boolean {
    return this.#isRestored || !Number.isNaN(this.#leftAtNs);
  }

  /** Of a guest that was saved: the clock goes on from there. */
  set seenNs(ns: number) {
    this.#setNs = ns;
    this.#setAtNs = Number.NaN;
    this.#isRestored = true;
  }

  /**
   * WRMSR to MSR_KVM_WALL_CLOCK_NEW: `struct pvclock_wall_clock` with the date and time at which the clock was 0. KVM would
   * give the host's.
   * @returns false if the address is not RAM
   */
  writeWallClock(address: bigint): boolean {
    const { memory, startSeconds } = this.#options;
    const at = Number(address) as PhysAddr;
    if (address === 0n) return true;
    if (address % 4n !== 0n || !memory.contains(at, 12)) return false;
    // An odd version says that the rest is being changed.
    const version = (memory.readU32(at) | 1) >>> 0;
    memory.writeU32(at, version);
    memory.writeU32((at + 4) as PhysAddr, startSeconds >>> 0);
    memory.writeU32((at + 8) as PhysAddr, 0);
    memory.writeU32(at, (version + 1) >>> 0);
    return true;
  }
}

/** What a guest has seen of the clock, as state: it is ahead of simulated time, and a restored one must not fall back. */
export function clockCell(clock: ParavirtualClock | undefined): StateCell {
  return customCell(
    () => (clock?.hasBeenSeen ? Math.ceil(clock.seenNs) : null),
    (saved) => {
      if (clock !== undefined && saved !== null) clock.seenNs = decodeNumber(saved);
    },
  );
}

/** The clock of a machine, if it is to have one and there is one that can follow simulated time. */
export function makeParavirtualClock(
  { clock, kvm, memory }: X86KvmCpuWiring,
  { isWanted, tsc, hostFactor }: { isWanted: boolean; tsc: TscPolicy; hostFactor: number },
): ParavirtualClock | undefined {
  // Between two settings the clock runs at the host's pace.
  const canFollow = tsc === 'simulated' && hostFactor === 1 && hasMsrExits(kvm);
  if (!isWanted || clock === undefined || !canFollow) return undefined;
  return new ParavirtualClock({
    setClock: (ns) => clock.setClock(ns),
    startSeconds: clock.startSeconds,
    memory,
  });
}
