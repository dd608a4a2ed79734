/**
 * The timer of a local APIC: one-shot, periodic, TSC deadline. Intel SDM vol. 3A §10.5.4.
 *
 * Nothing counts: the current count follows from the instant at which counting began. So does each end of a period, and
 * periods do not drift. A periodic timer has an event only while its interrupt can have an effect: none while it is masked,
 * and none from its expiry until the processor takes the interrupt, since further ones would fall together with the pending
 * one in the IRR. However short the period, there is at most one event per interrupt taken; no minimum period is needed.
 */
import type { InterruptedCpu } from '../../../arch/x86/interrupts.ts';
import { type EventQueue, SimEvent } from '../../../sim/event-queue.ts';
import { bigintCell, booleanCell, eventCell, type StateCell } from '../../../sim/state.ts';
import { MAX_TICK, TICKS_PER_SECOND, type Tick, type Ticks } from '../../../sim/tick.ts';
import { LVT_MASKED, TimerMode, WORD } from './local-apic-registers.ts';
import type { VectorRegisters } from './vector-registers.ts';

/** A processor whose TSC is not in step with simulated time is asked again after this; it bounds the rate of events. */
const RETRY_TICKS = 1_000_000n;

export class LocalApicTimer {
  readonly #queue: EventQueue;
  readonly #words: Uint32Array;
  readonly #vectors: VectorRegisters;
  readonly #busTicks: bigint;
  readonly #expired: () => void;
  readonly #event: SimEvent;
  /** Whether it counts (modes one-shot and periodic), and since when: maybe since before tick 0, after a change of pace. */
  readonly #isCounting = booleanCell();
  readonly #began = bigintCell();
  readonly #deadline = bigintCell();
  #cpu: InterruptedCpu | undefined;

  /**
   * @param where the queue of its event, the event's name, and the period of the clock that is divided and counted
   * @param words the registers of the APIC: LVT entry, initial count and divide configuration are the timer's
   * @param vectors says whether an interrupt waits to be taken
   * @param expired delivers the interrupt if the LVT entry is not masked
   */
  constructor(
    where: { readonly name: string; readonly queue: EventQueue; readonly busPeriod: Ticks },
    words: Uint32Array,
    vectors: VectorRegisters,
    expired: () => void,
  ) {
    this.#queue = where.queue;
    this.#words = words;
    this.#vectors = vectors;
    this.#busTicks = BigInt(where.busPeriod);
    this.#expired = expired;
    this.#event = new SimEvent(where.name, () => this.#due());
  }

  /** To be declared as the APIC's state. */
  get cells(): Readonly<Record<'timerCounts' | 'timerBegan' | 'timerDeadline' | 'timerEvent', StateCell>> {
    return {
      timerCounts: this.#isCounting,
      timerBegan: this.#began,
      timerDeadline: this.#deadline,
      timerEvent: eventCell(this.#queue, this.#event),
    };
  }

  /** Stops it. The registers are the caller's to reset. */
  reset(): void {
    this.#isCounting.value = false;
    this.#deadline.value = 0n;
    this.#arm();
  }

  /** Whose TSC a deadline is compared with. */
  connect(cpu: InterruptedCpu): void {
    this.#cpu = cpu;
    if (this.#deadline.value !== 0n) this.#arm();
  }

  /** The TSC was set, or the APIC lets interrupts through that it did not before. */
  changed(): void {
    this.#arm();
  }

  get currentCount(): number {
    if (!this.#isCounting.value) return 0;
    const initial = BigInt(this.#initialCount);
    const elapsed = (this.#queue.curTick - this.#began.value) / this.#countTicks;
    if (this.#mode === TimerMode.Periodic) return Number(initial - (elapsed % initial));
    return elapsed >= initial ? 0 : Number(initial - elapsed);
  }

  /** The initial count was written: counting begins anew. 0 stops it; in deadline mode there is no count. */
  initialCountWritten(previous: number): void {
    if (this.#mode >= TimerMode.TscDeadline) this.#words[WORD.initialCount] = previous;
    else this.#countFrom(this.#initialCount);
  }

  /** The divide configuration was written: the count goes on from where it is, at its new pace. */
  divideWritten(previous: number): void {
    const written = this.#words[WORD.divide]!;
    this.#words[WORD.divide] = previous;
    const count = this.currentCount;
    this.#words[WORD.divide] = written;
    if (this.#isCounting.value) this.#countFrom(count);
  }

  /** The LVT entry was written. A change to or from deadline mode disarms the timer. */
  lvtWritten(previous: number): void {
    const before = modeOf(previous);
    const mode = this.#mode;
    if (before !== mode && (before >= TimerMode.TscDeadline || mode >= TimerMode.TscDeadline)) {
      this.#isCounting.value = false;
      this.#deadline.value = 0n;
      this.#words[WORD.initialCount] = 0;
    } else if (before === TimerMode.Periodic && mode === TimerMode.OneShot && this.#isCounting.value) {
      this.#rebase();
    }
    this.#arm();
  }

  /** IA32_TSC_DEADLINE: 0 is disarmed. Outside its mode it reads as 0, and writes are ignored. */
  get deadline(): bigint {
    return this.#deadline.value;
  }

  set deadline(tsc: bigint) {
    if (this.#mode !== TimerMode.TscDeadline) return;
    this.#deadline.value = tsc;
    this.#arm();
  }

  /** The processor has taken a vector out of the IRR. */
  vectorTaken(vector: number): void {
    if (this.#mode === TimerMode.Periodic && vector === (this.#lvt & 0xff)) this.#arm();
  }

  /** Goes on from a current count, registers having been restored. A one-shot timer at zero has expired. */
  resume(currentCount: number): void {
    this.#deadline.value = 0n;
    const initial = this.#initialCount;
    const isPeriodic = this.#mode === TimerMode.Periodic;
    const count = currentCount === 0 && isPeriodic ? initial : Math.min(currentCount, initial);
    this.#countFrom(this.#mode >= TimerMode.TscDeadline ? 0 : count);
  }

  get #lvt(): number {
    return this.#words[WORD.lvtTimer]!;
  }

  get #mode(): number {
    return modeOf(this.#lvt);
  }

  get #initialCount(): number {
    return this.#words[WORD.initialCount]!;
  }

  /** Ticks from one count to the next. */
  get #countTicks(): bigint {
    return this.#busTicks * BigInt(divisorOf(this.#words[WORD.divide]!));
  }

  /** Sets the beginning so that the count is now `count`; 0 is standstill. */
  #countFrom(count: number): void {
    this.#isCounting.value = count !== 0;
    this.#began.value = this.#queue.curTick - BigInt(this.#initialCount - count) * this.#countTicks;
    this.#arm();
  }

  /** Moves the beginning up to that of the present period. */
  #rebase(): void {
    const period = BigInt(this.#initialCount) * this.#countTicks;
    const now = this.#queue.curTick;
    this.#began.value = now - ((now - this.#began.value) % period);
  }

  #arm(): void {
    if (this.#event.scheduled) this.#queue.deschedule(this.#event);
    if (this.#deadline.value !== 0n) this.#armDeadline(0n);
    else if (this.#isCounting.value) this.#armCount();
  }

  #armCount(): void {
    const now = this.#queue.curTick;
    const period = BigInt(this.#initialCount) * this.#countTicks;
    let end = this.#began.value + period;
    if (this.#mode === TimerMode.Periodic) {
      const lvt = this.#lvt;
      if ((lvt & LVT_MASKED) !== 0 || this.#vectors.isRequested(lvt & 0xff)) return;
      end += ((now - this.#began.value) / period) * period;
    }
    this.#scheduleAt(end > now ? end : now);
  }

  #armDeadline(atLeast: bigint): void {
    const cpu = this.#cpu;
    if (cpu === undefined) return;
    const distance = this.#deadline.value - cpu.readTsc();
    if (distance <= 0n) {
      this.#deadline.value = 0n;
      this.#expired();
      return;
    }
    const hz = BigInt(Math.round(cpu.tscHz));
    const delay = (distance * BigInt(TICKS_PER_SECOND) + hz - 1n) / hz;
    this.#scheduleAt(this.#queue.curTick + (delay > atLeast ? delay : atLeast));
  }

  /** What lies beyond the last tick never happens. */
  #scheduleAt(tick: bigint): void {
    if (tick <= MAX_TICK) this.#queue.scheduleAt(this.#event, tick as Tick);
  }

  #due(): void {
    if (this.#deadline.value !== 0n) {
      this.#armDeadline(RETRY_TICKS);
      return;
    }
    if (this.#mode !== TimerMode.Periodic) this.#isCounting.value = false;
    this.#expired();
  }
}

function modeOf(lvt: number): number {
  return (lvt >>> 17) & 3;
}

/** Bits 3, 1 and 0 of the divide configuration: 0 is by 2, 1 by 4, … 6 by 128, and 7 by 1. */
export function divisorOf(configuration: number): number {
  const code = ((configuration >>> 1) & 4) | (configuration & 3);
  return code === 7 ? 1 : 2 << code;
}
