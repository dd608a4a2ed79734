/**
 * One timer of the HPET: configuration, comparator, periodic mode. IA-PC HPET Specification 1.0a, §2.3.8 (registers)
 * and §2.3.9.2 (one-shot and periodic operation).
 *
 * Nothing happens by itself: `settle` brings comparator and matches up to the present.
 */
import { asRecord, decodeBigint, decodeNumber, type Json, type StateCell } from '../../sim/state.ts';
import { bit, bits, RegisterFile, reg } from '../register-file.ts';
import type { HpetCounter } from './hpet-counter.ts';

const PERIODIC_CAPABLE = 1 << 4;
const SIZE_64_CAPABLE = 1 << 5;

export const HPET_TIMER_REGISTERS = {
  config: reg({
    at: 0x00,
    sizeBytes: 4,
    reset: PERIODIC_CAPABLE | SIZE_64_CAPABLE,
    writable: 0x3f4e,
    doc: 'Tn_CONF: configuration; bits 4, 5 and 15 say what the timer can do',
    fields: {
      level: bit(1),
      interruptEnable: bit(2),
      periodic: bit(3),
      periodicCapable: bit(4),
      sizeCapable: bit(5),
      valueSet: bit(6),
      mode32: bit(8),
      route: bits(13, 9),
      fsbEnable: bit(14),
      fsbCapable: bit(15),
    },
  }),
  routeCapability: reg({ at: 0x04, sizeBytes: 4, access: 'ro', doc: 'I/O APIC inputs it can be routed to' }),
  comparatorLow: reg({ at: 0x08, sizeBytes: 4, doc: 'Tn_COMP, bits 31:0' }),
  comparatorHigh: reg({ at: 0x0c, sizeBytes: 4, doc: 'Tn_COMP, bits 63:32' }),
  fsbValue: reg({ at: 0x10, sizeBytes: 4, access: 'ro', doc: 'no FSB delivery' }),
  fsbAddress: reg({ at: 0x14, sizeBytes: 4, access: 'ro', doc: 'no FSB delivery' }),
};

/** Bytes from one timer's registers to the next one's. */
export const HPET_TIMER_STRIDE = 0x20;

const NEVER = -1;
const WRAP_32 = 2 ** 32;
const LOW = 0xffff_ffffn;
const HIGH = LOW << 32n;

export class HpetTimer implements StateCell {
  readonly regs: RegisterFile<typeof HPET_TIMER_REGISTERS>;
  readonly #counter: HpetCounter;
  readonly #routes: number;
  /** The count that it waits for. */
  #comparator = HIGH | LOW;
  /** Periodic mode: what is added to the comparator at a match; the value last written to it. */
  #period = 0n;
  /** The cycle of the next match, or NEVER. */
  #match = NEVER;
  /** The last low half was written with VAL_SET, and so the high half that follows is. */
  #setsHigh = false;
  /** The cycle of the last match that was noticed since `arm`, or NEVER. */
  #firedAt = NEVER;

  /** @param routes bit n: it can be routed to input n of the I/O APIC */
  constructor(counter: HpetCounter, routes: number) {
    this.#counter = counter;
    this.#routes = routes;
    this.regs = new RegisterFile(
      HPET_TIMER_REGISTERS,
      {
        config: { write: (value, previous) => this.#writeConfig(value, previous) },
        routeCapability: { read: () => routes },
        comparatorLow: {
          read: () => Number(this.#comparator & LOW),
          write: (value) => this.#writeLow(BigInt(value)),
        },
        comparatorHigh: {
          read: () => Number(this.#comparator >> 32n),
          write: (value) => this.#writeHigh(BigInt(value) << 32n),
        },
      },
      { sizeBytes: HPET_TIMER_STRIDE },
    );
  }

  get isLevel(): boolean {
    return this.regs.field('config', 'level') !== 0;
  }

  get isEnabled(): boolean {
    return this.regs.field('config', 'interruptEnable') !== 0;
  }

  get route(): number {
    return this.regs.field('config', 'route');
  }

  /** Says whether the counter has matched since last asked, at its present cycle; moves a periodic comparator on. */
  settle(cycle: number): boolean {
    if (this.#match === NEVER || cycle < this.#match) return false;
    const period = this.#cyclesBetweenMatches;
    const passed = Math.floor((cycle - this.#match) / period) + 1;
    if (this.#advances) this.#comparator = this.#clip(this.#comparator + BigInt(passed) * this.#period);
    this.#match = safeCycle(this.#match + passed * period);
    this.#firedAt = cycle;
    return true;
  }

  /** Finds the next match anew: comparator, counter or mode have changed. */
  arm(): void {
    const { isRunning, cycle, value } = this.#counter;
    const distance = this.#clip(this.#comparator - value);
    this.#match = isRunning ? safeCycle(cycle + Number(distance)) : NEVER;
    this.#firedAt = NEVER;
  }

  /**
   * The cycle of the next match; in periodic mode of the first one that is at least `spacing` after the last one
   * noticed. undefined if there is none.
   */
  nextMatch(spacing: number): number | undefined {
    if (this.#match === NEVER) return undefined;
    if (!this.#advances || this.#firedAt === NEVER) return this.#match;
    const early = Math.max(0, this.#firedAt + spacing - this.#match);
    const period = this.#cyclesBetweenMatches;
    return this.#match + Math.ceil(early / period) * period;
  }

  save(): Json {
    return {
      regs: this.regs.save(),
      comparator: String(this.#comparator),
      period: String(this.#period),
      match: this.#match,
      setsHigh: this.#setsHigh ? 1 : 0,
      firedAt: this.#firedAt,
    };
  }

  restore(saved: Json): void {
    const record = asRecord(saved);
    const number = (name: string) => decodeNumber(record[name] ?? null);
    const bigint = (name: string) => BigInt.asUintN(64, decodeBigint(record[name] ?? null));
    this.regs.restore(record.regs ?? null);
    this.#comparator = bigint('comparator');
    this.#period = bigint('period');
    this.#match = number('match');
    this.#setsHigh = number('setsHigh') !== 0;
    this.#firedAt = number('firedAt');
  }

  get #is32(): boolean {
    return this.regs.field('config', 'mode32') !== 0;
  }

  get #isPeriodic(): boolean {
    return this.regs.field('config', 'periodic') !== 0;
  }

  /** Periodic, with a period: one of 0 adds nothing. */
  get #advances(): boolean {
    return this.#isPeriodic && this.#period !== 0n;
  }

  /** A comparator that stays matches again when the counter, or the part of it that is compared, comes round. */
  get #cyclesBetweenMatches(): number {
    if (this.#advances) return Number(this.#period);
    return this.#is32 ? WRAP_32 : 2 ** 64;
  }

  #clip(value: bigint): bigint {
    return BigInt.asUintN(this.#is32 ? 32 : 64, value);
  }

  #writeConfig(value: number, previous: number): void {
    const { low } = HPET_TIMER_REGISTERS.config.fields.route;
    // "If the value is not supported, the value read back will not match."
    if (((this.#routes >>> this.route) & 1) === 0)
      this.regs.setField('config', 'route', (previous >>> low) & 0x1f);
    const { periodic, mode32 } = HPET_TIMER_REGISTERS.config.fields;
    const modeBits = (1 << periodic.low) | (1 << mode32.low);
    if (((value ^ previous) & modeBits) === 0) return;
    this.#comparator = this.#clip(this.#comparator);
    this.#period = this.#clip(this.#period);
    this.arm();
  }

  /** VAL_SET lets a write reach the comparator of a periodic timer, and clears itself; without, only the period changes. */
  #writeLow(half: bigint): void {
    this.#setsHigh = this.regs.field('config', 'valueSet') !== 0;
    this.regs.setField('config', 'valueSet', 0);
    this.#writeHalf(half, HIGH, this.#setsHigh);
  }

  #writeHigh(half: bigint): void {
    this.#writeHalf(half, LOW, this.#setsHigh || this.regs.field('config', 'valueSet') !== 0);
    this.#setsHigh = false;
  }

  #writeHalf(half: bigint, kept: bigint, sets: boolean): void {
    if (this.#isPeriodic) this.#period = this.#clip((this.#period & kept) | half);
    if (!this.#isPeriodic || sets) this.#comparator = this.#clip((this.#comparator & kept) | half);
    this.arm();
  }
}

/** No match is further away than the end of simulated time, which is long before 2^53 cycles. */
function safeCycle(cycle: number): number {
  return Number.isSafeInteger(cycle) ? cycle : NEVER;
}
