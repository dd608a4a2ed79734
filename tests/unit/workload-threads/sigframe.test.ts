// Offsets are those of struct rt_sigframe, ucontext, sigcontext_64 and siginfo in the Linux headers
// asm/sigframe.h, asm/ucontext.h, asm/sigcontext.h and asm-generic/siginfo.h.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Gpr, Rflags, Xcr0 } from '../../../src/arch/x86/registers.ts';
import { OFFSET } from '../../../src/arch/x86/state-layout.ts';
import { RegClass, X86ThreadContext } from '../../../src/arch/x86/thread-context.ts';
import { setUserMode } from '../../../src/arch/x86/user-mode.ts';
import { type FrameRequest, SignalFrames, siginfoBytes } from '../../../src/workload/linux/sigframe.ts';
import { SignalSet } from '../../../src/workload/linux/signals.ts';
import { intelXsaveFormat } from './machine.ts';

const BASE = 0x7000_0000;
const SIZE = 0x1_0000;
const SP = BASE + 0x8000 + 0x11;
const XSAVE_BYTES = 2696;

/** A piece of memory for one stack. */
class Stack {
  readonly bytes = new Uint8Array(SIZE);
  write(va: number, bytes: Uint8Array): void {
    this.bytes.set(bytes, va - BASE);
  }
  read(va: number, length: number): Uint8Array {
    return this.bytes.slice(va - BASE, va - BASE + length);
  }
  readInto(va: number, into: Uint8Array): void {
    into.set(this.read(va, into.length));
  }
  u64(va: number): bigint {
    return new DataView(this.bytes.buffer).getBigUint64(va - BASE, true);
  }
  u32(va: number): number {
    return new DataView(this.bytes.buffer).getUint32(va - BASE, true);
  }
}

function context(): X86ThreadContext {
  const tc = new X86ThreadContext();
  setUserMode(tc, 0x1000, Xcr0.SSE | Xcr0.AVX | Xcr0.AVX512 | Xcr0.PKRU);
  for (let i = 0; i < 16; i++) tc.setGpr(i, 0x1000n + BigInt(i));
  tc.setGprNumber(Gpr.RSP, SP);
  tc.rip = 0x40_1234n;
  tc.rflags = Rflags.FIXED | Rflags.IF | Rflags.CF | Rflags.DF;
  for (let i = OFFSET.k; i < OFFSET.msr; i++) tc.u8[i] = i * 7;
  for (let i = 0; i < 8; i++) tc.u8.fill(0, OFFSET.st + 16 * i + 10, OFFSET.st + 16 * i + 16);
  tc.u16[OFFSET.fcw >> 1] = 0x27f;
  tc.u16[OFFSET.ftw >> 1] = 0xff;
  tc.u32[OFFSET.mxcsr >> 2] = 0x1f81;
  return tc;
}

function request(changes: Partial<FrameRequest> = {}): FrameRequest {
  return {
    info: { signal: 11, code: 1, address: 0xdead_beefn },
    handler: 0x40_5000,
    restorer: 0x40_6000,
    mask: SignalSet.of(1, 64),
    stack: { base: 0, sizeBytes: 0, flags: 0 },
    onStack: false,
    fault: { trapNumber: 14, errorCode: 6, cr2: 0xdead_beefn },
    ...changes,
  };
}

function pushed(changes: Partial<FrameRequest> = {}) {
  const stack = new Stack();
  const frames = new SignalFrames(stack, intelXsaveFormat());
  const before = context();
  const tc = context();
  assert.equal(frames.push(tc, request(changes)), true);
  return { stack, frames, before, tc, frame: tc.gprNumber(Gpr.RSP) };
}

test('the handler starts as if it had been called: signal, siginfo, ucontext, aligned stack, clean flags', () => {
  const { tc, frame } = pushed();
  assert.equal(tc.ripNumber, 0x40_5000);
  assert.equal(tc.gprNumber(Gpr.RDI), 11);
  assert.equal(tc.gprNumber(Gpr.RSI), frame + 312);
  assert.equal(tc.gprNumber(Gpr.RDX), frame + 8);
  assert.equal(tc.gprNumber(Gpr.RAX), 0);
  assert.equal((frame + 8) % 16, 0);
  assert.equal(tc.rflags & (Rflags.DF | Rflags.TF), 0);
  assert.equal(tc.rflags & Rflags.CF, Rflags.CF);
  assert.equal(tc.u32[OFFSET.mxcsr >> 2], 0x1f80);
  assert.equal(tc.u16[OFFSET.fcw >> 1], 0x37f);
});

test('the frame holds the return address, flags, registers, fault and mask where Linux puts them', () => {
  const { stack, frame } = pushed();
  const sigcontext = frame + 48;
  assert.equal(stack.u64(frame), 0x40_6000n);
  assert.equal(stack.u64(frame + 8), 7n);
  assert.equal(stack.u64(frame + 16), 0n);
  assert.equal(stack.u32(frame + 32), 2, 'SS_DISABLE');
  // r8 … r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp
  const order = [8, 9, 10, 11, 12, 13, 14, 15, 7, 6, 5, 3, 2, 0, 1];
  order.forEach((register, i) => {
    assert.equal(stack.u64(sigcontext + 8 * i), 0x1000n + BigInt(register));
  });
  assert.equal(stack.u64(sigcontext + 120), BigInt(SP));
  assert.equal(stack.u64(sigcontext + 128), 0x40_1234n);
  assert.equal(stack.u64(sigcontext + 136), BigInt(Rflags.FIXED | Rflags.IF | Rflags.CF | Rflags.DF));
  assert.equal(stack.u64(sigcontext + 144), 0x002b_0000_0000_0033n, 'cs, gs, fs, ss');
  assert.equal(stack.u64(sigcontext + 152), 6n);
  assert.equal(stack.u64(sigcontext + 160), 14n);
  assert.equal(stack.u64(sigcontext + 176), 0xdead_beefn);
  assert.equal(stack.u64(frame + 304), 0x8000_0000_0000_0001n);
});

test('the XSAVE image is 64-byte aligned below the red zone and marked by both magic words', () => {
  const { stack, frame } = pushed();
  const fpstate = Number(stack.u64(frame + 48 + 184));
  assert.equal(fpstate % 64, 0);
  assert.ok(fpstate + XSAVE_BYTES + 4 <= SP - 128);
  assert.ok(frame + 440 <= fpstate);
  assert.equal(stack.u32(fpstate + 464), 0x4650_5853);
  assert.equal(stack.u32(fpstate + 468), XSAVE_BYTES + 4);
  assert.equal(stack.u64(fpstate + 472), 0x2e7n);
  assert.equal(stack.u32(fpstate + 480), XSAVE_BYTES);
  assert.equal(stack.u32(fpstate + XSAVE_BYTES), 0x4650_5845);
  assert.equal(stack.u32(fpstate + 24), 0x1f81);
});

test('returning from the handler restores every register, the mask and the alternate stack', () => {
  const { frames, before, tc, frame } = pushed();
  // The handler changes everything, then its RET pops the restorer's address.
  tc.u8.fill(0xee, 0, 0x80);
  tc.u8.fill(0, OFFSET.fcw, OFFSET.msr);
  tc.rflags = Rflags.FIXED | Rflags.IF | Rflags.ZF;
  tc.setGprNumber(Gpr.RSP, frame + 8);
  const restored = frames.pop(tc)!;
  assert.deepEqual(tc.diff(before, RegClass.all), []);
  assert.deepEqual([restored.maskLo >>> 0, restored.maskHi >>> 0], [1, 0x8000_0000]);
  assert.equal(restored.stack.flags, 2);
});

test('a handler may change the saved registers: the program goes on with them', () => {
  const { stack, frames, tc, frame } = pushed();
  const view = new DataView(stack.bytes.buffer);
  view.setBigUint64(frame + 48 + 128 - BASE, 0x40_7777n, true);
  view.setBigUint64(frame + 48 + 13 * 8 - BASE, 99n, true);
  view.setBigUint64(frame + 48 + 136 - BASE, 0xffff_ffffn, true);
  tc.setGprNumber(Gpr.RSP, frame + 8);
  frames.pop(tc);
  assert.equal(tc.ripNumber, 0x40_7777);
  assert.equal(tc.gpr(Gpr.RAX), 99n);
  assert.equal(tc.rflags & Rflags.IOPL, 0, 'no privilege comes from a frame');
});

test('without the magic words only the legacy floating-point state is restored', () => {
  const { stack, frames, before, tc, frame } = pushed();
  const fpstate = Number(stack.u64(frame + 48 + 184));
  new DataView(stack.bytes.buffer).setUint32(fpstate + XSAVE_BYTES - BASE, 0, true);
  tc.setGprNumber(Gpr.RSP, frame + 8);
  assert.notEqual(frames.pop(tc), undefined);
  const xmm0 = (c: X86ThreadContext) => c.u8.slice(OFFSET.zmm, OFFSET.zmm + 16).toHex();
  const ymm0High = tc.u8.slice(OFFSET.zmm + 16, OFFSET.zmm + 32);
  assert.equal(xmm0(tc), xmm0(before));
  assert.deepEqual(
    [...ymm0High],
    Array.from({ length: 16 }, () => 0),
  );
});

test('an image that XRSTOR would refuse is refused', () => {
  const { stack, frames, tc, frame } = pushed();
  const fpstate = Number(stack.u64(frame + 48 + 184));
  stack.bytes[fpstate - BASE + 512 + 16] = 1;
  tc.setGprNumber(Gpr.RSP, frame + 8);
  assert.equal(frames.pop(tc), undefined);
});

test('an alternate stack is entered from its top without a red zone, and not left while nested', () => {
  const stack = { base: BASE + 0x100, sizeBytes: 0x3000, flags: 0 };
  const { frame, stack: memory, tc } = pushed({ stack, onStack: true });
  assert.ok(frame > stack.base && frame < stack.base + stack.sizeBytes);
  assert.equal(memory.u64(frame + 24), BigInt(stack.base));
  assert.equal(memory.u32(frame + 32), 0);
  const top = Number(memory.u64(frame + 48 + 184)) + XSAVE_BYTES + 4;
  assert.ok(stack.base + stack.sizeBytes - top < 64);
  // A second signal in the handler stays below the first frame; a third one does not fit.
  const frames = new SignalFrames(memory, intelXsaveFormat());
  tc.setGprNumber(Gpr.RSP, stack.base + 0x1000);
  const second = new X86ThreadContext();
  second.copyFrom(tc);
  assert.equal(frames.push(second, request({ stack, onStack: true })), true);
  assert.ok(second.gprNumber(Gpr.RSP) < stack.base + 0x1000);
  assert.equal(memory.u32(second.gprNumber(Gpr.RSP) + 32), 1, 'SS_ONSTACK');
  assert.equal(frames.push(second, request({ stack, onStack: true })), false);
});

test('siginfo shows a fault address, a sender, or a timer, by its kind', () => {
  const bytes = (info: Parameters<typeof siginfoBytes>[0]) => new DataView(siginfoBytes(info).buffer);
  const fault = bytes({ signal: 11, code: 2, address: 0x1_2345_6789n });
  assert.deepEqual([fault.getInt32(0, true), fault.getInt32(8, true)], [11, 2]);
  assert.equal(fault.getBigUint64(16, true), 0x1_2345_6789n);
  const sent = bytes({ signal: 10, code: -1, pid: 42, uid: 7, value: 0xabcn });
  assert.deepEqual([sent.getInt32(16, true), sent.getUint32(20, true)], [42, 7]);
  assert.equal(sent.getBigUint64(24, true), 0xabcn);
  const timer = bytes({ signal: 14, code: -2, value: 5n, timer: { id: 3, queued: true, overrun: 9 } });
  assert.deepEqual([timer.getInt32(16, true), timer.getInt32(20, true)], [3, 9]);
});

test('without XSAVE the frame has the area of FXSAVE alone, and is restored from it', () => {
  const stack = new Stack();
  const frames = new SignalFrames(stack, intelXsaveFormat());
  const tc = context();
  tc.u32[OFFSET.xcr0 >> 2] = Xcr0.X87;
  stack.bytes.fill(0xcc);
  assert.equal(frames.push(tc, request()), true);
  const frame = tc.gprNumber(Gpr.RSP);
  assert.equal(stack.u64(frame + 8), 6n, 'uc_flags');
  const fpstate = Number(stack.u64(frame + 48 + 184));
  assert.equal(fpstate, SP - 128 - 512 - ((SP - 128 - 512) % 64));
  assert.deepEqual(stack.read(fpstate + 464, 48), new Uint8Array(48), 'no software bytes');
  assert.equal(stack.u32(fpstate + 512), 0xcccc_cccc, 'nothing behind it');
  stack.bytes[fpstate - BASE] = 0x7b;
  tc.setGprNumber(Gpr.RSP, frame + 8);
  assert.notEqual(frames.pop(tc), undefined);
  assert.equal(tc.u16[OFFSET.fcw >> 1], 0x27b);
  assert.equal(tc.get(OFFSET.zmm), context().get(OFFSET.zmm));
});
