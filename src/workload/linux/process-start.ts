/**
 * The start of a process: what execve(2) does once the address space is there, up to the first instruction.
 */
import { Gpr } from '../../arch/x86/registers.ts';
import { RegClass } from '../../arch/x86/thread-context.ts';
import { type ExecErrno, ExecError } from '../elf.ts';
import { Errno, errnoName } from './errno.ts';
import type { FileSource } from './file-source.ts';
import { type LoadedProgram, loadProgram } from './loader.ts';
import type { LinuxProcess } from './process.ts';
import { bytesOf } from './process-options.ts';

/**
 * Loads the program and points the CPU's registers at its entry. Throws ExecError if the file cannot be run.
 */
export function startProgram(process: LinuxProcess): LoadedProgram {
  const random = new Uint8Array(16);
  process.randomBytes(random);
  const [hwcap, hwcap2] = process.hwcaps;
  const program = loadProgram(
    process.addressSpace,
    process.memory,
    (path: string): FileSource => {
      const source = process.files.openProgram(path);
      if (typeof source === 'number') throw cannotOpen(path, -source);
      return source;
    },
    {
      path: process.executablePath,
      args: process.args.map(bytesOf),
      environment: process.environment.map(bytesOf),
      credentials: process.credentials,
      random,
      hwcap,
      hwcap2,
      minSignalStackBytes: process.frames.maxSizeBytes,
    },
  );
  const registers = process.cpu.modifyState(RegClass.general);
  registers.ripNumber = program.entry;
  registers.setGprNumber(Gpr.RSP, program.stackPointer);
  return program;
}

/** What the user is told about a program file that cannot be opened; other errors go by their name. */
const OBSTACLES: ReadonlyMap<number, readonly [problem: string, errno: ExecErrno]> = new Map([
  [Errno.ENOENT, ['no such file', 'ENOENT']],
  [Errno.ENOTDIR, ['a part of the path is not a directory', 'ENOENT']],
  [Errno.EACCES, ['permission denied', 'EACCES']],
  [Errno.EISDIR, ['is a directory', 'EISDIR']],
]);

function cannotOpen(path: string, errno: number): ExecError {
  const [problem, name] = OBSTACLES.get(errno) ?? [`cannot be opened: ${errnoName(errno)}`, 'EIO'];
  return new ExecError(path, problem, name);
}
