/**
 * Calls about the process as a whole: identity, exit, limits, names. Section 2 of the Linux manual pages.
 */
import { Errno } from '../errno.ts';
import type { LinuxProcess } from '../process.ts';
import { type Limit, Rlimit } from '../rlimits.ts';
import type { ArgumentIndex, SyscallCall, SyscallMap } from '../syscall.ts';
import { NO_RETURN } from '../syscall.ts';

/** Whether `pid` names the process itself: 0 does, in most calls. */
function isSelf(process: LinuxProcess, pid: number): boolean {
  return pid === 0 || pid === process.pid;
}

function writeLimit(call: SyscallCall, va: number, limit: Limit): void {
  call.process.memory.writeU64(va, limit.soft);
  call.process.memory.writeU64(va + 8, limit.hard);
}

function readLimit(call: SyscallCall, va: number): Limit {
  return { soft: call.process.memory.readU64(va), hard: call.process.memory.readU64(va + 8) };
}

function getLimit(call: SyscallCall, resource: number, va: number): number {
  const limit = call.process.limits.get(resource);
  if (limit === undefined) return -Errno.EINVAL;
  writeLimit(call, va, limit);
  return 0;
}

function prlimit(call: SyscallCall): number {
  const { process } = call;
  const [pid, resource, newVa, oldVa] = [call.i32(0), call.u32(1), call.addr(2), call.addr(3)];
  if (!isSelf(process, pid)) return -Errno.ESRCH;
  const old = process.limits.get(resource);
  if (old === undefined) return -Errno.EINVAL;
  if (newVa !== 0) {
    const result = process.limits.set(resource, readLimit(call, newVa));
    if (result < 0) return result;
  }
  if (oldVa !== 0) writeLimit(call, oldVa, old);
  return 0;
}

/** setuid and its kin: a program may become who it is, nobody else. */
function stayAs(call: SyscallCall, mine: readonly number[], count: number): number {
  for (let i = 0; i < count; i++) {
    const id = call.i32(i as ArgumentIndex);
    if (id !== -1 && !mine.includes(id)) return -Errno.EPERM;
  }
  return 0;
}

const uids = ({ process }: SyscallCall) => [process.credentials.uid, process.credentials.euid];
const gids = ({ process }: SyscallCall) => [process.credentials.gid, process.credentials.egid];

/** Writes real, effective and saved id. */
function writeIds(call: SyscallCall, real: number, effective: number): number {
  [real, effective, effective].forEach((id, i) => {
    call.process.memory.writeU32(call.addr(i as ArgumentIndex), id);
  });
  return 0;
}

function getGroups(call: SyscallCall): number {
  const { groups } = call.process.credentials;
  const size = call.i32(0);
  if (size < 0 || (size > 0 && size < groups.length)) return -Errno.EINVAL;
  if (size > 0) {
    groups.forEach((group, i) => {
      call.process.memory.writeU32(call.addr(1) + 4 * i, group);
    });
  }
  return groups.length;
}

/** The size of a terminal's process group is one: the program leads it, and its session. */
function groupOf(call: SyscallCall): number {
  return isSelf(call.process, call.i32(0)) ? call.process.pid : -Errno.ESRCH;
}

export const processSyscalls = {
  getpid: ({ process }) => process.pid,
  getppid: ({ process }) => process.ppid,
  getpgrp: ({ process }) => process.pid,
  getpgid: groupOf,
  getsid: groupOf,
  setpgid: (call) => (isSelf(call.process, call.i32(0)) ? 0 : -Errno.ESRCH),
  // A process group leader cannot start a session.
  setsid: () => -Errno.EPERM,
  getuid: ({ process }) => process.credentials.uid,
  geteuid: ({ process }) => process.credentials.euid,
  getgid: ({ process }) => process.credentials.gid,
  getegid: ({ process }) => process.credentials.egid,
  getresuid: (call) => writeIds(call, call.process.credentials.uid, call.process.credentials.euid),
  getresgid: (call) => writeIds(call, call.process.credentials.gid, call.process.credentials.egid),
  setuid: (call) => stayAs(call, uids(call), 1),
  setgid: (call) => stayAs(call, gids(call), 1),
  setreuid: (call) => stayAs(call, uids(call), 2),
  setregid: (call) => stayAs(call, gids(call), 2),
  setresuid: (call) => stayAs(call, uids(call), 3),
  setresgid: (call) => stayAs(call, gids(call), 3),
  setfsuid: ({ process }) => process.credentials.euid,
  setfsgid: ({ process }) => process.credentials.egid,
  getgroups: getGroups,
  setgroups: () => -Errno.EPERM,
  exit_group(call) {
    call.process.exit(call.i32(0));
    return NO_RETURN;
  },
  getrlimit: (call) => getLimit(call, call.u32(0), call.addr(1)),
  setrlimit(call) {
    return call.u32(0) <= Rlimit.rttime
      ? call.process.limits.set(call.u32(0), readLimit(call, call.addr(1)))
      : -Errno.EINVAL;
  },
  prlimit64: prlimit,
  // There are no children.
  wait4: () => -Errno.ECHILD,
  waitid: () => -Errno.ECHILD,
} satisfies SyscallMap;
