// What `run` and `demo` simulate: one Linux program on a SeSystem.

import { ExitCause, type ExitEvent } from '../sim/exit-event.ts';
import type { Simulator } from '../sim/simulator.ts';
import { FatalError } from '../sim/trouble.ts';
import { SWITCH_CAUSE } from '../system/cpu-switcher.ts';
import { SeSystem, type SeSystemOptions } from '../system/se-system.ts';
import { describeEnd, recordCrash } from './crash.ts';
import { readable } from './program.ts';
import type { Attempt, Ending, Machine, Surroundings } from './session.ts';
import { say } from './terminal.ts';

export class ProcessMachine implements Machine {
  readonly system: SeSystem;
  readonly #outdir: string | undefined;

  /** @param outdir where a crash is recorded; undefined: in the default place */
  constructor({ root, progress }: Surroundings, options: SeSystemOptions, outdir: string | undefined) {
    const { workload, ...machine } = options;
    const files = progress === undefined ? {} : { host: progress.files };
    this.system = new SeSystem(root, 'system', { ...machine, workload: { ...workload, ...files } });
    this.#outdir = outdir;
  }

  get cpu() {
    return this.system.cpu;
  }

  /** Paths of all CPUs that take part. */
  get cpuPaths(): readonly string[] {
    return this.system.switcher?.cpus.map(({ path }) => path) ?? [this.cpu.path];
  }

  /** Rows for the summary that only this machine has. */
  get notes(): readonly (readonly [string, string])[] {
    const { switcher } = this.system;
    return switcher === undefined ? [] : [['switches of the CPU', `${switcher.stats.numSwitches.value}`]];
  }

  handle({ cause }: ExitEvent, simulator: Simulator): Ending | undefined | Promise<undefined> {
    const { switcher, process: program } = this.system;
    const { end } = program;
    if (end?.kind === 'exited') return { status: end.status & 0xff, cause, code: end.status };
    if (end?.kind === 'signaled') return { status: 128 + end.signal, cause: end.name, signal: end.signal };
    if (cause === SWITCH_CAUSE) return switcher?.switch(simulator);
    const isLimit = cause === ExitCause.limitReached || cause.startsWith(ExitCause.instructionLimit);
    if (isLimit || cause === ExitCause.userInterrupt) return undefined;
    const name = readable(program.executablePath);
    const why =
      cause === ExitCause.queueEmpty ? 'every thread waits for something that cannot happen' : cause;
    throw new FatalError(`${name}: ${why}`);
  }

  /** Says what signal ended the program, and where its state is to be found. */
  report(_: Ending, attempt: Attempt): void {
    const { process: program } = this.system;
    const { end } = program;
    if (end?.kind !== 'signaled') return;
    let isRecorded = false;
    const path = attempt(() => {
      const written = recordCrash(program, end, this.#outdir);
      isRecorded = true;
      return written;
    });
    if (path !== undefined) say(`${describeEnd(program, end)}; see ${path}`);
    else if (!isRecorded) say(describeEnd(program, end));
  }
}
