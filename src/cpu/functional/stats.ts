/** Statistics of the functional CPU. Names are gem5's (BaseCPU), and those of the KVM CPU for what both count. */

import { formula, scalar, statGroup, subGroup, value } from '../../sim/stats/group.ts';
import { ratio } from '../../sim/stats/kinds.ts';
import { rate, Unit } from '../../sim/stats/unit.ts';

const IPC = rate(Unit.Count, Unit.Cycle);
const CPI = rate(Unit.Cycle, Unit.Count);

export class FunctionalCpuStats extends statGroup(
  {
    numCycles: scalar('cycles of the simulated CPU', Unit.Cycle),
    numRuns: scalar('times that instructions were executed at a stretch'),
    numUserSyscalls: scalar('system calls of user code, in syscall emulation'),
    numUserExceptions: scalar('exceptions of user code, in syscall emulation'),
    hostSecondsInGuest: scalar('host time spent on executing instructions', Unit.Second),
    commitStats0: subGroup({
      numInsts: scalar('instructions executed by the thread'),
      numOps: scalar('the same: micro-ops are not counted'),
      ipc: value('instructions per cycle of the thread', IPC),
      cpi: value('cycles per instruction of the thread', CPI),
    }),
  },
  (group) => ({
    ipc: formula(
      'instructions per cycle',
      () => ratio(group.commitStats0.numInsts, group.numCycles),
      IPC,
      {},
    ),
    cpi: formula(
      'cycles per instruction',
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
