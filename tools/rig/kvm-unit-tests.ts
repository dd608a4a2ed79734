// Runs the x86 images of kvm-unit-tests under QEMU with KVM and under `hypertick boot --cpu kvm`, with equal arguments, and
// prints what came of it as a table. docs/kvm-unit-tests.md tells where the images come from.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { featuresOf } from '../../src/arch/x86/cpuid.ts';
import { describeOptions, flag, integer, list, parseOptions, text, value } from '../../src/cli/options.ts';
import { Kvm } from '../../src/cpu/kvm/kvm.ts';
import { named } from '../../src/cpu/kvm/x86/cpuid-names.ts';
import { lazily } from '../../src/host/ffi.ts';
import { KvmCap } from '../../src/host/kvm/abi.ts';
import { ExitStatus, FatalError } from '../../src/sim/trouble.ts';
import { bootOptions, HYPER_V } from './qemu-params.ts';
import { memoryMiB, parseUnitTests, type UnitTest, verdict } from './unittests-cfg.ts';

const HYPERTICK = join(import.meta.dirname, '..', '..', 'bin', 'hypertick');
/** What QEMU gives a machine that does not ask. */
const DEFAULT_MEMORY_MIB = 128;
/** What a PcBoard can have at most; `-m 4g` is a little more. */
const MOST_MEMORY_MIB = { qemu: Infinity, hypertick: 4064 } as const;
const RUNNERS = { qemu: runQemu, hypertick: runHypertick } as const;
type RunnerName = keyof typeof RUNNERS;

const OPTIONS = {
  only: list('NAME', 'run this test or all tests of this image; may be repeated', text),
  with: list('RUNNER', 'qemu or hypertick; default: both', oneRunner),
  processors: value('N', 'processors that a machine has at most; default 1', integer(1n, 255n), 1n),
  'time-limit': value('SECONDS', 'of one run; default 90', integer(1n, 3600n), 90n),
  logs: value('DIRECTORY', 'keep the output of each run there', text, undefined),
  option: list('OPTION', 'hand this to hypertick boot, such as --irqchip=kernel', text),
  help: flag('print this text'),
};
type Options = ReturnType<typeof parseOptions<typeof OPTIONS>>['values'];

const USAGE = `usage: node tools/rig/kvm-unit-tests.ts [options] DIRECTORY

DIRECTORY holds unittests.cfg and the flat images (x86 of a built kvm-unit-tests).

${describeOptions(OPTIONS)}`;

function oneRunner(name: string): RunnerName {
  if (!Object.hasOwn(RUNNERS, name)) throw new FatalError(`'${name}' is neither qemu nor hypertick`);
  return name as RunnerName;
}

/** One run of an image. */
interface Run {
  readonly image: string;
  readonly args: string;
  readonly qemuParams: readonly string[];
  readonly processors: number;
  readonly memoryMiB: number;
  readonly seconds: number;
  /** Environment of the image: a module with `NAME=value` lines. */
  readonly environment: string;
  /** A directory for this run alone. */
  readonly scratch: string;
  /** More options of `hypertick boot`. */
  readonly bootOptions: readonly string[];
}

interface Result {
  /** Exit status, or the signal that ended the process. */
  readonly status: number | NodeJS.Signals | 'timeout';
  /** What the image printed. */
  readonly output: string;
  /** What QEMU or hypertick said. */
  readonly complaints: string;
}

/** As the tests' own runner does it (x86/run). */
function runQemu(run: Run): Result {
  return capture(run, 'qemu-system-x86_64', [
    ...['-accel', 'kvm', '-nodefaults', '-no-reboot', '-display', 'none', '-serial', 'stdio'],
    ...[
      '-device',
      'pc-testdev',
      '-device',
      'isa-debug-exit,iobase=0xf4,iosize=0x4',
      '-device',
      'pci-testdev',
    ],
    ...['-global', 'kvm-pit.lost_tick_policy=discard', '-m', `${run.memoryMiB}`, '-smp', `${run.processors}`],
    ...['-kernel', run.image, '-initrd', run.environment, '-append', run.args, ...run.qemuParams],
  ]);
}

function runHypertick(run: Run): Result {
  return capture(run, HYPERTICK, [
    ...['boot', '--cpu', 'kvm', '--start-time', 'now', '--outdir', join(run.scratch, 'out')],
    ...['--memory', `${run.memoryMiB}MiB`],
    ...['--module', run.environment, '--append', run.args, '--test-device'],
    ...[...run.bootOptions, run.image],
  ]);
}

const offeredFeatures = lazily(() => {
  const kvm = Kvm.open();
  const features = new Set(featuresOf(named(kvm.supportedCpuid)));
  if (kvm.capability(KvmCap.HYPERV_SYNIC) > 0) features.add(HYPER_V);
  kvm.close();
  return features;
});

function capture(run: Run, program: string, args: readonly string[]): Result {
  const { error, status, signal, stdout, stderr } = spawnSync(program, args, {
    cwd: run.scratch,
    encoding: 'latin1',
    input: '',
    timeout: run.seconds * 1000,
    killSignal: 'SIGKILL',
    maxBuffer: 256 << 20,
  });
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  if (code === 'ENOENT') throw new FatalError(`${program} is not installed`);
  if (error !== undefined && code !== 'ETIMEDOUT') throw error;
  return {
    status: code === 'ETIMEDOUT' ? 'timeout' : (signal ?? status ?? 0),
    output: stdout,
    complaints: stderr,
  };
}

/** Why the test cannot run at all; undefined if it can. */
function obstacle(test: UnitTest, directory: string): string | undefined {
  if (test.arch === 'i386') return 'SKIP: an image for i386';
  if (test.groups.includes('nodefault')) return 'SKIP: not run by default';
  if (!existsSync(join(directory, test.file))) return 'SKIP: not built';
  const failed = test.checks.find((check) => {
    const [path = '', wanted] = check.split('=');
    return !existsSync(path) || readFileSync(path, 'utf8').trim() !== wanted;
  });
  return failed === undefined ? undefined : `SKIP: needs ${failed}`;
}

/** What a shell makes of the arguments; they may ask for the date. */
function expand(testArgs: string): string {
  if (testArgs === '') return '';
  return spawnSync(
    'sh',
    ['-c', `printf %s ${testArgs.startsWith('"') ? testArgs : `"${testArgs.replace(/^'|'$/g, '')}"`}`],
    {
      encoding: 'utf8',
    },
  ).stdout;
}

function runTest(
  test: UnitTest,
  runner: RunnerName,
  directory: string,
  scratch: string,
  options: Options,
): string {
  const processors = Math.min(test.processors, Number(options.processors));
  const memory = Math.min(memoryMiB(test.qemuParams, DEFAULT_MEMORY_MIB), MOST_MEMORY_MIB[runner]);
  const environment = join(scratch, 'environment');
  writeFileSync(environment, `NR_CPUS=${processors}\nMEMSIZE=${memory}\nTEST_DEVICE=1\n`);
  const result = RUNNERS[runner]({
    image: join(directory, test.file),
    args: expand(test.testArgs),
    qemuParams: test.qemuParams,
    processors,
    memoryMiB: memory,
    seconds: Math.min(test.timeoutSeconds ?? Infinity, Number(options['time-limit'])),
    environment,
    scratch,
    // One that is both the test's and the user's is given once.
    bootOptions: [...new Set([...bootOptions(test, offeredFeatures()), ...options.option])],
  });
  if (options.logs !== undefined)
    writeFileSync(
      join(options.logs, `${test.name}.${runner}`),
      `${result.output}\n${result.complaints}`,
      'latin1',
    );
  return verdict(result.status, result.output);
}

function main(): void {
  const { values: options, operands } = parseOptions(OPTIONS, process.argv.slice(2));
  const [directory, ...rest] = operands;
  if (options.help) return void process.stdout.write(USAGE);
  if (directory === undefined || rest.length > 0) throw new FatalError('give one DIRECTORY; see --help');
  if (options.logs !== undefined) mkdirSync(options.logs, { recursive: true });
  const runners = options.with.length > 0 ? options.with : (Object.keys(RUNNERS) as RunnerName[]);
  const isWanted = ({ name, file }: UnitTest): boolean =>
    options.only.length === 0 ||
    options.only.includes(name) ||
    options.only.includes(file.replace(/\.flat$/, ''));
  const tests = parseUnitTests(readFileSync(join(directory, 'unittests.cfg'), 'utf8')).filter(isWanted);
  const scratch = mkdtempSync(join(tmpdir(), 'hypertick-kvm-unit-tests-'));
  try {
    console.log(['name', ...runners].join('\t'));
    for (const test of tests) {
      const hindered = obstacle(test, directory);
      const cells = runners.map((runner) => hindered ?? runTest(test, runner, directory, scratch, options));
      console.log([test.name, ...cells].join('\t'));
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

try {
  main();
} catch (error) {
  if (!(error instanceof FatalError)) throw error;
  process.stderr.write(`kvm-unit-tests: ${error.message}\n`);
  process.exitCode = ExitStatus.failure;
}
