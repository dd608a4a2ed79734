/** Statistics of the functional CPU. Names are gem5's (BaseCPU), and those of the KVM CPU for what both count. */

import { scalar, statGroup } from '../../sim/stats/group.ts';
import { Unit } from '../../sim/stats/unit.ts';
import { commitRates, commitStats, connectRates } from '../commit-stats.ts';

export class FunctionalCpuStats extends statGroup(
  {
    numCycles: scalar('cycles of the simulated CPU', Unit.Cycle),
    numRuns: scalar('times that instructions were executed at a stretch'),
    numUserSyscalls: scalar('system calls of user code, in syscall emulation'),
    numUserExceptions: scalar('exceptions of user code, in syscall emulation'),
    hostSecondsInGuest: scalar('host time spent on executing instructions', Unit.Second),
    commitStats0: commitStats('the same: micro-ops are not counted'),
  },
  (group) => commitRates(group),
) {
  constructor() {
    super();
    connectRates(this);
  }
}
