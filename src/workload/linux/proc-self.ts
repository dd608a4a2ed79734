/**
 * Texts of /proc/self/maps, stat, statm and status, in the kernel's format (proc_pid_maps(5),
 * proc_pid_stat(5), fs/proc/task_mmu.c, fs/proc/array.c).
 */
import type { AddressSpace } from './address-space.ts';
import type { LoadedProgram } from './loader.ts';
import { Prot } from './memory-flags.ts';
import { PAGE_SIZE, type Vma } from './vma.ts';

/** What the texts need besides the address space. */
export interface ProcessFacts {
  readonly pid: number;
  readonly ppid: number;
  /** The command name: at most 15 bytes. */
  readonly command: string;
  readonly state: 'R' | 'S';
  readonly threadCount: number;
  /** CPU time of the process and its start since boot, in clock ticks of 1/100 s. */
  readonly userTicks: number;
  readonly systemTicks: number;
  readonly startTicks: number;
  readonly credentials: {
    readonly uid: number;
    readonly euid: number;
    readonly gid: number;
    readonly egid: number;
  };
  readonly program: LoadedProgram;
  /** Soft RLIMIT_RSS in bytes; Infinity = unlimited. */
  readonly residentLimitBytes: number;
}

/** Where the name begins in a line of maps. */
const NAME_COLUMN = 73;
/** What the kernel shows for "unlimited". */
const RLIM_INFINITY = '18446744073709551615';

/** /proc/self/maps: one line per area. */
export function mapsText(space: AddressSpace): string {
  return [...space.areas].map(mapsLine).join('');
}

function mapsLine(area: Vma): string {
  const { identity } = area.source ?? {};
  const rights =
    (area.prot & Prot.read ? 'r' : '-') +
    (area.prot & Prot.write ? 'w' : '-') +
    (area.prot & Prot.exec ? 'x' : '-') +
    (area.shared ? 's' : 'p');
  const device = `${hex(identity?.deviceMajor ?? 0, 2)}:${hex(identity?.deviceMinor ?? 0, 2)}`;
  const span = `${hex(area.start, 8)}-${hex(area.end, 8)}`;
  const line = `${span} ${rights} ${hex(area.offset, 8)} ${device} ${identity?.inode ?? 0} `;
  const sharedName = area.shared ? '/dev/zero (deleted)' : '';
  const name = (identity?.path ?? (area.name || sharedName)).replaceAll('\n', '\\012');
  return name === '' ? `${line}\n` : `${line.padEnd(NAME_COLUMN)}${name}\n`;
}

/** /proc/self/stat: 52 fields in one line. Those that the simulator does not keep are zero. */
export function statText(space: AddressSpace, facts: ProcessFacts): string {
  const { program } = facts;
  const usage = space.usage();
  const fields: (number | string)[] = new Array(52).fill(0);
  const set = (number: number, value: number | string) => {
    fields[number - 1] = value;
  };
  set(1, facts.pid);
  set(2, `(${facts.command})`);
  set(3, facts.state);
  set(4, facts.ppid);
  set(5, facts.pid); // process group and session: the process leads its own
  set(6, facts.pid);
  set(8, -1); // no controlling terminal: no foreground process group
  set(10, space.minorFaults);
  set(12, space.majorFaults);
  set(14, facts.userTicks);
  set(15, facts.systemTicks);
  set(18, 20); // priority of nice 0
  set(20, facts.threadCount);
  set(22, facts.startTicks);
  set(23, usage.mappedPages * PAGE_SIZE);
  set(24, usage.residentPages);
  set(25, facts.residentLimitBytes === Number.POSITIVE_INFINITY ? RLIM_INFINITY : facts.residentLimitBytes);
  set(26, program.codeStart);
  set(27, program.codeEnd);
  set(28, program.stackPointer);
  set(38, 17); // SIGCHLD tells the parent
  set(45, program.dataStart);
  set(46, program.dataEnd);
  set(47, space.heapStart);
  set(48, program.argsStart);
  set(49, program.argsEnd);
  set(50, program.environmentStart);
  set(51, program.environmentEnd);
  return `${fields.join(' ')}\n`;
}

/** /proc/self/statm: sizes in pages. */
export function statmText(space: AddressSpace): string {
  const { mappedPages, residentPages, codePages, dataPages, stackPages } = space.usage();
  return `${mappedPages} ${residentPages} 0 ${codePages} 0 ${dataPages + stackPages} 0\n`;
}

/** /proc/self/status: the lines that programs read. */
export function statusText(space: AddressSpace, facts: ProcessFacts): string {
  const { uid, euid, gid, egid } = facts.credentials;
  const usage = space.usage();
  const kilobytes = (pages: number) => `${String((pages * PAGE_SIZE) / 1024).padStart(8)} kB`;
  const lines: readonly (readonly [string, string | number])[] = [
    ['Name', facts.command],
    ['State', facts.state === 'R' ? 'R (running)' : 'S (sleeping)'],
    ['Tgid', facts.pid],
    ['Pid', facts.pid],
    ['PPid', facts.ppid],
    ['TracerPid', 0],
    ['Uid', `${uid}\t${euid}\t${euid}\t${euid}`],
    ['Gid', `${gid}\t${egid}\t${egid}\t${egid}`],
    ['VmPeak', kilobytes(usage.mappedPages)],
    ['VmSize', kilobytes(usage.mappedPages)],
    ['VmHWM', kilobytes(usage.residentPages)],
    ['VmRSS', kilobytes(usage.residentPages)],
    ['VmData', kilobytes(usage.dataPages)],
    ['VmStk', kilobytes(usage.stackPages)],
    ['VmExe', kilobytes(usage.codePages)],
    ['VmPTE', kilobytes(usage.tablePages)],
    ['Threads', facts.threadCount],
    ['Cpus_allowed', 1],
    ['Cpus_allowed_list', 0],
  ];
  return lines.map(([name, value]) => `${name}:\t${value}\n`).join('');
}

function hex(n: number, width: number): string {
  return n.toString(16).padStart(width, '0');
}
