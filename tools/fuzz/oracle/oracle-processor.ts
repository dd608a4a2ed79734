// One processor, an instruction at a time: fetch, decode, execute, go on. SDM vol. 2B "REP"; vol. 3 §17.3.1.4 for TF, §6.8.3 for
// loads of SS.

import { Vector } from '../../../src/arch/x86/exceptions.ts';
import type { DecodeTable } from '../../../src/arch/x86/isa/decode-table.ts';
import { type Decoded, OperandKind } from '../../../src/arch/x86/isa/decoded.ts';
import { Decoder } from '../../../src/arch/x86/isa/decoder.ts';
import { MAX_LENGTH_BYTES } from '../../../src/arch/x86/isa/instruction-bytes.ts';
import { unitState } from '../../../src/arch/x86/isa/units.ts';
import { Gpr, Rflags, Seg } from '../../../src/arch/x86/registers.ts';
import { OFFSET, type X86ThreadContext } from '../../../src/arch/x86/thread-context.ts';
import { GuestException } from './guest-exception.ts';
import { type Next, OracleCracker } from './oracle-cracker.ts';
import { OracleMemory } from './oracle-memory.ts';

/** Why execution stopped. RIP and all else are those of an instruction boundary. */
export type Stop =
  | { readonly kind: 'exception'; readonly exception: GuestException }
  | { readonly kind: 'syscall' | 'halt' | 'interrupt' | 'limit' };

export class OracleProcessor {
  readonly #tc: X86ThreadContext;
  readonly #memory: OracleMemory;
  readonly #cracker: OracleCracker;
  readonly #decoder: Decoder;

  /** @param ram physical memory from address 0 */
  constructor(tc: X86ThreadContext, ram: Uint8Array, table: DecodeTable) {
    this.#tc = tc;
    this.#memory = new OracleMemory(tc, ram);
    this.#cracker = new OracleCracker(tc, ram);
    this.#decoder = new Decoder(table);
  }

  /** Executes up to `limit` instructions; a repeated one counts once. */
  run(limit: number): Stop {
    for (let i = 0; i < limit; i++) {
      const stop = this.#step();
      if (stop !== undefined) return stop;
    }
    return { kind: 'limit' };
  }

  #step(): Stop | undefined {
    const isTraced = (this.#tc.rflags & Rflags.TF) !== 0;
    try {
      const instruction = this.#fetch();
      const stop = this.#execute(instruction, isTraced);
      if (stop === undefined && isTraced && !loadsStackSegment(instruction))
        throw new GuestException(Vector.DB);
      return stop;
    } catch (exception) {
      if (exception instanceof GuestException) return { kind: 'exception', exception };
      throw exception;
    }
  }

  /** The instruction at RIP. Its bytes in the next page are only looked at if those in the first are not all. */
  #fetch(): Decoded {
    const { rip, in64BitMode } = this.#tc;
    const units = unitState(Number(this.#tc.get(OFFSET.cr0)), Number(this.#tc.get(OFFSET.cr4)));
    for (const across of [false, true]) {
      const bytes = this.#memory.fetch(rip, MAX_LENGTH_BYTES, across);
      const decoded = this.#decoder.decode(bytes, 0, bytes.length, in64BitMode, units);
      if (decoded === 'undefined') throw new GuestException(Vector.UD);
      if (decoded === 'tooLong') throw new GuestException(Vector.GP);
      if (decoded !== 'incomplete') return decoded;
    }
    throw new GuestException(Vector.GP);
  }

  #execute(instruction: Decoded, isTraced: boolean): Stop | undefined {
    const { repeat } = instruction.form.instruction;
    if (repeat !== undefined && instruction.repeat !== 'none')
      return this.#repeat(instruction, repeat, isTraced);
    return this.#goOn(instruction, this.#cracker.execute(instruction));
  }

  /** Each round is complete in itself: a fault leaves those before it done, and TF traps behind each. */
  #repeat(instruction: Decoded, kind: 'rep' | 'repe', isTraced: boolean): Stop | undefined {
    const { addressBits } = instruction;
    const tc = this.#tc;
    for (;;) {
      const counter = tc.gpr(Gpr.RCX);
      const count = BigInt.asUintN(addressBits, counter);
      if (count === 0n) break;
      this.#cracker.execute(instruction);
      const left = count - 1n;
      // Of CX the rest of the register stays, of ECX it becomes zero.
      tc.setGpr(Gpr.RCX, addressBits === 16 ? counter - count + left : left);
      const isZero = (tc.rflags & Rflags.ZF) !== 0;
      if (kind === 'repe' && isZero !== (instruction.repeat === 'f3')) break;
      if (isTraced && left !== 0n) return undefined;
    }
    return this.#goOn(instruction, { kind: 'next' });
  }

  #goOn({ lengthBytes, is64 }: Decoded, next: Next): Stop | undefined {
    const tc = this.#tc;
    const behind = BigInt.asUintN(is64 ? 64 : 32, tc.rip + BigInt(lengthBytes));
    tc.rip = next.kind === 'jump' ? next.target : behind;
    if (next.kind === 'trap') {
      if (next.trap === 'interrupt') return { kind: 'interrupt' };
      throw new GuestException(next.vector);
    }
    if (next.kind === 'leave' && next.reason !== 'flags') return { kind: next.reason };
    return undefined;
  }
}

/** No trap comes between such an instruction and the next one, which sets the stack pointer. */
function loadsStackSegment({ form, operands: [destination] }: Decoded): boolean {
  const isSs = destination?.kind === OperandKind.segment && destination.index === Seg.SS;
  return isSs && ['MOV', 'POP'].includes(form.instruction.mnemonic);
}
