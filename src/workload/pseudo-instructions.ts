/**
 * gem5's pseudo-instructions ("m5 ops"): what a guest asks of its simulator. They arrive through the magic address window
 * and take their arguments from the registers of the System V ABI. gem5: src/sim/pseudo_inst.cc, m5ops.h.
 */
import { Gpr } from '../arch/x86/registers.ts';
import { RegClass, type X86ThreadContext } from '../arch/x86/thread-context.ts';
import type { BaseCpu } from '../cpu/base-cpu.ts';
import { Priority, SimEvent } from '../sim/event-queue.ts';
import { SimObject } from '../sim/sim-object.ts';
import {
  asRecord,
  customCell,
  decodeNumber,
  decodeString,
  decodeTick,
  isJsonArray,
  type Json,
  StateError,
} from '../sim/state.ts';
import type { Ticks } from '../sim/tick.ts';

/** Causes of the exit events of pseudo-instructions, spelt as gem5 spells them. */
export const M5ExitCause = {
  exit: 'm5_exit instruction encountered',
  fail: 'm5_fail instruction encountered',
  checkpoint: 'checkpoint',
  switchCpu: 'switchcpu',
  workBegin: 'workbegin',
  workEnd: 'workend',
  /** gem5 panics; but what a guest thinks of itself is no bug of its simulator. */
  panic: 'm5_panic instruction encountered',
} as const;

/** Registers of the arguments, in order: System V ABI for AMD64, §3.2.3. */
const ARGUMENTS = [Gpr.RDI, Gpr.RSI, Gpr.RDX, Gpr.RCX, Gpr.R8, Gpr.R9] as const;

const TICKS_PER_NS = 1000n;
/** What the guest asks for later than this comes at this distance: 2.5 simulated hours. */
const MAX_DELAY_NS = BigInt(Number.MAX_SAFE_INTEGER) / TICKS_PER_NS;

/** Closer together than this nothing is repeated: 20 µs, as for the timers of the machine. */
const MIN_PERIOD_TICKS = 20_000_000 as Ticks;
const MOST_PENDING = 64;

const STATS_ACTIONS = ['reset', 'dump', 'dump and reset'] as const;
type StatsAction = (typeof STATS_ACTIONS)[number];

/** What is to be done later; `period` in ticks, 0: once. */
type Request = { readonly period: number } & (
  | { readonly does: 'exit'; readonly cause: string; readonly code: number }
  | { readonly does: StatsAction }
);

type Execute = (self: PseudoInstructions, args: readonly bigint[]) => bigint | undefined;

interface Row {
  readonly name: string;
  /** Returns the guest's result; undefined: 0. */
  readonly execute: Execute;
}

/** One row per pseudo-instruction, by its number in gem5's include/gem5/asm/generic/m5ops.h. */
const ROWS: Readonly<Record<number, Row>> = {
  7: { name: 'rpns', execute: (self) => self.curTick / TICKS_PER_NS },
  33: { name: 'exit', execute: (self, [delay]) => self.exitAfter(delay, M5ExitCause.exit) },
  34: { name: 'fail', execute: (self, [delay, code]) => self.exitAfter(delay, M5ExitCause.fail, code) },
  35: {
    name: 'sum',
    execute: (_, args) =>
      BigInt.asUintN(
        64,
        args.reduce((a, b) => a + b),
      ),
  },
  // The initial parameter of a run is 0, as it is in gem5 without an option.
  48: { name: 'init_param', execute: () => 0n },
  64: { name: 'reset_stats', execute: (self, args) => self.statsAfter(args, 'reset') },
  65: { name: 'dump_stats', execute: (self, args) => self.statsAfter(args, 'dump') },
  66: {
    name: 'dump_reset_stats',
    execute: (self, args) => self.statsAfter(args, 'dump and reset'),
  },
  67: { name: 'checkpoint', execute: (self, args) => self.checkpointAfter(args) },
  // The file that a run hands to its guest is empty, as it is in gem5 without an option.
  80: { name: 'read_file', execute: () => 0n },
  82: { name: 'switch_cpu', execute: (self) => self.exitAfter(0n, M5ExitCause.switchCpu) },
  84: { name: 'panic', execute: (self) => self.exitAfter(0n, M5ExitCause.panic) },
  90: { name: 'work_begin', execute: (self, [id]) => self.exitAfter(0n, M5ExitCause.workBegin, id) },
  91: { name: 'work_end', execute: (self, [id]) => self.exitAfter(0n, M5ExitCause.workEnd, id) },
};

export class PseudoInstructions extends SimObject {
  readonly #cpu: () => BaseCpu<X86ThreadContext>;
  readonly #pending = new Map<SimEvent, Request>();

  /** @param cpu that executes now: its registers hold the arguments */
  constructor(parent: SimObject, name: string, cpu: () => BaseCpu<X86ThreadContext>) {
    super(parent, name);
    this.#cpu = cpu;
    this.state(
      'pending',
      customCell(
        () => this.#savePending(),
        (saved) => this.#restorePending(saved),
      ),
    );
  }

  /** Executes the pseudo-instruction with this number; returns the guest's result, undefined if there is none. */
  call(fn: number): bigint | undefined {
    const row = ROWS[fn];
    if (row === undefined) return undefined;
    const context = this.#cpu().readState(RegClass.general);
    const args = ARGUMENTS.map((register) => context.gpr(register));
    if (this.debug.PseudoInst) this.trace('PseudoInst', `${row.name}(${args.join(', ')})`);
    return row.execute(this, args) ?? 0n;
  }

  /** @internal Ends the simulation loop `delayNs` from now. */
  exitAfter(delayNs: bigint | undefined, cause: string, code = 0n): undefined {
    this.#later(delayNs, { does: 'exit', cause, code: Number(BigInt.asIntN(32, code)), period: 0 });
  }

  /** @internal Resets or dumps statistics after a delay, then once per period, both in nanoseconds. */
  statsAfter([delayNs, periodNs]: readonly bigint[], what: StatsAction): undefined {
    this.#later(delayNs, { does: what, period: this.#period(periodNs) });
  }

  /** @internal */
  checkpointAfter([delayNs, periodNs]: readonly bigint[]): undefined {
    const period = this.#period(periodNs);
    this.#later(delayNs, { does: 'exit', cause: M5ExitCause.checkpoint, code: 0, period });
  }

  /** A guest that asks for more than the host can do would never be served anything else. */
  #period(ns: bigint | undefined): Ticks {
    const period = ticks(ns);
    if (period === 0 || period >= MIN_PERIOD_TICKS) return period;
    this.warnOnce(`the guest wants something every ${ns} ns: it gets it every ${MIN_PERIOD_TICKS / 1e6} µs`);
    return MIN_PERIOD_TICKS;
  }

  #later(delayNs: bigint | undefined, request: Request): void {
    if (this.#pending.size >= MOST_PENDING) {
      this.warnOnce(`the guest has asked for ${MOST_PENDING} things in the future: no more are taken`);
      return;
    }
    this.eventQueue.schedule(this.#eventOf(request), ticks(delayNs));
  }

  /** The event that does what is asked for; from now on it is part of the state. */
  #eventOf(request: Request): SimEvent {
    const event = new SimEvent(
      `${this.path}.later`,
      () => {
        this.#do(request);
        if (request.period > 0) this.eventQueue.schedule(event, request.period as Ticks);
        else this.#pending.delete(event);
      },
      Priority.SimExit,
    );
    this.#pending.set(event, request);
    return event;
  }

  #do(request: Request): void {
    const { statsControl } = this.root;
    if (request.does === 'exit') {
      this.root.postExit({ cause: request.cause, code: request.code, tick: this.curTick });
      return;
    }
    if (request.does !== 'reset') statsControl.dump();
    if (request.does !== 'dump') statsControl.reset();
  }

  #savePending(): Json {
    return [...this.#pending].map(([event, request]) => ({
      tick: String(this.eventQueue.whenOf(event)),
      order: event.order,
      ...request,
    }));
  }

  #restorePending(saved: Json): void {
    for (const event of this.#pending.keys()) this.eventQueue.deschedule(event);
    this.#pending.clear();
    if (!isJsonArray(saved)) throw new StateError('no list of requests');
    for (const entry of saved) {
      const { tick = null, order = null, ...rest } = asRecord(entry);
      const event = this.#eventOf(requestFrom(rest));
      this.eventQueue.restoreEvent(event, decodeTick(tick), decodeNumber(order));
    }
  }
}

function requestFrom(saved: { readonly [key: string]: Json }): Request {
  const { does = null, cause = null, code = null, period = null } = saved;
  const every = decodeNumber(period);
  if (does === 'exit') return { does, cause: decodeString(cause), code: decodeNumber(code), period: every };
  const action = STATS_ACTIONS.find((candidate) => candidate === does);
  if (action === undefined) throw new StateError('a request that nobody knows');
  return { does: action, period: every };
}

function ticks(ns = 0n): Ticks {
  return Number((ns < MAX_DELAY_NS ? ns : MAX_DELAY_NS) * TICKS_PER_NS) as Ticks;
}
