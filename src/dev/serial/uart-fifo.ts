/** The receive FIFO of a UART: bytes, and breaks with them, oldest first. */
import { decodeNumber, isJsonArray, type Json, type StateCell, StateError } from '../../sim/state.ts';
import { BREAK } from './char-backend.ts';

export class UartFifo implements StateCell {
  readonly #depth: number;
  #entries: number[] = [];

  constructor(depth: number) {
    this.#depth = depth;
  }

  get length(): number {
    return this.#entries.length;
  }

  get isEmpty(): boolean {
    return this.#entries.length === 0;
  }

  /** What is next to be read; undefined if there is nothing. */
  get first(): number | undefined {
    return this.#entries[0];
  }

  get hasBreak(): boolean {
    return this.#entries.includes(BREAK);
  }

  push(entry: number): void {
    this.#entries.push(entry);
  }

  replaceLast(entry: number): void {
    this.#entries[this.#entries.length - 1] = entry;
  }

  shift(): number | undefined {
    return this.#entries.shift();
  }

  /** The break at the top has been reported; it reads as the zero that it looks like. */
  forgiveFirst(): void {
    this.#entries[0] = 0;
  }

  clear(): void {
    this.#entries = [];
  }

  save(): Json {
    return [...this.#entries];
  }

  restore(saved: Json): void {
    const isWhole = isJsonArray(saved) && saved.length <= this.#depth;
    if (!isWhole) throw new StateError(`expected at most ${this.#depth} characters`);
    this.#entries = saved.map(decodeNumber);
  }
}
