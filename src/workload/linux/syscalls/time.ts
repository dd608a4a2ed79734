/**
 * Clocks, sleeps and timers, all in simulated time. clock_gettime(2), nanosleep(2), setitimer(2),
 * timer_create(2), getrusage(2), times(2).
 */
import type { Tick } from '../../../sim/tick.ts';
import { Clock, COARSE_NS, NS_PER_SECOND, type TimeSpec } from '../clock.ts';
import { Errno, Restart } from '../errno.ts';
import { LAST_SIGNAL, Signal } from '../signals.ts';
import type { SyscallCall, SyscallMap, SyscallResult, Wait } from '../syscall.ts';
import { fromNs, isValidTime, readTimeSpec, toNs, writeTimeSpec } from '../time-layout.ts';
import type { IntervalTimer, TimerClock, TimerNotification } from '../timers.ts';
import { clockSettingSyscalls } from './clock-setting.ts';

const TIMER_ABSTIME = 1;
const USER_HZ = 100;
const PAGE_KIB = 4;

/**
 * CPU-time clock ids of other processes and threads are negative: pid complemented, shifted by three; then whether
 * a thread is meant, and the kind of time, of which 3 is none but a descriptor's clock.
 */
const CPU_CLOCK_PER_THREAD = 4;
const CPU_CLOCK_KIND = 3;

/** Nanoseconds of CPU time of a CPU-time clock; undefined if the id is none. */
function cpuTimeNs(call: SyscallCall, clock: number): number | undefined {
  const { process, thread } = call;
  const threadNs = (tid: number): number | undefined => {
    const other = tid === 0 ? thread : process.threads.get(tid);
    return other === undefined ? undefined : Math.floor(process.scheduler.cpuTicks(other) / 1000);
  };
  if (clock === Clock.processCpu) return process.cpuNs();
  if (clock === Clock.threadCpu) return threadNs(0);
  if (clock >= 0 || (clock & CPU_CLOCK_KIND) === CPU_CLOCK_KIND) return undefined;
  const id = ~(clock >> 3);
  if ((clock & CPU_CLOCK_PER_THREAD) !== 0) return threadNs(id);
  return id === 0 || id === process.pid ? process.cpuNs() : undefined;
}

/** Reads any clock; undefined if there is no such clock. */
export function readClock(call: SyscallCall, clock: number): TimeSpec | undefined {
  const time: TimeSpec = { seconds: 0, nanoseconds: 0 };
  if (call.process.clock.read(clock, time)) return time;
  const ns = cpuTimeNs(call, clock);
  return ns === undefined ? undefined : fromNs(ns);
}

function clockGetTime(call: SyscallCall): number {
  const time = readClock(call, call.i32(0));
  if (time === undefined) return -Errno.EINVAL;
  writeTimeSpec(call.process.memory, call.addr(1), time);
  return 0;
}

function clockGetResolution(call: SyscallCall): number {
  const clock = call.i32(0);
  if (readClock(call, clock) === undefined) return -Errno.EINVAL;
  const coarse = clock === Clock.realtimeCoarse || clock === Clock.monotonicCoarse;
  if (call.addr(1) !== 0) {
    writeTimeSpec(call.process.memory, call.addr(1), { seconds: 0, nanoseconds: coarse ? COARSE_NS : 1 });
  }
  return 0;
}

/** Sleeps until a tick; a signal that is handled ends it with EINTR and, if wanted, the rest of the time. */
function sleepUntil(call: SyscallCall, deadline: Tick, remainingVa: number): Wait {
  const { process, thread } = call;
  return {
    poll: () => undefined,
    deadline,
    timeoutResult: 0,
    interruptResult: Restart.noHand,
    cancel() {
      const leftNs = Math.ceil(Number((thread.deadline ?? deadline) - process.curTick) / 1000);
      if (remainingVa !== 0 && leftNs > 0) {
        const memory = process.memory;
        if (memory.isAccessible(remainingVa, 16, 'write')) writeTimeSpec(memory, remainingVa, fromNs(leftNs));
      }
    },
  };
}

/** Clocks that can be read, but not waited for. */
const WITHOUT_TIMERS: readonly number[] = [Clock.monotonicRaw, Clock.realtimeCoarse, Clock.monotonicCoarse];

function clockNanosleep(
  call: SyscallCall,
  clock: number,
  flags: number,
  requestVa: number,
  remainingVa: number,
) {
  const { process } = call;
  const now = readClock(call, clock);
  if (now === undefined) return -Errno.EINVAL;
  if (clock === Clock.threadCpu || WITHOUT_TIMERS.includes(clock)) return -Errno.EOPNOTSUPP;
  const time = readTimeSpec(process.memory, requestVa);
  if (!isValidTime(time)) return -Errno.EINVAL;
  const absolute = (flags & TIMER_ABSTIME) !== 0;
  if (!process.clock.read(clock, { seconds: 0, nanoseconds: 0 })) {
    // On a CPU-time clock a sleeping thread makes no progress; other threads' progress is not followed.
    return absolute && toNs(time) <= toNs(now) ? 0 : -Errno.EOPNOTSUPP;
  }
  const deadline = absolute ? process.clock.tickAt(clock, time) : process.clock.tickAfter(time);
  return deadline <= process.curTick ? 0 : sleepUntil(call, deadline, absolute ? 0 : remainingVa);
}

// ---- interval timers: struct itimerval is interval then value, in microseconds ----

/** Interval and time to the next expiration, in nanoseconds. */
type TimerState = readonly [interval: number, remaining: number];

function stateOf(timer: IntervalTimer): TimerState {
  return [timer.intervalNs, timer.remainingNs];
}

function writeTimer(call: SyscallCall, va: number, [interval, left]: TimerState, nsPerUnit: number): void {
  const { memory } = call.process;
  [interval, left].forEach((ns, i) => {
    const { seconds, nanoseconds } = fromNs(ns);
    const units = Math.floor(nanoseconds / nsPerUnit);
    // A timer that is about to go off must not read as disarmed.
    const fraction = ns > 0 && seconds === 0 && units === 0 ? 1 : units;
    writeTimeSpec(memory, va + 16 * i, { seconds, nanoseconds: fraction });
  });
}

/** struct timeval in nanoseconds, or undefined if it is not valid. */
function readTimeval(call: SyscallCall, va: number): number | undefined {
  const { seconds, nanoseconds: microseconds } = readTimeSpec(call.process.memory, va);
  if (seconds < 0 || microseconds < 0 || microseconds >= 1_000_000) return undefined;
  return seconds * NS_PER_SECOND + microseconds * 1000;
}

function armIn(timer: IntervalTimer, valueNs: number, intervalNs: number): void {
  timer.arm(valueNs === 0 ? Infinity : timer.clock.nowNs() + valueNs, intervalNs);
}

function setIntervalTimer(call: SyscallCall): number {
  const timer = call.process.timers.intervals[call.u32(0)];
  if (timer === undefined) return -Errno.EINVAL;
  const [newVa, oldVa] = [call.addr(1), call.addr(2)];
  const intervalNs = newVa === 0 ? 0 : readTimeval(call, newVa);
  const valueNs = newVa === 0 ? 0 : readTimeval(call, newVa + 16);
  if (intervalNs === undefined || valueNs === undefined) return -Errno.EINVAL;
  const old = stateOf(timer);
  armIn(timer, valueNs, intervalNs);
  if (oldVa !== 0) writeTimer(call, oldVa, old, 1000);
  return 0;
}

function alarm(call: SyscallCall): number {
  const timer = call.process.timers.intervals[0]!;
  // Rounded as the kernel does: a second that has begun counts if it is more than half left, or the only one.
  const left = timer.remainingNs;
  const old = left > 0 ? Math.max(1, Math.round(left / NS_PER_SECOND)) : 0;
  armIn(timer, call.u32(0) * NS_PER_SECOND, 0);
  return old;
}

// ---- POSIX timers ----

const Notify = { signal: 0, none: 1, thread: 2, threadId: 4 } as const;

/** struct sigevent: sigev_value, sigev_signo, sigev_notify, and for SIGEV_THREAD_ID the thread. */
function readNotification(call: SyscallCall, va: number): TimerNotification | undefined {
  const { memory, threads } = call.process;
  if (va === 0) return { signal: Signal.SIGALRM, tid: undefined, value: undefined };
  const value = memory.readU64(va);
  const signal = memory.readI32(va + 8);
  const notify = memory.readI32(va + 12);
  if (notify === Notify.none) return { signal: 0, tid: undefined, value };
  const tid = notify === Notify.threadId ? memory.readI32(va + 16) : undefined;
  const valid = [Notify.signal, Notify.threadId, Notify.thread].some((kind) => kind === notify);
  if (!valid || signal < 1 || signal > LAST_SIGNAL || (tid !== undefined && !threads.has(tid)))
    return undefined;
  return { signal, tid, value };
}

function timerClock(call: SyscallCall, clock: number): TimerClock | undefined {
  const { process, thread } = call;
  if (clock === Clock.processCpu) return process.cpuClock;
  if (clock === Clock.threadCpu) {
    return { nowNs: () => Math.floor(process.scheduler.cpuTicks(thread) / 1000), isCpuTime: true };
  }
  return process.clock.read(clock, { seconds: 0, nanoseconds: 0 }) ? process.wallClock : undefined;
}

function timerCreate(call: SyscallCall): number {
  const { process } = call;
  if (WITHOUT_TIMERS.includes(call.i32(0))) return -Errno.EOPNOTSUPP;
  const clock = timerClock(call, call.i32(0));
  const notification = readNotification(call, call.addr(1));
  if (clock === undefined || notification === undefined) return -Errno.EINVAL;
  if (!process.memory.isAccessible(call.addr(2), 4, 'write')) return -Errno.EFAULT;
  const id = process.timers.create(call.i32(0), clock, notification);
  process.memory.writeI32(call.addr(2), id);
  return 0;
}

function timerSetTime(call: SyscallCall): number {
  const { process } = call;
  const posix = process.timers.get(call.i32(0));
  if (posix === undefined || call.addr(2) === 0) return -Errno.EINVAL;
  const { timer, clockId } = posix;
  const interval = readTimeSpec(process.memory, call.addr(2));
  const value = readTimeSpec(process.memory, call.addr(2) + 16);
  if (!isValidTime(interval) || !isValidTime(value)) return -Errno.EINVAL;
  const old = stateOf(timer);
  const valueNs = toNs(value);
  if (valueNs > 0 && (call.u32(1) & TIMER_ABSTIME) !== 0) {
    // Absolute times are the clock's; the timer counts from the start of the process.
    const now = readClock(call, clockId)!;
    const distanceNs = (value.seconds - now.seconds) * NS_PER_SECOND + value.nanoseconds - now.nanoseconds;
    timer.arm(timer.clock.nowNs() + Math.max(0, distanceNs), toNs(interval));
  } else armIn(timer, valueNs, toNs(interval));
  if (call.addr(3) !== 0) writeTimer(call, call.addr(3), old, 1);
  return 0;
}

// ---- consumed resources ----

/**
 * struct rusage: user time, system time (none), ru_maxrss at 32, faults at 64 and 72, switches at 128 and
 * 136.
 */
function getrusage(call: SyscallCall): number {
  const { process, thread } = call;
  const who = call.i32(0);
  if (who !== 0 && who !== -1 && who !== 1) return -Errno.EINVAL;
  const bytes = new Uint8Array(144);
  const view = new DataView(bytes.buffer);
  const put = (at: number, value: number) => view.setBigInt64(at, BigInt(value), true);
  if (who !== -1) {
    const one = who === 1;
    const ns = one ? Math.floor(process.scheduler.cpuTicks(thread) / 1000) : process.cpuNs();
    put(0, Math.floor(ns / NS_PER_SECOND));
    put(8, Math.floor((ns % NS_PER_SECOND) / 1000));
    put(32, process.addressSpace.usage().residentPages * PAGE_KIB);
    put(64, process.addressSpace.minorFaults);
    put(72, process.addressSpace.majorFaults);
    const counted = one ? [thread] : [...process.threads.values()];
    put(
      128,
      counted.reduce((sum, { voluntarySwitches }) => sum + voluntarySwitches, 0),
    );
    put(
      136,
      counted.reduce((sum, { involuntarySwitches }) => sum + involuntarySwitches, 0),
    );
  }
  process.memory.write(call.addr(1), bytes);
  return 0;
}

function times(call: SyscallCall): number {
  const { process } = call;
  const va = call.addr(0);
  if (va !== 0) {
    const userTicks = Math.floor((process.cpuNs() * USER_HZ) / NS_PER_SECOND);
    [userTicks, 0, 0, 0].forEach((ticks, i) => {
      process.memory.writeNumber64(va + 8 * i, ticks);
    });
  }
  return Math.floor((process.clock.monotonicNs * USER_HZ) / NS_PER_SECOND);
}

export const timeSyscalls = {
  clock_gettime: clockGetTime,
  clock_getres: clockGetResolution,
  ...clockSettingSyscalls,
  gettimeofday(call) {
    const { process } = call;
    const time = readClock(call, Clock.realtime)!;
    if (call.addr(0) !== 0) {
      const microseconds = Math.floor(time.nanoseconds / 1000);
      writeTimeSpec(process.memory, call.addr(0), { seconds: time.seconds, nanoseconds: microseconds });
    }
    // struct timezone: UTC.
    if (call.addr(1) !== 0) process.memory.writeU64(call.addr(1), 0n);
    return 0;
  },
  time(call) {
    const seconds = call.process.clock.realtimeSeconds;
    if (call.addr(0) !== 0) call.process.memory.writeNumber64(call.addr(0), seconds);
    return seconds;
  },
  nanosleep: (call): SyscallResult => clockNanosleep(call, Clock.monotonic, 0, call.addr(0), call.addr(1)),
  clock_nanosleep: (call): SyscallResult =>
    clockNanosleep(call, call.i32(0), call.u32(1), call.addr(2), call.addr(3)),
  getitimer(call) {
    const timer = call.process.timers.intervals[call.u32(0)];
    if (timer === undefined) return -Errno.EINVAL;
    writeTimer(call, call.addr(1), stateOf(timer), 1000);
    return 0;
  },
  setitimer: setIntervalTimer,
  alarm,
  timer_create: timerCreate,
  timer_settime: timerSetTime,
  timer_gettime(call) {
    const posix = call.process.timers.get(call.i32(0));
    if (posix === undefined) return -Errno.EINVAL;
    writeTimer(call, call.addr(1), stateOf(posix.timer), 1);
    return 0;
  },
  timer_getoverrun: (call) => call.process.timers.get(call.i32(0))?.signal.overrun ?? -Errno.EINVAL,
  timer_delete: (call) => (call.process.timers.delete(call.i32(0)) ? 0 : -Errno.EINVAL),
  getrusage,
  times,
} satisfies SyscallMap;
