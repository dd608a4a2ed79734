// The options of every command that simulates something.

import { parseTime } from '../sim/params.ts';
import { asTick, MAX_TICK, type Tick } from '../sim/tick.ts';
import { flag, integer, list, type OptionValues, text, value } from './options.ts';
import type { SessionOptions } from './session.ts';

const MAX_SEED = BigInt(Number.MAX_SAFE_INTEGER);

export const SESSION_OPTIONS = {
  seed: value('N', 'seed of everything random in the machine (default: 1)', integer(0n, MAX_SEED), 1n),
  'max-ticks': value('TICKS', 'stop at this tick, or time such as 10ms; status 124', parseTicks, undefined),
  'max-insts': value('N', 'stop after so many instructions; status 124', integer(1n, MAX_SEED), undefined),
  'dump-state': value('FILE', 'write the final architectural state there, as JSON', text, undefined),
  summary: flag('print what the simulator saw to standard error at the end'),
  param: list(
    'ASSIGNMENT',
    'set a parameter by its path, such as board.cpu.hostFactor=2 (paths and values: config.json)',
    text,
  ),
  'debug-flags': value('LIST', 'trace, for example Kvm,SyscallAll,-KvmIO', text, ''),
  'debug-file': value('FILE', 'where traces go (default: standard error)', text, undefined),
};

/** What a session is told of the values of these options. */
export function sessionOptions(
  values: OptionValues<Omit<typeof SESSION_OPTIONS, 'max-insts'>> & {
    readonly outdir: string | undefined;
    readonly 'max-insts'?: bigint | undefined;
  },
): SessionOptions {
  return {
    seed: Number(values.seed),
    outdir: values.outdir,
    dumpState: values['dump-state'],
    maxTick: values['max-ticks'],
    maxInsts: values['max-insts'] === undefined ? undefined : Number(values['max-insts']),
    params: values.param,
    debugFlags: values['debug-flags'],
    debugFile: values['debug-file'],
  };
}

/** An instant of simulated time: a tick, or a time with its unit. Throws FatalError. */
export function parseTicks(argument: string): Tick {
  return /^\d+$/.test(argument) ? asTick(integer(1n, MAX_TICK)(argument)) : parseTime(argument);
}
