/**
 * What back ends share: output is collected and sent when the simulation yields to the event loop (at the end of its
 * slice, at most some milliseconds), when the buffer is full, and at the end; input waits in a queue for the device.
 */
import { BREAK, type CharBackend, type CharReceiver, InputWaiters, NO_INPUT } from './char-backend.ts';

const BUFFER_BYTES = 65_536;
/** With so much input waiting, {@link BufferedBackend.isInputFull} asks the source to stop. */
const INPUT_HIGH = 65_536;

export abstract class BufferedBackend implements CharBackend {
  readonly #output = new Uint8Array(BUFFER_BYTES);
  #outputLength = 0;
  #flushing: NodeJS.Immediate | undefined;
  #input: number[] = [];
  #inputAt = 0;
  #receiver: CharReceiver | undefined;
  #pendingTrouble: string[] = [];
  readonly #waiting = new InputWaiters();
  #isInputOpen = false;
  #isClosed = false;

  /** Sends all of these bytes, or loses them and says so ({@link trouble}); they are the buffer, valid only now. */
  protected abstract send(bytes: Uint8Array): void;
  /** Gives back what the back end holds; called once. */
  protected abstract release(): void;
  /** The device has made room after the queue was full: the source may go on. */
  protected resumeInput(): void {}

  write(byte: number): void {
    this.#output[this.#outputLength++] = byte;
    if (this.#outputLength === BUFFER_BYTES) this.flush();
    this.#flushing ??= setImmediate(() => this.flush());
  }

  read(): number {
    const value = this.#input[this.#inputAt];
    if (value === undefined) return NO_INPUT;
    this.#inputAt++;
    if (this.#inputAt === this.#input.length) {
      const wasFull = this.isInputFull;
      this.#input = [];
      this.#inputAt = 0;
      if (wasFull) this.resumeInput();
    }
    return value;
  }

  connect(receiver: CharReceiver): void {
    this.#receiver = receiver;
    for (const message of this.#pendingTrouble) receiver.trouble(message);
    this.#pendingTrouble = [];
    if (this.#input.length > 0) receiver.inputArrived();
  }

  get canInput(): boolean {
    return this.#isInputOpen || this.#input.length > 0;
  }

  async waitForInput(maxMs: number): Promise<void> {
    if (this.#input.length > 0 || !this.#isInputOpen) return;
    await this.#waiting.wait(maxMs);
  }

  flush(): void {
    if (this.#flushing !== undefined) clearImmediate(this.#flushing);
    this.#flushing = undefined;
    const length = this.#outputLength;
    this.#outputLength = 0;
    if (length > 0) this.send(this.#output.subarray(0, length));
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.endInput();
    this.flush();
    this.release();
  }

  /** Whether the source should stop until {@link resumeInput}. */
  protected get isInputFull(): boolean {
    return this.#input.length >= INPUT_HIGH;
  }

  /** Input can come, from now on. */
  protected openInput(): void {
    this.#isInputOpen = !this.#isClosed;
  }

  /** No more input will come. */
  protected endInput(): void {
    this.#isInputOpen = false;
    this.#waiting.wake();
  }

  protected pushInput(bytes: Uint8Array): void {
    for (const byte of bytes) this.#input.push(byte);
    this.#announceInput();
  }

  protected pushBreak(): void {
    this.#input.push(BREAK);
    this.#announceInput();
  }

  /** Tells the user, through the device; what happens before there is one is kept for it. */
  protected trouble(message: string): void {
    if (this.#receiver === undefined) this.#pendingTrouble.push(message);
    else this.#receiver.trouble(message);
  }

  #announceInput(): void {
    this.#receiver?.inputArrived();
    this.#waiting.wake();
  }
}
