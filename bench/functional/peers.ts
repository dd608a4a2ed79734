// Who runs the programs of bench/functional.ts: the host's CPU, QEMU's user-mode emulator, and hypertick; and how the
// CPU time of one run is taken.

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { compile } from '../measure.ts';

export interface Peer {
  readonly name: 'native' | 'qemu' | 'hypertick';
  /** What precedes a program and its arguments. */
  readonly prefix: readonly string[];
  readonly environment: NodeJS.ProcessEnv;
}

/** One run that ended well. */
export interface Run {
  /** User and system time of the process with all its threads. */
  readonly cpuSeconds: number;
  /** Of what it wrote to its standard output. */
  readonly sha256: string;
}

/**
 * glibc selects its functions by CPUID. This holds those of glibc 2.36 to x86-64-v2, and makes it select the very ones
 * that it selects under `qemu-x86_64 -cpu Nehalem` (sysdeps/x86/cpu-tunables.c lists the names).
 */
export const GLIBC_X86_64_V2 = `glibc.cpu.hwcaps=${[
  ...['-XSAVE', '-XSAVEC', '-OSXSAVE', '-AVX', '-AVX2', '-FMA', '-FMA4'],
  ...['-AVX512F', '-AVX512CD', '-AVX512BW', '-AVX512DQ', '-AVX512VL'],
  ...['-BMI1', '-BMI2', '-LZCNT', '-MOVBE', '-ERMS', '-RTM'],
  ...['-AVX_Fast_Unaligned_Load', 'Fast_Unaligned_Load', 'Fast_Unaligned_Copy'],
].join(',')}`;

/** The environment of every program: little, and nothing that makes one run differ from the next. PATH finds QEMU. */
const ENVIRONMENT = { PATH: process.env.PATH ?? '/usr/bin:/bin', LC_ALL: 'C.UTF-8', PYTHONHASHSEED: '0' };
const HELD_ENVIRONMENT = { ...ENVIRONMENT, GLIBC_TUNABLES: GLIBC_X86_64_V2 };

/** A run that takes longer has failed. */
const TIME_LIMIT_SECONDS = 900;
const OUTPUT_LIMIT_BYTES = 64 << 20;

export const NATIVE: Peer = { name: 'native', prefix: [], environment: HELD_ENVIRONMENT };

/** QEMU passes its environment on. The tunables are not for QEMU itself: its guests' CPU knows no more than v2. */
export const QEMU: Peer = {
  name: 'qemu',
  prefix: ['qemu-x86_64', '-cpu', 'Nehalem'],
  environment: ENVIRONMENT,
};

/**
 * @param command hypertick as it is when it is installed: a checkout takes longer to start
 * @param cpu the model, as `hypertick run --cpu` takes it
 */
export function hypertick(command: string, cpu: string): Peer {
  const settings = Object.entries(HELD_ENVIRONMENT).flatMap(([name, value]) => ['--env', `${name}=${value}`]);
  return {
    name: 'hypertick',
    prefix: [command, 'run', '--cpu', cpu, '--clear-env', ...settings],
    environment: process.env,
  };
}

/** Runs commands in `directory` and takes their CPU time. */
export class Stopwatch {
  readonly #directory: string;
  readonly #program: string;

  constructor(directory: string) {
    this.#directory = directory;
    this.#program = join(directory, 'cpu-time');
    compile('bench/peers/cpu-time.c', this.#program);
  }

  /** The run, or what went wrong, in a few words. What a failed run wrote to its standard error goes to ours. */
  run(peer: Peer, command: readonly string[]): Run | string {
    const { status, signal, error, output, stdout, stderr } = spawnSync(
      this.#program,
      [...peer.prefix, ...command],
      {
        cwd: this.#directory,
        env: peer.environment,
        stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
        timeout: TIME_LIMIT_SECONDS * 1000,
        killSignal: 'SIGKILL',
        maxBuffer: OUTPUT_LIMIT_BYTES,
      },
    );
    if (error !== undefined || status !== 0) {
      process.stderr.write(stderr);
      return error === undefined ? (signal ?? `status ${status}`) : inShort(error);
    }
    const [user = Number.NaN, system = Number.NaN] = String(output[3]).split(' ').map(Number);
    return {
      cpuSeconds: (user + system) / 1e6,
      sha256: createHash('sha256').update(stdout).digest('hex'),
    };
  }
}

function inShort({ code, message }: NodeJS.ErrnoException): string {
  if (code === 'ETIMEDOUT') return `over ${TIME_LIMIT_SECONDS} s`;
  return code === 'ENOBUFS' ? `prints over ${OUTPUT_LIMIT_BYTES >> 20} MiB` : message;
}
