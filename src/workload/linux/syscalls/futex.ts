/**
 * futex(2): argument checks here, the work in FutexTable and PiFutexTable.
 */
import type { Tick } from '../../../sim/tick.ts';
import { Clock } from '../clock.ts';
import { Errno } from '../errno.ts';
import { FUTEX_BITSET_ANY } from '../futex.ts';
import type { SyscallCall, SyscallMap, SyscallResult } from '../syscall.ts';
import { isValidTime, readTimeSpec } from '../time-layout.ts';

const FutexOp = {
  wait: 0,
  wake: 1,
  requeue: 3,
  cmpRequeue: 4,
  wakeOp: 5,
  lockPi: 6,
  unlockPi: 7,
  trylockPi: 8,
  waitBitset: 9,
  wakeBitset: 10,
  lockPi2: 13,
} as const;
const FUTEX_CMD_MASK = 0x7f;
const FUTEX_PRIVATE = 0x80;
const FUTEX_CLOCK_REALTIME = 0x100;

/** Operations that let the caller choose the clock. */
const CHOOSE_CLOCK: readonly number[] = [FutexOp.waitBitset, FutexOp.lockPi2];

/**
 * The deadline argument, of which FUTEX_WAIT's alone is relative; undefined: none. −EINVAL for no valid time.
 */
function deadlineOf(call: SyscallCall, command: number): Tick | undefined | number {
  const { process } = call;
  const timeoutVa = call.addr(3);
  if (timeoutVa === 0) return undefined;
  const time = readTimeSpec(process.memory, timeoutVa);
  if (!isValidTime(time)) return -Errno.EINVAL;
  if (command === FutexOp.wait) return process.clock.tickAfter(time);
  const realtime = command === FutexOp.lockPi || (call.u32(1) & FUTEX_CLOCK_REALTIME) !== 0;
  return process.clock.tickAt(realtime ? Clock.realtime : Clock.monotonic, time);
}

function wait(call: SyscallCall, command: number, bitset: number): SyscallResult {
  const deadline = deadlineOf(call, command);
  if (typeof deadline === 'number') return deadline;
  return call.process.futexes.wait(call.thread, call.addr(0), call.u32(2), bitset, deadline);
}

function lockPi(call: SyscallCall, command: number): SyscallResult {
  const deadline = deadlineOf(call, command);
  if (typeof deadline === 'number') return deadline;
  return call.process.piFutexes.lock(call.thread, call.addr(0), deadline);
}

function futex(call: SyscallCall): SyscallResult {
  const { futexes, piFutexes, memory } = call.process;
  const [address, second] = [call.addr(0), call.addr(4)];
  const operation = call.u32(1);
  const command = operation & FUTEX_CMD_MASK;
  if ((operation & FUTEX_CLOCK_REALTIME) !== 0 && !CHOOSE_CLOCK.includes(command)) return -Errno.ENOSYS;
  if (address % 4 !== 0) return -Errno.EINVAL;
  // The key of a futex that may be shared with other processes is its page, which has to be there.
  const reach = (va: number) => (operation & FUTEX_PRIVATE) === 0 && memory.readU32(va);
  switch (command) {
    case FutexOp.wait:
      return wait(call, command, FUTEX_BITSET_ANY);
    case FutexOp.waitBitset:
      return wait(call, command, call.u32(5));
    case FutexOp.wake:
      reach(address);
      return futexes.wake(address, call.i32(2));
    case FutexOp.wakeBitset:
      if (call.u32(5) === 0) return -Errno.EINVAL;
      reach(address);
      return futexes.wake(address, call.i32(2), call.u32(5));
    case FutexOp.cmpRequeue:
    case FutexOp.requeue: {
      const [wakes, moves] = [call.i32(2), call.i32(3)];
      reach(address);
      reach(second);
      const compares = command === FutexOp.cmpRequeue && wakes >= 0 && moves >= 0;
      if (compares && memory.readU32(address) !== call.u32(5)) return -Errno.EAGAIN;
      return futexes.requeue(address, second, wakes, moves);
    }
    case FutexOp.wakeOp:
      return futexes.wakeOp(address, second, call.i32(2), call.i32(3), call.u32(5));
    case FutexOp.lockPi:
    case FutexOp.lockPi2:
      return lockPi(call, command);
    case FutexOp.trylockPi:
      return piFutexes.tryLock(call.thread, address);
    case FutexOp.unlockPi:
      return piFutexes.unlock(call.thread, address);
    default:
      call.process.warnOnce(`futex operation ${command} is not implemented (ENOSYS)`, `futex ${command}`);
      return -Errno.ENOSYS;
  }
}

export const futexSyscalls = { futex } satisfies SyscallMap;
