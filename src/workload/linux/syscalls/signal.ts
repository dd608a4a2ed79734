/**
 * Signal calls: rt_sigaction(2), rt_sigprocmask(2), kill(2), sigaltstack(2), rt_sigtimedwait(2) and their
 * kin.
 */
import { Gpr } from '../../../arch/x86/registers.ts';
import { Errno, Restart } from '../errno.ts';
import type { LinuxProcess } from '../process.ts';
import { Rlimit } from '../rlimits.ts';
import { isOnStack, StackFlag, siginfoBytes, stackFlags } from '../sigframe.ts';
import {
  FIRST_REALTIME_SIGNAL,
  isUncatchable,
  LAST_SIGNAL,
  legalizeMask,
  SignalCode,
  type SignalInfo,
  SignalSet,
} from '../signals.ts';
import { NO_RETURN, type SyscallCall, type SyscallMap, type SyscallResult } from '../syscall.ts';
import { isValidTime, readTimeSpec } from '../time-layout.ts';

/** The size of the kernel's sigset_t, which callers have to pass. */
const SIGSET_BYTES = 8;
/** MINSIGSTKSZ */
const MIN_STACK_BYTES = 2048;

function readSet(call: SyscallCall, va: number): SignalSet {
  const set = new SignalSet();
  set.setHalves(call.process.memory.readU32(va), call.process.memory.readU32(va + 4));
  return set;
}

function writeSet(call: SyscallCall, va: number, set: SignalSet): void {
  call.process.memory.writeU32(va, set.lo >>> 0);
  call.process.memory.writeU32(va + 4, set.hi >>> 0);
}

/** struct kernel_sigaction: handler, flags, restorer, mask; 8 bytes each. */
function sigaction(call: SyscallCall): number {
  const { process } = call;
  const { memory } = process;
  const [signal, newVa, oldVa] = [call.i32(0), call.addr(1), call.addr(2)];
  if (call.size(3) !== SIGSET_BYTES || signal < 1 || signal > LAST_SIGNAL) return -Errno.EINVAL;
  if (newVa !== 0 && isUncatchable(signal)) return -Errno.EINVAL;
  const old = process.signals.actions.get(signal);
  if (newVa !== 0) {
    const mask = readSet(call, newVa + 24);
    legalizeMask(mask);
    process.signals.setAction(signal, {
      handler: memory.readAddress(newVa),
      flags: memory.readU32(newVa + 8),
      restorer: memory.readAddress(newVa + 16),
      mask,
    });
  }
  if (oldVa !== 0) {
    memory.writeNumber64(oldVa, old.handler);
    memory.writeNumber64(oldVa + 8, old.flags);
    memory.writeNumber64(oldVa + 16, old.restorer);
    writeSet(call, oldVa + 24, old.mask);
  }
  return 0;
}

const How = { block: 0, unblock: 1, setMask: 2 } as const;

function sigprocmask(call: SyscallCall): number {
  const { thread, process } = call;
  const [how, newVa, oldVa] = [call.i32(0), call.addr(1), call.addr(2)];
  if (call.size(3) !== SIGSET_BYTES) return -Errno.EINVAL;
  const old = thread.blocked.clone();
  if (newVa !== 0) {
    const given = readSet(call, newVa);
    const mask = thread.blocked.clone();
    if (how === How.block) mask.addAll(given);
    else if (how === How.unblock) mask.deleteAll(given);
    else if (how === How.setMask) mask.copyFrom(given);
    else return -Errno.EINVAL;
    process.signals.setMask(thread, mask.lo, mask.hi);
  }
  if (oldVa !== 0) writeSet(call, oldVa, old);
  return 0;
}

/** A signal of the process's own, with its credentials. */
function ownSignal(call: SyscallCall, signal: number, code: number): SignalInfo {
  return { signal, code, pid: call.process.pid, uid: call.process.credentials.uid };
}

/** A thread's number stands for its process. */
function isOwn(process: LinuxProcess, pid: number): boolean {
  return pid === process.pid || process.threads.has(pid);
}

function isSignal(signal: number): boolean {
  return signal >= 0 && signal <= LAST_SIGNAL;
}

/**
 * Nobody but the process itself is there: 0 and −pid are its group, −1 is everybody but the caller's process.
 */
function kill(call: SyscallCall): number {
  const { process } = call;
  const [pid, signal] = [call.i32(0), call.i32(1)];
  if (!isSignal(signal)) return -Errno.EINVAL;
  if (pid !== 0 && pid !== -process.pid && !isOwn(process, pid))
    return pid === process.ppid ? -Errno.EPERM : -Errno.ESRCH;
  if (signal !== 0) process.signals.sendToProcess(ownSignal(call, signal, SignalCode.SI_USER));
  return 0;
}

/** Whether a real-time signal finds no place in the queue. */
function isQueueFull({ process }: SyscallCall, signal: number): boolean {
  const queues = signal >= FIRST_REALTIME_SIGNAL;
  return queues && process.signals.pendingCount >= process.limit(Rlimit.sigpending);
}

function threadKill(call: SyscallCall, tid: number, signal: number): number {
  if (tid <= 0 || !isSignal(signal)) return -Errno.EINVAL;
  const thread = call.process.threads.get(tid);
  if (thread === undefined) return -Errno.ESRCH;
  if (isQueueFull(call, signal)) return -Errno.EAGAIN;
  if (signal !== 0) call.process.signals.sendToThread(thread, ownSignal(call, signal, SignalCode.SI_TKILL));
  return 0;
}

/**
 * siginfo_t from the caller: si_code at 8, si_pid 16, si_uid 20, si_value 24. To itself a process may send any
 * code, to others only those that are not the kernel's.
 */
function readInfo(call: SyscallCall, signal: number, va: number): SignalInfo {
  const { memory } = call.process;
  return {
    signal,
    code: memory.readI32(va + 8),
    pid: memory.readI32(va + 16),
    uid: memory.readU32(va + 20),
    value: memory.readU64(va + 24),
  };
}

function queue(call: SyscallCall, pid: number, tid: number | undefined, signal: number, va: number): number {
  const { process } = call;
  const info = readInfo(call, signal, va);
  if (!isOwn(process, pid)) {
    const isKernels = info.code >= 0 || info.code === SignalCode.SI_TKILL;
    return isKernels || pid === process.ppid ? -Errno.EPERM : -Errno.ESRCH;
  }
  const thread = tid === undefined ? undefined : process.threads.get(tid);
  if (tid !== undefined && thread === undefined) return -Errno.ESRCH;
  if (!isSignal(signal)) return -Errno.EINVAL;
  if (signal === 0) return 0;
  if (isQueueFull(call, signal)) return -Errno.EAGAIN;
  if (thread === undefined) call.process.signals.sendToProcess(info);
  else call.process.signals.sendToThread(thread, info);
  return 0;
}

function sigaltstack(call: SyscallCall): number {
  const { thread } = call;
  const { memory } = call.process;
  const [newVa, oldVa] = [call.addr(0), call.addr(1)];
  const sp = call.registers.gprNumber(Gpr.RSP);
  const { base, sizeBytes } = thread.altStack;
  const flags = stackFlags(thread.altStack, sp);
  if (newVa !== 0) {
    const wanted = memory.readU32(newVa + 8);
    const size = memory.readAddress(newVa + 16);
    if (isOnStack(thread.altStack, sp)) return -Errno.EPERM;
    const mode = (wanted & ~StackFlag.AUTODISARM) >>> 0;
    if (mode !== 0 && mode !== StackFlag.DISABLE && mode !== StackFlag.ONSTACK) return -Errno.EINVAL;
    const disable = mode === StackFlag.DISABLE;
    if (!disable && size < MIN_STACK_BYTES) return -Errno.ENOMEM;
    thread.altStack.base = disable ? 0 : memory.readAddress(newVa);
    thread.altStack.sizeBytes = disable ? 0 : size;
    thread.altStack.flags = (wanted & StackFlag.AUTODISARM) >>> 0;
  }
  if (oldVa !== 0) {
    memory.writeNumber64(oldVa, base);
    memory.writeU32(oldVa + 8, flags >>> 0);
    memory.writeNumber64(oldVa + 16, sizeBytes);
  }
  return 0;
}

/** Sleeps until a signal: pause and sigsuspend. */
function untilSignal(): SyscallResult {
  return { poll: () => undefined, interruptResult: Restart.noHand };
}

function sigtimedwait(call: SyscallCall): SyscallResult {
  const { process, thread } = call;
  const [setVa, infoVa, timeoutVa] = [call.addr(0), call.addr(1), call.addr(2)];
  if (call.size(3) !== SIGSET_BYTES) return -Errno.EINVAL;
  const set = readSet(call, setVa);
  legalizeMask(set);
  const timeout = timeoutVa === 0 ? undefined : readTimeSpec(process.memory, timeoutVa);
  if (timeout !== undefined && !isValidTime(timeout)) return -Errno.EINVAL;
  const take = (): number | undefined => {
    const info = process.signals.takeFrom(thread, set);
    if (info === undefined) return undefined;
    if (infoVa !== 0) process.memory.write(infoVa, siginfoBytes(info));
    return info.signal;
  };
  const pending = take();
  if (pending !== undefined) return pending;
  if (timeout !== undefined && timeout.seconds === 0 && timeout.nanoseconds === 0) return -Errno.EAGAIN;
  return {
    poll: take,
    deadline: timeout === undefined ? undefined : process.clock.tickAfter(timeout),
    timeoutResult: -Errno.EAGAIN,
    interruptResult: -Errno.EINTR,
  };
}

export const signalSyscalls = {
  rt_sigaction: sigaction,
  rt_sigprocmask: sigprocmask,
  rt_sigreturn(call) {
    call.process.signals.sigreturn(call.thread);
    return NO_RETURN;
  },
  rt_sigpending(call) {
    if (call.size(1) > SIGSET_BYTES) return -Errno.EINVAL;
    const set = call.thread.pending.set.clone();
    set.addAll(call.process.signals.shared.set);
    const unblocked = new SignalSet();
    unblocked.setHalves(~call.thread.blocked.lo, ~call.thread.blocked.hi);
    set.deleteAll(unblocked);
    writeSet(call, call.addr(0), set);
    return 0;
  },
  rt_sigsuspend(call) {
    if (call.size(1) !== SIGSET_BYTES) return -Errno.EINVAL;
    const mask = readSet(call, call.addr(0));
    call.process.signals.setTemporaryMask(call.thread, mask.lo, mask.hi);
    return untilSignal();
  },
  pause: untilSignal,
  rt_sigtimedwait: sigtimedwait,
  rt_sigqueueinfo(call) {
    return queue(call, call.i32(0), undefined, call.i32(1), call.addr(2));
  },
  rt_tgsigqueueinfo(call) {
    const [pid, tid] = [call.i32(0), call.i32(1)];
    return pid <= 0 || tid <= 0 ? -Errno.EINVAL : queue(call, pid, tid, call.i32(2), call.addr(3));
  },
  kill,
  tkill: (call) => threadKill(call, call.i32(0), call.i32(1)),
  tgkill(call) {
    const tgid = call.i32(0);
    if (tgid <= 0) return -Errno.EINVAL;
    return tgid === call.process.pid ? threadKill(call, call.i32(1), call.i32(2)) : -Errno.ESRCH;
  },
  sigaltstack,
} satisfies SyscallMap;
