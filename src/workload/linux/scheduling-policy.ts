/**
 * Scheduling policies and the queue that they make: real-time threads first, by priority; of equal ones the first
 * comer. Normal threads have real-time priority 0. sched(7).
 */

/** SCHED_*. */
export const Policy = { other: 0, fifo: 1, rr: 2, batch: 3, idle: 5, deadline: 6, ext: 7 } as const;

/** SCHED_RESET_ON_FORK, beside the policy. */
export const RESET_ON_FORK = 0x4000_0000;

/** Policy of one thread. */
export interface Scheduling {
  readonly policy: number;
  /** Real-time priority, 1 to 99; 0 for the normal policies. */
  readonly priority: number;
  /** New threads start with the normal policy. */
  readonly resetOnFork: boolean;
}

export const NORMAL_SCHEDULING: Scheduling = { policy: Policy.other, priority: 0, resetOnFork: false };

export function isRealtime(policy: number): boolean {
  return policy === Policy.fifo || policy === Policy.rr;
}

export function isNormal(policy: number): boolean {
  return policy === Policy.other || policy === Policy.batch || policy === Policy.idle;
}

/** Highest real-time priority. */
export const MAX_PRIORITY = 99;

/** Whether the policy exists here and has such a priority. */
export function isValidScheduling({ policy, priority }: Scheduling): boolean {
  if (isNormal(policy)) return priority === 0;
  return isRealtime(policy) && priority >= 1 && priority <= MAX_PRIORITY;
}

/** Waiting threads, or what stands for them, highest priority first. */
export class ThreadQueue<T> {
  readonly #priorityOf: (item: T) => number;
  readonly #items: T[] = [];

  constructor(priorityOf: (item: T) => number) {
    this.#priorityOf = priorityOf;
  }

  get length(): number {
    return this.#items.length;
  }

  /** Priority of the first; −1 if there is none. */
  get topPriority(): number {
    const [first] = this.#items;
    return first === undefined ? -1 : this.#priorityOf(first);
  }

  /** Behind those of its priority. */
  push(item: T): void {
    const priority = this.#priorityOf(item);
    let at = this.#items.length;
    while (at > 0 && this.#priorityOf(this.#items[at - 1]!) < priority) at--;
    this.#items.splice(at, 0, item);
  }

  /** Before those of its priority. */
  unshift(item: T): void {
    const priority = this.#priorityOf(item);
    let at = 0;
    while (at < this.#items.length && this.#priorityOf(this.#items[at]!) > priority) at++;
    this.#items.splice(at, 0, item);
  }

  shift(): T | undefined {
    return this.#items.shift();
  }

  /** Whether it was there. */
  delete(item: T): boolean {
    const index = this.#items.indexOf(item);
    if (index < 0) return false;
    this.#items.splice(index, 1);
    return true;
  }

  [Symbol.iterator](): IterableIterator<T> {
    return this.#items[Symbol.iterator]();
  }
}
