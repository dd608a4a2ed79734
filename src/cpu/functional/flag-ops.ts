/**
 * The status flags in generated code: what an instruction says of them is kept until its end, in lazy form (lazy-flags.ts).
 * Where flags are kept between instructions differs between the interpreter and the translator.
 */

import { FLAG_BITS, FLAG_NAMES, type FlagName, STATUS_FLAGS } from '../../arch/x86/isa/conditions.ts';
import type { FlagValue, FlagValues } from '../../arch/x86/isa/cracker.ts';
import type { FlagKind } from '../../arch/x86/isa/lazy-flags.ts';
import type { Width } from '../../arch/x86/isa/ops.ts';
import { FloatVectors } from './float-vectors.ts';
import type { Value } from './wasm-ops.ts';

/** Flags as they will be: lazily, from two values. */
export interface PendingFlags {
  readonly kind: FlagKind;
  readonly z: Width;
  readonly a: Value;
  readonly b: Value | undefined;
}

export abstract class FlagOps extends FloatVectors {
  #flags: PendingFlags | undefined;
  /** The pending flags take effect only where this holds. */
  #condition: Value | undefined;

  abstract flag(name: FlagName): Value;
  /** All status flags as in RFLAGS. */
  protected abstract statusFlags(): Value;
  /** Status flags that somebody may still read behind the instruction: a mask of RFLAGS. */
  protected abstract readonly liveFlags: number;
  protected abstract writeFlags(flags: PendingFlags): void;
  /** Flags that are known only in a conditional body must be known behind it, too. */
  protected abstract beforeWhen(): void;
  protected abstract afterWhenBody(): void;

  flagsAdd(z: Width, a: Value, b: Value, _r: Value): void {
    this.#flags = { kind: 'add', z, a, b };
  }

  flagsSub(z: Width, a: Value, b: Value, _r: Value): void {
    this.#flags = { kind: 'sub', z, a, b };
  }

  flagsLogic(z: Width, r: Value): void {
    this.#flags = { kind: 'result', z, a: r, b: undefined };
  }

  setFlags(values: FlagValues<Value>): void {
    const { result, cf, af, of } = values;
    this.#condition = undefined;
    if (this.liveFlags === 0) return;
    if (result !== undefined) {
      const others = [
        ['cf', cf],
        ['af', af],
        ['of', of],
      ] as const;
      const b = this.#flagBits(others.map(([name, value]) => [name, value ?? this.#kept(name)]));
      this.#flags = { kind: 'result', z: result.z, a: result.value, b };
      return;
    }
    const given = FLAG_NAMES.filter((name) => values[name] !== undefined);
    const mask = given.reduce((bits, name) => bits | FLAG_BITS[name], 0);
    const fresh = this.#flagBits(given.map((name) => [name, values[name]!]));
    const keeps = (this.liveFlags & STATUS_FLAGS & ~mask) !== 0;
    const kept = keeps ? this.and(32, this.statusFlags(), this.int(32, STATUS_FLAGS & ~mask)) : undefined;
    this.#flags = {
      kind: 'bits',
      z: 32,
      a: kept === undefined ? fresh : this.or(32, fresh, kept),
      b: undefined,
    };
  }

  setFlagsIf(condition: Value, values: FlagValues<Value>): void {
    this.setFlags(values);
    this.#condition = condition;
  }

  /** The status flags of `mask` become those of `value`. */
  protected setStatusFlags(mask: number, value: Value): void {
    const fresh = this.and(32, value, this.int(32, mask));
    const keeps = (this.liveFlags & STATUS_FLAGS & ~mask) !== 0;
    const a = keeps
      ? this.or(32, fresh, this.and(32, this.statusFlags(), this.int(32, STATUS_FLAGS & ~mask)))
      : fresh;
    this.#flags = { kind: 'bits', z: 32, a, b: undefined };
  }

  /** Writes the flags that the instruction leaves. */
  protected commitFlags(): void {
    const flags = this.#flags;
    const condition = this.#condition;
    this.#flags = undefined;
    this.#condition = undefined;
    if (flags === undefined) return;
    if (condition === undefined) {
      this.writeFlags(flags);
      return;
    }
    this.beforeWhen();
    this.put(condition);
    this.f.if();
    this.writeFlags(flags);
    this.afterWhenBody();
    this.f.end();
  }

  /** What `name` was, if anybody wants to know. */
  #kept(name: FlagName): Value {
    return (this.liveFlags & FLAG_BITS[name]) === 0 ? this.int(32, 0) : this.flag(name);
  }

  #flagBits(flags: readonly (readonly [FlagName, FlagValue<Value>])[]): Value {
    let word: Value | undefined;
    for (const [name, given] of flags) {
      if ((this.liveFlags & FLAG_BITS[name]) === 0) continue;
      const value = typeof given === 'function' ? given() : given;
      if (value.constant === 0) continue;
      const bit = name === 'cf' ? value : this.shl(32, value, this.int(32, 31 - Math.clz32(FLAG_BITS[name])));
      word = word === undefined ? bit : this.or(32, word, bit);
    }
    return word ?? this.int(32, 0);
  }
}
