/**
 * Root: the top of the SimObject tree and the one place where what a whole simulation shares lives: event
 * queues, debug flags and their output, warnings, exit requests, drain manager, the host's clock.
 */
import { performance } from 'node:perf_hooks';
import { applyDebugFlags, noDebugFlags } from './debug-flags.ts';
import { DrainManager } from './drain.ts';
import { EventQueue, Priority, SimEvent } from './event-queue.ts';
import type { ExitEvent } from './exit-event.ts';
import { overridesCell, ParamOverrides } from './param-overrides.ts';
import type { ParamInputs, ParamValues } from './params.ts';
import { declareParams, int } from './params.ts';
import { RootStats } from './root-stats.ts';
import { SimObject } from './sim-object.ts';
import { type HostClock, Slice } from './slice.ts';
import type { Json } from './state.ts';
import { asRecord, customCell, decodeNumber, decodeTick, isJsonArray, StateError } from './state.ts';
import { type Result, sum } from './stats/kinds.ts';
import { Statistics } from './stats/statistics.ts';
import { type Tick, type Ticks, ZERO_TICKS } from './tick.ts';
import { Trouble, type WarnSink } from './trouble.ts';

export const ROOT_PARAMS = declareParams({
  seed: int({ default: 1, min: 0, description: 'seed of everything random in the simulated machine' }),
});

/** What a simulation takes from its host. All have working defaults but none is hidden: pass your own. */
export interface RootOptions extends ParamInputs<typeof ROOT_PARAMS> {
  /** Parameters of objects by path, over those that their makers give: `board.cpu.hostFactor=2`. */
  readonly overrides?: readonly string[];
  /** A list such as `Kvm,-KvmIO`. */
  readonly debugFlags?: string;
  /** Receives trace lines without line ends; default: standard error. */
  readonly traceSink?: (line: string) => void;
  /** Receives warnings; default: standard error. */
  readonly warnSink?: WarnSink;
  /** Monotonic milliseconds; default: `performance.now`. */
  readonly hostClock?: HostClock;
  /** Resident bytes of the simulator; default: from the process. */
  readonly hostMemory?: () => number;
}

/** Something outside the simulation that can make it go on: console input, a host descriptor. */
export interface IdleSource {
  /** Whether waiting has a point at present: somebody in the simulation waits for this source. */
  canWake(): boolean;
  /** Waits up to `maxMs` milliseconds of host time for something to happen, and schedules what follows. */
  wait(maxMs: number): Promise<void> | void;
}

/** Something that counts instructions: a CPU. */
export interface InstructionSource {
  totalInsts(): Result;
  totalOps(): Result;
}

export class Root extends SimObject {
  readonly params: ParamValues<typeof ROOT_PARAMS>;
  readonly overrides: ParamOverrides;
  readonly drainManager: DrainManager;
  readonly trouble: Trouble;
  readonly slice: Slice;
  readonly stats: RootStats;
  /** Reset and dump of the statistics of all objects. */
  readonly statsControl = new Statistics(this);
  readonly hostClock: HostClock;
  readonly #queues: EventQueue[] = [];
  readonly #idleSources: IdleSource[] = [];
  readonly #instructionSources: InstructionSource[] = [];
  readonly #processExitHooks: (() => void)[] = [];
  readonly #exits: ExitEvent[] = [];
  readonly #traceSink: (line: string) => void;

  constructor(options: RootOptions = {}) {
    const queue = new EventQueue('root.eventQueue');
    super(null, 'root', { eventQueue: queue, debug: noDebugFlags() });
    this.overrides = new ParamOverrides(options.overrides ?? []);
    this.params = this.resolveParams(ROOT_PARAMS, options.seed === undefined ? {} : { seed: options.seed });
    this.trouble = new Trouble(options.warnSink ?? toStandardError);
    this.#traceSink = options.traceSink ?? toStandardError;
    this.hostClock = options.hostClock ?? (() => performance.now());
    this.slice = new Slice(this.hostClock);
    this.drainManager = new DrainManager(this);
    applyDebugFlags(this.debug, options.debugFlags ?? '');
    this.addEventQueue(queue);
    this.state(
      'time',
      customCell(
        () => this.#saveTime(),
        (saved) => this.#restoreTime(saved),
      ),
    );
    this.state('overrides', overridesCell(this.overrides));
    const hostMemoryBytes = options.hostMemory ?? (() => process.memoryUsage.rss());
    this.stats = this.addStats(
      new RootStats({
        curTick: () => this.curTick,
        hostMs: this.hostClock,
        hostMemoryBytes,
        totalInsts: () => sum(...this.#instructionSources.map((source) => source.totalInsts())),
        totalOps: () => sum(...this.#instructionSources.map((source) => source.totalOps())),
      }),
    );
  }

  /** All queues, the main one first. */
  get eventQueues(): readonly EventQueue[] {
    return this.#queues;
  }

  /** @internal For SimObject: an object below has a queue of its own. */
  addEventQueue(queue: EventQueue): void {
    this.#queues.push(queue);
    if (this.debug.Event) {
      queue.onService = (event) => this.traceLine(queue.curTick, queue.name, `${event.name} executed`);
    }
  }

  /**
   * Ends the simulation loop at this tick, or `delay` later, after all other events of that tick; run()
   * then yields an exit event. gem5: exitSimLoop.
   * @param cause a phrase, gem5's where gem5 has one
   * @param code what the guest gave as its status
   */
  exitSimLoop(cause: string, code = 0, delay: Ticks = ZERO_TICKS): void {
    const finish = () => {
      this.postExit({ cause, code, tick: this.eventQueue.curTick });
    };
    this.eventQueue.schedule(new SimEvent('root.exit', finish, Priority.SimExit), delay);
  }

  /** @internal Queues an exit event for run() and ends the present slice. */
  postExit(exit: ExitEvent): void {
    this.#exits.push(exit);
    this.slice.cut();
  }

  /** @internal The oldest exit event that run() has not yielded. */
  takeExit(): ExitEvent | undefined {
    return this.#exits.shift();
  }

  get hasExit(): boolean {
    return this.#exits.length > 0;
  }

  /** Something outside can make an idle simulation go on. */
  addIdleSource(source: IdleSource): void {
    this.#idleSources.push(source);
  }

  get idleSources(): readonly IdleSource[] {
    return this.#idleSources;
  }

  /** A CPU's instructions count into simInsts and simOps. */
  addInstructionSource(source: InstructionSource): void {
    this.#instructionSources.push(source);
  }

  /** `hook` runs before the process ends, for whatever reason: kick runners, release what the kernel holds. */
  beforeProcessExit(hook: () => void): void {
    this.#processExitHooks.push(hook);
  }

  /** Runs the hooks, the newest first, each once; an error of one does not keep the others from running. */
  runProcessExitHooks(): void {
    const errors: unknown[] = [];
    for (let hook = this.#processExitHooks.pop(); hook !== undefined; hook = this.#processExitHooks.pop()) {
      try {
        hook();
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw new AggregateError(errors, 'errors while leaving the simulation');
  }

  /** Prints a trace line as gem5 does: the tick right-aligned to seven places, path, text. */
  traceLine(tick: Tick, path: string, text: string): void {
    this.#traceSink(`${String(tick).padStart(7)}: ${path}: ${text}`);
  }

  #saveTime(): Json {
    return this.#queues.map((queue) => ({ tick: String(queue.curTick), order: queue.nextOrder }));
  }

  #restoreTime(saved: Json): void {
    const times = isJsonArray(saved) ? saved : [];
    if (times.length !== this.#queues.length) {
      throw new StateError(`of ${times.length} event queues, this system has ${this.#queues.length}`);
    }
    for (const [i, queue] of this.#queues.entries()) {
      const { tick = null, order = null } = asRecord(times[i]!);
      queue.reset(decodeTick(tick), decodeNumber(order));
    }
  }
}

function toStandardError(line: string): void {
  process.stderr.write(`${line}\n`);
}
