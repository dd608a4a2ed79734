/**
 * Events: what an event queue holds. An event is made once, with its callback, and scheduled again and
 * again. The priorities are gem5's (src/sim/eventq.hh): a lower number is served first within a tick.
 */
import type { Tick } from './tick.ts';

/** gem5's ladder. Within one tick, events of lower value run first; equal ones in order of scheduling. */
export const Priority = {
  Minimum: -128,
  /** Enable debug tracing before anything it should show. */
  DebugEnable: -101,
  /** Breakpoints come before ordinary events. */
  DebugBreak: -100,
  /** CPU switches come before normal events, after which the new CPU may act in the same tick. */
  CpuSwitch: -31,
  /** Delayed write-backs happen before ordinary events of the tick. */
  DelayedWriteback: -1,
  Default: 0,
  /** DVFS follows the ordinary events, so that the new operating point holds from the next tick on. */
  DvfsUpdate: 31,
  /** Serialization sees the results of the tick's ordinary events. */
  Serialize: 32,
  /** CPUs run late, so that they see what arrived in this tick. */
  CpuTick: 50,
  /** Thread exit, after the CPU's tick. */
  CpuExit: 64,
  /** Statistics dumps and resets include the whole tick. */
  StatEvent: 90,
  ProgressEvent: 95,
  /** Leaving the simulation loop comes last. */
  SimExit: 100,
  Maximum: 127,
} as const;

/** A value from −128 to 127, usually one of {@link Priority}. */
export type EventPriority = number;

/** Where an event is at present. */
export const Place = { none: 0, ring: 1, heap: 2, beyond: 3 } as const;
export type Place = (typeof Place)[keyof typeof Place];

/** One thing to be done at an instant. Reused: construct once, schedule many times. */
export class SimEvent {
  readonly name: string;
  readonly callback: () => void;
  readonly priority: EventPriority;

  // The rest belongs to the event queue. Plain fields: they are read on its hot path.
  /** @internal */ place: Place = Place.none;
  /** @internal Ticks since the queue's epoch (ring, heap). */ offsetTicks = 0;
  /** @internal Order of scheduling: FIFO among equals. */ order = 0;
  /** @internal Neighbours in a ring bucket. */ previous: SimEvent | null = null;
  /** @internal */ next: SimEvent | null = null;
  /** @internal Index in the heap, or in the ring. */ index = 0;
  /** @internal Absolute time of an event too far away for an exact offset. */ beyondTick: Tick | undefined =
    undefined;

  /**
   * @param name for traces and messages, such as `board.cpu.tick`
   * @param callback runs when the event is due; it may schedule this same event again
   */
  constructor(name: string, callback: () => void, priority: EventPriority = Priority.Default) {
    if (!Number.isInteger(priority) || priority < Priority.Minimum || priority > Priority.Maximum) {
      throw new RangeError(`event ${name}: priority ${priority} is not in -128..127`);
    }
    this.name = name;
    this.callback = callback;
    this.priority = priority;
  }

  /** Whether the event waits in a queue. False while its callback runs. */
  get scheduled(): boolean {
    return this.place !== Place.none;
  }
}

/** Whether `a` is served before `b`; both have offsets from the same epoch. Hot path. */
export function isBefore(a: SimEvent, b: SimEvent): boolean {
  if (a.offsetTicks !== b.offsetTicks) return a.offsetTicks < b.offsetTicks;
  if (a.priority !== b.priority) return a.priority < b.priority;
  return a.order < b.order;
}
