/**
 * Registers of a device as a table: offset, width, access, reset value, fields. Reading, writing, saving and the
 * documentation (docs/devices.md) come from it; what a register does beside keeping its value is a hook.
 *
 *   const REGISTERS = {
 *     rbr: reg({ at: 0, access: 'ro', doc: 'receiver buffer' }),
 *     thr: reg({ at: 0, access: 'wo', doc: 'transmitter holding register' }),
 *     lcr: reg({ at: 3, doc: 'line control', fields: { wls: bits(1, 0), dlab: bit(7) } }),
 *   };
 *   readonly #regs = this.state('regs', new RegisterFile(REGISTERS, { thr: { write: (v) => this.#transmit(v) } }));
 */
import { asRecord, decodeNumber, type Json, type StateCell } from '../sim/state.ts';

/** A span of bits, both ends included. */
export interface BitField {
  readonly high: number;
  readonly low: number;
}

export const bit = (n: number): BitField => ({ high: n, low: n });
export const bits = (high: number, low: number): BitField => ({ high, low });

/**
 * What software may do: `rw`; `ro`, writes are ignored; `wo`, reads give zeros (or the hook's answer); `w1c`, each one bit
 * written clears that bit.
 */
export type RegisterAccess = 'rw' | 'ro' | 'wo' | 'w1c';

export interface RegisterDeclaration {
  /** Offset in bytes from the start of the bank. */
  readonly at: number;
  /** 1, 2 or 4; a register of 64 bits is two of 32. */
  readonly sizeBytes: 1 | 2 | 4;
  readonly access: RegisterAccess;
  readonly reset: number;
  /** Bits that software can change. */
  readonly writable: number;
  /** Name of the selection under which the register is there; undefined: always. */
  readonly when: string | undefined;
  readonly doc: string;
  readonly fields: Readonly<Record<string, BitField>>;
}

const FULL = { 1: 0xff, 2: 0xffff, 4: 0xffff_ffff } as const;

/** Declares a register; what is left out is one byte, read and written, zero at reset. */
export function reg<const F extends Readonly<Record<string, BitField>> = Record<never, never>>(
  given: Pick<RegisterDeclaration, 'at' | 'doc'> &
    Partial<Omit<RegisterDeclaration, 'at' | 'doc' | 'fields'>> & { readonly fields?: F },
): RegisterDeclaration & { readonly fields: F } {
  const {
    sizeBytes = 1,
    access = 'rw',
    reset = 0,
    when,
    fields = {} as F,
    writable = FULL[sizeBytes],
  } = given;
  return { at: given.at, doc: given.doc, sizeBytes, access, reset, when, fields, writable };
}

export type RegisterTable = Readonly<Record<string, RegisterDeclaration>>;

/** What a register does when software touches it. Values are unsigned numbers of the register's width. */
export interface RegisterHook {
  /** Replaces the stored value; may have side effects. */
  read?(): number;
  /** Called after the value has been stored; `previous` is what it was. */
  write?(value: number, previous: number): void;
}

/** A span of addresses that a device answers, as PioDevice uses it. */
export interface RegisterBank {
  readonly sizeBytes: number;
  /** An unsigned number of `sizeBytes` (1, 2 or 4) bytes. */
  read(offset: number, sizeBytes: number): number;
  write(offset: number, sizeBytes: number, value: number): void;
}

interface Slot {
  readonly name: string;
  readonly declared: RegisterDeclaration;
  readonly index: number;
  readonly hook: RegisterHook;
}

export class RegisterFile<T extends RegisterTable> implements StateCell, RegisterBank {
  readonly sizeBytes: number;
  readonly table: T;
  readonly #values: Uint32Array;
  readonly #slots = new Map<keyof T, Slot>();
  /** By byte offset, the registers that answer a read, and those that take a write: often two share a place. */
  readonly #readers: Slot[][] = [];
  readonly #writers: Slot[][] = [];
  readonly #selection: () => string;

  /**
   * @param table the registers
   * @param hooks of registers that do something
   * @param options sizeBytes of the bank, if it is longer than its last register; `selection`: names the registers that are
   *   there now (`when`)
   */
  constructor(
    table: T,
    hooks: { readonly [K in keyof T]?: RegisterHook } = {},
    options: { readonly sizeBytes?: number; readonly selection?: () => string } = {},
  ) {
    this.table = table;
    this.#selection = options.selection ?? (() => '');
    const entries = Object.entries(table);
    this.#values = new Uint32Array(entries.length);
    const end = Math.max(0, ...entries.map(([, { at, sizeBytes }]) => at + sizeBytes));
    this.sizeBytes = options.sizeBytes ?? end;
    if (this.sizeBytes < end)
      throw new RangeError(`a bank of ${this.sizeBytes} bytes has registers up to ${end}`);
    for (const [index, [name, declared]] of entries.entries()) {
      const slot: Slot = { name, declared, index, hook: hooks[name as keyof T] ?? {} };
      this.#slots.set(name, slot);
      for (let at = declared.at; at < declared.at + declared.sizeBytes; at++) {
        enlist(this.#readers, at, slot, 'wo');
        enlist(this.#writers, at, slot, 'ro');
      }
    }
    this.reset();
  }

  /** All registers take their reset values; hooks are not called. */
  reset(): void {
    for (const { index, declared } of this.#slots.values()) this.#values[index] = declared.reset;
  }

  /** The stored value: the device's own view, without hooks. */
  get(name: keyof T): number {
    return this.#values[this.#slot(name).index]!;
  }

  /** Stores a value as the device: access rules and hooks do not apply. */
  set(name: keyof T, value: number): void {
    const { index, declared } = this.#slot(name);
    this.#values[index] = value & FULL[declared.sizeBytes];
  }

  field<K extends keyof T>(name: K, field: keyof T[K]['fields'] & string): number {
    const { high, low } = this.#field(name, field);
    return (this.get(name) >>> low) & mask(high - low);
  }

  setField<K extends keyof T>(name: K, field: keyof T[K]['fields'] & string, value: number): void {
    const { high, low } = this.#field(name, field);
    const inPlace = mask(high - low) << low;
    this.set(name, (this.get(name) & ~inPlace) | ((value << low) & inPlace));
  }

  /** What software reads. Bytes without a register read as zero. */
  read(offset: number, sizeBytes: number): number {
    let result = 0;
    for (let i = 0; i < sizeBytes; ) {
      const slot = this.#find(this.#readers[offset + i]);
      if (slot === undefined) {
        i++;
        continue;
      }
      const { declared } = slot;
      const skipped = offset + i - declared.at;
      const count = Math.min(declared.sizeBytes - skipped, sizeBytes - i);
      const value = this.#readSlot(slot);
      result |= ((value >>> (8 * skipped)) & mask(8 * count - 1)) << (8 * i);
      i += count;
    }
    return result >>> 0;
  }

  /** What software writes; a part of a register leaves its other bytes as they are. */
  write(offset: number, sizeBytes: number, value: number): void {
    for (let i = 0; i < sizeBytes; ) {
      const slot = this.#find(this.#writers[offset + i]);
      if (slot === undefined) {
        i++;
        continue;
      }
      const { declared } = slot;
      const skipped = offset + i - declared.at;
      const count = Math.min(declared.sizeBytes - skipped, sizeBytes - i);
      const touched = mask(8 * count - 1) << (8 * skipped);
      this.#writeSlot(slot, ((value >>> (8 * i)) << (8 * skipped)) & touched, touched);
      i += count;
    }
  }

  save(): Json {
    return Object.fromEntries([...this.#slots].map(([name, { index }]) => [name, this.#values[index]!]));
  }

  restore(saved: Json): void {
    const record = asRecord(saved);
    for (const { name, index } of this.#slots.values())
      this.#values[index] = decodeNumber(record[name] ?? null);
  }

  #readSlot({ declared, index, hook }: Slot): number {
    if (hook.read !== undefined) return hook.read();
    return declared.access === 'wo' ? 0 : this.#values[index]!;
  }

  #writeSlot({ declared, index, hook }: Slot, value: number, touched: number): void {
    const { access, writable } = declared;
    if (access === 'ro') return;
    const previous = this.#values[index]!;
    const changes = touched & writable;
    const next = access === 'w1c' ? previous & ~(value & changes) : (previous & ~changes) | (value & changes);
    this.#values[index] = next;
    // A register of ones to be cleared is told what was written, not what is left.
    hook.write?.(access === 'w1c' ? (value & changes) >>> 0 : this.#values[index]!, previous);
  }

  #find(slots: readonly Slot[] | undefined): Slot | undefined {
    if (slots === undefined) return undefined;
    if (slots.length === 1 && slots[0]!.declared.when === undefined) return slots[0];
    const selection = this.#selection();
    return slots.find(({ declared: { when } }) => when === undefined || when === selection);
  }

  #slot(name: keyof T): Slot {
    const slot = this.#slots.get(name);
    if (slot === undefined) throw new RangeError(`no register ${String(name)}`);
    return slot;
  }

  #field(name: keyof T, field: string): BitField {
    const found = this.#slot(name).declared.fields[field];
    if (found === undefined) throw new RangeError(`register ${String(name)} has no field ${field}`);
    return found;
  }
}

/** Adds a register to those at an offset; one that does not answer this kind of access comes after all that do. */
function enlist(places: Slot[][], at: number, slot: Slot, unfit: RegisterAccess): void {
  places[at] ??= [];
  const slots = places[at];
  const unfits = slots.findIndex(({ declared }) => declared.access === unfit);
  if (slot.declared.access === unfit || unfits < 0) slots.push(slot);
  else slots.splice(unfits, 0, slot);
}

/** Ones in bits `high` to 0. */
function mask(high: number): number {
  return high >= 31 ? 0xffff_ffff : (1 << (high + 1)) - 1;
}
