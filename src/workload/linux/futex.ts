/**
 * Futexes of one process: wait queues by user address. futex(2); robust lists:
 * Documentation/locking/robust-futexes of the Linux kernel. One process has one address space, so the virtual
 * address is the key, private or not.
 */
import type { Tick } from '../../sim/tick.ts';
import { Errno, Restart } from './errno.ts';
import { ThreadQueue } from './scheduling-policy.ts';
import type { Wait } from './syscall.ts';
import type { Thread } from './thread.ts';
import { GuestFault } from './user-memory.ts';

/** Matches every waiter. */
export const FUTEX_BITSET_ANY = 0xffff_ffff;

/** Bits of a futex word that names its owner: robust ones and those with priority inheritance. */
export const FUTEX_WAITERS = 0x8000_0000;
export const FUTEX_OWNER_DIED = 0x4000_0000;
export const FUTEX_TID_MASK = 0x3fff_ffff;

/** The kernel's limit, so that a circular list ends. */
const ROBUST_LIST_LIMIT = 2048;

/** User memory, as much of it as futexes need. A bad address throws GuestFault. */
export interface FutexMemory {
  readU32(va: number): number;
  readAddress(va: number): number;
  readI64(va: number): bigint;
  writeU32(va: number, value: number): void;
}

/** A sleeping thread. It is its own `Wait`: ended by `wake`, the deadline or a signal, never by polling. */
class FutexWait implements Wait {
  readonly thread: Thread;
  readonly bitset: number;
  readonly deadline: Tick | undefined;
  readonly timeoutResult = -Errno.ETIMEDOUT;
  readonly interruptResult: number;
  address: number;
  readonly #table: FutexTable;

  constructor(
    table: FutexTable,
    thread: Thread,
    address: number,
    bitset: number,
    deadline: Tick | undefined,
  ) {
    this.#table = table;
    this.thread = thread;
    this.address = address;
    this.bitset = bitset;
    this.deadline = deadline;
    this.interruptResult = deadline === undefined ? Restart.sys : Restart.noHand;
  }

  poll(): undefined {
    return undefined;
  }

  cancel(): void {
    this.#table.forget(this);
  }
}

export class FutexTable {
  readonly #memory: FutexMemory;
  readonly #finish: (thread: Thread, result: number) => void;
  readonly #queues = new Map<number, ThreadQueue<FutexWait>>();

  /** @param finish ends a thread's wait with a result */
  constructor(memory: FutexMemory, finish: (thread: Thread, result: number) => void) {
    this.#memory = memory;
    this.#finish = finish;
  }

  /** Threads that sleep at `address`. */
  waiters(address: number): number {
    return this.#queues.get(address)?.length ?? 0;
  }

  /** FUTEX_WAIT: sleeps if the word still holds `expected`, else −EAGAIN. */
  wait(
    thread: Thread,
    address: number,
    expected: number,
    bitset: number,
    deadline: Tick | undefined,
  ): Wait | number {
    if (address % 4 !== 0 || bitset === 0) return -Errno.EINVAL;
    if (this.#memory.readU32(address) !== expected) return -Errno.EAGAIN;
    const wait = new FutexWait(this, thread, address, bitset, deadline);
    this.#enqueue(wait);
    return wait;
  }

  /**
   * FUTEX_WAKE: wakes up to `count` threads, at least one; the highest priority and the longest sleeping first.
   * Returns how many.
   */
  wake(address: number, count: number, bitset: number = FUTEX_BITSET_ANY): number {
    const queue = this.#queues.get(address);
    if (queue === undefined) return 0;
    const woken = [...queue].filter((wait) => (wait.bitset & bitset) !== 0).slice(0, Math.max(1, count));
    for (const wait of woken) {
      this.forget(wait);
      this.#finish(wait.thread, 0);
    }
    return woken.length;
  }

  /** FUTEX_REQUEUE: wakes `wakeCount` threads and moves up to `moveCount` others. Returns woken + moved. */
  requeue(from: number, to: number, wakeCount: number, moveCount: number): number {
    if (wakeCount < 0 || moveCount < 0) return -Errno.EINVAL;
    const woken = wakeCount === 0 ? 0 : this.wake(from, wakeCount);
    return woken + this.#move(from, to, moveCount);
  }

  /**
   * FUTEX_WAKE_OP: changes the second word, wakes at the first, and at the second if its old value compares.
   */
  wakeOp(first: number, second: number, wakeFirst: number, wakeSecond: number, operation: number): number {
    const decoded = decodeWakeOp(operation);
    if (decoded === undefined) return -Errno.ENOSYS;
    if (second % 4 !== 0) return -Errno.EINVAL;
    const old = this.#memory.readU32(second);
    this.#memory.writeU32(second, decoded.apply(old));
    const woken = this.wake(first, wakeFirst);
    return decoded.compare(old | 0) ? woken + this.wake(second, wakeSecond) : woken;
  }

  /**
   * What a thread that exits owes to others (the kernel's mm_release): robust locks that it holds are marked
   * and one waiter of each is woken; the word of CLONE_CHILD_CLEARTID becomes 0. What cannot be reached is
   * the program's fault.
   */
  threadExits(thread: Thread): void {
    const { robustList, clearChildTid, tid } = thread;
    try {
      if (robustList !== 0) this.#releaseRobustList(robustList, tid);
    } catch (error) {
      if (!(error instanceof GuestFault)) throw error;
    }
    try {
      if (clearChildTid === 0) return;
      this.#memory.writeU32(clearChildTid, 0);
      this.wake(clearChildTid, 1);
    } catch (error) {
      if (!(error instanceof GuestFault)) throw error;
    }
  }

  /** @internal The wait is over. */
  forget(wait: FutexWait): void {
    const queue = this.#queues.get(wait.address);
    if (queue?.delete(wait) === true && queue.length === 0) this.#queues.delete(wait.address);
  }

  /** struct robust_list_head: first entry, offset of the futex word from an entry, entry being (un)locked. */
  #releaseRobustList(head: number, tid: number): void {
    const offset = Number(this.#memory.readI64(head + 8));
    const pending = this.#memory.readAddress(head + 16);
    let entry = this.#memory.readAddress(head);
    for (let i = 0; entry !== head && i < ROBUST_LIST_LIMIT; i++) {
      const next = this.#memory.readAddress(untagged(entry));
      if (entry !== pending) this.#ownerDied(entry, offset, tid);
      entry = next;
    }
    if (pending !== 0) this.#ownerDied(pending, offset, tid);
  }

  /** Waiters of a priority-inheritance futex are woken by `PiFutexTable.ownerExits`. */
  #ownerDied(entry: number, offset: number, tid: number): void {
    const address = untagged(entry) + offset;
    const word = this.#memory.readU32(address);
    if ((word & FUTEX_TID_MASK) !== tid) return;
    this.#memory.writeU32(address, ((word & FUTEX_WAITERS) | FUTEX_OWNER_DIED) >>> 0);
    if ((word & FUTEX_WAITERS) !== 0 && entry === untagged(entry)) this.wake(address, 1);
  }

  #move(from: number, to: number, count: number): number {
    const moved = [...(this.#queues.get(from) ?? [])].slice(0, count);
    for (const wait of moved) {
      this.forget(wait);
      wait.address = to;
      this.#enqueue(wait);
    }
    return moved.length;
  }

  #enqueue(wait: FutexWait): void {
    const queue = this.#queues.get(wait.address) ?? newQueue();
    this.#queues.set(wait.address, queue);
    queue.push(wait);
  }
}

function newQueue(): ThreadQueue<FutexWait> {
  return new ThreadQueue((wait) => wait.thread.effectivePriority);
}

/** Bit 0 of a list pointer marks a priority-inheritance futex. */
function untagged(entry: number): number {
  return entry - (entry % 2);
}

const WAKE_OPS: readonly ((old: number, arg: number) => number)[] = [
  (_old, arg) => arg,
  (old, arg) => old + arg,
  (old, arg) => old | arg,
  (old, arg) => old & ~arg,
  (old, arg) => old ^ arg,
];

const WAKE_COMPARISONS: readonly ((old: number, arg: number) => boolean)[] = [
  (old, arg) => old === arg,
  (old, arg) => old !== arg,
  (old, arg) => old < arg,
  (old, arg) => old <= arg,
  (old, arg) => old > arg,
  (old, arg) => old >= arg,
];

interface WakeOp {
  apply(old: number): number;
  compare(old: number): boolean;
}

/**
 * FUTEX_OP's encoding: op 4 bits (the top one: argument is a shift), comparison 4, two signed arguments of
 * 12.
 */
function decodeWakeOp(operation: number): WakeOp | undefined {
  const op = WAKE_OPS[(operation >>> 28) & 7];
  const comparison = WAKE_COMPARISONS[(operation >>> 24) & 15];
  if (op === undefined || comparison === undefined) return undefined;
  const raw = (operation << 8) >> 20;
  const arg = operation >>> 31 === 1 ? 1 << (raw & 31) : raw;
  const against = (operation << 20) >> 20;
  return { apply: (old) => op(old, arg) >>> 0, compare: (old) => comparison(old, against) };
}
