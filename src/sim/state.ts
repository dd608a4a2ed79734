/**
 * State cells: the declared state of a SimObject. A cell can save itself as JSON and restore itself;
 * checkpoint, restore and the round-trip test all derive from the declaration `this.state(name, cell)`.
 */
import type { EventQueue } from './event-queue.ts';
import type { SimEvent } from './sim-event.ts';
import { MAX_TICK, type Tick } from './tick.ts';

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** Something a checkpoint holds. `restore` gets what `save` returned and throws {@link StateError} if not. */
export interface StateCell {
  save(): Json;
  restore(saved: Json): void;
}

/**
 * State too big for JSON, such as RAM. It becomes a file of exactly `sizeBytes` bytes with holes for zero pages,
 * uncompressed. See checkpoint/blob.ts.
 */
export interface BlobCell {
  readonly sizeBytes: number;
  /** Writes the contents, in ascending order; what is not written reads as zero. */
  saveBlob(into: BlobSink): void;
  /** Takes the contents, which have been checked. */
  restoreBlob(from: BlobSource): void;
}

/** Takes big state; `BlobWriter` is the real one. */
export interface BlobSink {
  /** Spans of whole pages of 4 KiB, but for the last of all. */
  write(offset: number, bytes: Uint8Array): void;
}

/** Gives it back; `BlobReader` is the real one. */
export interface BlobSource {
  /** Calls `take` with whatever is not zero, in ascending order; the bytes are its own only until it returns. */
  read(take: (offset: number, bytes: Uint8Array) => void): void;
}

/** Saved state does not fit the cell. */
export class StateError extends Error {
  override readonly name = 'StateError';
}

/** A single value. Use `.value`. */
export class ScalarCell<T> implements StateCell {
  value: T;
  readonly #encode: (value: T) => Json;
  readonly #decode: (saved: Json) => T;

  constructor(initial: T, encode: (value: T) => Json, decode: (saved: Json) => T) {
    this.value = initial;
    this.#encode = encode;
    this.#decode = decode;
  }

  save(): Json {
    return this.#encode(this.value);
  }

  restore(saved: Json): void {
    this.value = this.#decode(saved);
  }
}

/** Any Number, also NaN, infinities and −0, which JSON lacks. */
export function numberCell(initial = 0): ScalarCell<number> {
  return new ScalarCell(initial, encodeNumber, decodeNumber);
}

export function bigintCell(initial = 0n): ScalarCell<bigint> {
  return new ScalarCell<bigint>(initial, String, decodeBigint);
}

export function booleanCell(initial = false): ScalarCell<boolean> {
  return new ScalarCell<boolean>(
    initial,
    (value) => value,
    (saved) => (typeof saved === 'boolean' ? saved : mismatch('a boolean', saved)),
  );
}

export function stringCell(initial = ''): ScalarCell<string> {
  return new ScalarCell<string>(initial, (value) => value, decodeString);
}

/** One of a few strings, such as the state of a state machine. */
export function choiceCell<T extends string>(initial: T, choices: readonly T[]): ScalarCell<T> {
  return new ScalarCell<T>(
    initial,
    (value) => value,
    (saved) => choices.find((choice) => choice === saved) ?? mismatch(`one of ${choices.join(', ')}`, saved),
  );
}

type AnyTypedArray =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array
  | BigUint64Array
  | BigInt64Array;

/** A typed array of fixed length, saved as its bytes in hexadecimal. Use `.array`. */
export class ArrayCell<T extends AnyTypedArray> implements StateCell {
  readonly array: T;

  constructor(array: T) {
    this.array = array;
  }

  save(): Json {
    return this.#bytes().toHex();
  }

  restore(saved: Json): void {
    const bytes = this.#bytes();
    const hex = decodeString(saved);
    if (hex.length !== 2 * bytes.length || /[^0-9a-fA-F]/.test(hex)) {
      mismatch(`${bytes.length} bytes in hexadecimal`, saved);
    }
    bytes.setFromHex(hex);
  }

  #bytes(): Uint8Array {
    return new Uint8Array(this.array.buffer, this.array.byteOffset, this.array.byteLength);
  }
}

export function arrayCell<T extends AnyTypedArray>(array: T): ArrayCell<T> {
  return new ArrayCell(array);
}

/** A list of variable length whose elements are encoded one by one. Use `.items`. */
export class ListCell<T> implements StateCell {
  items: T[] = [];
  readonly #encode: (item: T) => Json;
  readonly #decode: (saved: Json) => T;

  constructor(encode: (item: T) => Json, decode: (saved: Json) => T) {
    this.#encode = encode;
    this.#decode = decode;
  }

  save(): Json {
    return this.items.map(this.#encode);
  }

  restore(saved: Json): void {
    if (!isJsonArray(saved)) mismatch('a list', saved);
    this.items = saved.map(this.#decode);
  }
}

export function listCell<T>(encode: (item: T) => Json, decode: (saved: Json) => T): ListCell<T> {
  return new ListCell(encode, decode);
}

/** State that an object keeps in its own way. */
export function customCell(save: () => Json, restore: (saved: Json) => void): StateCell {
  return { save, restore };
}

/** Whether and when an event is scheduled, and its place among events of the same tick. */
export function eventCell(queue: EventQueue, event: SimEvent): StateCell {
  return {
    save: () => (event.scheduled ? { tick: String(queue.whenOf(event)), order: event.order } : null),
    restore: (saved) => {
      if (event.scheduled) queue.deschedule(event);
      if (saved === null) return;
      const { tick, order } = asRecord(saved);
      queue.restoreEvent(event, decodeTick(tick ?? null), decodeNumber(order ?? null));
    },
  };
}

/** @throws StateError unless `saved` is a JSON object */
export function asRecord(saved: Json): { readonly [key: string]: Json } {
  if (saved === null || typeof saved !== 'object' || isJsonArray(saved)) mismatch('an object', saved);
  return saved;
}

/** Narrowing for readonly arrays, which Array.isArray does not do. */
export function isJsonArray(saved: Json): saved is readonly Json[] {
  return Array.isArray(saved);
}

export function decodeString(saved: Json): string {
  return typeof saved === 'string' ? saved : mismatch('a string', saved);
}

export function decodeBigint(saved: Json): bigint {
  if (typeof saved !== 'string' || !/^-?\d+$/.test(saved)) mismatch('an integer in quotes', saved);
  return BigInt(saved);
}

export function decodeTick(saved: Json): Tick {
  const tick = decodeBigint(saved);
  return tick >= 0n && tick <= MAX_TICK ? (tick as Tick) : mismatch('a tick', saved);
}

export function encodeNumber(value: number): Json {
  if (Object.is(value, -0)) return '-0';
  return Number.isFinite(value) ? value : String(value);
}

export function decodeNumber(saved: Json): number {
  if (typeof saved === 'number') return saved;
  if (saved === 'NaN' || saved === 'Infinity' || saved === '-Infinity' || saved === '-0')
    return Number(saved);
  return mismatch('a number', saved);
}

function mismatch(expected: string, saved: Json): never {
  const text = JSON.stringify(saved);
  throw new StateError(`expected ${expected}, found ${text.length > 40 ? `${text.slice(0, 40)}…` : text}`);
}
