/**
 * The host-time slice: how long the simulation may run before it yields to the event loop of the process.
 * It is a limit on the runner, not an event: it never changes what is simulated.
 */

/** The host's monotonic clock, in milliseconds with fractions; passed in, so that tests can own it. */
export type HostClock = () => number;

/** A slice is at least so many times as long as looking up between two slices takes, up to the longest. */
const LOOKS_PER_SLICE = 50;
const LONGEST_MS = 100;

export class Slice {
  readonly #nowMs: HostClock;
  #endMs = -Infinity;
  /** Nobody has spent time in this slice yet. */
  #isFresh = true;
  /** When the time of the slice before was spent up; NaN: it ended otherwise. */
  #spentUpMs = Number.NaN;
  /** How long looking up took the last time. */
  #lookMs = 0;
  /** Set when somebody spent host time or wants the loop to look up; the runner then looks at the clock. */
  checkSoon = false;

  constructor(nowMs: HostClock) {
    this.#nowMs = nowMs;
  }

  /** A new slice begins: of this many milliseconds, longer where looking up is slow. */
  begin(lengthMs: number): void {
    const enoughMs = Math.min(this.#lookMs * LOOKS_PER_SLICE, LONGEST_MS);
    this.#endMs = this.#nowMs() + Math.max(lengthMs, enoughMs);
    // Nobody has entered the guest since the last one began: what passed was no looking up, but waiting.
    if (this.#isFresh) this.#spentUpMs = Number.NaN;
    this.#isFresh = true;
    this.checkSoon = false;
  }

  /** The slice ends as soon as the event that is being served has finished. */
  cut(): void {
    this.#endMs = -Infinity;
    this.#spentUpMs = Number.NaN;
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
    if (this.#isFresh) this.#lookedUp(nowMs);
    return Math.max(0, (this.#endMs - nowMs) * 1e6);
  }

  /** Somebody spent host time up to `nowMs`: the loop looks up if the slice is over. Hot path. */
  spentUntil(nowMs: number): void {
    if (nowMs < this.#endMs) return;
    this.checkSoon = true;
    this.#spentUpMs = nowMs;
  }

  #lookedUp(nowMs: number): void {
    this.#isFresh = false;
    if (!Number.isNaN(this.#spentUpMs)) this.#lookMs = nowMs - this.#spentUpMs;
    this.#spentUpMs = Number.NaN;
  }
}
