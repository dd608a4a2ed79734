/**
 * Simulator: runs a tree of SimObjects. It simulates in slices of host time and yields to the event loop of
 * the process between them; it ends with exit events that say why.
 */
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { restoreCheckpoint } from './checkpoint/reader.ts';
import { saveCheckpoint } from './checkpoint/writer.ts';
import { type EventQueue, Priority, SimEvent } from './event-queue.ts';
import { ExitCause, type ExitEvent } from './exit-event.ts';
import { inlineHotPaths } from './inlining.ts';
import { Pacer } from './pacing.ts';
import type { Root } from './root.ts';
import type { Statistics } from './stats/statistics.ts';
import type { Tick } from './tick.ts';
import { FatalError, panic } from './trouble.ts';

export interface SimulatorOptions {
  /** Host milliseconds between two looks at the rest of the process, at least; default 10. */
  readonly sliceMs?: number;
  /** Longest wait of an idle simulation before it looks around, host milliseconds; default 50. */
  readonly idleWaitMs?: number;
  /** Simulated time does not run ahead of the host's: for a machine that a person sits at. Default false. */
  readonly realTime?: boolean;
}

export interface RunOptions {
  /** Stop with `simulate() limit reached` when time has come this far; an absolute tick. */
  readonly maxTick?: Tick;
}

/** Events between two looks at the host's clock, unless one of them says that it took long. */
const EVENTS_PER_LOOK = 64;

/** What ended a slice: time for others, an exit event, a finished drain, nothing left to do, or nothing yet. */
type SliceEnd = 'time' | 'exit' | 'drain' | 'idle' | 'early';

const TICKS_PER_MS = 1_000_000_000n;

interface SliceOptions {
  readonly stopAtExit: boolean;
  /** Holds simulated time back. */
  readonly pacer?: Pacer | undefined;
}

export class Simulator {
  readonly root: Root;
  readonly stats: Statistics;
  readonly #sliceMs: number;
  readonly #idleWaitMs: number;
  readonly #limit: SimEvent;
  readonly #pacer: Pacer | undefined;
  #phase: 'constructed' | 'restored' | 'started' = 'constructed';
  #isRunning = false;
  #isClosed = false;
  /** How long the outside has been waited for at a tick, in milliseconds of the host. */
  #waited = { tick: -1n, ms: 0 };

  /** Initializes all objects of the tree: it must be complete. */
  constructor(root: Root, options: SimulatorOptions = {}) {
    inlineHotPaths();
    this.root = root;
    this.stats = root.statsControl;
    this.#sliceMs = options.sliceMs ?? 10;
    this.#idleWaitMs = options.idleWaitMs ?? 50;
    this.#pacer = options.realTime ? new Pacer(root.eventQueue, root.hostClock) : undefined;
    this.#limit = new SimEvent('root.limit', () => this.#post(ExitCause.limitReached), Priority.SimExit);
    for (const object of root.descendants()) object.init();
  }

  /**
   * Simulates; yields each exit event and goes on when asked for the next. Ends after the cause
   * `simulate() limit reached` or `event queue empty`, when there is nothing more to simulate.
   */
  async *run(options: RunOptions = {}): AsyncGenerator<ExitEvent, void, void> {
    for (;;) {
      const exit = await this.runUntilExit(options);
      yield exit;
      if (exit.cause === ExitCause.limitReached || exit.cause === ExitCause.queueEmpty) return;
    }
  }

  /** Simulates up to the next exit event. */
  async runUntilExit(options: RunOptions = {}): Promise<ExitEvent> {
    this.#start();
    if (this.root.drainManager.state !== 'running') this.root.drainManager.resume();
    this.#setLimit(options.maxTick);
    try {
      await this.#loop();
    } finally {
      this.#setLimit(undefined);
    }
    return this.root.takeExit() ?? panic(this.root.path, 'the loop ended without an exit event');
  }

  /** Whether all objects have started up: what fails before has simulated nothing. */
  get hasStarted(): boolean {
    return this.#phase === 'started';
  }

  /** From outside, at any time: stop at the next chance. The default is gem5's cause for SIGINT. */
  requestExit(cause: string = ExitCause.userInterrupt, code = 0): void {
    this.#post(cause, code);
  }

  /** Simulates until nothing is in flight. Exit events on the way are yielded by the next run(). */
  async drain(): Promise<void> {
    this.#start();
    const manager = this.root.drainManager;
    while (!manager.tryDrain()) {
      while (!manager.allReported) {
        const end = this.#slice({ stopAtExit: false });
        if (end === 'time') await nextTurn();
        else if (end === 'idle' && this.#canWait()) await this.#idle();
        else if (end === 'idle') {
          panic(this.root.path, `nothing scheduled, but not drained: ${manager.pendingPaths.join(', ')}`);
        }
      }
    }
    for (const object of this.root.descendants()) object.memWriteback();
  }

  /** Ends a drain; the next run() does it too. */
  resume(): void {
    if (this.root.drainManager.state !== 'running') this.root.drainManager.resume();
  }

  /**
   * Saves everything into a directory, replacing a checkpoint of that name. Drains first if necessary, and
   * then resumes.
   */
  async checkpoint(directory: string): Promise<void> {
    const wasDrained = this.root.drainManager.state === 'drained';
    if (!wasDrained) await this.drain();
    try {
      saveCheckpoint(this.root, directory);
    } finally {
      if (!wasDrained) this.resume();
    }
  }

  /**
   * Restores a checkpoint: before the first run, or while drained. The system is drained afterwards, as it was
   * when it was saved: the next run() starts and resumes it.
   */
  restore(directory: string): void {
    if (this.#phase !== 'constructed' && this.root.drainManager.state !== 'drained') {
      panic(this.root.path, 'restore into a system that is neither new nor drained');
    }
    restoreCheckpoint(this.root, directory);
    this.root.drainManager.restored();
    for (const object of this.root.descendants()) object.memInvalidate();
    for (const object of this.root.descendants()) object.restored();
    this.#phase = 'restored';
    this.stats.reset();
  }

  /** Runs the hooks of beforeProcessExit, once. Call it on every way out of the process. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.root.runProcessExitHooks();
  }

  #start(): void {
    if (this.#isRunning) panic(this.root.path, 'two runs at the same time');
    if (this.#phase === 'started') return;
    if (this.#phase === 'constructed') {
      for (const object of this.root.descendants()) object.initState();
    }
    for (const object of this.root.descendants()) object.startup();
    this.#phase = 'started';
  }

  #post(cause: string, code = 0): void {
    this.root.postExit({ cause, code, tick: this.root.curTick });
  }

  #setLimit(maxTick: Tick | undefined): void {
    const queue = this.root.eventQueue;
    if (this.#limit.scheduled) queue.deschedule(this.#limit);
    if (maxTick === undefined) return;
    if (maxTick < queue.curTick) {
      throw new FatalError(`the tick limit ${maxTick} is in the past: it is ${queue.curTick} already`);
    }
    queue.scheduleAt(this.#limit, maxTick);
  }

  async #loop(): Promise<void> {
    this.#isRunning = true;
    const pacer = this.#pacer;
    pacer?.begin();
    try {
      while (!this.root.hasExit) {
        const end = this.#slice({ stopAtExit: true, pacer });
        if (end === 'time') await nextTurn();
        else if (end === 'early') await this.#waitForOutside(Math.min(pacer!.waitMs(), this.#idleWaitMs));
        else if (end === 'idle') await this.#idle();
      }
    } finally {
      this.#isRunning = false;
    }
  }

  /** Serves events until the slice is over or something wants to be looked at. Hot path. */
  #slice({ stopAtExit, pacer }: SliceOptions): SliceEnd {
    const { root } = this;
    const { slice, drainManager } = root;
    const queues = root.eventQueues;
    slice.begin(this.#sliceMs);
    for (let countdown = EVENTS_PER_LOOK; ; countdown--) {
      if (stopAtExit && root.hasExit) return 'exit';
      if (drainManager.allReported) return 'drain';
      if (countdown <= 0 || slice.checkSoon) {
        if (slice.isOver) return 'time';
        countdown = EVENTS_PER_LOOK;
      }
      const queue = queues.length === 1 ? queues[0]! : this.#earliest(queues);
      if (queue.isEmpty || this.#isOnlyLimitAhead(queue)) return 'idle';
      if (pacer !== undefined && pacer.waitMs() > 0) return 'early';
      queue.serviceOne();
    }
  }

  /**
   * The queue with the earliest event, all others brought to its time: several queues in one isolate keep
   * step exactly.
   */
  #earliest(queues: readonly EventQueue[]): EventQueue {
    let earliest = queues[0]!;
    let tick = earliest.nextTick();
    for (const queue of queues) {
      const next = queue.nextTick();
      if (next !== undefined && (tick === undefined || next < tick)) {
        earliest = queue;
        tick = next;
      }
    }
    if (tick !== undefined) for (const queue of queues) if (queue.curTick < tick) queue.advanceTo(tick);
    return earliest;
  }

  #canWait(): boolean {
    return this.root.idleSources.some((source) => source.canWake());
  }

  /**
   * Nothing is scheduled but the limit of this run, and the outside may still change that. Waiting for the outside reaches the
   * limit when it has taken as long as the simulated time to it.
   */
  #isOnlyLimitAhead(queue: EventQueue): boolean {
    if (queue.size !== 1 || !this.#limit.scheduled || !this.#canWait()) return false;
    if (this.#waited.tick !== queue.curTick) return true;
    return BigInt(Math.floor(this.#waited.ms)) * TICKS_PER_MS < queue.whenOf(this.#limit) - queue.curTick;
  }

  /** Nothing is scheduled: wait for the outside, without simulated time passing, or end. */
  async #idle(): Promise<void> {
    if (!this.#canWait()) {
      this.#post(ExitCause.queueEmpty);
      return;
    }
    const { curTick, hostClock } = this.root;
    const begin = hostClock();
    await this.#waitForOutside(this.#idleWaitMs);
    const before = this.#waited.tick === curTick ? this.#waited.ms : 0;
    this.#waited = { tick: curTick, ms: before + hostClock() - begin };
  }

  /** Waits up to `maxMs`, less if something comes in that the simulation waits for. */
  async #waitForOutside(maxMs: number): Promise<void> {
    const source = this.root.idleSources.find((candidate) => candidate.canWake());
    if (source === undefined) await sleep(maxMs);
    else await source.wait(maxMs);
    await nextTurn();
  }
}
