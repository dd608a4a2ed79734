/**
 * The host-time slice: how long the simulation may run before it yields to the event loop of the process.
 * It is a limit on the runner, not an event: it never changes what is simulated.
 */

/** The host's monotonic clock, in milliseconds with fractions; passed in, so that tests can own it. */
export type HostClock = () => number;

/** A slice is at least so many times as long as the turn of the event loop that follows it, up to the longest. */
const TURNS_PER_SLICE = 20;
const LONGEST_MS = 50;

export class Slice {
  readonly #nowMs: HostClock;
  #endMs = -Infinity;
  #turnMs = 0;
  /** Set when somebody spent host time or wants the loop to look up; the runner then looks at the clock. */
  checkSoon = false;

  constructor(nowMs: HostClock) {
    this.#nowMs = nowMs;
  }

  /** A new slice begins: of this many milliseconds, longer where looking up is slow. */
  begin(lengthMs: number): void {
    const enoughMs = Math.min(this.#turnMs * TURNS_PER_SLICE, LONGEST_MS);
    this.#endMs = this.#nowMs() + Math.max(lengthMs, enoughMs);
    this.checkSoon = false;
  }

  /** The event loop has its turn, which is timed. */
  async yieldTo(turn: () => Promise<void>): Promise<void> {
    const from = this.#nowMs();
    await turn();
    this.#turnMs = this.#nowMs() - from;
  }

  /** The slice ends as soon as the event that is being served has finished. */
  cut(): void {
    this.#endMs = -Infinity;
    this.checkSoon = true;
  }

  get isOver(): boolean {
    this.checkSoon = false;
    return this.#endMs === -Infinity || this.#nowMs() >= this.#endMs;
  }

  /**
   * The limit of one run in the guest, in nanoseconds of host time, at least 0. Whoever asks is about to spend host
   * time, and says afterwards when it was over: {@link spentUntil}. Hot path.
   * @param nowMs the host's clock now
   */
  remainingNs(nowMs: number): number {
    return Math.max(0, (this.#endMs - nowMs) * 1e6);
  }

  /** Somebody spent host time up to `nowMs`: the loop looks up if the slice is over. Hot path. */
  spentUntil(nowMs: number): void {
    if (nowMs >= this.#endMs) this.checkSoon = true;
  }
}
