// The progress line of a long run, for a person at a terminal: what has been simulated, and how fast.

import { isatty } from 'node:tty';
import { HostFiles, type Span } from '../host/files.ts';
import { sayRaw } from './terminal.ts';

/** The numbers behind the line, all since the start. */
export interface ProgressFigures {
  readonly simSeconds: number;
  /** Undefined where nothing counts instructions. */
  readonly instructions: number | undefined;
  readonly exits: number;
  readonly secondsInGuest: number;
}

const STDOUT = 1;
const STDERR = 2;
/** Short runs stay silent. */
const QUIET_MS = 2000;
const PERIOD_MS = 500;
const ERASE_LINE = '\r\x1b[K';

/**
 * Keeps a line up to date on standard error while the program is silent. The first thing that the program writes to the
 * terminal ends it for good: then the terminal is the program's.
 */
export class ProgressLine {
  /** The files for the simulated process. */
  readonly files: HostFiles;
  #timer: NodeJS.Timeout | undefined;
  #isShown = false;
  #isOver = false;

  /** Undefined if standard error is no terminal. */
  static onTerminal(): ProgressLine | undefined {
    return isatty(STDERR) ? new ProgressLine() : undefined;
  }

  constructor() {
    const terminals = [STDOUT, STDERR].filter((fd) => isatty(fd));
    this.files = new WatchedFiles((fd) => {
      if (!this.#isOver && terminals.includes(fd)) this.stop();
    });
  }

  start(figures: () => ProgressFigures): void {
    const startMs = performance.now();
    let before = { ms: startMs, figures: figures() };
    this.#timer = setInterval(() => {
      const now = { ms: performance.now(), figures: figures() };
      if (now.ms - startMs >= QUIET_MS) {
        sayRaw(ERASE_LINE + progressLine(now.figures, before.figures, (now.ms - before.ms) / 1000));
        this.#isShown = true;
      }
      before = now;
    }, PERIOD_MS);
    this.#timer.unref();
    if (this.#isOver) this.stop();
  }

  /** Erases the line. Harmless to repeat. */
  stop(): void {
    this.#isOver = true;
    clearInterval(this.#timer);
    if (this.#isShown) sayRaw(ERASE_LINE);
    this.#isShown = false;
  }
}

/** Host files that say when something is written, before it is. */
class WatchedFiles extends HostFiles {
  readonly #onWrite: (fd: number) => void;

  constructor(onWrite: (fd: number) => void) {
    super();
    this.#onWrite = onWrite;
  }

  override writev(fd: number, from: readonly Span[]): number {
    this.#onWrite(fd);
    return super.writev(fd, from);
  }
}

/** The line: totals, and rates over the last `seconds` of host time. */
export function progressLine(now: ProgressFigures, before: ProgressFigures, seconds: number): string {
  const exitRate = Math.round((now.exits - before.exits) / seconds);
  const share = Math.round((100 * (now.secondsInGuest - before.secondsInGuest)) / seconds);
  return [
    `${now.simSeconds.toFixed(1)} s simulated`,
    ...(now.instructions === undefined ? [] : [`${(now.instructions / 1e6).toFixed(0)} M instructions`]),
    `${exitRate.toLocaleString('en')} exits/s`,
    `${Math.min(share, 100)} % in the guest`,
  ].join(', ');
}
