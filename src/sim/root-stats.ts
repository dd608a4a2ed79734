/**
 * The statistics of a whole simulation, with gem5's names and in gem5's order (src/sim/root.cc,
 * src/cpu/base.cc). Everything except finalTick counts from the last reset.
 */
import { statGroup, value } from './stats/group.ts';
import { type HasResult, type Result, ratio } from './stats/kinds.ts';
import { rate, Unit } from './stats/unit.ts';
import { TICKS_PER_SECOND, type Tick } from './tick.ts';

const TICK_RATE = rate(Unit.Tick, Unit.Second);
const COUNT_RATE = rate(Unit.Count, Unit.Second);
/** Shown only where something counts instructions. */
const ifAny = { nozero: true };
const wholeIfAny = { nozero: true, precision: 0 };

/** What the statistics read. */
export interface RootStatSources {
  curTick(): Tick;
  hostMs(): number;
  hostMemoryBytes(): number;
  totalInsts(): Result;
  totalOps(): Result;
}

export class RootStats extends statGroup({
  simSeconds: value('Simulated time', Unit.Second),
  simTicks: value('Simulated time in ticks', Unit.Tick),
  finalTick: value(
    'Ticks since the beginning of the simulation, restored from checkpoints, never reset',
    Unit.Tick,
  ),
  simFreq: value('Ticks per simulated second', TICK_RATE),
  hostSeconds: value('Time that passed on the host', Unit.Second, { precision: 2 }),
  hostTickRate: value('Ticks simulated per host second', TICK_RATE, { precision: 0 }),
  hostMemory: value('Resident memory of the simulator on the host', Unit.Byte),
  simInsts: value('Instructions simulated', Unit.Count, ifAny),
  simOps: value('Operations (micro-ops) simulated', Unit.Count, ifAny),
  hostInstRate: value('Instructions simulated per host second', COUNT_RATE, wholeIfAny),
  hostOpRate: value('Operations simulated per host second', COUNT_RATE, wholeIfAny),
}) {
  constructor(sources: RootStatSources) {
    super();
    const perHostSecond = (stat: HasResult) => () => ratio(stat, this.hostSeconds);
    let start = snapshot(sources);
    this.onReset(() => {
      start = snapshot(sources);
    });
    this.simSeconds.functor(() => ratio(this.simTicks, this.simFreq));
    this.simTicks.functor(() => sources.curTick() - start.tick);
    this.finalTick.functor(() => sources.curTick());
    this.simFreq.functor(() => TICKS_PER_SECOND);
    this.hostSeconds.functor(() => (sources.hostMs() - start.ms) / 1000);
    this.hostTickRate.functor(perHostSecond(this.simTicks));
    this.hostMemory.functor(() => sources.hostMemoryBytes());
    this.simInsts.functor(() => since(start.insts, sources.totalInsts()));
    this.simOps.functor(() => since(start.ops, sources.totalOps()));
    this.hostInstRate.functor(perHostSecond(this.simInsts));
    this.hostOpRate.functor(perHostSecond(this.simOps));
  }
}

function snapshot(sources: RootStatSources) {
  return {
    tick: sources.curTick(),
    ms: sources.hostMs(),
    insts: sources.totalInsts(),
    ops: sources.totalOps(),
  };
}

/** The end's reason where the end is unavailable; a start that was unavailable counts as 0. */
function since(start: Result, end: Result): Result {
  if (typeof end === 'object') return end;
  return Number(end) - (typeof start === 'object' ? 0 : Number(start));
}
