/**
 * The three kinds of trouble: fatal (the user's mistake), panic (our bug) and warn (an approximation).
 * Nothing here prints by itself: warnings go to the sink that the owner of the simulation passes in.
 */

/** Exit statuses of the command line that are not the guest's own (as `env` and `timeout` use them, but for the first). */
export const ExitStatus = {
  notImplemented: 123,
  timedOut: 124,
  failure: 125,
  notExecutable: 126,
  notFound: 127,
} as const;

/**
 * The user's mistake. `message` is one line that says what is wrong and what to do about it; it is shown
 * without a stack trace. `exitStatus` is what the command line should end with.
 */
export class FatalError extends Error {
  readonly exitStatus: number;
  constructor(message: string, options: { exitStatus?: number; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'FatalError';
    this.exitStatus = options.exitStatus ?? ExitStatus.failure;
  }
}

/** A broken invariant of the simulator itself: a bug to report, with the path of the object concerned. */
export class PanicError extends Error {
  readonly path: string;
  constructor(path: string, message: string) {
    super(`panic: ${path}: ${message}`);
    this.name = 'PanicError';
    this.path = path;
  }
}

/** Stops the simulation because of our own bug. `message` states the broken invariant. */
export function panic(path: string, message: string): never {
  throw new PanicError(path, message);
}

/** Stops the simulation because of something the user can correct. */
export function fatal(path: string, message: string, exitStatus?: number): never {
  throw new FatalError(`${path}: ${message}`, exitStatus === undefined ? {} : { exitStatus });
}

/** Where warnings go. Each line is complete and has no line end. */
export type WarnSink = (line: string) => void;

/** Collects warnings of one simulation; each kind is said once. */
export class Trouble {
  readonly #sink: WarnSink;
  readonly #said = new Set<string>();

  constructor(sink: WarnSink) {
    this.#sink = sink;
  }

  /** Warns every time. */
  warn(path: string, message: string): void {
    this.#sink(`warn: ${path}: ${message}`);
  }

  /** Warns the first time this `key` is met for this `path`; `key` defaults to the message. */
  warnOnce(path: string, message: string, key: string = message): void {
    const id = `${path}\0${key}`;
    if (this.#said.has(id)) return;
    this.#said.add(id);
    this.warn(path, message);
  }
}
