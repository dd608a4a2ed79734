/**
 * What happens at each system call: made by a handler, refused by intent with the errno that programs cope
 * with best, or unknown (ENOSYS). docs/syscalls.md is made from this table by tools/syscall-table.ts.
 */
import { Errno, type ErrnoName } from './errno.ts';
import type { SyscallCall, SyscallHandler, SyscallMap } from './syscall.ts';
import { SYSCALL_ROWS, type SyscallRow, UNKNOWN_SYSCALL } from './syscall-rows.ts';
import { fileSyscalls } from './syscalls/file.ts';
import { futexSyscalls } from './syscalls/futex.ts';
import { identitySyscalls } from './syscalls/identity.ts';
import { memorySyscalls } from './syscalls/memory.ts';
import { miscSyscalls } from './syscalls/misc.ts';
import { processSyscalls } from './syscalls/process.ts';
import { schedSyscalls } from './syscalls/sched.ts';
import { signalSyscalls } from './syscalls/signal.ts';
import { threadSyscalls } from './syscalls/thread.ts';
import { timeSyscalls } from './syscalls/time.ts';

/** Handlers by subject: the sections of the documentation. */
export const SYSCALL_GROUPS: readonly (readonly [subject: string, handlers: SyscallMap])[] = [
  ['Files', fileSyscalls],
  ['Memory', memorySyscalls],
  ['Process', processSyscalls],
  ['Identity', identitySyscalls],
  ['Threads', { ...threadSyscalls, ...futexSyscalls }],
  ['Scheduling', schedSyscalls],
  ['Signals', signalSyscalls],
  ['Time', timeSyscalls],
  ['Miscellaneous', miscSyscalls],
];

/** Calls that fail by intent. */
export interface Refusal {
  readonly errno: ErrnoName;
  readonly why: string;
  /** Programs lose nothing: no warning. */
  readonly quiet?: boolean;
}

const PROCESSES = 'one process is simulated: starting others comes later';
const SOCKETS = 'sockets come later; the C library asks for one to reach its name cache, and does without';
const NO_SOCKET = 'no descriptor is a socket';
const PRIVILEGED = 'needs a privilege that the program does not have';
const SYSV_IPC = 'System V IPC is not built into this kernel';

function refuse(names: string, errno: ErrnoName, why: string, quiet = false): [string, Refusal][] {
  return names.split(' ').map((name) => [name, { errno, why, quiet }]);
}

/** Refusals by name. */
export const REFUSALS: ReadonlyMap<string, Refusal> = new Map([
  ...refuse('fork vfork execve execveat', 'ENOSYS', PROCESSES),
  ...refuse('socket socketpair', 'EAFNOSUPPORT', SOCKETS, true),
  ...refuse(
    'connect accept accept4 shutdown bind listen getsockname getpeername',
    'ENOTSOCK',
    NO_SOCKET,
    true,
  ),
  ...refuse('setsockopt getsockopt sendto recvfrom', 'ENOTSOCK', NO_SOCKET, true),
  ...refuse('sendmsg recvmsg sendmmsg recvmmsg', 'ENOTSOCK', NO_SOCKET, true),
  ...refuse(
    'epoll_create epoll_create1',
    'ENOSYS',
    'epoll comes later; Go and Node.js programs cannot run without it',
  ),
  ...refuse('epoll_ctl epoll_wait epoll_pwait epoll_pwait2', 'EBADF', 'no descriptor is an epoll one', true),
  ...refuse('rseq', 'ENOSYS', 'the C library does without', true),
  ...refuse('io_uring_setup', 'ENOSYS', 'programs fall back to ordinary calls', true),
  ...refuse(
    'landlock_create_ruleset landlock_add_rule landlock_restrict_self',
    'EOPNOTSUPP',
    'Landlock is not enabled',
    true,
  ),
  ...refuse('pkey_alloc', 'ENOSPC', 'no protection keys: all are taken', true),
  ...refuse('pkey_free', 'EINVAL', 'no protection keys', true),
  ...refuse('restart_syscall', 'EINTR', 'nothing is left to be restarted this way', true),
  ...refuse('ptrace', 'EPERM', 'nobody else is there to be traced'),
  ...refuse('shmget shmat shmctl shmdt semget semop semctl semtimedop', 'ENOSYS', SYSV_IPC),
  ...refuse('msgget msgsnd msgrcv msgctl', 'ENOSYS', SYSV_IPC),
  ...refuse('chroot mount umount2 swapon swapoff reboot pivot_root acct', 'EPERM', PRIVILEGED),
  ...refuse('iopl ioperm init_module finit_module delete_module', 'EPERM', PRIVILEGED),
  ...refuse('perf_event_open bpf', 'EACCES', PRIVILEGED),
  ...refuse('setns unshare', 'EPERM', PRIVILEGED),
]);

/** One line of the table. */
export interface SyscallEntry extends SyscallRow {
  /** Section of the documentation; undefined: no handler. */
  readonly subject: string | undefined;
  readonly refusal: Refusal | undefined;
}

/** The whole table, for documentation. */
export function syscallTable(): SyscallEntry[] {
  return SYSCALL_ROWS.map((row) => ({
    ...row,
    subject: SYSCALL_GROUPS.find(([, handlers]) => Object.hasOwn(handlers, row.name))?.[0],
    refusal: REFUSALS.get(row.name),
  }));
}

/** Handlers by number; the last one, `UNKNOWN_SYSCALL`, is for numbers that no call has. */
export function syscallHandlers(): SyscallHandler[] {
  const byName = new Map(SYSCALL_GROUPS.flatMap(([, handlers]) => Object.entries(handlers)));
  const table: SyscallHandler[] = Array.from({ length: UNKNOWN_SYSCALL + 1 }, () => unknown);
  for (const { nr, name } of SYSCALL_ROWS) {
    table[nr] = byName.get(name) ?? refusing(name, nr, REFUSALS.get(name));
  }
  return table;
}

/** By number, 1 for the calls about files: only these can make a descriptor ready that somebody waits for. */
export function fileCallNumbers(): Uint8Array {
  const table = new Uint8Array(UNKNOWN_SYSCALL + 1);
  for (const { nr, name } of SYSCALL_ROWS) if (Object.hasOwn(fileSyscalls, name)) table[nr] = 1;
  return table;
}

function refusing(name: string, nr: number, refusal: Refusal | undefined): SyscallHandler {
  const { errno, why, quiet } = refusal ?? { errno: 'ENOSYS', why: 'not implemented', quiet: false };
  const result = -Errno[errno];
  if (quiet) return () => result;
  return (call) => {
    call.process.warnOnce(`system call ${name} (${nr}) returns ${errno}: ${why}`, name);
    return result;
  };
}

function unknown(call: SyscallCall): number {
  call.process.warnOnce(`system call ${call.nr} returns ENOSYS: no such call`, `syscall ${call.nr}`);
  return -Errno.ENOSYS;
}
