/**
 * Memory accesses in a translated region: several accesses near the same register share one look-up in the TLB.
 *
 *   mov rax, [rdi+8]      look up [rdi+8, rdi+28), which must be in one page:    place = RAM offset of rdi+8
 *   mov ecx, [rdi+24]     RAM[place + 16]
 *   mov [rdi+16], rax     RAM[place + 8]: so the look-up is in the TLB for writing
 *
 * What a look-up covers grows while its block is translated, since all of the block is executed; its numbers are put in at the
 * end of the region. It is used wherever control gets only through its block while the register is not written, in loops, too.
 * Elsewhere than in its block it does not grow, unless it is on the stack. Where the span is not in one page, though each
 * access may be, the region leaves to the interpreter; if that happens too often, the region is translated anew without sharing.
 *
 * A register is followed as "some value plus a constant": PUSH, POP, ADD, LEA and MOV between registers change the constant.
 * What such values are is an origin; the page of a constant address is one, too (with a negative number).
 */

import type { Bits, Decoded } from '../../arch/x86/isa/decoded.ts';
import type { Width } from '../../arch/x86/isa/ops.ts';
import { Gpr } from '../../arch/x86/registers.ts';
import { PAGE_SHIFT, TLB_READ_AT, TLB_WRITE_AT } from './layout.ts';
import { ADDEND, type KnownPlace } from './memory-ops.ts';
import { RegionFloats } from './region-floats.ts';
import { Op, ValueType } from './wasm/opcodes.ts';
import type { Control } from './wasm-cracker.ts';
import type { Value } from './wasm-ops.ts';

const PAGE_BYTES = 2 ** PAGE_SHIFT;
/** No look-up covers more: the more, the likelier does it cross into another page. */
const MOST_BYTES = 256;
/** Written first, and replaced at the end: numbers that are encoded in as many bytes. */
const FIVE_BYTES = 2 ** 31;
const TWO_BYTES = 4000;
const TLB_BYTES = 3;

/** A look-up: its place is that of the byte at `from`, relative to the origin. */
interface Look {
  readonly local: number;
  /** The block in which it is made: there it may grow. */
  readonly block: number;
  isWrite: boolean;
  /** What it covers: [from, to), relative to the origin. */
  from: number;
  to: number;
  /** Where its numbers are in the code: the displacement, the limit, the TLB's two fields, and the offsets of accesses. */
  readonly displacementAt: number;
  readonly delta: number;
  readonly limitAt: number;
  readonly tlbAt: readonly [tag: number, addend: number];
  readonly accesses: { readonly at: number; readonly where: number }[];
}

/** What an access is near to. */
interface Base {
  readonly origin: number;
  /** The origin's value plus so much. */
  readonly value: Value;
  readonly delta: number;
  /** Where the access begins, relative to the origin. */
  readonly from: number;
  readonly isStack: boolean;
}

/** A register holds the value of an origin, which never changes, plus a constant. */
interface Tracked {
  readonly origin: number;
  readonly delta: number;
}

/** What is known at a place in the code. */
export interface KnownPages {
  /** When that was: in writes of registers. */
  readonly time: number;
  readonly registers: ReadonlyMap<number, Tracked>;
  /** By origin. */
  readonly looks: ReadonlyMap<number, readonly Look[]>;
}

const NOTHING: KnownPages = { time: 0, registers: new Map(), looks: new Map() };

export abstract class RegionMemory extends RegionFloats {
  #registers = new Map<number, Tracked>();
  #looks = new Map<number, readonly Look[]>();
  readonly #all: Look[] = [];
  #nextOrigin = 0;
  #block = 0;
  /** How many writes of registers have been translated, and when each was written last. */
  #time = 0;
  readonly #writtenAt: number[] = [];
  #shares = false;
  #sharesHere = false;
  /** Registers that the instruction gives the value of another one plus a constant. */
  readonly #moves = new Map<number, Tracked>();

  /** Leaves the instruction to the interpreter, since what a look-up covers is not in one page that the TLB knows. */
  protected abstract leaveForPage(): void;

  /** @param shares whether accesses share look-ups */
  protected beginPages(shares: boolean): void {
    this.#all.length = 0;
    this.#nextOrigin = 0;
    this.#block = 0;
    this.#time = 0;
    this.#writtenAt.length = 0;
    this.#shares = shares;
    this.pages = NOTHING;
  }

  override crack(instruction: Decoded): Control {
    this.#sharesHere = this.#shares;
    return super.crack(instruction);
  }

  /** Look-ups that have been made so far do not grow any more. */
  protected beginBlockOfPages(): void {
    this.#block++;
  }

  get pages(): KnownPages {
    return { time: this.#time, registers: new Map(this.#registers), looks: new Map(this.#looks) };
  }

  set pages({ registers, looks }: KnownPages) {
    this.#registers = new Map(registers);
    this.#looks = new Map(looks);
  }

  /** Several ways from a place lead here, through all code that was written since: what that has not changed is still known. */
  comeFrom(place: KnownPages): void {
    this.pages = place;
    for (const index of place.registers.keys())
      if ((this.#writtenAt[index] ?? 0) > place.time) this.#registers.delete(index);
  }

  /** These registers are written in the loop that begins here: bits by number. */
  enterLoop(registersWritten: number): void {
    for (const index of [...this.#registers.keys()])
      if ((registersWritten & (1 << index)) !== 0) this.#registers.delete(index);
  }

  /** Puts the numbers of all look-ups in their places. */
  finishPages(): void {
    const { code } = this.f;
    for (const { from, to, isWrite, displacementAt, delta, limitAt, tlbAt, accesses } of this.#all) {
      const tlb = isWrite ? TLB_WRITE_AT : TLB_READ_AT;
      code.replaceSigned(displacementAt, 5, from - delta);
      code.replaceSigned(limitAt, 2, PAGE_BYTES - (to - from));
      code.replaceUnsigned(tlbAt[0], TLB_BYTES, tlb);
      code.replaceUnsigned(tlbAt[1], TLB_BYTES, tlb + ADDEND);
      for (const { at, where } of accesses) code.replaceUnsigned(at, 2, where - from);
    }
  }

  // ---- registers as origin plus constant ----

  override gpr(index: number): Value {
    return { ...this.wholeGpr(index), address: { base: index, displacement: 0 } };
  }

  /** A general register as a value. */
  protected abstract wholeGpr(index: number): Value;

  override add(z: Width, a: Value, b: Value): Value {
    const sum = super.add(z, a, b);
    return displaced(sum, a, b, 1) ?? displaced(sum, b, a, 1) ?? sum;
  }

  override sub(z: Width, a: Value, b: Value): Value {
    const difference = super.sub(z, a, b);
    return displaced(difference, a, b, -1) ?? difference;
  }

  /** A general register is going to be given a value at the end of the instruction. */
  protected noteMove(index: number, value: Value): void {
    this.#moves.delete(index);
    if (value.address === undefined || !this.#sharesHere) return;
    const { base, displacement } = value.address;
    const { origin, delta } = this.#trackedOf(base);
    this.#moves.set(index, { origin, delta: delta + displacement });
  }

  /** A general register has been written. */
  protected forgetRegister(index: number): void {
    this.#registers.delete(index);
    this.#writtenAt[index] = ++this.#time;
  }

  protected override commit(): void {
    const moves = [...this.#moves];
    this.#moves.clear();
    super.commit();
    for (const [index, tracked] of moves) this.#registers.set(index, tracked);
  }

  /** What is in a body may not happen, and registers may have changed in front of it: such instructions share nothing. */
  protected override branch(condition: Value, body: () => void, otherwise?: () => void): void {
    this.#sharesHere = false;
    super.branch(condition, body, otherwise);
    this.pages = NOTHING;
  }

  #trackedOf(index: number): Tracked {
    const known = this.#registers.get(index);
    if (known !== undefined) return known;
    const fresh = { origin: this.#nextOrigin++, delta: 0 };
    this.#registers.set(index, fresh);
    return fresh;
  }

  // ---- look-ups ----

  protected override knownPlace(
    bits: Bits,
    linear: Value,
    isWrite: boolean,
    isAligned: boolean,
  ): KnownPlace | undefined {
    const base = this.#baseOf(linear, bits / 8);
    if (base === undefined) return undefined;
    const { from } = base;
    const look =
      this.#lookFor(base, from + bits / 8, isWrite) ?? this.#newLook(base, from + bits / 8, isWrite);
    if (isAligned) this.#checkAlignment(linear, bits);
    const { code } = this.f;
    return {
      local: look.local,
      offset: TWO_BYTES,
      noteOffset: () => look.accesses.push({ at: code.length - 2, where: from }),
    };
  }

  /** Where an access lies, if that can be said relative to something that others may be near to. */
  #baseOf(linear: Value, sizeBytes: number): Base | undefined {
    if (!this.#sharesHere) return undefined;
    if (linear.address !== undefined) {
      const { base, displacement } = linear.address;
      const { origin, delta } = this.#trackedOf(base);
      return {
        origin,
        delta,
        value: this.wholeGpr(base),
        from: delta + displacement,
        isStack: base === Gpr.RSP,
      };
    }
    if (linear.constant === undefined) return undefined;
    const address = Number(linear.constant);
    const page = Math.floor(address / PAGE_BYTES);
    const from = address - page * PAGE_BYTES;
    if (!Number.isSafeInteger(address) || from + sizeBytes > PAGE_BYTES) return undefined;
    return { origin: -1 - page, delta: 0, value: this.int(64, page * PAGE_BYTES), from, isStack: false };
  }

  /** A look-up that covers the access, or can. */
  #lookFor({ origin, from, isStack }: Base, to: number, isWrite: boolean): Look | undefined {
    const looks = this.#looks.get(origin) ?? [];
    const covers = (look: Look) => look.from <= from && to <= look.to && (look.isWrite || !isWrite);
    const mayGrow = (look: Look) => isStack || look.block === this.#block;
    const found = looks.find(covers) ?? looks.find((look) => mayGrow(look) && canCover(look, from, to));
    if (found === undefined) return undefined;
    if (!covers(found)) {
      found.from = Math.min(found.from, from);
      found.to = Math.max(found.to, to);
      found.isWrite ||= isWrite;
    }
    return found;
  }

  #newLook({ origin, delta, value, from }: Base, to: number, isWrite: boolean): Look {
    const { f } = this;
    const { code } = f;
    const local = f.local(ValueType.i32);
    this.put(value);
    code.i64(FIVE_BYTES);
    const displacementAt = code.length - 5;
    code.op(Op.i64_add);
    const start = this.take(ValueType.i64);
    const slot = this.putTag(start, TLB_READ_AT);
    const tagAt = code.length - TLB_BYTES;
    this.put(start);
    code.op(Op.i64_xor);
    code.i64(TWO_BYTES);
    const limitAt = code.length - 2;
    code.op(Op.i64_gt_u);
    f.if(undefined, false);
    this.leaveForPage();
    f.end();
    this.putRamAddress(start, slot, TLB_READ_AT);
    const addendAt = code.length - 1 - TLB_BYTES;
    code.set(local);
    const tlbAt = [tagAt, addendAt] as const;
    const look = {
      local,
      block: this.#block,
      isWrite,
      from,
      to,
      displacementAt,
      delta,
      limitAt,
      tlbAt,
      accesses: [],
    };
    this.#all.push(look);
    this.#looks.set(origin, [...(this.#looks.get(origin) ?? []), look]);
    return look;
  }

  #checkAlignment(linear: Value, bits: Bits): void {
    const { f } = this;
    this.put(linear);
    f.code.op(Op.i32_wrap_i64);
    f.code.i32(bits / 8 - 1);
    f.code.op(Op.i32_and);
    f.if(undefined, false);
    this.leaveInstruction();
    f.end();
  }
}

function canCover(look: Look, from: number, to: number): boolean {
  return Math.max(look.to, to) - Math.min(look.from, from) <= MOST_BYTES;
}

/** The sum with the address that it is, if one of its parts is an address and the other a constant. */
function displaced(sum: Value, { address }: Value, { constant }: Value, sign: 1 | -1): Value | undefined {
  if (address === undefined || constant === undefined) return undefined;
  const displacement = address.displacement + sign * Number(constant);
  return displacement === (displacement | 0)
    ? { ...sum, address: { base: address.base, displacement } }
    : undefined;
}
