// What every CPU model says of the instructions that it has executed. Names are gem5's (BaseCPU).

import { formula, type StatFields, scalar, subGroup, value } from '../sim/stats/group.ts';
import { ratio, type Scalar } from '../sim/stats/kinds.ts';
import { rate, Unit } from '../sim/stats/unit.ts';

const IPC = rate(Unit.Count, Unit.Cycle);
const CPI = rate(Unit.Cycle, Unit.Count);

/** Of the thread. `numOps` says what the count of micro-ops means. */
export function commitStats(numOps: string) {
  return subGroup({
    numInsts: scalar('instructions executed by the thread'),
    numOps: scalar(numOps),
    ipc: value('instructions per cycle of the thread', IPC),
    cpi: value('cycles per instruction of the thread', CPI),
  });
}

interface Counted {
  readonly numCycles: Scalar;
  readonly commitStats0: StatFields<{ commit: ReturnType<typeof commitStats> }>['commit'];
}

/** Of the CPU: what is derived from a group with `numCycles` and `commitStats0`. */
export function commitRates(group: Counted) {
  const { numCycles, commitStats0 } = group;
  const ipc = formula('instructions per cycle', () => ratio(commitStats0.numInsts, numCycles), IPC, {});
  const cpi = formula('cycles per instruction', () => ratio(numCycles, commitStats0.numInsts), CPI, {});
  return { ipc, cpi };
}

/** The thread's rates are the CPU's: there is one thread. */
export function connectRates(group: Counted & StatFields<ReturnType<typeof commitRates>>): void {
  group.commitStats0.ipc.functor(() => group.ipc.result());
  group.commitStats0.cpi.functor(() => group.cpi.result());
}
