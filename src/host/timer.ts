/*
 * A one-shot POSIX timer on the monotonic clock that signals one thread. Sources: timer_create(2) with
 * SIGEV_THREAD_ID, timer_settime(2), clock_getres(2).
 */
import { CLOCK_MONOTONIC, clockResolutionNs } from './clock.ts';
import { addressOf, bind, bindSyscall, check, lazily } from './ffi.ts';
import { struct, u32, u64 } from './layout.ts';
import type { SignalTarget } from './signals.ts';

const SIGEV_THREAD_ID = 4;
const Sigevent = struct('sigevent', {
  sigev_value: u64,
  sigev_signo: u32,
  sigev_notify: u32,
  thread_id: u32,
  pad: [u32, 11],
});

/** 32-bit words of `struct itimerspec`: interval and value, each seconds and nanoseconds of 64 bits. */
const ITIMERSPEC_WORDS = 8;
const VALUE_SECONDS = 4;
const VALUE_NANOSECONDS = 6;

const NS_PER_SECOND = 1_000_000_000;

/** System-call numbers by `process.arch`. Raw calls: a timer is then named by the kernel's small integer. */
const SYSCALLS = {
  x64: { timer_create: 222, timer_settime: 223, timer_delete: 226 },
  arm64: { timer_create: 107, timer_settime: 110, timer_delete: 111 },
} as const;

const syscall = lazily(() => ({
  ...SYSCALLS[process.arch === 'arm64' ? 'arm64' : 'x64'],
  // Seven arguments, though six are never needed: Node calls such a signature faster than one of four to six.
  call: bind('syscall', ['int32', 'int32', 'int32', 'pointer', 'pointer', 'int32', 'int32'], 'int32'),
  create: bindSyscall(['int32', 'pointer', 'pointer']),
}));

/** A timer that belongs to one thread. */
export class PosixTimer {
  readonly #id: number;
  readonly #time = new Uint32Array(ITIMERSPEC_WORDS);
  readonly #timeAddress = addressOf(this.#time);
  readonly #call = syscall().call;
  readonly #settime = syscall().timer_settime;
  /** It measures the host's time, wherever the thread is. */
  readonly onlyInGuest = false;
  /** Resolution of its clock, nanoseconds. */
  readonly resolutionNs: number;

  /** @param target the thread that is signalled when the time is up */
  constructor(target: SignalTarget) {
    const event = new DataView(new ArrayBuffer(Sigevent.size));
    event.setUint32(Sigevent.at.sigev_signo, target.signal, true);
    event.setUint32(Sigevent.at.sigev_notify, SIGEV_THREAD_ID, true);
    event.setUint32(Sigevent.at.thread_id, target.threadId, true);
    const id = new Int32Array(1);
    const { create, timer_create } = syscall();
    check(create(timer_create, CLOCK_MONOTONIC, event, id), 'timer_create', {
      EAGAIN: 'too many timers or pending signals: raise "ulimit -i"',
      EINVAL: `thread ${target.threadId} is not of this process`,
    });
    this.#id = id[0]!;
    this.resolutionNs = clockResolutionNs(CLOCK_MONOTONIC);
  }

  /** Arms it, or arms it anew. Hot path. @param ns from now; at least 1 is taken, below 2^32 seconds */
  arm(ns: number): void {
    const atLeastOne = ns < 1 ? 1 : Math.ceil(ns);
    const seconds = Math.floor(atLeastOne / NS_PER_SECOND);
    this.#set(seconds, atLeastOne - seconds * NS_PER_SECOND);
  }

  /** Stops it. A signal that it has sent already stays pending. */
  disarm(): void {
    this.#set(0, 0);
  }

  /** Deletes it. */
  close(): void {
    const { call, timer_delete } = syscall();
    check(call(timer_delete, this.#id, 0, 0n, 0n, 0, 0), 'timer_delete');
  }

  #set(seconds: number, nanoseconds: number): void {
    this.#time[VALUE_SECONDS] = seconds;
    this.#time[VALUE_NANOSECONDS] = nanoseconds;
    check(this.#call(this.#settime, this.#id, 0, this.#timeAddress, 0n, 0, 0), 'timer_settime');
  }
}
