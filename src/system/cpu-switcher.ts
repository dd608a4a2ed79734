/**
 * CpuSwitcher: a test mode in which two CPUs take turns with one thread. At random times, or after each system call, it ends the
 * simulation loop, and whoever runs the simulation calls {@link CpuSwitcher.switch}. gem5's name for the cause is "switchcpu".
 */

import type { BaseCpu } from '../cpu/base-cpu.ts';
import { switchCpus } from '../cpu/switch-cpus.ts';
import { Priority, SimEvent } from '../sim/event-queue.ts';
import { SimObject } from '../sim/sim-object.ts';
import type { Simulator } from '../sim/simulator.ts';
import { scalar, statGroup } from '../sim/stats/group.ts';
import { Unit } from '../sim/stats/unit.ts';
import type { Ticks } from '../sim/tick.ts';
import { SeededRandom } from '../workload/linux/random.ts';

export const SWITCH_CAUSE = 'switchcpu';
const TWO_32 = 2 ** 32;
/** Another stream than the program's. */
const STREAM = 0x5157;

const MS_PER_SECOND = 1000;
/** When the CPUs take turns: at system calls, or each after a time uniform in (0, 2 · mean) with a mean of its own in ticks. */
export type SwitchTimes = readonly [first: number, second: number] | 'syscall';

class CpuSwitcherStats extends statGroup({
  numSwitches: scalar('times that the other CPU took over'),
  hostSeconds: scalar('host time of handing over, draining apart', Unit.Second),
  longestSeconds: scalar('host time of the longest of these', Unit.Second),
  drainSeconds: scalar('host time of draining for them', Unit.Second),
}) {}

export class CpuSwitcher extends SimObject {
  readonly stats = this.addStats(new CpuSwitcherStats());
  readonly cpus: readonly [BaseCpu, BaseCpu];
  readonly #times: SwitchTimes;
  readonly #random: SeededRandom;
  readonly #event: SimEvent;
  /** The time has come while the thread was idle: it is put off, so that nothing but the outside is waited for. */
  #isPutOff = false;

  constructor(parent: SimObject, name: string, cpus: readonly [BaseCpu, BaseCpu], times: SwitchTimes) {
    super(parent, name);
    this.cpus = cpus;
    this.#times = times;
    this.#random = SeededRandom.fromSeed(this.root.params.seed + STREAM);
    this.#event = new SimEvent(`${this.path}.switch`, () => this.#timeHasCome(), Priority.CpuSwitch);
  }

  /** The CPU that executes the thread. */
  get current(): BaseCpu {
    const [first, second] = this.cpus;
    return first.isSwitchedOut ? second : first;
  }

  override startup(): void {
    this.#scheduleNext();
  }

  /** The thread has work again. */
  busyAgain(): void {
    if (!this.#isPutOff) return;
    this.#isPutOff = false;
    this.#scheduleNext();
  }

  /** Drains the system and hands the thread over. */
  async switch(simulator: Simulator): Promise<undefined> {
    const { current, stats } = this;
    const drainMs = this.root.hostClock();
    await simulator.drain();
    stats.drainSeconds.inc((this.root.hostClock() - drainMs) / MS_PER_SECOND);
    // Draining may have ended the program.
    if (current.thread.status !== 'halted') {
      const other = this.cpus.find((cpu) => cpu !== current)!;
      const startMs = this.root.hostClock();
      await switchCpus(simulator, [[current, other]]);
      const seconds = (this.root.hostClock() - startMs) / MS_PER_SECOND;
      stats.hostSeconds.inc(seconds);
      stats.longestSeconds.value = Math.max(stats.longestSeconds.value, seconds);
      stats.numSwitches.inc();
      this.#scheduleNext();
    }
    return undefined;
  }

  #timeHasCome(): void {
    if (this.current.thread.status === 'active') this.root.exitSimLoop(SWITCH_CAUSE);
    else this.#isPutOff = true;
  }

  /** The thread has made a system call. */
  syscallMade(): void {
    if (this.#times === 'syscall') this.root.exitSimLoop(SWITCH_CAUSE);
  }

  #scheduleNext(): void {
    if (this.#times === 'syscall') return;
    const mean = this.#times[this.cpus.indexOf(this.current)]!;
    const fraction = (this.#random.nextU32() + 0.5) / TWO_32;
    const ticks = Math.ceil(fraction * 2 * mean);
    this.eventQueue.schedule(this.#event, Math.max(1, ticks) as Ticks);
  }
}
