// The session of `run`, `demo` and `boot`: outputs are prepared and checked before anything is simulated, the simulation
// is watched (signals, progress, trace), and what was asked for is written whatever ends it. What is simulated, and what
// its exit events mean, is a Machine's matter.

import { constants } from 'node:os';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { stateRecord } from '../arch/x86/dump.ts';
import { RegClass } from '../arch/x86/thread-context.ts';
import type { BaseCpu } from '../cpu/base-cpu.ts';
import { ExitCause, type ExitEvent } from '../sim/exit-event.ts';
import { checkOutput, writeOutput } from '../sim/output-file.ts';
import { Root } from '../sim/root.ts';
import { Simulator } from '../sim/simulator.ts';
import type { StatSnapshot } from '../sim/stats/snapshot.ts';
import { JsonFileOutput, TextFileOutput } from '../sim/stats/statistics.ts';
import type { Tick } from '../sim/tick.ts';
import { ExitStatus, FatalError } from '../sim/trouble.ts';
import { DebugFile } from './debug-file.ts';
import {
  checkCheckpoint,
  checkDistinct,
  checkOutputFiles,
  makeOutputDirectory,
  removeDirectories,
  writeConfiguration,
} from './output-directory.ts';
import { ProgressLine } from './progress.ts';
import { statistic } from './summary.ts';
import { say, sayRaw } from './terminal.ts';

export interface SessionOptions {
  readonly seed: number | undefined;
  readonly outdir: string | undefined;
  /** File for the final architectural state. */
  readonly dumpState: string | undefined;
  readonly maxTick: Tick | undefined;
  /** Instructions after which the run ends. */
  readonly maxInsts?: number | undefined;
  /** Parameters by path: `board.cpu.hostFactor=2`. */
  readonly params?: readonly string[];
  readonly debugFlags: string;
  /** File for trace lines; undefined: standard error. */
  readonly debugFile: string | undefined;
  /** Directories that get a checkpoint when simulated time has come that far. */
  readonly checkpoints?: readonly CheckpointRequest[];
  /** Simulated time does not run ahead of the host's. */
  readonly realTime?: boolean;
  /** Whether a long run may show a progress line; default true. */
  readonly progress?: boolean;
}

export interface CheckpointRequest {
  readonly tick: Tick;
  readonly directory: string;
}

/** Why the simulation is over, for the exit status and for the `exit` field of --dump-state. */
export interface Ending {
  readonly status: number;
  readonly cause: string;
  readonly signal?: number;
  readonly code?: number;
  /** What was thrown, if the simulation could not go on. */
  readonly failure?: unknown;
}

/** Does something at the end of a session; its error is kept, and thrown when everything else is done. */
export type Attempt = <T>(action: () => T) => T | undefined;

/** What a session simulates. */
export interface Machine {
  readonly cpu: BaseCpu;
  /** Called once, before the simulation starts: the place to restore a checkpoint. */
  prepare?(simulator: Simulator): void;
  /**
   * Acts upon an exit event; returns undefined if it does not end the machine. The session itself ends at the tick limit
   * and at an interrupt. Throws what makes it impossible to go on.
   */
  handle(event: ExitEvent, simulator: Simulator): Ending | undefined | Promise<undefined>;
  /** Says and writes what only this machine has. */
  report?(ending: Ending, attempt: Attempt): void;
  /** Gives back what the machine took from the host. */
  close?(): void;
}

/** What a machine is built with. */
export interface Surroundings {
  readonly root: Root;
  /** Undefined where there is none: standard error is no terminal, or traces go there. */
  readonly progress: ProgressLine | undefined;
}

/** What a run came to. */
export interface SessionResult<M> {
  readonly status: number;
  readonly snapshot: StatSnapshot;
  readonly machine: M;
}

/** Signals that end a run from outside, in an orderly way. */
const END_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * Builds a machine and runs it. Throws what made the simulation impossible: with nothing written if it could not be
 * started, after everything is written if it happened later.
 */
export async function runSession<M extends Machine>(
  options: SessionOptions,
  build: (surroundings: Surroundings) => M,
): Promise<SessionResult<M>> {
  const { outdir, dumpState, debugFile } = options;
  checkDistinct(outdir, { '--dump-state': dumpState, '--debug-file': debugFile });
  const made = outdir === undefined ? [] : makeOutputDirectory(outdir);
  let trace: DebugFile | undefined;
  try {
    if (outdir !== undefined) checkOutputFiles(outdir);
    for (const { directory } of options.checkpoints ?? []) made.push(...checkCheckpoint(directory, outdir));
    if (dumpState !== undefined) checkOutput(dumpState);
    if (debugFile !== undefined) trace = new DebugFile(debugFile);
    return await new Session(options, build, trace).run();
  } finally {
    trace?.close();
    // Only those that are still empty: the simulation was not started.
    removeDirectories(made);
  }
}

/** A session with its outputs prepared. */
class Session<M extends Machine> {
  readonly #options: SessionOptions;
  readonly #trace: DebugFile | undefined;
  readonly #progress: ProgressLine | undefined;
  readonly #machine: M;
  readonly #simulator: Simulator;
  /** Not taken yet, the first in time first. */
  readonly #checkpoints: CheckpointRequest[];
  #received: (typeof END_SIGNALS)[number] | undefined;

  constructor(
    options: SessionOptions,
    build: (surroundings: Surroundings) => M,
    trace: DebugFile | undefined,
  ) {
    this.#options = options;
    this.#trace = trace;
    this.#checkpoints = [...(options.checkpoints ?? [])].sort((a, b) => (a.tick < b.tick ? -1 : 1));
    const root = new Root({
      overrides: options.params ?? [],
      debugFlags: options.debugFlags,
      traceSink: trace === undefined ? (line) => sayRaw(`${line}\n`) : (line) => trace.writeLine(line),
      warnSink: say,
      ...(options.seed === undefined ? {} : { seed: options.seed }),
    });
    const isTracing = options.debugFlags !== '' && trace === undefined;
    this.#progress = isTracing || options.progress === false ? undefined : ProgressLine.onTerminal();
    this.#machine = build({ root, progress: this.#progress });
    root.overrides.checkAllTaken();
    this.#simulator = new Simulator(root, { realTime: options.realTime ?? false });
  }

  async run(): Promise<SessionResult<M>> {
    const machine = this.#machine;
    try {
      this.#addStatOutputs();
      machine.prepare?.(this.#simulator);
      const { maxInsts } = this.#options;
      if (maxInsts !== undefined) machine.cpu.scheduleInstStop(maxInsts, ExitCause.instructionLimit);
      this.#checkTimes();
      const ending = await this.#simulate();
      const { snapshot, failure } = this.#record(ending);
      if (ending.failure !== undefined) throw ending.failure;
      if (failure !== undefined) throw failure;
      return { status: ending.status, snapshot, machine };
    } finally {
      machine.close?.();
      this.#simulator.close();
    }
  }

  /** Nothing is written before the first dump. */
  #addStatOutputs(): void {
    const { outdir } = this.#options;
    if (outdir === undefined) return;
    this.#simulator.stats.addOutput(new TextFileOutput(join(outdir, 'stats.txt')));
    this.#simulator.stats.addOutput(new JsonFileOutput(join(outdir, 'stats.json')));
  }

  /** A restored machine does not begin at 0. */
  #checkTimes(): void {
    const { maxTick } = this.#options;
    const { curTick } = this.#simulator.root;
    const refuse = (option: string, tick: Tick) => {
      if (tick < curTick)
        throw new FatalError(`--${option}: ${tick} is in the past: the checkpoint is of tick ${curTick}`);
    };
    for (const { tick } of this.#checkpoints) refuse('checkpoint-at', tick);
    if (maxTick !== undefined) refuse('max-ticks', maxTick);
  }

  /** Runs until the machine ends or something else ends the run. */
  async #simulate(): Promise<Ending> {
    const stop = (signal: NodeJS.Signals): void => {
      this.#received = END_SIGNALS.find((name) => name === signal);
      this.#simulator.requestExit(ExitCause.userInterrupt);
    };
    for (const signal of END_SIGNALS) process.on(signal, stop);
    this.#progress?.start(() => this.#figures());
    const ended = this.#untilTheEnd();
    // A simulation that cannot be started is known before the event loop turns.
    const started = setImmediate(() => this.#trace?.publishEarly());
    try {
      return await ended;
    } catch (error) {
      if (!this.#simulator.hasStarted) throw error;
      const cause = error instanceof Error ? error.message : String(error);
      const status = error instanceof FatalError ? error.exitStatus : ExitStatus.failure;
      return { status, cause, failure: error };
    } finally {
      clearImmediate(started);
      this.#progress?.stop();
      for (const signal of END_SIGNALS) process.off(signal, stop);
    }
  }

  async #untilTheEnd(): Promise<Ending> {
    for (;;) {
      const [checkpoint] = this.#checkpoints;
      const { curTick } = this.#simulator.root;
      const due = earlier(this.#options.maxTick, checkpoint?.tick);
      // Draining for a checkpoint may have taken time, beyond what is due next.
      const maxTick = due !== undefined && due < curTick ? curTick : due;
      const event = await this.#simulator.runUntilExit(maxTick === undefined ? {} : { maxTick });
      const isLimit = event.cause === ExitCause.limitReached;
      if (isLimit && checkpoint !== undefined && event.tick >= checkpoint.tick) {
        this.#checkpoints.shift();
        await this.#simulator.checkpoint(checkpoint.directory);
        continue;
      }
      const ending = await this.#machine.handle(event, this.#simulator);
      if (ending !== undefined) return ending;
      if (isLimit || event.cause.startsWith(ExitCause.instructionLimit))
        return { status: ExitStatus.timedOut, cause: event.cause };
      if (event.cause === ExitCause.userInterrupt)
        return { status: 128 + constants.signals[this.#received ?? 'SIGINT'], cause: event.cause };
      // A guest may ask for one thing after the other without end: signals and the console have their turn in between.
      await nextTurn();
    }
  }

  /** Writes and says what the end of the run asks for; returns the statistics, and the first output that failed. */
  #record(ending: Ending) {
    const { outdir, dumpState } = this.#options;
    const simulator = this.#simulator;
    const failures: unknown[] = [];
    const attempt: Attempt = (action) => {
      try {
        return action();
      } catch (error) {
        failures.push(error);
        return undefined;
      }
    };
    attempt(() => this.#trace?.publish());
    if (dumpState !== undefined) {
      const { status: _, failure: __, ...exit } = ending;
      const state = stateRecord(this.#machine.cpu.readState(RegClass.all), exit);
      attempt(() => writeOutput(dumpState, `${JSON.stringify(state)}\n`));
    }
    if (outdir !== undefined) attempt(() => writeConfiguration(outdir, simulator.root));
    const snapshot = attempt(() => simulator.stats.dump()) ?? simulator.stats.snapshot();
    this.#machine.report?.(ending, attempt);
    if (ending.cause === ExitCause.limitReached)
      say(`stopped at tick ${simulator.root.curTick} by --max-ticks`);
    if (ending.cause.startsWith(ExitCause.instructionLimit))
      say(`stopped at instruction ${this.#machine.cpu.thread.instructionEvents.count} by --max-insts`);
    for (const { tick, directory } of this.#checkpoints)
      say(`no checkpoint ${directory}: the run ended at tick ${simulator.root.curTick}, before ${tick}`);
    return { snapshot, failure: failures[0] };
  }

  #figures() {
    const snapshot = this.#simulator.stats.snapshot();
    const cpu = this.#machine.cpu.path;
    return {
      simSeconds: statistic(snapshot, 'simSeconds') ?? 0,
      instructions: statistic(snapshot, `${cpu}.commitStats0.numInsts`),
      exits: statistic(snapshot, `${cpu}.numVMExits`) ?? 0,
      secondsInGuest: statistic(snapshot, `${cpu}.hostSecondsInGuest`) ?? 0,
    };
  }
}

function earlier(a: Tick | undefined, b: Tick | undefined): Tick | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return a < b ? a : b;
}
