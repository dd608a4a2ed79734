/**
 * Scheduling calls: policies, priorities, affinity to the one CPU. sched(7), sched_setattr(2), getpriority(2),
 * ioprio_set(2).
 */
import { Errno } from '../errno.ts';
import { Rlimit } from '../rlimits.ts';
import { QUANTUM } from '../scheduler.ts';
import {
  isNormal,
  isRealtime,
  isValidScheduling,
  MAX_PRIORITY,
  Policy,
  RESET_ON_FORK,
  type Scheduling,
} from '../scheduling-policy.ts';
import type { SyscallCall, SyscallMap } from '../syscall.ts';
import type { Thread } from '../thread.ts';
import { fromNs, writeTimeSpec } from '../time-layout.ts';

/** The living thread that an argument names, 0 being the caller; or −errno. The parent is not to be touched. */
function target(call: SyscallCall, tid: number): Thread | number {
  const { process, thread } = call;
  if (tid < 0) return -Errno.EINVAL;
  if (tid === process.ppid) return -Errno.EPERM;
  return (tid === 0 ? thread : process.threads.get(tid)) ?? -Errno.ESRCH;
}

function isPrivileged(call: SyscallCall): boolean {
  return call.process.credentials.euid === 0;
}

// ---- policies ----

function setScheduling(call: SyscallCall, thread: Thread, wanted: Scheduling): number {
  if (!isValidScheduling(wanted)) return -Errno.EINVAL;
  const raises = isRealtime(wanted.policy) && wanted.priority > thread.scheduling.priority;
  const mayRaise = isPrivileged(call) || wanted.priority <= call.process.limits.soft(Rlimit.rtprio);
  if (raises && !mayRaise) return -Errno.EPERM;
  if (thread.scheduling.resetOnFork && !wanted.resetOnFork && !isPrivileged(call)) return -Errno.EPERM;
  thread.scheduling = wanted;
  call.process.scheduler.reprioritized(thread);
  return 0;
}

function setScheduler(call: SyscallCall): number {
  const [thread, given, paramVa] = [target(call, call.i32(0)), call.i32(1), call.addr(2)];
  if (given < 0 || paramVa === 0 || thread === -Errno.EINVAL) return -Errno.EINVAL;
  const priority = call.process.memory.readI32(paramVa);
  if (typeof thread === 'number') return thread;
  const resetOnFork = (given & RESET_ON_FORK) !== 0;
  return setScheduling(call, thread, { policy: given & ~RESET_ON_FORK, priority, resetOnFork });
}

function setParam(call: SyscallCall): number {
  const [thread, paramVa] = [target(call, call.i32(0)), call.addr(1)];
  if (paramVa === 0 || thread === -Errno.EINVAL) return -Errno.EINVAL;
  const priority = call.process.memory.readI32(paramVa);
  return typeof thread === 'number'
    ? thread
    : setScheduling(call, thread, { ...thread.scheduling, priority });
}

function getParam(call: SyscallCall): number {
  const [thread, paramVa] = [target(call, call.i32(0)), call.addr(1)];
  if (paramVa === 0) return -Errno.EINVAL;
  if (typeof thread === 'number') return thread;
  call.process.memory.writeI32(paramVa, thread.scheduling.priority);
  return 0;
}

function getScheduler(call: SyscallCall): number {
  const thread = target(call, call.i32(0));
  if (typeof thread === 'number') return thread;
  const { policy, resetOnFork } = thread.scheduling;
  return resetOnFork ? policy | RESET_ON_FORK : policy;
}

/**
 * struct sched_attr: size 0, policy 4, flags (u64) 8, nice 16, priority 20, deadline parameters; later versions
 * are longer.
 */
const ATTR = { size: 0, policy: 4, flags: 8, nice: 16, priority: 20, bytes: 48, latestBytes: 56 } as const;
const ATTR_RESET_ON_FORK = 1;
const PAGE_BYTES = 4096;

function getAttr(call: SyscallCall): number {
  const [thread, va, size] = [target(call, call.i32(0)), call.addr(1), call.u32(2)];
  if (va === 0 || size < ATTR.bytes || size > PAGE_BYTES || call.u32(3) !== 0) return -Errno.EINVAL;
  if (typeof thread === 'number') return thread;
  const { policy, priority, resetOnFork } = thread.scheduling;
  const bytes = new Uint8Array(Math.min(size, ATTR.latestBytes));
  const view = new DataView(bytes.buffer);
  view.setUint32(ATTR.size, bytes.length, true);
  view.setUint32(ATTR.policy, policy, true);
  view.setUint32(ATTR.flags, resetOnFork ? ATTR_RESET_ON_FORK : 0, true);
  if (isNormal(policy)) view.setInt32(ATTR.nice, thread.nice, true);
  view.setUint32(ATTR.priority, priority, true);
  call.process.memory.write(va, bytes);
  return 0;
}

function setAttr(call: SyscallCall): number {
  const { memory } = call.process;
  const [thread, va] = [target(call, call.i32(0)), call.addr(1)];
  if (va === 0 || thread === -Errno.EINVAL || call.u32(2) !== 0) return -Errno.EINVAL;
  const size = memory.readU32(va) || ATTR.bytes;
  if (size < ATTR.bytes || size > PAGE_BYTES) {
    memory.writeU32(va, ATTR.latestBytes);
    return -Errno.E2BIG;
  }
  const policy = memory.readI32(va + ATTR.policy);
  const flags = memory.readU32(va + ATTR.flags);
  if (policy < 0 || flags > ATTR_RESET_ON_FORK) return -Errno.EINVAL;
  if (typeof thread === 'number') return thread;
  const priority = memory.readI32(va + ATTR.priority);
  const nice = memory.readI32(va + ATTR.nice);
  if (isNormal(policy) && nice < thread.nice && !isPrivileged(call)) return -Errno.EPERM;
  const result = setScheduling(call, thread, { policy, priority, resetOnFork: flags !== 0 });
  if (result === 0 && isNormal(policy)) thread.nice = clampNice(nice);
  return result;
}

function priorityRange(policy: number, realtime: number): number {
  if (isRealtime(policy)) return realtime;
  const others: readonly number[] = [Policy.deadline, Policy.ext];
  return isNormal(policy) || others.includes(policy) ? 0 : -Errno.EINVAL;
}

/** How long a thread runs before its equals do; FIFO threads run as long as they like. */
function getInterval(call: SyscallCall): number {
  const thread = target(call, call.i32(0));
  if (typeof thread === 'number') return thread;
  const ns = thread.scheduling.policy === Policy.fifo ? 0 : QUANTUM / 1000;
  writeTimeSpec(call.process.memory, call.addr(1), fromNs(ns));
  return 0;
}

// ---- affinity ----

/** One CPU, number 0: its mask is one 64-bit word. */
function getAffinity(call: SyscallCall): number {
  const size = call.size(1);
  if (size < 8 || size % 8 !== 0) return -Errno.EINVAL;
  if (typeof target(call, call.i32(0)) === 'number') return -Errno.ESRCH;
  call.process.memory.writeU64(call.addr(2), 1n);
  return 8;
}

function setAffinity(call: SyscallCall): number {
  const includesCpu0 = call.size(1) > 0 && (call.process.memory.readU8(call.addr(2)) & 1) !== 0;
  if (typeof target(call, call.i32(0)) === 'number') return -Errno.ESRCH;
  return includesCpu0 ? 0 : -Errno.EINVAL;
}

// ---- nice values and I/O priorities ----

/** What `which` and `who` name; the process is its group and its user's only one. */
const Which = { process: 0, group: 1, user: 2 } as const;

function clampNice(nice: number): number {
  return Math.max(-20, Math.min(19, nice));
}

/** The threads meant, or −errno. `base` is the number of `process` among the kinds. */
function named(call: SyscallCall, base: number): readonly Thread[] | number {
  const { process, thread } = call;
  const [which, who] = [call.i32(0) - base, call.i32(1)];
  const everyone = [...process.threads.values()];
  switch (which) {
    case Which.process: {
      const one = who === 0 ? thread : process.threads.get(who);
      return one === undefined ? -Errno.ESRCH : [one];
    }
    case Which.group:
      return who === 0 || who === process.pid ? everyone : -Errno.ESRCH;
    case Which.user:
      return who === 0 || who === process.credentials.uid ? everyone : -Errno.ESRCH;
    default:
      return -Errno.EINVAL;
  }
}

/** The best nice value among those meant, as 20 − nice: results are positive. */
function getPriority(call: SyscallCall): number {
  const threads = named(call, 0);
  return typeof threads === 'number' ? threads : 20 - Math.min(...threads.map(({ nice }) => nice));
}

function setPriority(call: SyscallCall): number {
  const threads = named(call, 0);
  if (typeof threads === 'number') return threads;
  const nice = clampNice(call.i32(2));
  const lowest = 20 - call.process.limits.soft(Rlimit.nice);
  const mayRaise = isPrivileged(call) || nice >= lowest;
  if (!mayRaise && threads.some((thread) => nice < thread.nice)) return -Errno.EACCES;
  for (const thread of threads) thread.nice = nice;
  return 0;
}

/** ioprio_set's numbers for process, group and user start at 1; the class is above the level's 13 bits. */
const IOPRIO_WHICH_BASE = 1;
const IOPRIO_CLASS_SHIFT = 13;
const IoClass = { none: 0, realtime: 1, bestEffort: 2, idle: 3 } as const;
const IO_LEVELS = 8;

function setIoPriority(call: SyscallCall): number {
  const value = call.i32(2);
  const [ioClass, level] = [value >> IOPRIO_CLASS_SHIFT, value & ((1 << IOPRIO_CLASS_SHIFT) - 1)];
  if (ioClass < IoClass.none || ioClass > IoClass.idle) return -Errno.EINVAL;
  if (ioClass === IoClass.none ? level !== 0 : (level & 0xff) >= IO_LEVELS) return -Errno.EINVAL;
  const threads = named(call, IOPRIO_WHICH_BASE);
  if (typeof threads === 'number') return threads;
  if (ioClass === IoClass.realtime && !isPrivileged(call)) return -Errno.EPERM;
  for (const thread of threads) thread.ioPriority = value;
  return 0;
}

function getIoPriority(call: SyscallCall): number {
  const threads = named(call, IOPRIO_WHICH_BASE);
  return typeof threads === 'number' ? threads : Math.max(...threads.map(({ ioPriority }) => ioPriority));
}

export const schedSyscalls = {
  sched_yield(call) {
    call.process.scheduler.yieldCurrent();
    return 0;
  },
  sched_getscheduler: getScheduler,
  sched_setscheduler: setScheduler,
  sched_getparam: getParam,
  sched_setparam: setParam,
  sched_getattr: getAttr,
  sched_setattr: setAttr,
  sched_get_priority_max: (call) => priorityRange(call.i32(0), MAX_PRIORITY),
  sched_get_priority_min: (call) => priorityRange(call.i32(0), 1),
  sched_rr_get_interval: getInterval,
  sched_getaffinity: getAffinity,
  sched_setaffinity: setAffinity,
  getpriority: getPriority,
  setpriority: setPriority,
  ioprio_get: getIoPriority,
  ioprio_set: setIoPriority,
} satisfies SyscallMap;
