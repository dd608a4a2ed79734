/**
 * Futexes with priority inheritance: the word holds its owner's tid, and the owner runs at the priority of the
 * first that waits for it. futex(2), "Priority-inheritance futexes"; kernel/futex/pi.c of Linux.
 *
 *   word = 0 ──lock──▶ tid ──another's lock──▶ tid | WAITERS ──unlock──▶ next tid | WAITERS
 */
import type { Tick } from '../../sim/tick.ts';
import { Errno, Restart } from './errno.ts';
import { FUTEX_OWNER_DIED, FUTEX_TID_MASK, FUTEX_WAITERS, type FutexMemory } from './futex.ts';
import { ThreadQueue } from './scheduling-policy.ts';
import type { Wait } from './syscall.ts';
import type { Thread } from './thread.ts';
import { GuestFault } from './user-memory.ts';

/** What the table needs from the process. */
export interface PiFutexOwner {
  readonly memory: FutexMemory;
  /** The living thread of that number. */
  thread(tid: number): Thread | undefined;
  /** Ends a thread's wait. */
  finish(thread: Thread, result: number): void;
  /** The thread's effective priority changed. */
  reprioritized(thread: Thread): void;
}

/** A futex that somebody waits for. */
interface Contended {
  readonly address: number;
  owner: Thread;
  readonly waits: ThreadQueue<PiWait>;
}

/** A thread that waits; ended by a hand-over, the deadline or a signal, never by polling. */
class PiWait implements Wait {
  readonly thread: Thread;
  readonly futex: Contended;
  readonly deadline: Tick | undefined;
  readonly timeoutResult = -Errno.ETIMEDOUT;
  readonly interruptResult = Restart.noIntr;
  readonly #table: PiFutexTable;

  constructor(table: PiFutexTable, thread: Thread, futex: Contended, deadline: Tick | undefined) {
    this.#table = table;
    this.thread = thread;
    this.futex = futex;
    this.deadline = deadline;
  }

  poll(): undefined {
    return undefined;
  }

  cancel(): void {
    this.#table.forget(this);
  }
}

export class PiFutexTable {
  readonly #owner: PiFutexOwner;
  readonly #contended = new Map<number, Contended>();
  readonly #waits = new Map<Thread, PiWait>();

  constructor(owner: PiFutexOwner) {
    this.#owner = owner;
  }

  /** FUTEX_LOCK_PI: 0 = the thread has the lock. */
  lock(thread: Thread, address: number, deadline: Tick | undefined): Wait | number {
    const holder = this.#take(thread, address);
    if (typeof holder === 'number') return holder;
    if (this.#waitsFor(holder, thread)) return -Errno.EDEADLK;
    const { memory } = this.#owner;
    memory.writeU32(address, (memory.readU32(address) | FUTEX_WAITERS) >>> 0);
    const futex = this.#contended.get(address) ?? {
      address,
      owner: holder,
      waits: new ThreadQueue<PiWait>((wait) => wait.thread.effectivePriority),
    };
    this.#contended.set(address, futex);
    const wait = new PiWait(this, thread, futex, deadline);
    this.#waits.set(thread, wait);
    futex.waits.push(wait);
    this.#inherit(futex.owner);
    return wait;
  }

  /** FUTEX_TRYLOCK_PI: −EAGAIN if another has it. */
  tryLock(thread: Thread, address: number): number {
    const holder = this.#take(thread, address);
    return typeof holder === 'number' ? holder : -Errno.EAGAIN;
  }

  /** FUTEX_UNLOCK_PI: the first of those who wait gets the lock. */
  unlock(thread: Thread, address: number): number {
    const { memory } = this.#owner;
    if ((memory.readU32(address) & FUTEX_TID_MASK) !== thread.tid) return -Errno.EPERM;
    const futex = this.#contended.get(address);
    if (futex === undefined) memory.writeU32(address, 0);
    else this.#handOver(futex, 0);
    return 0;
  }

  /** The thread is gone: what it held goes on to those who wait, marked. */
  ownerExits(thread: Thread): void {
    for (const futex of [...this.#contended.values()]) {
      if (futex.owner !== thread) continue;
      try {
        this.#handOver(futex, FUTEX_OWNER_DIED);
      } catch (error) {
        if (!(error instanceof GuestFault)) throw error;
      }
    }
  }

  /** @internal The wait is over, without the lock. */
  forget(wait: PiWait): void {
    this.#remove(wait);
    this.#inherit(wait.futex.owner);
  }

  /** Takes a free lock: 0; else its holder, or −errno. */
  #take(thread: Thread, address: number): Thread | number {
    const { memory } = this.#owner;
    const word = memory.readU32(address);
    const tid = word & FUTEX_TID_MASK;
    if (tid === thread.tid) return -Errno.EDEADLK;
    if (tid !== 0) return this.#owner.thread(tid) ?? -Errno.ESRCH;
    memory.writeU32(address, ((word & (FUTEX_OWNER_DIED | FUTEX_WAITERS)) | thread.tid) >>> 0);
    return 0;
  }

  /** Whether `waiter` waits, through whatever chain of locks, for `thread`. */
  #waitsFor(waiter: Thread, thread: Thread): boolean {
    let next: Thread | undefined = waiter;
    while (next !== undefined && next !== thread) next = this.#waits.get(next)?.futex.owner;
    return next === thread;
  }

  #handOver(futex: Contended, mark: number): void {
    const { memory } = this.#owner;
    const former = futex.owner;
    const wait = futex.waits.shift()!;
    const died = (memory.readU32(futex.address) & FUTEX_OWNER_DIED) | mark;
    this.#remove(wait);
    futex.owner = wait.thread;
    memory.writeU32(futex.address, (wait.thread.tid | FUTEX_WAITERS | died) >>> 0);
    this.#inherit(former);
    this.#inherit(wait.thread);
    this.#owner.finish(wait.thread, 0);
  }

  #remove(wait: PiWait): void {
    this.#waits.delete(wait.thread);
    wait.futex.waits.delete(wait);
    if (wait.futex.waits.length === 0) this.#contended.delete(wait.futex.address);
  }

  /** Sets what the thread inherits from those who wait for it, and so on along the chain of owners. */
  #inherit(thread: Thread): void {
    let inherited = 0;
    for (const { owner, waits } of this.#contended.values()) {
      if (owner === thread) inherited = Math.max(inherited, waits.topPriority);
    }
    if (inherited === thread.inheritedPriority) return;
    thread.inheritedPriority = inherited;
    this.#owner.reprioritized(thread);
    const wait = this.#waits.get(thread);
    if (wait === undefined) return;
    wait.futex.waits.delete(wait);
    wait.futex.waits.push(wait);
    this.#inherit(wait.futex.owner);
  }
}
