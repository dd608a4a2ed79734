// Far transfers between 64-bit and compatibility mode. Expected values are those of the same code on an AMD Zen 4 under Linux.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Gpr, Seg } from '../../../src/arch/x86/registers.ts';
import type { EngineOptions } from '../../../src/cpu/functional/engine-interface.ts';
import { CODE, DATA, FunctionalMachine } from '../../support/functional-machine.ts';

type Translate = NonNullable<EngineOptions['translate']>;
const WAYS: readonly Translate[] = ['never', 'always', 'hot'];
const MANY = 1_000_000;
const STACK = BigInt(DATA + 0x2000);
const USER_CODE_64 = 0x33;

/**
 *           mov ecx, 5000 / xor eax, eax
 *   again:  call inc / jmp far dword [rel pointer]
 *   back:   call inc / sub ecx, 1 / jne again / syscall
 *   pointer: dd compat / dw 0x23
 *   inc:    db 48, ff, c0 / ret         64-bit mode: inc rax; compatibility mode: dec eax / inc eax
 *   compat: call inc / jmp 0x33:back
 */
const SAME_BYTES_IN_BOTH_MODES =
  'b98813000031c0e818000000ff2d0c000000e80d00000083e90175eb0f0528004000230048ffc0c3e8f7ffffffea120040003300';

/**
 *      mov rbx, rsp / call far dword [rel narrow] / call far dword [rel wide] / mov rdx, rsp / syscall
 *   narrow: dd f / dw 0x33 / wide: dd g / dw 0x23
 *   f: mov esi, [rsp] / mov edi, [rsp+4] / o32 retf
 *   g: mov ebp, esp / retf              in compatibility mode
 */
const CALLS = '4889e3ff1d0b000000ff1d0b0000004889e20f052000400033002800400023008b34248b7c2404cb89e5cb';

/**
 *      mov rbx, rsp / push 0x2b / push rbx / push 0x8d7 / push 0x33 / lea rax, [rel there] / push rax / iretq / hlt
 *   there:  pushfq / pop rdx / mov rsi, rsp / push 0x2b / push rbx / push 0x8d7 / push 0x23 / lea rax, [rel compat] / push rax / iretq
 *   compat: mov edi, esp / push 0x246 / push 0x33 / push back / iret
 *   back:   mov rbp, rsp / syscall
 */
const INTERRUPT_RETURNS =
  '4889e36a2b5368d70800006a33488d05040000005048cff49c5a4889e66a2b5368d70800006a23488d05030000005048cf' +
  '89e768460200006a336840004000cf4889e50f05';

function machine(translate: Translate, code: string): FunctionalMachine {
  const made = new FunctionalMachine({ translate });
  made.load(Buffer.from(code, 'hex'));
  return made;
}

for (const translate of WAYS) {
  test(`the same bytes are other instructions in the other mode: translate ${translate}`, () => {
    const m = machine(translate, SAME_BYTES_IN_BOTH_MODES);
    assert.deepEqual(m.engine.run(MANY), { kind: 'syscall' });
    assert.equal(m.tc.gpr(Gpr.RAX), 10_000n);
    assert.equal(m.engine.executed, 3 + 5000 * 14);
  });

  test(`far calls push CS and the return address, and RETF takes them: translate ${translate}`, () => {
    const m = machine(translate, CALLS);
    assert.deepEqual(m.engine.run(MANY), { kind: 'syscall' });
    const { tc } = m;
    assert.deepEqual(
      [Gpr.RBX, Gpr.RDX, Gpr.RBP, Gpr.RSI, Gpr.RDI].map((index) => tc.gpr(index)),
      [STACK, STACK, STACK - 8n, BigInt(CODE + 9), BigInt(USER_CODE_64)],
    );
    assert.equal(tc.segment(Seg.CS).selector, USER_CODE_64);
  });

  test(`IRET takes stack and flags from 64-bit mode, flags only from the other: translate ${translate}`, () => {
    const m = machine(translate, INTERRUPT_RETURNS);
    assert.deepEqual(m.engine.run(MANY), { kind: 'syscall' });
    const { tc } = m;
    assert.deepEqual(
      [Gpr.RBX, Gpr.RSI, Gpr.RDI, Gpr.RBP, Gpr.RDX].map((index) => tc.gpr(index)),
      [STACK, STACK, STACK, STACK, 0xad7n],
    );
  });
}

test('a selector that is no code of the program raises #GP, and nothing is done', () => {
  // call far dword [rsi]
  const selectors = [
    [0, 0],
    [3, 0],
    [0x10, 0x10],
    [0x2b, 0x28],
  ] as const;
  for (const [selector, errorCode] of selectors) {
    const m = machine('never', 'ff1e');
    m.tc.setGpr(Gpr.RSI, BigInt(DATA));
    m.write(DATA, Uint8Array.of(0, 0, 0, 0, selector, 0));
    assert.deepEqual(m.engine.run(1), { kind: 'exception', vector: 13, errorCode, address: 0n });
    assert.deepEqual([m.tc.ripNumber, m.tc.gpr(Gpr.RSP)], [CODE, STACK]);
    assert.deepEqual(m.read(DATA + 0x1ff8, 8), new Uint8Array(8));
    assert.equal(m.tc.segment(Seg.CS).selector, USER_CODE_64);
  }
});

test('64-bit offsets do not fit into compatibility mode', () => {
  // retfq
  const m = machine('never', '48cb');
  m.tc.setGpr(Gpr.RSP, BigInt(DATA));
  m.write(DATA, Uint8Array.of(0, 0, 0, 0, 1, 0, 0, 0, 0x23));
  assert.deepEqual(m.engine.run(1), { kind: 'exception', vector: 13, errorCode: 0, address: 0n });
  assert.deepEqual([m.tc.ripNumber, m.tc.gpr(Gpr.RSP)], [CODE, BigInt(DATA)]);
});
