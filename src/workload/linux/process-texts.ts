/**
 * The texts of /proc/self that the process itself knows: proc(5). Memory-related ones come from proc-self.ts.
 */
import { NS_PER_SECOND } from './clock.ts';
import type { VirtualFileFacts } from './files/virtual-files.ts';
import { mapsText, type ProcessFacts, statmText, statText, statusText } from './proc-self.ts';
import type { LinuxProcess } from './process.ts';
import { RLIM_INFINITY, Rlimit } from './rlimits.ts';
import { PAGE_SIZE } from './vma.ts';

/** Clock ticks per second of times in /proc. */
const USER_HZ = 100;

/** Rows of /proc/self/limits, in the kernel's order of resource numbers. */
const LIMIT_ROWS: readonly (readonly [name: string, unit: string])[] = [
  ['Max cpu time', 'seconds'],
  ['Max file size', 'bytes'],
  ['Max data size', 'bytes'],
  ['Max stack size', 'bytes'],
  ['Max core file size', 'bytes'],
  ['Max resident set', 'bytes'],
  ['Max processes', 'processes'],
  ['Max open files', 'files'],
  ['Max locked memory', 'bytes'],
  ['Max address space', 'bytes'],
  ['Max file locks', 'locks'],
  ['Max pending signals', 'signals'],
  ['Max msgqueue size', 'bytes'],
  ['Max nice priority', ''],
  ['Max realtime priority', ''],
  ['Max realtime timeout', 'us'],
];

/** What files of /proc and /sys tell about the process. */
export function fileFacts(process: LinuxProcess): VirtualFileFacts {
  const { clock, threads, ram, options } = process;
  return {
    pid: process.pid,
    uid: process.credentials.euid,
    gid: process.credentials.egid,
    executablePath: process.executablePath,
    threadIds: () => [...threads.keys()],
    text: (name, tid) => processText(process, name, tid),
    memory: {
      totalBytes: ram.totalFrames * PAGE_SIZE,
      get freeBytes() {
        return ram.freeFrames * PAGE_SIZE;
      },
    },
    get uptimeSeconds() {
      return clock.monotonicNs / NS_PER_SECOND;
    },
    hostCpuinfo: options.hostCpuinfo ?? '',
  };
}

/** Contents of /proc/self/NAME as a byte string; undefined: there is no such file. */
function processText(process: LinuxProcess, name: string, tid: number): string | undefined {
  const { addressSpace, program } = process;
  switch (name) {
    case 'maps':
      return mapsText(addressSpace);
    case 'stat':
      return statText(addressSpace, facts(process, tid));
    case 'statm':
      return statmText(addressSpace);
    case 'status':
      return statusText(addressSpace, facts(process, tid));
    case 'comm':
      return `${commandName(process, tid)}\n`;
    case 'auxv':
      return bytesText(program.auxv);
    case 'cmdline':
      return memoryText(process, program.argsStart, program.argsEnd);
    case 'environ':
      return memoryText(process, program.environmentStart, program.environmentEnd);
    case 'limits':
      return limitsText(process);
    default:
      return undefined;
  }
}

function facts(process: LinuxProcess, tid: number): ProcessFacts {
  const cpuTicks = Math.floor((process.cpuNs() * USER_HZ) / NS_PER_SECOND);
  return {
    pid: tid,
    ppid: process.ppid,
    command: commandName(process, tid),
    state: process.threads.get(tid)?.state === 'runnable' ? 'R' : 'S',
    threadCount: process.threads.size,
    userTicks: cpuTicks,
    systemTicks: 0,
    startTicks: Math.floor((process.clock.startNs * USER_HZ) / NS_PER_SECOND),
    credentials: process.credentials,
    program: process.program,
    residentLimitBytes: process.limit(Rlimit.rss),
  };
}

function commandName(process: LinuxProcess, tid: number): string {
  return process.threads.get(tid)?.name ?? '';
}

/** The strings are read where they lie: programs change them to show a title. */
function memoryText(process: LinuxProcess, start: number, end: number): string {
  return process.memory.isAccessible(start, end - start, 'read')
    ? bytesText(process.memory.read(start, end - start))
    : '';
}

function bytesText(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

function limitsText({ limits }: LinuxProcess): string {
  const line = (name: string, soft: string, hard: string, unit: string) =>
    `${name.padEnd(25)} ${soft.padEnd(20)} ${hard.padEnd(20)} ${unit.padEnd(10)}\n`;
  const show = (limit: bigint) => (limit === RLIM_INFINITY ? 'unlimited' : String(limit));
  const rows = LIMIT_ROWS.map(([name, unit], i) => {
    const { soft, hard } = limits.get(i)!;
    return line(name, show(soft), show(hard), unit);
  });
  return line('Limit', 'Soft Limit', 'Hard Limit', 'Units') + rows.join('');
}
