// Statistics of a KVM CPU. Names are gem5's (BaseKvmCPU::StatGroup, BaseCPU); the last few are ours.

import { REG_CLASS_NAMES } from '../../arch/x86/thread-context.ts';
import type { HostClock } from '../../sim/slice.ts';
import { scalar, statGroup, value, vector } from '../../sim/stats/group.ts';
import { Unit } from '../../sim/stats/unit.ts';
import { commitRates, commitStats, connectRates } from '../commit-stats.ts';

export class KvmCpuStats extends statGroup(
  {
    numCycles: scalar('cycles of the simulated CPU', Unit.Cycle),
    numVMExits: scalar('returns from KVM_RUN'),
    numVMHalfEntries: scalar('entries only to complete an I/O instruction'),
    numExitSignal: scalar('returns because of a signal: timer, kick, counter'),
    numMMIO: scalar('exits for memory-mapped I/O'),
    instructionOvershoot: scalar('instructions by which instruction stops came late'),
    numCoalescedMMIO: scalar('writes that the kernel had queued (coalesced MMIO)'),
    numIO: scalar('exits for port I/O'),
    numHalt: scalar('exits for HLT'),
    numInterrupts: scalar('interrupts injected into the guest'),
    numHypercalls: scalar('exits for hypercalls'),
    numAssists: scalar('instructions that KVM could not execute and the functional CPU did'),
    numUserSyscalls: scalar('system calls of user code, in syscall emulation'),
    numUserExceptions: scalar('exceptions of user code, in syscall emulation'),
    syncsToKvm: vector('register classes written to KVM', REG_CLASS_NAMES),
    syncsFromKvm: vector('register classes read from KVM', REG_CLASS_NAMES),
    numSyncIoctls: scalar('vCPU register transfers that took a system call of their own'),
    hostSecondsInGuest: scalar('host time inside KVM_RUN', Unit.Second),
    hostSecondsInSimulator: value('host time outside KVM_RUN', Unit.Second),
    commitStats0: commitStats('the same: KVM shows no micro-ops'),
  },
  (group) => commitRates(group),
) {
  constructor() {
    super();
    connectRates(this);
  }

  /** Host time that is not spent in the guest is the simulator's. */
  startHostClock(nowMs: HostClock): void {
    let startMs = nowMs();
    this.hostSecondsInSimulator.functor(() => (nowMs() - startMs) / 1000 - this.hostSecondsInGuest.value);
    this.onReset(() => {
      startMs = nowMs();
    });
  }
}
