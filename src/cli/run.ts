// `hypertick run`: a Linux program on the simulated machine, as if it had been started by the shell. Exit statuses
// and the look-up of the program follow env(1) and timeout(1).

import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseTime } from '../sim/params.ts';
import { FatalError } from '../sim/trouble.ts';
import { PROGRAM_CPU_MODELS } from '../system/cpu-models.ts';
import { SE_SYSTEM_PARAMS } from '../system/se-system.ts';
import type { Command } from './commands.ts';
import { flag, list, type OptionValues, parameter, parseOptions, text, value } from './options.ts';
import { ProcessMachine } from './process-machine.ts';
import {
  bytes,
  checkDirectory,
  findProgram,
  inheritedEnvironment,
  lastArgumentsAsBytes,
  variable,
  withSettings,
} from './program.ts';
import { runSession } from './session.ts';
import { SESSION_OPTIONS, sessionOptions } from './session-options.ts';
import { parseStartTime } from './start-time.ts';
import { summary } from './summary.ts';
import { sayRaw } from './terminal.ts';

const OPTIONS = {
  cpu: value(
    'MODEL',
    `who executes the instructions: ${PROGRAM_CPU_MODELS.join(', ')} (default: best)`,
    parameter(SE_SYSTEM_PARAMS.cpu),
    'best',
  ),
  'cpu-features': value(
    'LIST',
    "processor features of the functional CPU: a level or 'max', and what differs (default: x86-64-v2)",
    text,
    undefined,
  ),
  'switch-every': value(
    'TIME[,TIME]',
    "test mode: a functional and a KVM CPU take turns, of this mean (the KVM CPU's own second), or at each 'syscall'",
    switchTimes,
    undefined,
  ),
  memory: value(
    'SIZE',
    'RAM of the machine, such as 512MiB (default: 1GiB)',
    parameter(SE_SYSTEM_PARAMS.memorySize),
    2 ** 30,
  ),
  seed: SESSION_OPTIONS.seed,
  'max-ticks': SESSION_OPTIONS['max-ticks'],
  'max-insts': SESSION_OPTIONS['max-insts'],
  'start-time': value(
    'DATE',
    "CLOCK_REALTIME's start: an ISO date or 'now' (default: 2026-01-01)",
    parseStartTime,
    undefined,
  ),
  cwd: value('DIR', 'working directory of the program', text, undefined),
  env: list('NAME=VALUE', 'set an environment variable of the program; may be repeated', setting),
  'clear-env': flag('start with an empty environment instead of this one'),
  root: value('DIR', "directory that is the program's /; there is no way out of it", text, undefined),
  'read-only': flag('let the program write no file'),
  outdir: value('DIR', 'write stats.txt, stats.json and config.json there', text, undefined),
  'dump-state': SESSION_OPTIONS['dump-state'],
  summary: SESSION_OPTIONS.summary,
  param: SESSION_OPTIONS.param,
  'debug-flags': SESSION_OPTIONS['debug-flags'],
  'debug-file': SESSION_OPTIONS['debug-file'],
};

const NOTES = `Everything behind PROGRAM belongs to the program. Its standard input, output and error are
those of hypertick. The exit status is the program's, 128+n if signal n ended it; else
  123  not implemented: an instruction 126  PROGRAM cannot be executed
  124  --max-ticks or --max-insts      127  PROGRAM was not found
  125  hypertick itself failed
Without --outdir nothing is written but hypertick-out/crash.txt when the program crashes.
`;

export const command: Command = { operands: 'PROGRAM [ARGUMENTS…]', options: OPTIONS, notes: NOTES, run };

async function run(args: readonly string[]): Promise<number> {
  const { values, operands } = parseOptions(OPTIONS, args);
  if (operands.length === 0)
    throw new FatalError('no program given; usage: hypertick run [options] PROGRAM [ARGUMENTS…]');
  const system = {
    cpu: values.cpu,
    memorySize: values.memory,
    ...values['switch-every'],
    functionalCpu: { features: values['cpu-features'] },
    workload: {
      ...programOf(values, operands.length),
      readOnly: values['read-only'],
      startTime: values['start-time'],
      hostCpuinfo: readFileSync('/proc/cpuinfo', 'latin1'),
    },
  };
  const result = await runSession(
    sessionOptions(values),
    (surroundings) => new ProcessMachine(surroundings, system, values.outdir),
  );
  if (values.summary) sayRaw(summary(result.snapshot, result.machine.cpuPaths, result.machine.notes));
  return result.status;
}

/** The program and how it is started, as byte strings. The operands are the last of our own arguments. */
function programOf(values: OptionValues<typeof OPTIONS>, operandCount: number) {
  const args = lastArgumentsAsBytes(operandCount);
  const environment = withSettings(values['clear-env'] ? [] : inheritedEnvironment(), values.env);
  const { root } = values;
  if (root !== undefined) checkDirectory(root, '--root');
  else if (values.cwd !== undefined) checkDirectory(values.cwd, '--cwd');
  const cwd = bytes(root === undefined ? resolve(values.cwd ?? '') : resolve('/', values.cwd ?? ''));
  const executablePath = findProgram(args[0] ?? '', { cwd, searchPath: variable(environment, 'PATH'), root });
  return {
    executablePath,
    args,
    environment,
    cwd,
    root: root === undefined ? undefined : bytes(resolve(root)),
  };
}

/** `syscall`, or an interval of simulated time that is not 0, or one for each CPU. */
function switchTimes(argument: string) {
  if (argument === 'syscall') return { switchAtSyscalls: true };
  const [switchEvery = '', switchEveryKvm = switchEvery, ...rest] = argument.split(',');
  if (rest.length > 0) throw new FatalError(`'${argument}' is more than two times`);
  for (const time of [switchEvery, switchEveryKvm])
    if (parseTime(time) === 0n) throw new FatalError('there is no time between the switches');
  return { switchEvery, switchEveryKvm };
}

function setting(argument: string): string {
  if (!/^[^=]+=/.test(argument)) throw new FatalError(`'${argument}' is not of the form NAME=VALUE`);
  return bytes(argument);
}
