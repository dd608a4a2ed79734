/*
 * Performance counters of one thread, counting the guest that it runs. Sources: perf_event_open(2), fcntl(2)
 * F_SETOWN_EX and F_SETSIG.
 */
import { Errno, HostError, type Remedies } from './errors.ts';
import { addressOf, bind, check, errno, lastError, lazily } from './ffi.ts';
import { closeFd, ioctl } from './ioctl.ts';
import { PERF_FLAG_FD_CLOEXEC, PerfEventAttr, PerfFlag, PerfIoctl } from './perf-abi.ts';
import type { SignalTarget } from './signals.ts';

export { PerfHardware, PerfSoftware, PerfType } from './perf-abi.ts';

/** What to count, and where. */
export interface PerfEvent {
  /** A `PerfType`. */
  readonly type: number;
  /** A `PerfHardware` or `PerfSoftware`. */
  readonly config: number;
  /** Overflow after so many counts; 0 counts only. */
  readonly samplePeriod?: number;
  /** Count the guest only. Dropped where the kernel refuses it: see `PerfCounter.dropped`. */
  readonly excludeHost?: boolean;
  /** Do not count the hypervisor. Dropped likewise. */
  readonly excludeHv?: boolean;
  /** Do not count ring 0; what a user without privileges may count (`perf_event_paranoid` 2). */
  readonly excludeKernel?: boolean;
  /** Always on the processor, or lost; for the leader of a group. */
  readonly pinned?: boolean;
  /** The leader of the group to join: both are on the processor at the same times. */
  readonly leader?: PerfCounter;
}

/** Exclusions that a kernel may refuse, in the order in which they are given up. */
const OPTIONAL_FLAGS = ['exclude_hv', 'exclude_host'] as const;
export type DroppedFlag = (typeof OPTIONAL_FLAGS)[number];

const OPEN_REMEDIES: Remedies = {
  EACCES: 'not permitted: lower it with "sudo sysctl kernel.perf_event_paranoid=1"',
  EPERM:
    'not permitted: lower it with "sudo sysctl kernel.perf_event_paranoid=1", or allow the call in the sandbox',
  ENOENT: 'this processor or virtual machine offers no such counter',
  EOPNOTSUPP: 'this processor or virtual machine offers no such counter',
  ENODEV: 'this processor or virtual machine offers no such counter',
  ENOSYS: 'the kernel is built without performance events',
  EMFILE: 'too many open files: raise "ulimit -n"',
};

const PERF_EVENT_OPEN = { x64: 298, arm64: 241 } as const;
const THIS_THREAD = 0;
const ANY_CPU = -1;

const F_SETFL = 4;
const F_SETSIG = 10;
const F_SETOWN_EX = 15;
const F_OWNER_TID = 0;
const O_ASYNC = 0o20000;

const libc = lazily(() => ({
  open: bind('syscall', ['int32', 'pointer', 'int32', 'int32', 'int32', 'int32', 'int32'], 'int32'),
  read: bind('read', ['int32', 'pointer', 'uint32'], 'int32'),
  fcntl: bind('fcntl', ['int32', 'int32', 'pointer'], 'int32'),
}));

/** A counter of the thread that opened it. It starts stopped. */
export class PerfCounter {
  readonly #fd: number;
  readonly #value = new Uint32Array(2);
  readonly #valueAddress = addressOf(this.#value);
  readonly #read = libc().read;
  /** Exclusions that the kernel refused: the counts contain more than was asked for. */
  readonly dropped: readonly DroppedFlag[];

  /** Attaches a counter to the calling thread. @throws HostError with a remedy */
  static open(event: PerfEvent): PerfCounter {
    let wanted = OPTIONAL_FLAGS.filter((flag) => event[flag === 'exclude_hv' ? 'excludeHv' : 'excludeHost']);
    const dropped: DroppedFlag[] = [];
    for (;;) {
      const fd = openEvent(event, wanted);
      if (fd !== -1) return new PerfCounter(fd, dropped);
      const refused = errno() === Errno.EINVAL || errno() === Errno.EOPNOTSUPP ? wanted[0] : undefined;
      if (refused === undefined) throw lastError('perf_event_open', OPEN_REMEDIES);
      dropped.push(refused);
      wanted = wanted.slice(1);
    }
  }

  private constructor(fd: number, dropped: readonly DroppedFlag[]) {
    this.#fd = fd;
    this.dropped = dropped;
  }

  get fd(): number {
    return this.#fd;
  }

  start(): void {
    ioctl(this.#fd, PerfIoctl.ENABLE, 0n, 'PERF_EVENT_IOC_ENABLE');
  }

  stop(): void {
    ioctl(this.#fd, PerfIoctl.DISABLE, 0n, 'PERF_EVENT_IOC_DISABLE');
  }

  /** Sets the count to 0. */
  reset(): void {
    ioctl(this.#fd, PerfIoctl.RESET, 0n, 'PERF_EVENT_IOC_RESET');
  }

  /** Counts so far; exact below 2^53. Hot path. @throws HostError if the counter was lost */
  read(): number {
    const bytes = this.#read(this.#fd, this.#valueAddress, 8);
    if (bytes === 8) return this.#value[0]! + this.#value[1]! * 0x1_0000_0000;
    if (bytes === -1) throw lastError('read(perf counter)');
    // End of file: a pinned counter could not be put on the processor (perf_event_open(2), "pinned").
    throw new HostError(
      'read(perf counter)',
      Errno.ENODATA,
      'the counter was lost: another tool uses the hardware',
    );
  }

  /** Overflows after `counts` more. */
  setPeriod(counts: number): void {
    const period = new BigUint64Array([BigInt(counts)]);
    ioctl(this.#fd, PerfIoctl.PERIOD, period, 'PERF_EVENT_IOC_PERIOD');
  }

  /** Starts it for so many overflows, after which it stops by itself. */
  startFor(overflows: number): void {
    ioctl(this.#fd, PerfIoctl.REFRESH, BigInt(overflows), 'PERF_EVENT_IOC_REFRESH');
  }

  /** Overflows signal a thread from now on. */
  signalOverflow(target: Pick<SignalTarget, 'threadId' | 'signal'>): void {
    const { fcntl } = libc();
    const owner = new Int32Array([F_OWNER_TID, target.threadId]);
    check(fcntl(this.#fd, F_SETOWN_EX, owner), 'fcntl(F_SETOWN_EX)');
    check(fcntl(this.#fd, F_SETSIG, BigInt(target.signal)), 'fcntl(F_SETSIG)');
    check(fcntl(this.#fd, F_SETFL, BigInt(O_ASYNC)), 'fcntl(F_SETFL)');
  }

  /** Detaches the counter. */
  close(): void {
    closeFd(this.#fd);
  }
}

function openEvent(event: PerfEvent, optional: readonly DroppedFlag[]): number {
  const { at, size } = PerfEventAttr;
  const attr = new DataView(new ArrayBuffer(size));
  attr.setUint32(at.type, event.type, true);
  attr.setUint32(at.size, size, true);
  attr.setBigUint64(at.config, BigInt(event.config), true);
  attr.setBigUint64(at.sample_period, BigInt(event.samplePeriod ?? 0), true);
  // A group starts and stops with its leader, so only leaders begin stopped.
  let flags = event.leader === undefined ? PerfFlag.disabled : 0;
  if (event.pinned) flags |= PerfFlag.pinned;
  if (event.excludeKernel) flags |= PerfFlag.exclude_kernel;
  for (const flag of optional) flags |= PerfFlag[flag];
  attr.setUint32(at.flags, flags, true);
  const nr = PERF_EVENT_OPEN[process.arch === 'arm64' ? 'arm64' : 'x64'];
  return libc().open(nr, attr, THIS_THREAD, ANY_CPU, event.leader?.fd ?? -1, PERF_FLAG_FD_CLOEXEC, 0);
}
