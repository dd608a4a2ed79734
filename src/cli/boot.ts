// `hypertick boot`: a kernel or a bare-metal image on a simulated PC, with its serial port as the console.

import { basename, resolve } from 'node:path';
import { MEMORY_MODES } from '../mem/memory-mode.ts';
import { refuseForeign } from '../sim/checkpoint/writer.ts';
import { FatalError } from '../sim/trouble.ts';
import { CPU_MODELS } from '../system/cpu-models.ts';
import type { PcBoardOptions } from '../system/pc-board.ts';
import { IRQCHIPS, PC_BOARD_PARAMS } from '../system/pc-params.ts';
import type { BootModule, ImageKind } from '../workload/boot/index.ts';
import { type BootImage, BootMachine } from './boot-machine.ts';
import { machineOfCheckpoint, overridesOfCheckpoint } from './checkpoint-machine.ts';
import type { Command } from './commands.ts';
import { readInput } from './input-file.ts';
import {
  flag,
  integer,
  list,
  type OptionValues,
  pairs,
  parameter,
  parseOptions,
  text,
  value,
} from './options.ts';
import { checkDistinct, checkNotRead } from './output-directory.ts';
import { SerialPlugs, serialFile } from './serial-plugs.ts';
import { runSession } from './session.ts';
import { parseTicks, SESSION_OPTIONS, sessionOptions } from './session-options.ts';
import { parseStartTime } from './start-time.ts';
import { summary } from './summary.ts';
import { sayRaw } from './terminal.ts';

const KINDS = ['auto', 'linux', 'multiboot', 'multiboot2', 'elf', 'flat'] as const satisfies readonly (
  | ImageKind
  | 'auto'
)[];
const MODES = ['real', 'protected', 'long'] as const;
const MAX_ADDRESS = 2n ** 32n - 1n;
const DEFAULT_OUTDIR = 'out';

const OPTIONS = {
  initrd: value('FILE', 'initial RAM disk of a Linux kernel', text, undefined),
  append: value('STRING', 'command line of the kernel', (argument) => argument, undefined),
  module: list('FILE', "module of a multiboot kernel; arguments may follow: 'FILE ARGUMENTS'", text),
  kind: value('KIND', `what IMAGE is: ${KINDS.join(', ')} (default: auto)`, oneOf(KINDS), 'auto'),
  'load-address': value('ADDRESS', 'where a flat image is loaded (default: 1 MiB)', address, undefined),
  entry: value('ADDRESS', 'first instruction of a flat image (default: its start)', address, undefined),
  mode: value('MODE', `processor mode a flat image starts in: ${MODES.join(', ')}`, oneOf(MODES), undefined),
  cpu: value(
    'MODEL',
    `who executes the instructions: ${CPU_MODELS.join(', ')} (default: best)`,
    parameter(PC_BOARD_PARAMS.cpu),
    'best',
  ),
  memory: value(
    'SIZE',
    'RAM of the machine, such as 1GiB (default: 512MiB)',
    parameter(PC_BOARD_PARAMS.memorySize),
    undefined,
  ),
  'memory-mode': value(
    'MODE',
    `how CPUs access memory: ${MEMORY_MODES.join(', ')} (default: atomicNoncaching)`,
    parameter(PC_BOARD_PARAMS.memoryMode),
    undefined,
  ),
  irqchip: value(
    'WHERE',
    `interrupt controllers: ${IRQCHIPS.join(', ')} (default: simulated)`,
    parameter(PC_BOARD_PARAMS.irqchip),
    undefined,
  ),
  'test-device': flag("add what kvm-unit-tests want beyond a PC: QEMU's pc-testdev"),
  serial: list(
    'WHERE',
    'serial port: stdio, none, tcp:PORT or a FILE for its output (default: stdio); a second one is COM2',
    text,
  ),
  'start-time': value(
    'DATE',
    "real-time clock's start: an ISO date or 'now' (default: 2026-01-01)",
    parseStartTime,
    undefined,
  ),
  'checkpoint-at': pairs(
    'TIME DIR',
    'save a checkpoint when simulated time is TIME, and go on; may be repeated',
    checkpointRequest,
  ),
  restore: value('DIR', 'go on from a checkpoint instead of booting an IMAGE', text, undefined),
  outdir: value(
    'DIR',
    `where statistics, configuration and checkpoints go (default: ${DEFAULT_OUTDIR})`,
    text,
    DEFAULT_OUTDIR,
  ),
  ...SESSION_OPTIONS,
};

const NOTES = `IMAGE is a Linux bzImage, a multiboot (1 or 2) kernel, an ELF executable or a flat binary.
With --serial stdio on a terminal the machine runs in real time and every key is the guest's;
Ctrl-A x ends the run, Ctrl-A Ctrl-A is a Ctrl-A. The exit status is
  0            the guest powered off              122  it reset itself, faulted three times
  (v << 1)|1   it wrote v to port 0xf4                 or halted for good
  124          --max-ticks was reached            125  hypertick itself failed

examples:
  hypertick boot vmlinuz --initrd initrd.gz --append 'console=ttyS0' --memory 1GiB
  hypertick boot test.flat --serial none --max-ticks 10s
  hypertick boot vmlinuz --append console=ttyS0 --checkpoint-at 2s cpt
  hypertick boot --restore cpt
`;

export const command: Command = { operands: '[IMAGE]', options: OPTIONS, notes: NOTES, run };

type Values = OptionValues<typeof OPTIONS>;

async function run(args: readonly string[]): Promise<number> {
  const { values, operands } = parseOptions(OPTIONS, args, { interspersed: true });
  const image = imageOf(values, operands);
  const { restore } = values;
  const saved = restore === undefined ? {} : machineOfCheckpoint(restore, machineGiven(values));
  const where = values.serial.length === 0 ? ['stdio'] : values.serial;
  checkFiles(values, operands[0], where);
  const plugs = await SerialPlugs.open(where, { append: restore !== undefined });
  try {
    const result = await runSession(
      {
        ...sessionOptions(values),
        params: [...(restore === undefined ? [] : overridesOfCheckpoint(restore)), ...values.param],
        checkpoints: values['checkpoint-at'],
        realTime: plugs.isInteractive,
        progress: !plugs.usesConsole,
      },
      (surroundings) =>
        new BootMachine(surroundings, {
          board: { ...boardOf(values), ...saved },
          plugs,
          image,
          restore,
          outdir: values.outdir,
        }),
    );
    if (values.summary) sayRaw(summary(result.snapshot, [result.machine.cpu.path]));
    return result.status;
  } finally {
    plugs.close();
  }
}

/** Each output has a file of its own, and none is what the machine is made from: before anything is opened. */
function checkFiles(values: Values, image: string | undefined, serial: readonly string[]): void {
  const [com1, com2] = serial.map(serialFile);
  const outputs = {
    '--dump-state': values['dump-state'],
    '--debug-file': values['debug-file'],
    '--serial': com1,
    'the second --serial': com2,
  };
  checkDistinct(values.outdir, outputs);
  const modules = values.module.map((argument) => moduleFile(argument).path);
  checkCheckpoints(values);
  checkNotRead(outputs, { IMAGE: [image], '--initrd': [values.initrd], '--module': modules });
}

/** Two checkpoints of one run have directories of their own. */
function checkCheckpoints(values: Values): void {
  const taken = new Set<string>();
  for (const { directory } of values['checkpoint-at']) {
    const place = resolve(directory);
    if (taken.has(place))
      throw new FatalError(`--checkpoint-at: ${directory} is given twice; name another directory`);
    taken.add(place);
  }
}

function boardOf(values: Values): PcBoardOptions {
  return {
    cpu: values.cpu,
    memorySize: values.memory,
    memoryMode: values['memory-mode'],
    irqchip: values.irqchip,
    testDevice: values['test-device'],
    startTime: values['start-time'],
  };
}

/** Options that describe the machine, undefined where they were left out. */
function machineGiven(values: Values) {
  const { memory, irqchip, 'test-device': testDevice, 'start-time': startTime } = values;
  return { memory, irqchip, 'test-device': testDevice || undefined, 'start-time': startTime };
}

/** What is booted; undefined if a checkpoint is restored. */
function imageOf(values: Values, operands: readonly string[]): BootImage | undefined {
  const [path, ...more] = operands;
  if (more[0] !== undefined)
    throw new FatalError(
      `boot takes one IMAGE, found also '${more[0]}'; a kernel's arguments go to --append`,
    );
  if (values.restore !== undefined) {
    const given =
      (['initrd', 'append', 'mode', 'entry', 'load-address', 'start-time'] as const).find(
        (name) => values[name] !== undefined,
      ) ?? (values.module.length > 0 ? 'module' : values.kind === 'auto' ? undefined : 'kind');
    if (path !== undefined || given !== undefined)
      throw new FatalError(
        `--restore takes ${given === undefined ? 'no IMAGE' : `no --${given}`}: it goes on where the guest was`,
      );
    return undefined;
  }
  if (path === undefined) throw new FatalError('no image given; usage: hypertick boot [options] IMAGE');
  const { initrd, append, kind, mode, entry, 'load-address': loadAddress } = values;
  const flat = {
    ...(loadAddress === undefined ? {} : { address: loadAddress }),
    ...(entry === undefined ? {} : { entry }),
    ...(mode === undefined ? {} : { mode }),
  };
  return {
    image: readInput(path, 'image'),
    name: path,
    kind,
    modules: values.module.map(moduleOf),
    ...(Object.keys(flat).length === 0 ? {} : { flat }),
    ...(append === undefined ? {} : { commandLine: append }),
    ...(initrd === undefined ? {} : { initrd: readInput(initrd, 'initrd') }),
  };
}

/** `FILE ARGUMENTS`, of which the kernel is told the name without its folder. */
function moduleOf(argument: string): BootModule {
  const { path, rest } = moduleFile(argument);
  return { bytes: readInput(path, 'module'), text: [basename(path), ...rest].join(' ') };
}

function moduleFile(argument: string): { path: string; rest: string[] } {
  const [path = '', ...rest] = argument.split(' ');
  return { path, rest };
}

function oneOf<const C extends string>(choices: readonly C[]): (argument: string) => C {
  return (argument) => {
    const found = choices.find((choice) => choice === argument);
    if (found === undefined) throw new FatalError(`'${argument}' is not one of ${choices.join(', ')}`);
    return found;
  };
}

function address(argument: string): number {
  return Number(integer(0n, MAX_ADDRESS)(argument));
}

function checkpointRequest(time: string, directory: string) {
  if (directory === '') throw new FatalError('the directory is empty');
  const tick = parseTicks(time);
  refuseForeign(directory);
  return { tick, directory };
}
