// The record of a program that died: why, where, its memory map and all registers, in a file to read.

import { join } from 'node:path';
import { dumpAll } from '../arch/x86/dump.ts';
import { RegClass } from '../arch/x86/thread-context.ts';
import { writeOutput } from '../sim/output-file.ts';
import { mapsText } from '../workload/linux/proc-self.ts';
import type { LinuxProcess } from '../workload/linux/process.ts';
import type { ProcessEnd } from '../workload/linux/process-end.ts';
import { DEFAULT_DIRECTORY, makeOutputDirectory } from './output-directory.ts';
import { readable } from './program.ts';

type Signaled = Extract<ProcessEnd, { kind: 'signaled' }>;

/** The signals whose default action is a core dump (signal(7)): a wild program, not one that somebody ended. */
const CORE_SIGNALS = new Set([
  'SIGABRT',
  'SIGBUS',
  'SIGFPE',
  'SIGILL',
  'SIGQUIT',
  'SIGSEGV',
  'SIGSYS',
  'SIGTRAP',
  'SIGXCPU',
  'SIGXFSZ',
]);

/** Bytes of code that are shown from RIP on: the longest instruction has 15. */
const CODE_BYTES = 16;

/** What happened, in one line. */
export function describeEnd({ executablePath }: LinuxProcess, end: Signaled): string {
  const where = end.address === undefined ? '' : ` at address 0x${end.address.toString(16)}`;
  return `${readable(executablePath)}: ended by ${end.name} (${end.code}${where})`;
}

/** Writes crash.txt if the signal is a core-dumping one; returns its path. */
export function recordCrash(
  process: LinuxProcess,
  end: Signaled,
  outdir: string | undefined,
): string | undefined {
  if (!CORE_SIGNALS.has(end.name)) return undefined;
  const directory = outdir ?? DEFAULT_DIRECTORY;
  makeOutputDirectory(directory);
  const path = join(directory, 'crash.txt');
  const context = process.cpu.readState(RegClass.all);
  const note = process.cpu.faultNote;
  writeOutput(
    path,
    `${describeEnd(process, end)}
thread ${end.tid} of process ${process.pid}, tick ${process.curTick}
code at rip: ${codeAt(process, Number(context.rip))}
${note === undefined ? '' : `the processor: ${note}\n`}
${dumpAll(context)}
-- memory map
${mapsText(process.addressSpace)}`,
  );
  return path;
}

/** The bytes at `address` in hexadecimal, as far as they are mapped. */
function codeAt({ memory }: LinuxProcess, address: number): string {
  const bytes: string[] = [];
  for (let at = address; at < address + CODE_BYTES && memory.isAccessible(at, 1, 'read'); at++)
    bytes.push(memory.readU8(at).toString(16).padStart(2, '0'));
  return bytes.length === 0 ? 'not mapped' : bytes.join(' ');
}
