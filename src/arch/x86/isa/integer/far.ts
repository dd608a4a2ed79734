/**
 * Transfers of control to another code segment at the same privilege level, and with them between 64-bit and compatibility
 * mode. SDM vol. 2, by mnemonic. An operand size of 64 bits counts, as Intel has it (AMD: not with JMP and CALL).
 */

import { Vector } from '../../exceptions.ts';
import { Gpr, Rflags, Seg } from '../../registers.ts';
import { SEGMENT, segmentOffset } from '../../state-layout.ts';
import { FarTransfer } from '../assists.ts';
import type { Cracker } from '../cracker.ts';
import type { Operand } from '../decoded.ts';
import { enc } from '../encoding.ts';
import { inst } from '../instruction.ts';
import { Ap, Iw, Mp } from '../operands.ts';
import type { Width } from '../ops.ts';
import { restoreFlags } from './privilege.ts';
import { stackAddress, truncated } from './registers.ts';

/** An offset of width 64 in its segment, and a selector of width 32. */
interface FarPointer<V> {
  readonly offset: V;
  readonly selector: V;
}

/** An immediate pointer is a number of 64 bits: the selector above 32 bits of offset. */
function immediatePointer<V>(u: Cracker<V>, operand: Operand): FarPointer<V> {
  const both = u.read(operand);
  return {
    offset: u.zext(32, 64, u.zext(64, 32, both)),
    selector: u.zext(64, 32, u.shr(64, both, u.int(32, 32))),
  };
}

function pointerInMemory<V>(u: Cracker<V>, operand: Operand): FarPointer<V> {
  const z = operand.bits as Width;
  const at = u.linearAddress(operand);
  const offset = u.zext(z, 64, u.load(z, at));
  const selector = u.load(16, truncated(u, u.add(64, at, u.int(64, z / 8))));
  return { offset, selector: u.zext(16, 32, selector) };
}

/** Goes there, once the segment has been found to be good; nothing that comes behind may fault. */
function transfer<V>(u: Cracker<V>, kind: number, { offset, selector }: FarPointer<V>): void {
  u.jumpFar(offset);
  u.assist('farTransfer', selector, u.int(32, kind), u.zext(64, 32, u.shr(64, offset, u.int(32, 32))));
}

function call<V>(u: Cracker<V>, target: FarPointer<V>): void {
  const z = u.operandBits;
  const [first, second] = [stackAddress(u, -z / 8), stackAddress(u, (-2 * z) / 8)];
  const selector = u.zext(16, z, u.field(segmentOffset(Seg.CS) + SEGMENT.selector, 16));
  u.probeStore(z, first);
  u.probeStore(z, second);
  transfer(u, FarTransfer.jump, target);
  u.store(z, first, selector);
  u.store(z, second, u.zext(64, z, u.nextRip()));
  u.setGpr(Gpr.RSP, second);
}

export const JMP_FAR = inst('JMP FAR', {
  forms: [enc(0xff, Mp).ext(5)],
  crack(u, target) {
    transfer(u, FarTransfer.jump, pointerInMemory(u, target));
  },
});

export const JMP_FAR_IMMEDIATE = inst('JMP FAR', {
  forms: [enc(0xea, Ap).i64()],
  crack(u, target) {
    transfer(u, FarTransfer.jump, immediatePointer(u, target));
  },
});

export const CALL_FAR = inst('CALL FAR', {
  forms: [enc(0xff, Mp).ext(3)],
  crack(u, target) {
    call(u, pointerInMemory(u, target));
  },
});

export const CALL_FAR_IMMEDIATE = inst('CALL FAR', {
  forms: [enc(0x9a, Ap).i64()],
  crack(u, target) {
    call(u, immediatePointer(u, target));
  },
});

// ---- returns ----

/** The n-th value on the stack, of the operand size. */
function onStack<V>(u: Cracker<V>, n: number): V {
  return u.load(u.operandBits, stackAddress(u, (n * u.operandBits) / 8));
}

function returnPointer<V>(u: Cracker<V>): FarPointer<V> {
  const z = u.operandBits;
  // The selector is read first: a fault of both is one at its address (Zen 4).
  const selector = u.and(32, u.zext(z, 32, onStack(u, 1)), u.int(32, 0xffff));
  return { offset: u.zext(z, 64, onStack(u, 0)), selector };
}

export const RETF = inst('RETF', {
  forms: [enc(0xcb)],
  crack(u) {
    transfer(u, FarTransfer.return, returnPointer(u));
    u.setGpr(Gpr.RSP, stackAddress(u, (2 * u.operandBits) / 8));
  },
});

export const RETF_IMMEDIATE = inst('RETF', {
  forms: [enc(0xca, Iw)],
  crack(u, bytes) {
    transfer(u, FarTransfer.return, returnPointer(u));
    const beyond = u.zext(16, 64, u.read(bytes));
    u.setGpr(Gpr.RSP, truncated(u, u.add(64, stackAddress(u, (2 * u.operandBits) / 8), beyond)));
  },
});

/** Returns from tasks (NT) there are none in these modes. From 64-bit mode, RSP and SS are always loaded. */
export const IRET = inst('IRET', {
  forms: [enc(0xcf)],
  crack(u) {
    const z = u.operandBits;
    const isNested = u.and(32, u.rflags(), u.int(32, Rflags.NT));
    u.faultIf(u.ne(32, isNested, u.int(32, 0)), Vector.GP);
    // In this order on Zen 4.
    const flags = u.zext(z, 32, onStack(u, 2));
    const { offset, selector } = returnPointer(u);
    if (u.is64) {
      const pointer = u.zext(z, 64, onStack(u, 3));
      const stack = u.shl(32, u.zext(z, 32, onStack(u, 4)), u.int(32, 16));
      transfer(u, FarTransfer.returnWithStack, { offset, selector: u.or(32, selector, stack) });
      u.setGpr(Gpr.RSP, pointer);
    } else {
      transfer(u, FarTransfer.return, { offset, selector });
      u.setGpr(Gpr.RSP, stackAddress(u, (3 * z) / 8));
    }
    restoreFlags(u, flags);
  },
});
