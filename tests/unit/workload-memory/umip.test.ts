// What Linux answers in place of a processor with UMIP: expected values are those of Linux on an AMD Zen 4.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Gpr } from '../../../src/arch/x86/registers.ts';
import { X86ThreadContext } from '../../../src/arch/x86/thread-context.ts';
import { setUserMode } from '../../../src/arch/x86/user-mode.ts';
import type { BaseCpu } from '../../../src/cpu/base-cpu.ts';
import { UmipEmulation } from '../../../src/workload/linux/umip.ts';
import { Machine } from './machine.ts';

const PATTERN = 0x4142_4344_4546_4748n;
const GP = { vector: 13, errorCode: 0, address: 0n };

/** Raises #GP at an instruction, with RBX pointing behind it. */
function emulate(hex: string, pointsTo?: number) {
  const m = new Machine();
  const at = m.map({ length: 4096 });
  const code = Buffer.from(hex, 'hex');
  m.user.fill(at, 64, 0xcc);
  m.user.write(at, code);
  const tc = new X86ThreadContext();
  setUserMode(tc, 0, 0);
  tc.ripNumber = at;
  tc.setGpr(Gpr.RAX, PATTERN);
  tc.setGpr(Gpr.RBX, BigInt(pointsTo ?? at + 32));
  const cpu = { readState: () => tc, modifyState: () => tc } as unknown as BaseCpu<X86ThreadContext>;
  const left = new UmipEmulation(m.user).emulate(cpu, GP);
  const memory = Buffer.from(m.user.read(at + 32, 12)).toString('hex');
  const length = tc.ripNumber - at;
  m.space.close();
  return { left, length, rax: tc.gpr(Gpr.RAX), memory };
}

test('registers get as many bytes as the operand has, and keep the others', () => {
  for (const [code, rax] of [
    ['480f01e0', 0x8005_0033n], // smsw rax
    ['0f01e0', 0x4142_4344_8005_0033n], // smsw eax
    ['660f01e0', 0x4142_4344_4546_0033n], // smsw ax
    ['0f00c0', 0x4142_4344_0000_0000n], // sldt eax
    ['660f00c8', 0x4142_4344_4546_0040n], // str ax
  ] as const) {
    const { left, length, rax: got } = emulate(code);
    assert.deepEqual([left, length, got], ['done', code.length / 2, rax], code);
  }
});

test('memory gets 16 bits, or limit and base of a table', () => {
  for (const [code, memory] of [
    ['0f0123', '3300cccccccccccccccccccc'], // smsw [rbx]
    ['0f010d19000000', '00000000ffffffffffffcccc'], // sidt [rip+25]
    ['0f0103', '00000000feffffffffffcccc'], // sgdt [rbx]
  ] as const) {
    const { left, memory: got } = emulate(code);
    assert.deepEqual([left, got], ['done', memory], code);
  }
});

test('memory that is not there is a page fault; other instructions keep their #GP', () => {
  const { left, length } = emulate('0f0103', 0x1234);
  assert.deepEqual([left, length], [{ vector: 14, errorCode: 6, address: 0x1234n }, 0]);
  // hlt; wrmsr; lgdt [rbx]
  for (const code of ['f4', '0f30', '0f0113'])
    assert.deepEqual([emulate(code).left, emulate(code).length], [GP, 0]);
});
