// Statistics of a KVM CPU. Names are gem5's (BaseKvmCPU::StatGroup, BaseCPU); the last few are ours.

import { REG_CLASS_NAMES } from '../../arch/x86/thread-context.ts';
import { formula, scalar, statGroup, subGroup, value, vector } from '../../sim/stats/group.ts';
import { ratio } from '../../sim/stats/kinds.ts';
import { rate, Unit } from '../../sim/stats/unit.ts';

const IPC = rate(Unit.Count, Unit.Cycle);
const CPI = rate(Unit.Cycle, Unit.Count);

export class KvmCpuStats extends statGroup(
  {
    numCycles: scalar('Number of cpu cycles simulated', Unit.Cycle),
    numVMExits: scalar('total number of KVM exits'),
    numVMHalfEntries: scalar('number of KVM entries to finalize pending operations'),
    numExitSignal: scalar('exits due to signal delivery'),
    numMMIO: scalar('number of VM exits due to memory mapped IO'),
    numCoalescedMMIO: scalar('number of coalesced memory mapped IO requests'),
    numIO: scalar('number of VM exits due to legacy IO'),
    numHalt: scalar('number of VM exits due to wait for interrupt instructions'),
    numInterrupts: scalar('number of interrupts delivered'),
    numHypercalls: scalar('number of hypercalls'),
    numAssists: scalar('number of instructions that KVM could not execute and the functional CPU did'),
    numUserSyscalls: scalar('system calls of user code, in syscall emulation'),
    numUserExceptions: scalar('exceptions of user code, in syscall emulation'),
    syncsToKvm: vector('register classes written to KVM', REG_CLASS_NAMES),
    syncsFromKvm: vector('register classes read from KVM', REG_CLASS_NAMES),
    numSyncIoctls: scalar('vCPU register transfers that took a system call of their own'),
    hostSecondsInGuest: scalar('host time inside KVM_RUN', Unit.Second),
    hostSecondsInSimulator: value('host time outside KVM_RUN', Unit.Second),
    commitStats0: subGroup({
      numInsts: scalar('Number of instructions committed (thread level)'),
      numOps: scalar('Number of ops (including micro ops) committed (thread level)'),
      ipc: value('IPC: Instructions Per Cycle (thread level)', IPC),
      cpi: value('CPI: Cycles Per Instruction (thread level)', CPI),
    }),
  },
  (group) => ({
    ipc: formula(
      'IPC: Instructions Per Cycle',
      () => ratio(group.commitStats0.numInsts, group.numCycles),
      IPC,
      {},
    ),
    cpi: formula(
      'CPI: Cycles Per Instruction',
      () => ratio(group.numCycles, group.commitStats0.numInsts),
      CPI,
      {},
    ),
  }),
) {
  constructor() {
    super();
    this.commitStats0.ipc.functor(() => this.ipc.result());
    this.commitStats0.cpi.functor(() => this.cpi.result());
  }
}
