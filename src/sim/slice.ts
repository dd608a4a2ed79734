/**
 * The host-time slice: how long the simulation may run before it yields to the event loop of the process.
 * It is a limit on the runner, not an event: it never changes what is simulated.
 */

/** The host's monotonic clock, in milliseconds with fractions; passed in, so that tests can own it. */
export type HostClock = () => number;

export class Slice {
  readonly #nowMs: HostClock;
  #endMs = -Infinity;
  /** Set when somebody spent host time or wants the loop to look up; the runner then looks at the clock. */
  checkSoon = false;

  constructor(nowMs: HostClock) {
    this.#nowMs = nowMs;
  }

  /** A new slice of this many milliseconds begins. */
  begin(lengthMs: number): void {
    this.#endMs = this.#nowMs() + lengthMs;
    this.checkSoon = false;
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
