/**
 * A serial line on standard input and output. A terminal goes into raw mode: every key, Ctrl-c too, is for the guest,
 * except after the escape key. What is no terminal is a plain stream of bytes, whose end is the end of input.
 */
import { BufferedBackend } from './buffered-backend.ts';
import { ESCAPE_HELP, type EscapeCommand, EscapeKeys } from './escape-keys.ts';
import { FdWriter } from './fd-writer.ts';

/** Standard input as Node has it: `process.stdin`. */
export interface TerminalInput {
  readonly isTTY?: boolean;
  setRawMode?(isRaw: boolean): unknown;
  on(event: 'data', listener: (bytes: Buffer) => void): unknown;
  on(event: 'end' | 'close', listener: () => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
  pause(): unknown;
  resume(): unknown;
}

/** Whom a process tells that it ends, or was stopped and goes on: `process`. */
export interface ProcessEvents {
  on(event: 'exit' | 'SIGCONT', listener: () => void): unknown;
  off(event: 'exit' | 'SIGCONT', listener: () => void): unknown;
}

export interface TerminalOptions {
  readonly input: TerminalInput;
  /** Default: standard output. */
  readonly outputFd?: number;
  readonly process: ProcessEvents;
  /** The escape key and x: end the simulation, `simulator.requestExit()`. */
  readonly quit: () => void;
}

const STDOUT = 1;

export class TerminalBackend extends BufferedBackend {
  readonly #input: TerminalInput;
  readonly #process: ProcessEvents;
  readonly #quit: () => void;
  readonly #writer: FdWriter;
  readonly #keys = new EscapeKeys({
    pass: (bytes) => this.pushInput(bytes),
    command: (command) => this.#obey(command),
  });
  readonly #restore = () => this.#setRaw(false);
  /** Whoever stopped us may have left the terminal in another mode. */
  readonly #continue = () => this.#setRaw(true);

  constructor({ input, outputFd = STDOUT, process, quit }: TerminalOptions) {
    super();
    this.#input = input;
    this.#process = process;
    this.#quit = quit;
    this.#writer = new FdWriter(outputFd, 'the console', (message) => this.trouble(message));
    this.openInput();
    input.on('data', (bytes) => this.#receive(bytes));
    input.on('end', () => this.endInput());
    input.on('close', () => this.endInput());
    input.on('error', (error) => {
      this.trouble(`cannot read the console: ${error.message}; there is no more input`);
      this.endInput();
    });
    if (this.#isTerminal) {
      // The last resort on every way out; a simulation that ends in order closes its back ends before.
      process.on('exit', this.#restore);
      process.on('SIGCONT', this.#continue);
      this.#setRaw(true);
    }
    input.resume();
  }

  protected override send(bytes: Uint8Array): void {
    this.#writer.write(bytes);
  }

  protected override release(): void {
    this.#input.pause();
    if (!this.#isTerminal) return;
    this.#setRaw(false);
    this.#process.off('exit', this.#restore);
    this.#process.off('SIGCONT', this.#continue);
  }

  protected override resumeInput(): void {
    this.#input.resume();
  }

  get #isTerminal(): boolean {
    return this.#input.isTTY === true;
  }

  #receive(bytes: Buffer): void {
    if (this.#isTerminal) this.#keys.feed(bytes);
    else this.pushInput(bytes);
    if (this.isInputFull) this.#input.pause();
  }

  #obey(command: EscapeCommand): void {
    if (command === 'quit') this.#quit();
    else if (command === 'break') this.pushBreak();
    else {
      this.flush();
      this.#writer.write(Buffer.from(ESCAPE_HELP));
    }
  }

  /** Off before on: Node does nothing about a mode that it believes to be set. */
  #setRaw(isRaw: boolean): void {
    this.#input.setRawMode?.(false);
    if (isRaw) this.#input.setRawMode?.(true);
  }
}
