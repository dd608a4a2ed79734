/** What waits to be read from port 0x60, oldest first: the controller's own bytes before those of its devices. */
import {
  asRecord,
  decodeNumber,
  isJsonArray,
  type Json,
  type StateCell,
  StateError,
} from '../../sim/state.ts';

export type Source = 'controller' | 'keyboard' | 'mouse';
const SOURCES: readonly Source[] = ['controller', 'keyboard', 'mouse'];

export interface OutputByte {
  readonly byte: number;
  readonly source: Source;
  /** The device did not answer. */
  readonly isTimeout: boolean;
}

/** A device holds back so many bytes; what more it says is lost, as a keyboard's 17th key is. */
const DEPTH = 16;

export class OutputQueue implements StateCell {
  #bytes: OutputByte[] = [];
  #last = 0;

  get first(): OutputByte | undefined {
    return this.#bytes[0];
  }

  put(byte: OutputByte): void {
    const ofSource = this.#bytes.filter(({ source }) => source === byte.source);
    if (ofSource.length >= DEPTH) return;
    if (byte.source !== 'controller') this.#bytes.push(byte);
    else this.#bytes.splice(ofSource.length, 0, byte);
  }

  /** The next byte; with nothing there, the last one again. */
  take(): number {
    const first = this.#bytes.shift();
    if (first !== undefined) this.#last = first.byte;
    return this.#last;
  }

  save(): Json {
    return { last: this.#last, bytes: this.#bytes.map((entry) => ({ ...entry })) };
  }

  restore(saved: Json): void {
    const { last = null, bytes = null } = asRecord(saved);
    if (!isJsonArray(bytes)) throw new StateError('expected a list of bytes');
    this.#last = decodeNumber(last);
    this.#bytes = bytes.map((entry) => {
      const { byte = null, source, isTimeout } = asRecord(entry);
      const known = SOURCES.find((candidate) => candidate === source);
      if (known === undefined) throw new StateError(`expected one of ${SOURCES.join(', ')}`);
      return { byte: decodeNumber(byte), source: known, isTimeout: isTimeout === true };
    });
  }
}
