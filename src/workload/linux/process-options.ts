/**
 * What a Linux process is made from. Names, arguments and environment are byte strings: one character per
 * byte, as they come from the host, whatever their encoding.
 */
import type { X86ThreadContext } from '../../arch/x86/thread-context.ts';
import type { XsaveFormat } from '../../arch/x86/xsave.ts';
import type { BaseCpu } from '../../cpu/base-cpu.ts';
import type { HostFiles } from '../../host/files.ts';
import type { AddrRange } from '../../mem/addr.ts';
import type { PhysicalMemory } from '../../mem/physical-memory.ts';

/** User and groups that the program runs as. */
export interface Credentials {
  readonly uid: number;
  readonly euid: number;
  readonly gid: number;
  readonly egid: number;
  readonly groups: readonly number[];
}

export interface LinuxProcessOptions {
  readonly cpu: BaseCpu<X86ThreadContext>;
  readonly memory: PhysicalMemory;
  /** The RAM that the program may use; default: the first region of `memory`. */
  readonly ram?: AddrRange;
  /** Absolute path of the program, in its own view. */
  readonly executablePath: string;
  /** argv, the name of the program included. */
  readonly args: readonly string[];
  /** 'NAME=value' */
  readonly environment: readonly string[];
  /** Absolute working directory, in the program's view. */
  readonly cwd: string;
  /** Directory of the host that is the program's `/`. */
  readonly root?: string | undefined;
  readonly readOnly?: boolean | undefined;
  /** CLOCK_REALTIME at the start, seconds since 1970; default 2026-01-01T00:00:00Z. */
  readonly startTime?: number | undefined;
  /** Default: the user who runs the simulator. */
  readonly credentials?: Credentials;
  readonly host?: HostFiles;
  /** Layout of the XSAVE images in signal frames: the processor's. Asked for once the CPU has started. */
  readonly xsave: () => XsaveFormat;
  /** CPUID.1:EDX, for AT_HWCAP; default: what x86-64 guarantees. */
  readonly hwcap?: number;
  /** AT_HWCAP2; default: FSGSBASE is enabled. */
  readonly hwcap2?: number;
  /** Text of /proc/cpuinfo; default: none. */
  readonly hostCpuinfo?: string;
  /** Called when a thread can run again after none could. */
  readonly becameBusy?: () => void;
  /** Called when a system call has been served. */
  readonly syscallMade?: () => void;
}

/** FPU to SSE2 of CPUID.1:EDX as every x86-64 processor has them (psABI, x86-64 baseline). */
export const BASELINE_HWCAP = 0x178b_fbff;
export const HWCAP2_FSGSBASE = 2;

/** The user who runs the simulator. */
export function hostCredentials(): Credentials {
  return {
    uid: process.getuid?.() ?? 0,
    euid: process.geteuid?.() ?? 0,
    gid: process.getgid?.() ?? 0,
    egid: process.getegid?.() ?? 0,
    groups: process.getgroups?.() ?? [],
  };
}

/** Byte string to bytes. */
export function bytesOf(text: string): Uint8Array {
  return Buffer.from(text, 'latin1');
}

/** The name of a process's first thread: the last component of the path, at most 15 bytes (TASK_COMM_LEN). */
export function commandName(executablePath: string): string {
  return executablePath.slice(executablePath.lastIndexOf('/') + 1).slice(0, 15);
}
