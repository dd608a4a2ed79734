/**
 * Threads: clone(2), set_tid_address(2), set_robust_list(2), arch_prctl(2).
 */
import { Gpr, Seg } from '../../../arch/x86/registers.ts';
import { RegClass } from '../../../arch/x86/thread-context.ts';
import { Errno } from '../errno.ts';
import { NORMAL_SCHEDULING } from '../scheduling-policy.ts';
import { LAST_SIGNAL } from '../signals.ts';
import { NO_RETURN, type SyscallCall, type SyscallMap } from '../syscall.ts';
import { THREAD_CLASSES } from '../thread.ts';

/** clone(2) flags. */
const CloneFlag = {
  vm: 0x100,
  fs: 0x200,
  sighand: 0x800,
  pidfd: 0x1000,
  thread: 0x1_0000,
  newns: 0x2_0000,
  settls: 0x8_0000,
  parentSetTid: 0x10_0000,
  childClearTid: 0x20_0000,
  detached: 0x40_0000,
  childSetTid: 0x100_0000,
  newuser: 0x1000_0000,
  newpid: 0x2000_0000,
} as const;

/** Flags that make no sense without, and with, others: the kernel's copy_process. */
const NEEDS: readonly (readonly [flag: number, needed: number])[] = [
  [CloneFlag.thread, CloneFlag.sighand],
  [CloneFlag.sighand, CloneFlag.vm],
];
const EXCLUDES: readonly (readonly [flag: number, excluded: number])[] = [
  [CloneFlag.newns, CloneFlag.fs],
  [CloneFlag.newuser, CloneFlag.fs],
  [CloneFlag.newpid, CloneFlag.thread],
  [CloneFlag.newuser, CloneFlag.thread],
  [CloneFlag.pidfd, CloneFlag.detached],
];

function isConsistent(flags: number): boolean {
  return (
    NEEDS.every(([flag, needed]) => (flags & flag) === 0 || (flags & needed) !== 0) &&
    EXCLUDES.every(([flag, excluded]) => (flags & flag) === 0 || (flags & excluded) === 0)
  );
}

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
  if (!isConsistent(flags)) return -Errno.EINVAL;
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
  thread.ioPriority = parent.ioPriority;
  thread.timerSlackNs = parent.timerSlackNs;
  thread.scheduling = parent.scheduling.resetOnFork ? NORMAL_SCHEDULING : parent.scheduling;
  thread.context.copyFrom(process.cpu.readState(THREAD_CLASSES), THREAD_CLASSES);
  thread.context.setGprNumber(Gpr.RAX, 0);
  if (request.stackPointer !== 0) thread.context.setGprNumber(Gpr.RSP, request.stackPointer);
  if ((flags & CloneFlag.settls) !== 0) thread.context.setSegmentBase(Seg.FS, BigInt(request.tls));
  process.scheduler.add(thread);
  return thread.tid;
}

/** Sizes of struct clone_args: its first version, and the latest known here. */
const CLONE_ARGS = { first: 64, latest: 88 } as const;
const PAGE_BYTES = 4096;
/** The exit signal's place in the flags of clone. */
const CSIGNAL = 0xff;

/**
 * struct clone_args: u64 fields from offset 0: flags, pidfd, child_tid, parent_tid, exit_signal, stack,
 * stack_size, tls.
 */
function clone3(call: SyscallCall): number {
  const { memory } = call.process;
  const [va, size] = [call.addr(0), call.size(1)];
  if (size < CLONE_ARGS.first) return -Errno.EINVAL;
  if (size > PAGE_BYTES) return -Errno.E2BIG;
  const newer = size > CLONE_ARGS.latest ? memory.read(va + CLONE_ARGS.latest, size - CLONE_ARGS.latest) : [];
  if (newer.some((byte) => byte !== 0)) return -Errno.E2BIG;
  const field = (index: number) => memory.readAddress(va + 8 * index);
  const flags = field(0) % 2 ** 32;
  const wrong = (flags & (CSIGNAL | CloneFlag.detached)) !== 0 || field(4) > LAST_SIGNAL;
  // A stack has an address and a size.
  if (wrong || (field(5) === 0) !== (field(6) === 0)) return -Errno.EINVAL;
  return clone(call, {
    flags: flags | 0,
    childTid: field(2),
    parentTid: field(3),
    stackPointer: field(5) + field(6),
    tls: field(7),
  });
}

/** CPUID does not fault: the only setting that there is. */
const CPUID_ENABLED = 1;
const ArchPrctl = {
  getCpuid: 0x1011,
  setCpuid: 0x1012,
  setGs: 0x1001,
  setFs: 0x1002,
  getFs: 0x1003,
  getGs: 0x1004,
} as const;

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
    case ArchPrctl.getCpuid:
      return CPUID_ENABLED;
    case ArchPrctl.setCpuid:
      return -Errno.ENODEV;
    default:
      // CPUID faulting, shadow stacks, linear address masking: features that this machine lacks.
      return -Errno.EINVAL;
  }
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
  arch_prctl: archPrctl,
  getcpu(call) {
    const { memory } = call.process;
    for (const i of [0, 1] as const) if (call.addr(i) !== 0) memory.writeU32(call.addr(i), 0);
    return 0;
  },
} satisfies SyscallMap;
