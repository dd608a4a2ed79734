/**
 * Calls about the process as a whole: its place among others, exit, limits, children. Section 2 of the Linux manual pages.
 */
import { Errno } from '../errno.ts';
import type { LinuxProcess } from '../process.ts';
import { type Limit, Rlimit } from '../rlimits.ts';
import type { SyscallCall, SyscallMap } from '../syscall.ts';
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

/** The size of a terminal's process group is one: the program leads it, and its session. */
function groupOf(call: SyscallCall): number {
  return isSelf(call.process, call.i32(0)) ? call.process.pid : -Errno.ESRCH;
}

const WaitOption = { nohang: 1, untraced: 2, exited: 4, continued: 8, nowait: 0x0100_0000 } as const;
/** __WNOTHREAD, __WALL, __WCLONE */
const WAIT_KIND = 0xe000_0000;
const WAIT4_OPTIONS = WaitOption.nohang | WaitOption.untraced | WaitOption.continued | WAIT_KIND;
const WAITID_EVENTS = WaitOption.untraced | WaitOption.exited | WaitOption.continued;
const WAITID_OPTIONS = WAIT4_OPTIONS | WAITID_EVENTS | WaitOption.nowait;
const IdType = { all: 0, pid: 1, group: 2, pidfd: 3 } as const;
/** The group of it would be no number. */
const INT_MIN = -0x8000_0000;

/** There are no children. */
function wait4(call: SyscallCall): number {
  if ((call.i32(2) & ~WAIT4_OPTIONS) !== 0) return -Errno.EINVAL;
  return call.i32(0) === INT_MIN ? -Errno.ESRCH : -Errno.ECHILD;
}

function waitid(call: SyscallCall): number {
  const [type, id, options] = [call.i32(0), call.i32(1), call.i32(3)];
  if ((options & ~WAITID_OPTIONS) !== 0 || (options & WAITID_EVENTS) === 0) return -Errno.EINVAL;
  if (type === IdType.all || (type === IdType.pid && id > 0)) return -Errno.ECHILD;
  if (type === IdType.group && id >= 0) return -Errno.ECHILD;
  return type === IdType.pidfd && id >= 0 ? -Errno.EBADF : -Errno.EINVAL;
}

export const processSyscalls = {
  getpid: ({ process }) => process.pid,
  getppid: ({ process }) => process.ppid,
  getpgrp: ({ process }) => process.pid,
  getpgid: groupOf,
  getsid: groupOf,
  setpgid(call) {
    const [pid, group] = [call.i32(0), call.i32(1)];
    if (group < 0) return -Errno.EINVAL;
    if (!isSelf(call.process, pid)) return pid < 0 ? -Errno.EINVAL : -Errno.ESRCH;
    return isSelf(call.process, group) ? 0 : -Errno.EPERM;
  },
  // A process group leader cannot start a session.
  setsid: () => -Errno.EPERM,
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
  wait4,
  waitid,
} satisfies SyscallMap;
