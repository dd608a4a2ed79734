// One run of a system from its start to its exit status: outputs made first, signals, the event loop, and what is
// written at the end, whatever ended it.

import { openSync, writeSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { stateRecord } from '../arch/x86/dump.ts';
import { RegClass } from '../arch/x86/thread-context.ts';
import { ExitCause, type ExitEvent } from '../sim/exit-event.ts';
import { Root } from '../sim/root.ts';
import { Simulator } from '../sim/simulator.ts';
import type { StatSnapshot } from '../sim/stats/snapshot.ts';
import { JsonFileOutput, TextFileOutput } from '../sim/stats/statistics.ts';
import type { Tick } from '../sim/tick.ts';
import { ExitStatus, FatalError } from '../sim/trouble.ts';
import { SeSystem, type SeSystemOptions } from '../system/se-system.ts';
import { ExecError } from '../workload/elf.ts';
import { describeEnd, recordCrash } from './crash.ts';
import { checkWritable, makeOutputDirectory, writeConfiguration, writeOutput } from './output-directory.ts';
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
 * Runs the system. Throws what made the simulation impossible: before anything is written if the program could not be
 * started, after everything is written if it happened later.
 */
export async function runSession(options: SessionOptions): Promise<SessionResult> {
  const { outdir, dumpState, debugFile } = options;
  if (outdir !== undefined) makeOutputDirectory(outdir);
  if (dumpState !== undefined) checkWritable(dumpState);
  const root = new Root({
    debugFlags: options.debugFlags,
    traceSink: debugFile === undefined ? (line) => sayRaw(`${line}\n`) : fileSink(debugFile),
    warnSink: say,
    ...(options.seed === undefined ? {} : { seed: options.seed }),
  });
  const isTracing = options.debugFlags !== '' && debugFile === undefined;
  const progress = isTracing ? undefined : ProgressLine.onTerminal();
  const { workload, ...machine } = options.system;
  const files = progress === undefined ? {} : { host: progress.files };
  const system = new SeSystem(root, 'system', { ...machine, workload: { ...workload, ...files } });
  const simulator = new Simulator(root);
  try {
    const ending = await simulate(simulator, system, options.maxTick, progress);
    const snapshot = record(simulator, system, ending, options);
    if (ending.failure !== undefined) throw ending.failure;
    return { status: ending.status, snapshot, system };
  } finally {
    simulator.close();
  }
}

/** Runs until the program ends or something else ends the run. */
async function simulate(
  simulator: Simulator,
  system: SeSystem,
  maxTick: Tick | undefined,
  progress: ProgressLine | undefined,
): Promise<Ending> {
  let received: (typeof END_SIGNALS)[number] | undefined;
  const stop = (signal: NodeJS.Signals): void => {
    received = END_SIGNALS.find((name) => name === signal);
    simulator.requestExit(ExitCause.userInterrupt);
  };
  for (const signal of END_SIGNALS) process.on(signal, stop);
  progress?.start(() => figuresOf(simulator, system));
  try {
    const event = await simulator.runUntilExit(maxTick === undefined ? {} : { maxTick });
    return endingOf(event, system, received);
  } catch (error) {
    if (error instanceof ExecError) throw error;
    const cause = error instanceof Error ? error.message : String(error);
    return { status: ExitStatus.failure, cause, failure: error };
  } finally {
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

/** Writes and says what the end of the run asks for; returns the statistics. */
function record(
  simulator: Simulator,
  system: SeSystem,
  ending: Ending,
  options: SessionOptions,
): StatSnapshot {
  const { outdir, dumpState } = options;
  const { process: program } = system;
  if (dumpState !== undefined) {
    const { status: _, failure: __, ...exit } = ending;
    writeOutput(dumpState, `${JSON.stringify(stateRecord(system.cpu.readState(RegClass.all), exit))}\n`);
  }
  if (outdir !== undefined) {
    simulator.stats.addOutput(new TextFileOutput(join(outdir, 'stats.txt')));
    simulator.stats.addOutput(new JsonFileOutput(join(outdir, 'stats.json')));
    writeConfiguration(outdir, simulator.root);
  }
  const snapshot = simulator.stats.dump();
  if (program.end?.kind === 'signaled') {
    const path = recordCrash(program, system.cpu.readState(RegClass.all), program.end, outdir);
    if (path !== undefined) say(`${describeEnd(program, program.end)}; see ${path}`);
  } else if (ending.cause === ExitCause.limitReached) {
    say(`stopped at tick ${system.curTick} by --max-ticks`);
  }
  return snapshot;
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

/** Lines into a file that is made, or emptied, now. */
function fileSink(path: string): (line: string) => void {
  try {
    const fd = openSync(path, 'w');
    return (line) => {
      writeSync(fd, `${line}\n`);
    };
  } catch (error) {
    throw new FatalError(`cannot write the debug file ${path}: ${(error as NodeJS.ErrnoException).code}`);
  }
}
