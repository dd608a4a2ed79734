// `hypertick run`: a Linux program on the simulated machine, as if it had been started by the shell. Exit statuses
// and the look-up of the program follow env(1) and timeout(1).

import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseTime } from '../sim/params.ts';
import { asTick } from '../sim/tick.ts';
import { FatalError } from '../sim/trouble.ts';
import { CPU_MODELS, SE_SYSTEM_PARAMS } from '../system/se-system.ts';
import type { Command } from './commands.ts';
import { flag, integer, list, type OptionValues, parameter, parseOptions, text, value } from './options.ts';
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
import { parseStartTime } from './start-time.ts';
import { summary } from './summary.ts';
import { sayRaw } from './terminal.ts';

const MAX_TICK = 2n ** 64n - 1n;
const MAX_SEED = BigInt(Number.MAX_SAFE_INTEGER);

const OPTIONS = {
  cpu: value(
    'MODEL',
    `who executes the instructions: ${CPU_MODELS.join(', ')} (default: best)`,
    parameter(SE_SYSTEM_PARAMS.cpu),
    'best',
  ),
  memory: value(
    'SIZE',
    'RAM of the machine, such as 512MiB (default: 1GiB)',
    parameter(SE_SYSTEM_PARAMS.memorySize),
    2 ** 30,
  ),
  seed: value('N', 'seed of everything random in the machine (default: 1)', integer(0n, MAX_SEED), 1n),
  'max-ticks': value('TICKS', 'stop at this tick, or time such as 10ms; status 124', parseTicks, undefined),
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
  'dump-state': value('FILE', 'write the final architectural state there, as JSON', text, undefined),
  summary: flag('print what the simulator saw to standard error at the end'),
  'debug-flags': value('LIST', 'trace, for example Kvm,SyscallAll,-KvmIO', text, ''),
  'debug-file': value('FILE', 'where traces go (default: standard error)', text, undefined),
};

const NOTES = `Everything behind PROGRAM belongs to the program. Its standard input, output and error are
those of hypertick. The exit status is the program's, 128+n if signal n ended it; else
  124  --max-ticks was reached         126  PROGRAM cannot be executed
  125  hypertick itself failed         127  PROGRAM was not found
Without --outdir nothing is written but hypertick-out/crash.txt when the program crashes.
`;

export const command: Command = { operands: 'PROGRAM [ARGUMENTS…]', options: OPTIONS, notes: NOTES, run };

async function run(args: readonly string[]): Promise<number> {
  const { values, operands } = parseOptions(OPTIONS, args);
  if (operands.length === 0)
    throw new FatalError('no program given; usage: hypertick run [options] PROGRAM [ARGUMENTS…]');
  const result = await runSession({
    system: {
      cpu: values.cpu,
      memorySize: values.memory,
      workload: {
        ...programOf(values, operands.length),
        readOnly: values['read-only'],
        startTime: values['start-time'],
        hostCpuinfo: readFileSync('/proc/cpuinfo', 'latin1'),
      },
    },
    seed: Number(values.seed),
    outdir: values.outdir,
    dumpState: values['dump-state'],
    maxTick: values['max-ticks'],
    debugFlags: values['debug-flags'],
    debugFile: values['debug-file'],
  });
  if (values.summary) sayRaw(summary(result.snapshot, result.system.cpu.path));
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

function parseTicks(argument: string) {
  return /^\d+$/.test(argument) ? asTick(integer(1n, MAX_TICK)(argument)) : parseTime(argument);
}

function setting(argument: string): string {
  if (!/^[^=]+=/.test(argument)) throw new FatalError(`'${argument}' is not of the form NAME=VALUE`);
  return bytes(argument);
}
