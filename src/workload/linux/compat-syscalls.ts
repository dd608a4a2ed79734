/**
 * System calls of the 32-bit interface, INT 80H, made by 64-bit programs: those whose arguments are the same in both, and
 * clock_gettime. Numbers are in EAX and arguments in EBX ECX EDX ESI EDI EBP, 32 bits each: Linux
 * arch/x86/entry/syscalls/syscall_32.tbl.
 */

import { Vector } from '../../arch/x86/exceptions.ts';
import { Gpr } from '../../arch/x86/registers.ts';
import { RegClass, type X86ThreadContext } from '../../arch/x86/thread-context.ts';
import type { BaseCpu } from '../../cpu/base-cpu.ts';
import type { UserException } from '../../cpu/user-mode-os.ts';
import { Errno } from './errno.ts';
import type { LinuxProcess } from './process.ts';
import { SyscallCall } from './syscall.ts';
import { readClock } from './syscalls/time.ts';
import { GuestFault } from './user-memory.ts';

const INT_80 = [0xcd, 0x80] as const;
/** Error code of #GP for the gate of vector 80H. */
const GATE_80 = 8 * 0x80 + 2;

/** Numbers of the 32-bit interface and of the 64-bit one. */
const NUMBERS: ReadonlyMap<number, number> = new Map([
  [1, 60], // exit
  [3, 0], // read
  [4, 1], // write
  [5, 2], // open
  [6, 3], // close
  [10, 87], // unlink
  [12, 80], // chdir
  [15, 90], // chmod
  [20, 39], // getpid
  [33, 21], // access
  [38, 82], // rename
  [39, 83], // mkdir
  [40, 84], // rmdir
  [41, 32], // dup
  [42, 22], // pipe
  [45, 12], // brk
  [60, 95], // umask
  [63, 33], // dup2
  [64, 110], // getppid
  [83, 88], // symlink
  [85, 89], // readlink
  [91, 11], // munmap
  [125, 10], // mprotect
  [158, 24], // sched_yield
  [183, 79], // getcwd
  [199, 102], // getuid32
  [200, 104], // getgid32
  [201, 107], // geteuid32
  [202, 108], // getegid32
  [224, 186], // gettid
  [252, 231], // exit_group
  [265, 228], // clock_gettime
  [330, 292], // dup3
  [331, 293], // pipe2
  [355, 318], // getrandom
  [403, 228], // clock_gettime64
]);
const CLOCK_GETTIME = 265;

/** Where the arguments are, and where the 64-bit interface has them. */
const SOURCES = [Gpr.RBX, Gpr.RCX, Gpr.RDX, Gpr.RSI, Gpr.RDI, Gpr.RBP] as const;
const ARGUMENTS = [Gpr.RDI, Gpr.RSI, Gpr.RDX, 10, 8, 9] as const;

/**
 * Serves the exception that INT 80H raises in place of its gate: #GP, or #UD under PVM.
 * @returns false: it is not that
 */
export function serveCompatSyscall(
  process: LinuxProcess,
  cpu: BaseCpu<X86ThreadContext>,
  { vector, errorCode }: UserException,
): boolean {
  const isGate = vector === Vector.GP && errorCode === GATE_80;
  if (!isGate && vector !== Vector.UD) return false;
  const tc = cpu.readState(RegClass.general);
  const rip = tc.ripNumber;
  if (!process.memory.isAccessible(rip, INT_80.length, 'read')) return false;
  const [first, second] = process.memory.read(rip, INT_80.length);
  if (first !== INT_80[0] || second !== INT_80[1]) return false;
  makeCall(process, cpu);
  return true;
}

function makeCall(process: LinuxProcess, cpu: BaseCpu<X86ThreadContext>): void {
  const thread = process.currentThread;
  const tc = cpu.modifyState(RegClass.general);
  tc.rip += BigInt(INT_80.length);
  const number = tc.gprLo(Gpr.RAX) >>> 0;
  const nr = NUMBERS.get(number);
  if (nr === undefined) {
    process.warnOnce(`does not know the 32-bit system call ${number}`);
    process.setResult(thread, -Errno.ENOSYS);
    return;
  }
  const given = SOURCES.map((index) => BigInt.asUintN(32, tc.gpr(index)));
  const kept = ARGUMENTS.map((index) => tc.gpr(index));
  for (const [i, index] of ARGUMENTS.entries()) tc.setGpr(index, given[i]!);
  tc.setGpr(Gpr.RAX, BigInt(nr));
  if (number === CLOCK_GETTIME) {
    const call = new SyscallCall(process);
    call.start(thread, tc, nr);
    process.setResult(thread, clockGetTime32(call));
  } else process.syscall(cpu);
  for (const [i, index] of ARGUMENTS.entries()) tc.setGpr(index, kept[i]!);
  // The number with which the call is made again when a signal has interrupted it.
  thread.syscallNumber = number;
}

/** Seconds and nanoseconds have 32 bits each. */
function clockGetTime32(call: SyscallCall): number {
  const time = readClock(call, call.i32(0));
  if (time === undefined) return -Errno.EINVAL;
  const { memory } = call.process;
  const at = call.addr(1);
  try {
    memory.writeI32(at, time.seconds);
    memory.writeI32(at + 4, time.nanoseconds);
  } catch (error) {
    if (!(error instanceof GuestFault)) throw error;
    return -Errno.EFAULT;
  }
  return 0;
}
