/**
 * SimObject: a node of the tree of simulated things. It has a path (`board.cpu`), declared state, statistics,
 * a life cycle, and answers drain requests. gem5: src/sim/sim_object.hh, drain.hh.
 *
 *   constructed → init (all objects exist) → initState, or state restored → startup → simulated
 */
import type { DebugFlag, DebugFlags } from './debug-flags.ts';
import type { EventQueue } from './event-queue.ts';
import type { ParamDeclarations, ParamInputs, ParamValues } from './params.ts';
import { resolveParams } from './params.ts';
import type { Root } from './root.ts';
import type { BlobCell, StateCell } from './state.ts';
import { StatGroup } from './stats/group.ts';
import type { Tick } from './tick.ts';

/** Answer to a drain request: nothing in flight, or {@link SimObject.drainDone} will follow. */
export type DrainAnswer = 'drained' | 'draining';

const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

export abstract class SimObject {
  readonly name: string;
  /** `board.cpu`; the root itself is `root`, and not part of the others' paths. */
  readonly path: string;
  readonly parent: SimObject | null;
  readonly root: Root;
  /** The flags of `--debug-flags`: `if (this.debug.KvmRun) this.trace('KvmRun', …)`. */
  readonly debug: DebugFlags;
  /** This object's statistics; see {@link addStats}. */
  readonly statistics = new StatGroup();
  readonly #children = new Map<string, SimObject>();
  readonly #state = new Map<string, StateCell>();
  readonly #blobs = new Map<string, BlobCell>();
  /** Its own queue, or the nearest one above. */
  readonly eventQueue: EventQueue;
  #params: Readonly<Record<string, unknown>> = {};

  /**
   * @param parent null only for the {@link Root}
   * @param name an identifier, unique among the parent's children
   * @param options eventQueue: this object's and its children's own queue, else the parent's
   */
  constructor(
    parent: SimObject | null,
    name: string,
    options: { eventQueue?: EventQueue; debug?: DebugFlags } = {},
  ) {
    if (!NAME.test(name)) throw new RangeError(`'${name}' is not a name for a SimObject`);
    this.name = name;
    this.parent = parent;
    if (parent === null) {
      if (options.debug === undefined) throw new RangeError(`${name}: only the Root has no parent`);
      this.path = name;
      this.root = this as unknown as Root;
      this.debug = options.debug;
      if (options.eventQueue === undefined) throw new RangeError(`${name}: the Root needs an event queue`);
      this.eventQueue = options.eventQueue;
    } else {
      this.path = parent.parent === null ? name : `${parent.path}.${name}`;
      this.root = parent.root;
      this.debug = parent.debug;
      this.eventQueue = options.eventQueue ?? parent.eventQueue;
      parent.#adopt(this);
      if (options.eventQueue !== undefined) this.root.addEventQueue(options.eventQueue);
    }
  }

  get children(): ReadonlyMap<string, SimObject> {
    return this.#children;
  }

  get curTick(): Tick {
    return this.eventQueue.curTick;
  }

  /** The declared state, by name. */
  get stateCells(): ReadonlyMap<string, StateCell> {
    return this.#state;
  }

  /** The declared big state, by name. */
  get blobCells(): ReadonlyMap<string, BlobCell> {
    return this.#blobs;
  }

  /** What a checkpoint says this object is; models that restore each other's state share one (CPUs do). */
  get stateType(): string {
    return this.constructor.name;
  }

  /** The checked parameters and what {@link addToConfig} adds, for `config.json`. */
  get resolvedParams(): Readonly<Record<string, unknown>> {
    return this.#params;
  }

  /** This object and all below it, parents first, children in the order of construction. */
  *descendants(): Generator<SimObject> {
    yield this;
    for (const child of this.#children.values()) yield* child.descendants();
  }

  /** Checks parameters, the user's own first, and keeps them for `config.json`. For constructors, once per declaration. */
  protected resolveParams<D extends ParamDeclarations>(declared: D, given: ParamInputs<D>): ParamValues<D> {
    const values = resolveParams(this.path, declared, this.root.overrides.over(this.path, declared, given));
    this.#params = { ...this.#params, ...values };
    return values;
  }

  /** Adds to `config.json` what an object has been told beside its parameters: the program that it executes. */
  protected addToConfig(values: Readonly<Record<string, unknown>>): void {
    this.#params = { ...this.#params, ...values };
  }

  /** Declares a piece of state: `readonly #count = this.state('count', numberCell())`. */
  protected state<T extends StateCell>(name: string, cell: T): T {
    this.#declare(name);
    this.#state.set(name, cell);
    return cell;
  }

  /** Declares state that is too big for JSON, such as RAM. */
  protected blob<T extends BlobCell>(name: string, cell: T): T {
    this.#declare(name);
    this.#blobs.set(name, cell);
    return cell;
  }

  /** Registers statistics: `readonly stats = this.addStats(new CpuStats())`; with a name, as a sub-group. */
  protected addStats<G extends StatGroup>(group: G, name?: string): G {
    if (name !== undefined) {
      this.statistics.add(name, group);
      return group;
    }
    for (const [statName, stat] of group.stats) this.statistics.add(statName, stat);
    for (const [groupName, sub] of group.groups) this.statistics.add(groupName, sub);
    this.statistics.onReset(() => group.runResetHooks());
    this.statistics.onDump(() => group.runDumpHooks());
    return group;
  }

  /** Prints `tick: path: text` if the flag is on. Ask {@link debug} first where the text costs something. */
  trace(flag: DebugFlag, text: string): void {
    if (this.debug[flag]) this.root.traceLine(this.eventQueue.curTick, this.path, text);
  }

  /** Warns about an approximation, once for this object and key. */
  warnOnce(message: string, key?: string): void {
    this.root.trouble.warnOnce(this.path, message, key);
  }

  /** All objects exist: connect, check, compute. */
  init(): void {}

  /** Initial state that is not in the constructor; not called when a checkpoint is restored. */
  initState(): void {}

  /** State was restored: recompute what derives from it. */
  restored(): void {}

  /** The simulation is about to begin, or to go on after a restore. Events may be scheduled. */
  startup(): void {}

  /** Get rid of everything in flight; called again after each {@link drainDone} of anybody. Harmless to repeat. */
  drain(): DrainAnswer {
    return 'drained';
  }

  /** Go on after a drain. */
  drainResume(): void {}

  /** Write cached data back to memory; the system is drained. */
  memWriteback(): void {}

  /** Drop cached data; the system is drained and written back. */
  memInvalidate(): void {}

  /** Tells the drain manager that this object, which answered `draining`, is drained. Harmless to repeat. */
  protected drainDone(): void {
    this.root.drainManager.drainDone(this);
  }

  #adopt(child: SimObject): void {
    if (this.#children.has(child.name))
      throw new RangeError(`${this.path} has a child '${child.name}' already`);
    if (this.parent === null && child.name === this.name) throw new RangeError(`'${child.name}' is the root`);
    this.#children.set(child.name, child);
  }

  #declare(name: string): void {
    if (!NAME.test(name)) throw new RangeError(`${this.path}: '${name}' is not a name for state`);
    if (this.#state.has(name) || this.#blobs.has(name)) {
      throw new RangeError(`${this.path}: state '${name}' is declared twice`);
    }
  }
}
