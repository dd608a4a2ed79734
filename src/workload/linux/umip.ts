/**
 * Instructions that show system registers, and that a processor with UMIP refuses to programs: Linux answers in its place,
 * with constants (arch/x86/kernel/umip.c). Registers get as many bytes as the operand has, and keep the others, of 32 bits too.
 */

import { Vector } from '../../arch/x86/exceptions.ts';
import { DecodeTable } from '../../arch/x86/isa/decode-table.ts';
import { type Decoded, OperandKind } from '../../arch/x86/isa/decoded.ts';
import { Decoder } from '../../arch/x86/isa/decoder.ts';
import { linearAddressOf } from '../../arch/x86/isa/effective-address.ts';
import { MAX_LENGTH_BYTES } from '../../arch/x86/isa/instruction-bytes.ts';
import { INSTRUCTIONS } from '../../arch/x86/isa/instructions.ts';
import { RegClass, type X86ThreadContext } from '../../arch/x86/thread-context.ts';
import { LinuxSelector } from '../../arch/x86/user-mode.ts';
import type { BaseCpu } from '../../cpu/base-cpu.ts';
import type { UserException } from '../../cpu/user-mode-os.ts';
import { PAGE_FAULT, PageFaultBit } from './faults.ts';
import { GuestFault, type UserMemory } from './user-memory.ts';

/** What is said of the tables: their bases, which nobody may use; their limits are 0. */
const TABLE_BASES: Readonly<Record<string, bigint>> = {
  SGDT: 0xffff_ffff_fffe_0000n,
  SIDT: 0xffff_ffff_ffff_0000n,
};
/** CR0 as the kernel sets it; the selector of the task; there is no local descriptor table. */
const REGISTERS: Readonly<Record<string, bigint>> = {
  SMSW: 0x8005_0033n,
  STR: BigInt(LinuxSelector.tss),
  SLDT: 0n,
};

export class UmipEmulation {
  readonly #memory: UserMemory;
  #decoder: Decoder | undefined;

  constructor(memory: UserMemory) {
    this.#memory = memory;
  }

  /**
   * Does what the instruction asks for that raised #GP.
   * @returns the exception that remains: the one given, if it is none of these instructions, or #PF for its memory operand
   */
  emulate(cpu: BaseCpu<X86ThreadContext>, exception: UserException): UserException | 'done' {
    if (exception.vector !== Vector.GP || exception.errorCode !== 0) return exception;
    const tc = cpu.readState(RegClass.general | RegClass.special);
    const code = this.#codeAt(Number(tc.rip));
    if (!mayBeOne(code)) return exception;
    this.#decoder ??= new Decoder(new DecodeTable(INSTRUCTIONS, new Set()));
    const decoded = this.#decoder.decode(code, 0, code.length, tc.in64BitMode);
    if (typeof decoded === 'string') return exception;
    const answer = answerTo(decoded);
    if (answer === undefined) return exception;
    try {
      this.#write(decoded, answer, cpu.modifyState(RegClass.general));
    } catch (error) {
      if (!(error instanceof GuestFault)) throw error;
      const errorCode = PageFaultBit.user | PageFaultBit.write;
      return { vector: PAGE_FAULT, errorCode, address: BigInt(error.fault.address) };
    }
    cpu.modifyState(RegClass.general).rip += BigInt(decoded.lengthBytes);
    return 'done';
  }

  #codeAt(rip: number): Uint8Array {
    let length = MAX_LENGTH_BYTES;
    while (length > 0 && !this.#memory.isAccessible(rip, length, 'read')) length--;
    return this.#memory.read(rip, length);
  }

  #write({ operands, ...decoded }: Decoded, answer: Uint8Array, tc: X86ThreadContext): void {
    const [destination] = operands;
    if (destination!.kind === OperandKind.memory) {
      const at = linearAddressOf({ operands, ...decoded }, destination!.memory!, tc);
      this.#memory.write(Number(at), answer.subarray(0, destination!.bits === 16 ? 2 : answer.length));
      return;
    }
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, tc.gpr(destination!.index), true);
    bytes.set(answer.subarray(0, destination!.bits / 8));
    tc.setGpr(destination!.index, new DataView(bytes.buffer).getBigUint64(0, true));
  }
}

/** Whether 0F 00 or 0F 01 comes behind the prefixes, of which each is at most one byte. */
function mayBeOne(code: Uint8Array): boolean {
  const at = code.indexOf(0x0f);
  return at >= 0 && at + 1 < code.length && code[at + 1]! <= 1;
}

/** The bytes that the instruction gives; undefined of all others. */
function answerTo({ form, is64 }: Decoded): Uint8Array | undefined {
  const { mnemonic } = form.instruction;
  const bytes = new DataView(new ArrayBuffer(16));
  const base = TABLE_BASES[mnemonic];
  if (base !== undefined) {
    bytes.setBigUint64(2, base, true);
    return new Uint8Array(bytes.buffer, 0, is64 ? 10 : 6);
  }
  const register = REGISTERS[mnemonic];
  if (register === undefined) return undefined;
  bytes.setBigUint64(0, register, true);
  return new Uint8Array(bytes.buffer, 0, 8);
}
