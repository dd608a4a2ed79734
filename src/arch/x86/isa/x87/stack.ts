/**
 * The x87 register stack in operations of Ops<V>, for the fast paths: control, status and tag word read once, registers by their
 * place behind TOP, and one write of all three words. SDM vol. 1 §8.1.2 to §8.1.7.
 */

import { OFFSET, STRIDE } from '../../state-layout.ts';
import { Fsw } from '../../x87/unit.ts';
import type { Cracker } from '../cracker.ts';
import type { X87Number } from './numbers.ts';

/** Where the words lie in the u64 at `fcw`. */
const STATUS = 16;
const TAGS = 32;
const FOP = 48;
const TOP_SHIFT = 11;
const EXPONENT_AT = 8;
const REGISTER_SHIFT = Math.log2(STRIDE.st);
/** Precision exception: the only one that a fast path raises. */
const PRECISION_BIT = 5;
const C1_BIT = 9;

/** A register of the stack: its physical number, of width 32. */
export interface Place<V> {
  readonly number: V;
}

/** What becomes of the words. */
export interface Update<V> {
  /** TOP moves by so much: −1 for a push. */
  readonly rotate?: number;
  /** This register is not empty afterwards, or is. */
  readonly filled?: Place<V>;
  readonly freed?: Place<V> | undefined;
  /** C1 stays as it is. */
  readonly keepsC1?: boolean;
  /** C1: the result has been rounded up; and PE: it is inexact. Conditions of width 32. */
  readonly roundedUp?: V;
  readonly inexact?: V;
  /** C0, C2, C3 where they are set, a mask of width 32. */
  readonly conditions?: V;
}

export class Stack<V> {
  readonly #u: Cracker<V>;
  /** fcw, fsw, ftw, fop. */
  readonly #words: V;
  readonly #fop: V;
  readonly #top: V;

  /** @param fop what FOP becomes, width 16 */
  constructor(u: Cracker<V>, fop: V) {
    this.#u = u;
    this.#fop = fop;
    this.#words = u.field(OFFSET.fcw, 64);
    this.#top = u.and(32, this.#part(STATUS + TOP_SHIFT), u.int(32, 7));
  }

  /** ST(i): i as a number, or as a value of width 32. */
  st(i: number): Place<V> {
    return i === 0 ? { number: this.#top } : this.stAt(this.#u.int(32, i));
  }

  stAt(i: V): Place<V> {
    const u = this.#u;
    return { number: u.and(32, u.add(32, this.#top, i), u.int(32, 7)) };
  }

  /** 1 if the register holds something. */
  isFull({ number }: Place<V>): V {
    const u = this.#u;
    return u.and(32, u.shr(32, this.#part(TAGS), number), u.int(32, 1));
  }

  isEmpty(place: Place<V>): V {
    return this.#u.xor(32, this.isFull(place), this.#u.int(32, 1));
  }

  /** Whether these bits of the control word have this value. */
  hasControl(mask: number, value: number): V {
    const u = this.#u;
    return u.eq(32, u.and(32, u.zext(64, 32, this.#words), u.int(32, mask)), u.int(32, value));
  }

  read(place: Place<V>): X87Number<V> {
    const at = this.#at(place);
    return {
      significand: this.#u.field(OFFSET.st, 64, at),
      signExponent: this.#u.zext(16, 32, this.#u.field(OFFSET.st + EXPONENT_AT, 16, at)),
    };
  }

  write(place: Place<V>, { significand, signExponent }: X87Number<V>): void {
    const at = this.#at(place);
    this.#u.setField(OFFSET.st, 64, significand, at);
    this.#u.setField(OFFSET.st + EXPONENT_AT, 16, this.#u.zext(32, 16, signExponent), at);
  }

  /** Writes the words: C1 is cleared where nothing else is said. */
  update({ rotate = 0, filled, freed, keepsC1 = false, roundedUp, inexact, conditions }: Update<V>): void {
    const u = this.#u;
    let cleared = BigInt(keepsC1 ? 0 : Fsw.C1) << BigInt(STATUS);
    if (conditions !== undefined) cleared |= BigInt(Fsw.C0 | Fsw.C2 | Fsw.C3) << BigInt(STATUS);
    if (rotate !== 0) cleared |= BigInt(Fsw.TOP) << BigInt(STATUS);
    cleared |= 0xffffn << BigInt(FOP);
    let words = u.and(64, this.#words, u.int(64, BigInt.asIntN(64, ~cleared)));
    const set = (value: V, shift: number) => {
      words = u.or(64, words, u.shl(64, u.zext(32, 64, value), u.int(32, shift)));
    };
    set(u.and(32, u.zext(16, 32, this.#fop), u.int(32, 0x7ff)), FOP);
    if (rotate !== 0) {
      set(u.and(32, u.add(32, this.#top, u.int(32, rotate)), u.int(32, 7)), STATUS + TOP_SHIFT);
    }
    if (roundedUp !== undefined) set(roundedUp, STATUS + C1_BIT);
    if (inexact !== undefined) set(inexact, STATUS + PRECISION_BIT);
    if (conditions !== undefined) set(conditions, STATUS);
    if (filled !== undefined) words = u.or(64, words, this.#tag(filled));
    if (freed !== undefined) words = u.and(64, words, u.not(64, this.#tag(freed)));
    u.setField(OFFSET.fcw, 64, words);
  }

  #tag({ number }: Place<V>): V {
    const u = this.#u;
    return u.shl(64, u.int(64, 1), u.add(32, number, u.int(32, TAGS)));
  }

  /** Offset of a register behind R0. */
  #at({ number }: Place<V>): V {
    return this.#u.shl(32, number, this.#u.int(32, REGISTER_SHIFT));
  }

  /** The words from a bit on, width 32. */
  #part(shift: number): V {
    const u = this.#u;
    return u.zext(64, 32, u.shr(64, this.#words, u.int(32, shift)));
  }
}
