/**
 * The drain manager: brings all objects to a point where nothing is in flight, so that state can be saved
 * or handed over. gem5: src/sim/drain.hh.
 */
import type { SimObject } from './sim-object.ts';
import { panic } from './trouble.ts';

export type DrainState = 'running' | 'draining' | 'drained';

export class DrainManager {
  readonly #root: SimObject;
  #state: DrainState = 'running';
  readonly #pending = new Set<SimObject>();

  constructor(root: SimObject) {
    this.#root = root;
  }

  get state(): DrainState {
    return this.#state;
  }

  /** Whether a drain was requested and not yet resumed. */
  get isDraining(): boolean {
    return this.#state === 'draining';
  }

  /** Objects that have not yet reported, for messages. */
  get pendingPaths(): string[] {
    return [...this.#pending].map(({ path }) => path);
  }

  /** Whether all objects that had something in flight have reported. Then {@link tryDrain} asks everybody again. */
  get allReported(): boolean {
    return this.#state === 'draining' && this.#pending.size === 0;
  }

  /** Asks every object; true if all are drained. One object's draining may wake another, hence "again". */
  tryDrain(): boolean {
    if (this.#state === 'drained') return true;
    if (this.#pending.size > 0) return false;
    this.#state = 'draining';
    for (const object of this.#root.descendants()) {
      const answer = object.drain();
      if (object.debug.Drain) object.trace('Drain', answer);
      if (answer === 'draining') this.#pending.add(object);
    }
    if (this.#pending.size > 0) return false;
    this.#state = 'drained';
    return true;
  }

  /** An object that answered `draining` is drained now. Repeating it is harmless. */
  drainDone(object: SimObject): void {
    if (!this.#pending.delete(object)) return;
    if (object.debug.Drain) object.trace('Drain', 'done');
    if (this.#pending.size === 0) this.#root.root.slice.cut();
  }

  /** State was restored: a checkpoint is always taken drained. */
  restored(): void {
    this.#pending.clear();
    this.#state = 'drained';
  }

  /** Everybody goes on; also gives up a drain that is under way. */
  resume(): void {
    if (this.#state === 'running') panic(this.#root.path, 'resume without a drain');
    this.#pending.clear();
    this.#state = 'running';
    for (const object of this.#root.descendants()) object.drainResume();
  }
}
