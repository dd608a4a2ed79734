/**
 * Character back ends: what is at the other end of a serial line. Output is written, input is fetched by the device when
 * it has room (so that nothing overruns); all of it happens between the slices of the simulation, or inside `write`.
 */

/** {@link CharBackend.read}: nothing has come. */
export const NO_INPUT = -1;
/** {@link CharBackend.read}: the line was held low for longer than a character, a "break". */
export const BREAK = 0x100;

/** The device, as the back end sees it. */
export interface CharReceiver {
  /** There is something to read. */
  inputArrived(): void;
  /** Something went wrong outside that the user should know; simulation goes on. */
  trouble(message: string): void;
}

export interface CharBackend {
  /** Sends one byte. It may stay in a buffer until the end of the slice. */
  write(byte: number): void;
  /** The next byte of input, {@link BREAK}, or {@link NO_INPUT}. */
  read(): number;
  /** The machine that writes stands: until now nothing outside has changed. */
  begin?(): void;
  /** Joins the back end to its device: once. */
  connect(receiver: CharReceiver): void;
  /** Whether input has come or can still come. */
  readonly canInput: boolean;
  /** Waits up to `maxMs` milliseconds of host time for input. */
  waitForInput(maxMs: number): Promise<void>;
  /** Sends what is in buffers. */
  flush(): void;
  /** Sends what is in buffers and gives terminal, file or port back. Harmless to repeat. */
  close(): void;
}

/** Whoever waits for input: until it comes, or until the time is over. */
export class InputWaiters {
  readonly #waiting = new Set<() => void>();

  async wait(maxMs: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.add(resolve);
    const timer = setTimeout(resolve, maxMs);
    await promise;
    clearTimeout(timer);
    this.#waiting.delete(resolve);
  }

  wake(): void {
    for (const resolve of this.#waiting) resolve();
  }
}

/** Swallows output and has no input. */
export class NullBackend implements CharBackend {
  readonly canInput = false;

  write(): void {}

  read(): number {
    return NO_INPUT;
  }

  connect(): void {}

  async waitForInput(): Promise<void> {}

  flush(): void {}

  close(): void {}
}

/** Both directions in memory: for tests, and for scripts that talk to a guest. */
export class MemoryBackend implements CharBackend {
  readonly #output: number[] = [];
  readonly #input: number[] = [];
  #receiver: CharReceiver | undefined;
  readonly #waiting = new InputWaiters();
  #isOpen = true;

  /** What the guest has written so far, as Latin-1. */
  get text(): string {
    return Buffer.from(this.#output).toString('latin1');
  }

  /** Gives the guest input: characters, byte values, {@link BREAK}. */
  feed(input: string | Iterable<number>): void {
    this.#input.push(...(typeof input === 'string' ? Buffer.from(input, 'latin1') : input));
    this.#receiver?.inputArrived();
    this.#waiting.wake();
  }

  /** No more input will come. */
  end(): void {
    this.#isOpen = false;
    this.#waiting.wake();
  }

  write(byte: number): void {
    this.#output.push(byte);
  }

  read(): number {
    return this.#input.shift() ?? NO_INPUT;
  }

  connect(receiver: CharReceiver): void {
    this.#receiver = receiver;
  }

  get canInput(): boolean {
    return this.#isOpen || this.#input.length > 0;
  }

  async waitForInput(maxMs: number): Promise<void> {
    if (this.#input.length > 0 || !this.#isOpen) return;
    await this.#waiting.wait(maxMs);
  }

  flush(): void {}

  close(): void {
    this.end();
  }
}
