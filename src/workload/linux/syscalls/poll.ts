/**
 * Waiting for several descriptors. poll(2), ppoll(2): an array of {int fd, short events, short revents}.
 */
import { Errno } from '../errno.ts';
import { PollSet } from '../files/poll-set.ts';
import { applyMask, readTimeout, type Timeout, TimeoutReport, waitUntilReady } from '../files/poll-wait.ts';
import type { SyscallCall, SyscallMap, SyscallResult } from '../syscall.ts';
import { selectSyscalls } from './poll-select.ts';

const POLLFD_BYTES = 8;
const REVENTS = 6;
const NS_PER_MS = 1e6;

function poll(call: SyscallCall, timeout: Timeout, report: TimeoutReport | undefined): SyscallResult {
  const { files, memory } = call.process;
  const va = call.addr(0);
  const count = call.u32(1);
  if (count > files.maxDescriptors) return -Errno.EINVAL;
  const pollfds = memory.read(va, POLLFD_BYTES * count);
  const view = new DataView(pollfds.buffer, pollfds.byteOffset, pollfds.byteLength);
  const set = new PollSet(files);
  for (let i = 0; i < count; i++) {
    set.add(view.getInt32(POLLFD_BYTES * i, true), view.getUint16(POLLFD_BYTES * i + 4, true));
  }
  return waitUntilReady(call, set, timeout, report, () => {
    let ready = 0;
    for (let i = 0; i < count; i++) {
      memory.writeU16(va + POLLFD_BYTES * i + REVENTS, set.ready[i]!);
      if (set.ready[i] !== 0) ready++;
    }
    return ready;
  });
}

export const pollSyscalls = {
  poll(call) {
    const ms = call.i32(2);
    return poll(call, ms < 0 ? Number.POSITIVE_INFINITY : ms * NS_PER_MS, undefined);
  },
  ppoll(call) {
    const timeout = readTimeout(call, call.addr(2), 1);
    if (timeout < 0) return timeout;
    const masked = applyMask(call, call.addr(3), call.size(4));
    return masked < 0 ? masked : poll(call, timeout, new TimeoutReport(call, call.addr(2), 1));
  },
  ...selectSyscalls,
} satisfies SyscallMap;
