/**
 * Threads, futexes and scheduling: clone(2), futex(2), sched(7), set_tid_address(2), arch_prctl(2).
 */
import { Gpr, Seg } from '../../../arch/x86/registers.ts';
import { RegClass } from '../../../arch/x86/thread-context.ts';
import { Clock, NS_PER_SECOND, type TimeSpec } from '../clock.ts';
import { Errno } from '../errno.ts';
import { FUTEX_BITSET_ANY } from '../futex.ts';
import { QUANTUM } from '../scheduler.ts';
import { NO_RETURN, type SyscallCall, type SyscallMap, type SyscallResult } from '../syscall.ts';
import { THREAD_CLASSES } from '../thread.ts';
import { isValidTime, readTimeSpec, writeTimeSpec } from '../time-layout.ts';

/** clone(2) flags. */
const CloneFlag = {
  vm: 0x100,
  fs: 0x200,
  files: 0x400,
  sighand: 0x800,
  parentSetTid: 0x10_0000,
  thread: 0x1_0000,
  settls: 0x8_0000,
  childClearTid: 0x20_0000,
  childSetTid: 0x100_0000,
} as const;

/** What a thread shares; without these it would be a process of its own. */
const THREAD_FLAGS = CloneFlag.vm | CloneFlag.sighand | CloneFlag.thread;

const USER_END = 2 ** 47;

interface CloneRequest {
  readonly flags: number;
  readonly stackPointer: number;
  readonly parentTid: number;
  readonly childTid: number;
  readonly tls: number;
}

function clone(call: SyscallCall, request: CloneRequest): number {
  const { process } = call;
  const { flags } = request;
  if ((flags & THREAD_FLAGS) !== THREAD_FLAGS) {
    process.warnOnce(
      'processes are not there yet: clone fails for a program that wants one (ENOSYS)',
      'clone',
    );
    return -Errno.ENOSYS;
  }
  if ((flags & CloneFlag.settls) !== 0 && request.tls >= USER_END) return -Errno.EPERM;
  const parent = call.thread;
  const thread = process.newThread(parent.name);
  if ((flags & CloneFlag.parentSetTid) !== 0) process.memory.writeU32(request.parentTid, thread.tid);
  if ((flags & CloneFlag.childSetTid) !== 0) process.memory.writeU32(request.childTid, thread.tid);
  if ((flags & CloneFlag.childClearTid) !== 0) thread.clearChildTid = request.childTid;
  thread.blocked.copyFrom(parent.blocked);
  thread.nice = parent.nice;
  thread.context.copyFrom(process.cpu.readState(THREAD_CLASSES), THREAD_CLASSES);
  thread.context.setGprNumber(Gpr.RAX, 0);
  if (request.stackPointer !== 0) thread.context.setGprNumber(Gpr.RSP, request.stackPointer);
  if ((flags & CloneFlag.settls) !== 0) thread.context.setSegmentBase(Seg.FS, BigInt(request.tls));
  process.scheduler.add(thread);
  return thread.tid;
}

/**
 * struct clone_args: u64 fields from offset 0: flags, pidfd, child_tid, parent_tid, exit_signal, stack,
 * stack_size, tls.
 */
function clone3(call: SyscallCall): number {
  const { memory } = call.process;
  const va = call.addr(0);
  if (call.size(1) < 64) return -Errno.EINVAL;
  const field = (index: number) => memory.readAddress(va + 8 * index);
  return clone(call, {
    flags: (field(0) % 2 ** 32) | 0,
    childTid: field(2),
    parentTid: field(3),
    stackPointer: field(5) + field(6),
    tls: field(7),
  });
}

const FutexOp = {
  wait: 0,
  wake: 1,
  requeue: 3,
  cmpRequeue: 4,
  wakeOp: 5,
  waitBitset: 9,
  wakeBitset: 10,
} as const;
const FUTEX_CMD_MASK = 0x7f;
const FUTEX_CLOCK_REALTIME = 0x100;

/**
 * The deadline argument: FUTEX_WAIT's is relative, FUTEX_WAIT_BITSET's absolute. −EINVAL for no valid time.
 */
function futexWait(call: SyscallCall, command: number, bitset: number): SyscallResult {
  const { process } = call;
  const timeoutVa = call.addr(3);
  let deadline: ReturnType<typeof process.clock.tickAfter> | undefined;
  if (timeoutVa !== 0) {
    const time = readTimeSpec(process.memory, timeoutVa);
    if (!isValidTime(time)) return -Errno.EINVAL;
    const clock = (call.u32(1) & FUTEX_CLOCK_REALTIME) !== 0 ? Clock.realtime : Clock.monotonic;
    deadline = command === FutexOp.wait ? process.clock.tickAfter(time) : process.clock.tickAt(clock, time);
  }
  return process.futexes.wait(call.thread, call.addr(0), call.u32(2), bitset, deadline);
}

function futex(call: SyscallCall): SyscallResult {
  const { futexes, memory } = call.process;
  const address = call.addr(0);
  const command = call.u32(1) & FUTEX_CMD_MASK;
  if (address % 4 !== 0) return -Errno.EINVAL;
  switch (command) {
    case FutexOp.wait:
      return futexWait(call, command, FUTEX_BITSET_ANY);
    case FutexOp.waitBitset:
      return futexWait(call, command, call.u32(5));
    case FutexOp.wake:
      return futexes.wake(address, call.i32(2));
    case FutexOp.wakeBitset:
      return call.u32(5) === 0 ? -Errno.EINVAL : futexes.wake(address, call.i32(2), call.u32(5));
    case FutexOp.cmpRequeue:
      if (memory.readU32(address) !== call.u32(5)) return -Errno.EAGAIN;
      return futexes.requeue(address, call.addr(4), call.i32(2), call.i32(3));
    case FutexOp.requeue:
      return futexes.requeue(address, call.addr(4), call.i32(2), call.i32(3));
    case FutexOp.wakeOp:
      return futexes.wakeOp(address, call.addr(4), call.i32(2), call.i32(3), call.u32(5));
    default:
      call.process.warnOnce(`futex operation ${command} is not implemented (ENOSYS)`, `futex ${command}`);
      return -Errno.ENOSYS;
  }
}

const ArchPrctl = { setGs: 0x1001, setFs: 0x1002, getFs: 0x1003, getGs: 0x1004 } as const;

function archPrctl(call: SyscallCall): number {
  const { process } = call;
  const code = call.u32(0);
  const address = call.addr(1);
  const segment = code === ArchPrctl.setFs || code === ArchPrctl.getFs ? Seg.FS : Seg.GS;
  switch (code) {
    case ArchPrctl.setFs:
    case ArchPrctl.setGs:
      if (address >= USER_END) return -Errno.EPERM;
      process.cpu.modifyState(RegClass.special).setSegmentBase(segment, BigInt(address));
      return 0;
    case ArchPrctl.getFs:
    case ArchPrctl.getGs:
      process.memory.writeU64(address, process.cpu.readState(RegClass.special).segmentBase(segment));
      return 0;
    default:
      // CPUID faulting, shadow stacks, linear address masking: features that this machine lacks.
      return -Errno.EINVAL;
  }
}

/** Whether `tid` is a living thread of the process; 0 is the caller. */
function exists(call: SyscallCall, tid: number): boolean {
  return tid === 0 || call.process.threads.has(tid);
}

/** One CPU, number 0: its mask is one 64-bit word. */
function getAffinity(call: SyscallCall): number {
  const size = call.size(1);
  if (size < 8 || size % 8 !== 0) return -Errno.EINVAL;
  if (!exists(call, call.i32(0))) return -Errno.ESRCH;
  call.process.memory.writeU64(call.addr(2), 1n);
  return 8;
}

function setAffinity(call: SyscallCall): number {
  if (!exists(call, call.i32(0))) return -Errno.ESRCH;
  const includesCpu0 = call.size(1) > 0 && (call.process.memory.readU8(call.addr(2)) & 1) !== 0;
  return includesCpu0 ? 0 : -Errno.EINVAL;
}

const Policy = { other: 0, fifo: 1, rr: 2, batch: 3, idle: 5, resetOnFork: 0x4000_0000 } as const;
const NORMAL_POLICIES: readonly number[] = [Policy.other, Policy.batch, Policy.idle];

function priorityRange(policy: number, realtime: number): number {
  if (policy === Policy.fifo || policy === Policy.rr) return realtime;
  return NORMAL_POLICIES.includes(policy) ? 0 : -Errno.EINVAL;
}

function setScheduler(call: SyscallCall, policy: number, paramVa: number): number {
  if (!exists(call, call.i32(0))) return -Errno.ESRCH;
  const priority = call.process.memory.readI32(paramVa);
  if (policy === Policy.fifo || policy === Policy.rr) return -Errno.EPERM;
  return NORMAL_POLICIES.includes(policy) && priority === 0 ? 0 : -Errno.EINVAL;
}

export const threadSyscalls = {
  gettid: ({ thread }) => thread.tid,
  clone(call) {
    return clone(call, {
      flags: call.i32(0),
      stackPointer: call.addr(1),
      parentTid: call.addr(2),
      childTid: call.addr(3),
      tls: call.addr(4),
    });
  },
  clone3,
  exit(call) {
    call.process.exitThread(call.thread, call.i32(0));
    return NO_RETURN;
  },
  set_tid_address(call) {
    call.thread.clearChildTid = call.addr(0);
    return call.thread.tid;
  },
  set_robust_list(call) {
    if (call.size(1) !== 24) return -Errno.EINVAL;
    call.thread.robustList = call.addr(0);
    return 0;
  },
  get_robust_list(call) {
    const tid = call.i32(0);
    const thread = tid === 0 ? call.thread : call.process.threads.get(tid);
    if (thread === undefined) return -Errno.ESRCH;
    call.process.memory.writeNumber64(call.addr(1), thread.robustList);
    call.process.memory.writeNumber64(call.addr(2), 24);
    return 0;
  },
  futex,
  arch_prctl: archPrctl,
  sched_yield(call) {
    call.process.scheduler.yieldCurrent();
    return 0;
  },
  sched_getaffinity: getAffinity,
  sched_setaffinity: setAffinity,
  sched_getscheduler: (call) => (exists(call, call.i32(0)) ? Policy.other : -Errno.ESRCH),
  sched_setscheduler: (call) => setScheduler(call, call.i32(1) & ~Policy.resetOnFork, call.addr(2)),
  sched_setparam: (call) => setScheduler(call, Policy.other, call.addr(1)),
  sched_getparam(call) {
    if (!exists(call, call.i32(0))) return -Errno.ESRCH;
    call.process.memory.writeI32(call.addr(1), 0);
    return 0;
  },
  sched_get_priority_max: (call) => priorityRange(call.i32(0), 99),
  sched_get_priority_min: (call) => priorityRange(call.i32(0), 1),
  sched_rr_get_interval(call) {
    if (!exists(call, call.i32(0))) return -Errno.ESRCH;
    const quantum: TimeSpec = { seconds: 0, nanoseconds: (QUANTUM / 1000) % NS_PER_SECOND };
    writeTimeSpec(call.process.memory, call.addr(1), quantum);
    return 0;
  },
  getcpu(call) {
    const { memory } = call.process;
    for (const i of [0, 1] as const) if (call.addr(i) !== 0) memory.writeU32(call.addr(i), 0);
    return 0;
  },
} satisfies SyscallMap;
