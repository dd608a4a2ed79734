// Kvm: the host's KVM as the simulator knows it: one per isolate, passed in by constructors. What never changes while the
// process runs (capabilities, supported CPUID, MSR indices) is asked once.

import { HostError } from '../../host/errors.ts';
import { KvmCap } from '../../host/kvm/abi.ts';
import { KvmSystem } from '../../host/kvm/system.ts';
import type { CpuidEntry } from '../../host/kvm/vcpu.ts';
import type { KvmVmFd } from '../../host/kvm/vm.ts';
import { FatalError } from '../../sim/trouble.ts';

/** Capabilities without which there is no KVM CPU, and since when the kernel has them. */
const REQUIRED = [
  ['USER_MEMORY', 'Linux 2.6.25'],
  ['EXT_CPUID', 'Linux 2.6.26'],
  ['SYNC_MMU', 'Linux 2.6.27'],
  ['IMMEDIATE_EXIT', 'Linux 4.11'],
] as const;

export class Kvm {
  readonly #system: KvmSystem;
  readonly #capabilities = new Map<number, number>();
  #supportedCpuid: readonly CpuidEntry[] | undefined;
  #supportedHyperVCpuid: readonly CpuidEntry[] | undefined;
  #msrIndices: readonly number[] | undefined;

  /**
   * Opens the host's KVM.
   * @throws FatalError in one line, with the remedy, where it cannot be used
   */
  static open(path = '/dev/kvm'): Kvm {
    try {
      return new Kvm(KvmSystem.open(path));
    } catch (error) {
      if (error instanceof HostError)
        throw new FatalError(`KVM cannot be used: ${error.message}`, { cause: error });
      throw error;
    }
  }

  constructor(system: KvmSystem) {
    this.#system = system;
    for (const [name, since] of REQUIRED) {
      if (this.capability(KvmCap[name]) === 0) {
        throw new FatalError(`KVM cannot be used: it lacks KVM_CAP_${name} (use ${since} or later)`);
      }
    }
  }

  /** The value of a capability, 0 if it is not there. */
  capability(cap: number): number {
    let value = this.#capabilities.get(cap);
    if (value === undefined) {
      value = this.#system.checkExtension(cap);
      this.#capabilities.set(cap, value);
    }
    return value;
  }

  /** CPUID entries that KVM can give to a guest. */
  get supportedCpuid(): readonly CpuidEntry[] {
    this.#supportedCpuid ??= this.#system.supportedCpuid();
    return this.#supportedCpuid;
  }

  /** Leaves of Hyper-V's interface that KVM can give to a guest; needs `KVM_CAP_SYS_HYPERV_CPUID`. */
  get supportedHyperVCpuid(): readonly CpuidEntry[] {
    this.#supportedHyperVCpuid ??= this.#system.supportedHyperVCpuid();
    return this.#supportedHyperVCpuid;
  }

  /** MSRs that KVM can read and write. */
  get msrIndices(): readonly number[] {
    this.#msrIndices ??= [...this.#system.msrIndexList()];
    return this.#msrIndices;
  }

  createVm(): KvmVmFd {
    return this.#system.createVm();
  }

  close(): void {
    this.#system.close();
  }
}
