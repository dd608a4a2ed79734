/**
 * Calls that set or steer the clock: simulated time cannot be changed, whoever asks; what can be read is told.
 * clock_settime(2), adjtimex(2).
 */
import { Clock, type TimeSpec } from '../clock.ts';
import { Errno } from '../errno.ts';
import type { SyscallCall, SyscallMap } from '../syscall.ts';
import { isValidTime, readTimeSpec } from '../time-layout.ts';

/** struct timex: modes 0, maxerror 24, esterror 32, status 40, precision 56, tolerance 64, time 72, tick 88. */
const TIMEX = {
  modes: 0,
  maxError: 24,
  estimatedError: 32,
  status: 40,
  precision: 56,
  tolerance: 64,
  seconds: 72,
  microseconds: 80,
  tick: 88,
  bytes: 208,
} as const;

/** A clock that no time server steers, as the kernel describes it. */
const STA_UNSYNC = 0x40;
const TIME_ERROR = 5;
const UNKNOWN_ERROR_MICROSECONDS = 16_000_000;
const TOLERANCE = 500 << 16;
const TICK_MICROSECONDS = 10_000;

function adjust(call: SyscallCall, va: number): number {
  const { memory, clock } = call.process;
  if (memory.readU32(va + TIMEX.modes) !== 0) return -Errno.EPERM;
  const now: TimeSpec = { seconds: 0, nanoseconds: 0 };
  clock.read(Clock.realtime, now);
  const bytes = new Uint8Array(TIMEX.bytes);
  const view = new DataView(bytes.buffer);
  const put = (at: number, value: number) => view.setBigInt64(at, BigInt(value), true);
  put(TIMEX.maxError, UNKNOWN_ERROR_MICROSECONDS);
  put(TIMEX.estimatedError, UNKNOWN_ERROR_MICROSECONDS);
  view.setInt32(TIMEX.status, STA_UNSYNC, true);
  put(TIMEX.precision, 1);
  put(TIMEX.tolerance, TOLERANCE);
  put(TIMEX.seconds, now.seconds);
  put(TIMEX.microseconds, Math.floor(now.nanoseconds / 1000));
  put(TIMEX.tick, TICK_MICROSECONDS);
  memory.write(va, bytes);
  return TIME_ERROR;
}

export const clockSettingSyscalls = {
  clock_settime(call) {
    if (call.i32(0) !== Clock.realtime) return -Errno.EINVAL;
    return isValidTime(readTimeSpec(call.process.memory, call.addr(1))) ? -Errno.EPERM : -Errno.EINVAL;
  },
  settimeofday(call) {
    if (call.addr(0) !== 0) readTimeSpec(call.process.memory, call.addr(0));
    return -Errno.EPERM;
  },
  adjtimex: (call) => adjust(call, call.addr(0)),
  clock_adjtime: (call) => (call.i32(0) === Clock.realtime ? adjust(call, call.addr(1)) : -Errno.EINVAL),
} satisfies SyscallMap;
