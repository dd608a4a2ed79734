// One run of a system from its start to its exit status: outputs made first, signals, the event loop, and what is
// written at the end, whatever ended it.

import { constants } from 'node:os';
import { join } from 'node:path';
import { stateRecord } from '../arch/x86/dump.ts';
import { RegClass } from '../arch/x86/thread-context.ts';
import { ExitCause, type ExitEvent } from '../sim/exit-event.ts';
import { checkOutput, writeOutput } from '../sim/output-file.ts';
import { Root } from '../sim/root.ts';
import { Simulator } from '../sim/simulator.ts';
import type { StatSnapshot } from '../sim/stats/snapshot.ts';
import { JsonFileOutput, TextFileOutput } from '../sim/stats/statistics.ts';
import type { Tick } from '../sim/tick.ts';
import { ExitStatus, FatalError } from '../sim/trouble.ts';
import { SeSystem, type SeSystemOptions } from '../system/se-system.ts';
import { ExecError } from '../workload/elf.ts';
import { describeEnd, recordCrash } from './crash.ts';
import { DebugFile } from './debug-file.ts';
import {
  checkDistinct,
  checkOutputFiles,
  makeOutputDirectory,
  removeDirectories,
  writeConfiguration,
} from './output-directory.ts';
import { readable } from './program.ts';
import { ProgressLine } from './progress.ts';
import { statistic } from './summary.ts';
import { say, sayRaw } from './terminal.ts';

export interface SessionOptions {
  readonly system: SeSystemOptions;
  readonly seed: number | undefined;
  readonly outdir: string | undefined;
  /** File for the final architectural state. */
  readonly dumpState: string | undefined;
  readonly maxTick: Tick | undefined;
  readonly debugFlags: string;
  /** File for trace lines; undefined: standard error. */
  readonly debugFile: string | undefined;
}

/** What a run came to. */
export interface SessionResult {
  readonly status: number;
  readonly snapshot: StatSnapshot;
  readonly system: SeSystem;
}

/** Signals that end a run from outside, in an orderly way. */
const END_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Why the run is over, for the exit status and for the `exit` field of --dump-state. */
interface Ending {
  readonly status: number;
  readonly cause: string;
  readonly signal?: number;
  readonly code?: number;
  /** What was thrown, if the simulation could not go on. */
  readonly failure?: unknown;
}

/**
 * Runs the system. Throws what made the simulation impossible: with nothing written if the program could not be
 * started, after everything is written if it happened later.
 */
export async function runSession(options: SessionOptions): Promise<SessionResult> {
  const { outdir, dumpState, debugFile } = options;
  checkDistinct(outdir, { '--dump-state': dumpState, '--debug-file': debugFile });
  const made = outdir === undefined ? [] : makeOutputDirectory(outdir);
  let trace: DebugFile | undefined;
  try {
    if (outdir !== undefined) checkOutputFiles(outdir);
    if (dumpState !== undefined) checkOutput(dumpState);
    if (debugFile !== undefined) trace = new DebugFile(debugFile);
    return await runWith(options, trace);
  } finally {
    trace?.close();
    // Only those that are still empty: the program was not started.
    removeDirectories(made);
  }
}

/** Runs the system with its outputs prepared. */
async function runWith(options: SessionOptions, trace: DebugFile | undefined): Promise<SessionResult> {
  const root = new Root({
    debugFlags: options.debugFlags,
    traceSink: trace === undefined ? (line) => sayRaw(`${line}\n`) : (line) => trace.writeLine(line),
    warnSink: say,
    ...(options.seed === undefined ? {} : { seed: options.seed }),
  });
  const isTracing = options.debugFlags !== '' && trace === undefined;
  const progress = isTracing ? undefined : ProgressLine.onTerminal();
  const { workload, ...machine } = options.system;
  const files = progress === undefined ? {} : { host: progress.files };
  const system = new SeSystem(root, 'system', { ...machine, workload: { ...workload, ...files } });
  const simulator = new Simulator(root);
  try {
    const ending = await simulate(simulator, system, options.maxTick, { progress, trace });
    const { snapshot, failure } = record(simulator, system, ending, { ...options, trace });
    if (ending.failure !== undefined) throw ending.failure;
    if (failure !== undefined) throw failure;
    return { status: ending.status, snapshot, system };
  } finally {
    simulator.close();
  }
}

interface Watchers {
  readonly progress: ProgressLine | undefined;
  readonly trace: DebugFile | undefined;
}

/** Runs until the program ends or something else ends the run. */
async function simulate(
  simulator: Simulator,
  system: SeSystem,
  maxTick: Tick | undefined,
  { progress, trace }: Watchers,
): Promise<Ending> {
  let received: (typeof END_SIGNALS)[number] | undefined;
  const stop = (signal: NodeJS.Signals): void => {
    received = END_SIGNALS.find((name) => name === signal);
    simulator.requestExit(ExitCause.userInterrupt);
  };
  for (const signal of END_SIGNALS) process.on(signal, stop);
  progress?.start(() => figuresOf(simulator, system));
  const running = simulator.runUntilExit(maxTick === undefined ? {} : { maxTick });
  // A program that cannot be started is known before the event loop turns.
  const started = setImmediate(() => trace?.publishEarly());
  try {
    const event = await running;
    return endingOf(event, system, received);
  } catch (error) {
    if (error instanceof ExecError) throw error;
    const cause = error instanceof Error ? error.message : String(error);
    return { status: ExitStatus.failure, cause, failure: error };
  } finally {
    clearImmediate(started);
    progress?.stop();
    for (const signal of END_SIGNALS) process.off(signal, stop);
  }
}

/** What an exit event means for the run. */
function endingOf(event: ExitEvent, system: SeSystem, received: NodeJS.Signals | undefined): Ending {
  const { end } = system.process;
  const { cause } = event;
  if (end?.kind === 'exited') return { status: end.status & 0xff, cause, code: end.status };
  if (end?.kind === 'signaled') return { status: 128 + end.signal, cause: end.name, signal: end.signal };
  if (cause === ExitCause.userInterrupt)
    return { status: 128 + constants.signals[received ?? 'SIGINT'], cause };
  if (cause === ExitCause.limitReached) return { status: ExitStatus.timedOut, cause };
  const program = readable(system.process.executablePath);
  const why = cause === ExitCause.queueEmpty ? 'every thread waits for something that cannot happen' : cause;
  throw new FatalError(`${program}: ${why}`);
}

interface Outputs extends Pick<SessionOptions, 'outdir' | 'dumpState'> {
  readonly trace: DebugFile | undefined;
}

/** Writes and says what the end of the run asks for; returns the statistics, and the first output that failed. */
function record(simulator: Simulator, system: SeSystem, ending: Ending, outputs: Outputs) {
  const { outdir, dumpState, trace } = outputs;
  const { process: program } = system;
  const failures: unknown[] = [];
  const attempt = <T>(write: () => T): T | undefined => {
    try {
      return write();
    } catch (error) {
      failures.push(error);
      return undefined;
    }
  };
  attempt(() => trace?.publish());
  if (dumpState !== undefined) {
    const { status: _, failure: __, ...exit } = ending;
    const state = stateRecord(system.cpu.readState(RegClass.all), exit);
    attempt(() => writeOutput(dumpState, `${JSON.stringify(state)}\n`));
  }
  if (outdir !== undefined) {
    attempt(() => simulator.stats.addOutput(new TextFileOutput(join(outdir, 'stats.txt'))));
    attempt(() => simulator.stats.addOutput(new JsonFileOutput(join(outdir, 'stats.json'))));
    attempt(() => writeConfiguration(outdir, simulator.root));
  }
  const snapshot = attempt(() => simulator.stats.dump()) ?? simulator.stats.snapshot();
  const { end } = program;
  if (end?.kind === 'signaled') {
    const failuresBefore = failures.length;
    const path = attempt(() => recordCrash(program, system.cpu.readState(RegClass.all), end, outdir));
    if (path !== undefined) say(`${describeEnd(program, end)}; see ${path}`);
    else if (failures.length > failuresBefore) say(describeEnd(program, end));
  } else if (ending.cause === ExitCause.limitReached) {
    say(`stopped at tick ${system.curTick} by --max-ticks`);
  }
  return { snapshot, failure: failures[0] };
}

function figuresOf(simulator: Simulator, system: SeSystem) {
  const snapshot = simulator.stats.snapshot();
  const cpu = system.cpu.path;
  return {
    simSeconds: statistic(snapshot, 'simSeconds') ?? 0,
    instructions: statistic(snapshot, `${cpu}.commitStats0.numInsts`),
    exits: statistic(snapshot, `${cpu}.numVMExits`) ?? 0,
    secondsInGuest: statistic(snapshot, `${cpu}.hostSecondsInGuest`) ?? 0,
  };
}
