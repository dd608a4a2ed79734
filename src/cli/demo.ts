// `hypertick demo`, which is `npm start`: the bundled program under the best CPU that this host has, and a short
// account of what the simulator saw.

import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { probeHost } from '../host/probe.ts';
import { FatalError } from '../sim/trouble.ts';
import type { Command } from './commands.ts';
import { parseOptions, text, value } from './options.ts';
import { DEFAULT_DIRECTORY } from './output-directory.ts';
import { ProcessMachine } from './process-machine.ts';
import { bytes } from './program.ts';
import { runSession } from './session.ts';
import { summary } from './summary.ts';
import { answer } from './terminal.ts';

const OPTIONS = {
  outdir: value(
    'DIR',
    `where the full statistics go (default: ${DEFAULT_DIRECTORY})`,
    text,
    DEFAULT_DIRECTORY,
  ),
};

const NOTES = `The program is share/demo/mixed; its sources are beside it.
`;

export const command: Command = { operands: '', options: OPTIONS, notes: NOTES, run };

async function run(args: readonly string[]): Promise<number> {
  const { values, operands } = parseOptions(OPTIONS, args);
  if (operands[0] !== undefined) throw new FatalError(`demo takes no operand, found '${operands[0]}'`);
  const { kvm } = probeHost();
  const processor = kvm.available
    ? "the host's own processor"
    : `a simulated processor, since this host has no usable KVM (${kvm.reason})`;
  const program = fileURLToPath(new URL('../../share/demo/mixed', import.meta.url));
  answer(`Running ${relative('', program)} on ${processor}, inside the simulator.\n\n`);
  const { outdir } = values;
  const system = {
    memorySize: 2 ** 28,
    workload: {
      executablePath: bytes(program),
      args: [bytes(program)],
      environment: [],
      cwd: '/',
      readOnly: true,
    },
  };
  const result = await runSession(
    {
      outdir,
      dumpState: undefined,
      maxTick: undefined,
      seed: undefined,
      debugFlags: '',
      debugFile: undefined,
    },
    (surroundings) => new ProcessMachine(surroundings, system, outdir),
  );
  answer(`\n${summary(result.snapshot, result.machine.cpuPaths)}\n`);
  answer(`Everything that was counted: ${join(outdir, 'stats.txt')} and ${join(outdir, 'stats.json')}\n`);
  answer('Your own program: bin/hypertick run PROGRAM; see also hypertick --help and hypertick doctor.\n');
  return result.status;
}
