// `npm run test:kvm-svm`: runs the tests that need KVM where KVM has the semantics of hardware, in a machine with
// AMD's virtualization that QEMU emulates. docs/rig.md tells more.

import { closeSync, globSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { describeOptions, flag, integer, list, parseOptions, text, value } from '../../src/cli/options.ts';
import { ExitStatus, FatalError } from '../../src/sim/trouble.ts';
import { exclusionsFor } from './exclusions.ts';
import { buildInitramfs } from './initramfs.ts';
import { getKernel } from './kernel.ts';
import { encodeNext, type Job, type Message } from './protocol.ts';
import {
  describeEnd,
  endOfConsole,
  type Limits,
  type Machine,
  qemuArguments,
  runInteractively,
  runMachine,
} from './qemu.ts';
import { MachineReport, TestReport } from './report.ts';

const ROOT = join(import.meta.dirname, '..', '..');
/** What runs when nothing else is asked for, what takes long first. */
const TESTS: readonly string[] = ['tests/rig/*.test.ts', 'tests/kvm/*.test.ts'];

const seconds = integer(1n, 86_400n);
const OPTIONS = {
  run: value('COMMAND', 'run a shell command in the rig instead of tests, in /w, the tree', text, undefined),
  shell: flag('start a shell in the rig on this terminal; Ctrl-A X ends QEMU'),
  add: list('HOSTPATH:GUESTPATH', 'put a file or directory of this host into the rig', parseAddition),
  program: list('PROGRAM', 'put a program of this host into the rig, with its shared libraries', text),
  qemu: flag('put qemu-system-x86_64 with its firmware into the rig'),
  memory: value('MIB', "the rig's memory; default 3072", integer(1024n, 65_536n), 3072n),
  processors: value('N', "the rig's processors; default 2", integer(1n, 64n), 2n),
  machines: value('N', 'how many rigs share the test files; default 2', integer(1n, 16n), 2n),
  'time-limit': value('SECONDS', 'of the whole run; default 720', seconds, 720n),
  'file-limit': value('SECONDS', 'of one test file; default 420', seconds, 420n),
  keep: flag("keep the initramfs and the kernel's messages, and say where"),
  help: flag('print this text'),
};
type Options = ReturnType<typeof parseOptions<typeof OPTIONS>>['values'];

const USAGE = `usage: npm run test:kvm-svm -- [options] [FILE…]

Runs test files (default: ${TESTS.join(' ')}) in a machine with nested SVM that QEMU emulates.

${describeOptions(OPTIONS)}`;

function parseAddition(argument: string): { hostPath: string; guestPath: string } {
  const [hostPath = '', guestPath = '', ...rest] = argument.split(':');
  if (hostPath === '' || !guestPath.startsWith('/') || rest.length > 0)
    throw new FatalError(`'${argument}' is not HOSTPATH:GUESTPATH with an absolute GUESTPATH`);
  return { hostPath, guestPath };
}

async function main(): Promise<number> {
  const { values: options, operands } = parseOptions(OPTIONS, process.argv.slice(2));
  if (options.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  const job = chooseJob(options, operands);
  const scratch = mkdtempSync(join(tmpdir(), 'hypertick-rig-'));
  // Even when an exception ends us.
  if (!options.keep) process.on('exit', () => rmSync(scratch, { recursive: true, force: true }));
  else say(`everything is kept in ${scratch}\n`);
  const files = job?.type === 'tests' ? chooseFiles(operands) : [];
  const machines = prepare(
    scratch,
    job,
    options,
    Math.min(Number(options.machines), Math.max(files.length, 1)),
  );
  const [machine] = machines;
  if (options.keep) say(`qemu-system-x86_64 ${qemuArguments(machine, ['mon:stdio']).join(' ')}\n`);
  if (job === undefined) return await runInteractively(machine);
  const limits = limitsOf(options, job);
  return await (job.type === 'tests' ? runTests(machines, limits, files) : runCommand(machine, limits));
}

/** What the rig is to do; nothing means a shell. */
function chooseJob(
  { run, shell, 'file-limit': fileLimit }: Options,
  files: readonly string[],
): Job | undefined {
  if ([run !== undefined, shell, files.length > 0].filter(Boolean).length > 1)
    throw new FatalError('give either test files, or --run, or --shell');
  if (shell) return undefined;
  if (run !== undefined) return { type: 'command', command: run };
  const skipPatterns = exclusionsFor('svm')
    .map(({ what }) => what)
    .filter((what) => what instanceof RegExp);
  return {
    type: 'tests',
    skipPatterns: skipPatterns.map(({ source }) => source),
    fileSeconds: Number(fileLimit),
  };
}

/** The test files that are asked for, without those that are excluded. */
function chooseFiles(operands: readonly string[]): string[] {
  const excluded = exclusionsFor('svm').map(({ what }) => what);
  return (operands.length > 0 ? operands.map((file) => file.replace(/^\.\//, '')) : TESTS)
    .flatMap((pattern) => filesOf(pattern).sort())
    .filter((file) => !excluded.includes(file));
}

function filesOf(pattern: string): string[] {
  const found = globSync(pattern, { cwd: ROOT });
  if (found.length === 0) throw new FatalError(`no test file matches ${pattern}`);
  return found;
}

function limitsOf(options: Options, job: Job): Limits {
  const totalSeconds = Number(options['time-limit']);
  // The agent ends a file that takes too long; when that message does not come either, the guest hangs.
  const silenceSeconds = job.type === 'tests' ? Number(options['file-limit']) + 30 : totalSeconds;
  return { totalSeconds, silenceSeconds, interrupt: interruption() };
}

/** Fires when the user or the system wants us to end. */
function interruption(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.once(signal, () => controller.abort());
  return controller.signal;
}

/** So many machines, which differ in nothing. */
function prepare(
  scratch: string,
  job: Job | undefined,
  options: Options,
  count: number,
): [Machine, ...Machine[]] {
  const kernel = getKernel();
  const initramfs = join(scratch, 'initramfs');
  const archive = buildInitramfs({
    kernel,
    job,
    additions: options.add.map(({ hostPath, guestPath }) => ({ hostPath: resolve(hostPath), guestPath })),
    programs: options.program,
    withQemu: options.qemu,
  });
  const fd = openSync(initramfs, 'w');
  for (const piece of archive.pieces()) writeAll(fd, piece);
  closeSync(fd);
  const machine = (number: number): Machine => ({
    kernelImage: kernel.image,
    initramfs,
    processors: Number(options.processors),
    memoryMiB: Number(options.memory),
    consoleFile: join(scratch, `console${number}`),
    monitorSocket: join(scratch, `monitor${number}`),
  });
  return [machine(0), ...Array.from({ length: count - 1 }, (_, i) => machine(i + 1))];
}

function writeAll(fd: number, data: Buffer): void {
  for (let done = 0; done < data.length; ) done += writeSync(fd, data, done);
}

const say = (words: string): void => {
  process.stdout.write(words);
};

/** Each machine takes the next file when it is done with one. */
async function runTests(
  machines: readonly Machine[],
  limits: Limits,
  files: readonly string[],
): Promise<number> {
  const report = new TestReport(files);
  const queue = files.values();
  const start = performance.now();
  say(`# kvm-svm: ${files.length} files on ${machines.length} machines\n`);
  const follow = async (machine: Machine): Promise<void> => {
    const own = new MachineReport(report);
    const end = await runMachine(machine, limits, (message) => {
      say(own.take(message));
      if (message.type !== 'next') return undefined;
      return encodeNext(own.isUsable ? queue.next().value : undefined);
    });
    say(own.finish(end, endOfConsole(machine)));
  };
  const ends = await Promise.allSettled(machines.map(follow));
  say(report.finish());
  say(`# kvm-svm: ${((performance.now() - start) / 1000).toFixed(1)} s\n\n`);
  say(report.summary(exclusionsFor('svm')));
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
  return report.isGood ? 0 : 1;
}

/** The command's output goes to our own; its exit status is ours. */
async function runCommand(machine: Machine, limits: Limits): Promise<number> {
  const onMessage = (message: Message): undefined => {
    if (message.type === 'output') process[message.stream].write(Buffer.from(message.latin1, 'latin1'));
  };
  const end = await runMachine(machine, limits, onMessage);
  if (end.why === 'done') return end.status;
  throw new FatalError(`${describeEnd(end)}; its kernel's last words:\n${endOfConsole(machine)}`, {
    exitStatus: end.why === 'late' ? ExitStatus.timedOut : ExitStatus.failure,
  });
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof FatalError)) throw error;
  process.stderr.write(`test:kvm-svm: ${error.message}\n`);
  process.exitCode = error.exitStatus;
}
