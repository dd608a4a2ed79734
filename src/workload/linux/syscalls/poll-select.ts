/**
 * select(2) and pselect(2): three bit sets, of descriptors to read, to write, and with exceptional conditions.
 */
import { Poll } from '../../../host/files-abi.ts';
import { Errno } from '../errno.ts';
import { PollSet } from '../files/poll-set.ts';
import { applyMask, readTimeout, type Timeout, TimeoutReport, waitUntilReady } from '../files/poll-wait.ts';
import type { SyscallCall, SyscallMap, SyscallResult } from '../syscall.ts';

/** What the three sets mean in terms of poll(2); fs/select.c. */
const EVENTS = [
  Poll.RDNORM | Poll.RDBAND | Poll.IN | Poll.HUP | Poll.ERR,
  Poll.WRBAND | Poll.WRNORM | Poll.OUT | Poll.ERR,
  Poll.PRI,
] as const;

/** One of the sets, in the program's memory. */
interface BitSet {
  readonly va: number;
  readonly wanted: Uint8Array;
  readonly events: number;
}

function readSets(call: SyscallCall, bytes: number): BitSet[] {
  const sets: BitSet[] = [];
  for (const [i, events] of EVENTS.entries()) {
    const va = call.addr((i + 1) as 1 | 2 | 3);
    if (va !== 0) sets.push({ va, wanted: call.process.memory.read(va, bytes), events });
  }
  return sets;
}

function has(bits: Uint8Array, fd: number): boolean {
  return (bits[fd >> 3]! & (1 << (fd & 7))) !== 0;
}

function select(call: SyscallCall, timeout: Timeout, report: TimeoutReport): SyscallResult {
  const { files, memory } = call.process;
  const count = call.i32(0);
  if (count < 0) return -Errno.EINVAL;
  const limit = Math.min(count, files.maxDescriptors);
  const bytes = Math.ceil(limit / 64) * 8;
  const sets = readSets(call, bytes);
  const poll = new PollSet(files);
  const asked: number[] = [];
  for (let fd = 0; fd < limit; fd++) {
    let events = 0;
    for (const set of sets) if (has(set.wanted, fd)) events |= set.events;
    if (events === 0) continue;
    poll.add(fd, events);
    asked.push(fd);
  }
  if (poll.hasClosed) return -Errno.EBADF;
  return waitUntilReady(call, poll, timeout, report, () => {
    let ready = 0;
    for (const set of sets) {
      const found = new Uint8Array(bytes);
      for (const [i, fd] of asked.entries()) {
        if (!has(set.wanted, fd) || (poll.ready[i]! & set.events) === 0) continue;
        found[fd >> 3]! |= 1 << (fd & 7);
        ready++;
      }
      memory.write(set.va, found);
    }
    return ready;
  });
}

export const selectSyscalls = {
  select(call) {
    const timeout = readTimeout(call, call.addr(4), 1000);
    return timeout < 0 ? timeout : select(call, timeout, new TimeoutReport(call, call.addr(4), 1000));
  },
  /** The sixth argument points to {const sigset_t *mask, size_t size}. */
  pselect6(call) {
    const { memory } = call.process;
    const timeout = readTimeout(call, call.addr(4), 1);
    if (timeout < 0) return timeout;
    const pack = call.addr(5);
    const masked = pack === 0 ? 0 : applyMask(call, memory.readAddress(pack), memory.readAddress(pack + 8));
    return masked < 0 ? masked : select(call, timeout, new TimeoutReport(call, call.addr(4), 1));
  },
} satisfies SyscallMap;
