// INT 80H of 64-bit programs, which raises #GP(402H) where no gate is.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Gpr } from '../../../src/arch/x86/registers.ts';
import { Errno } from '../../../src/workload/linux/errno.ts';
import { DATA, Machine } from './machine.ts';

const GP = 13;
const UD = 6;
const GATE_80 = 0x402;
const SENTINEL = 0x1122_3344_5566_7788n;

/** Makes a call with up to three arguments; returns EAX as the program sees it. */
function int80(m: Machine, number: number, args: readonly bigint[], vector = GP): number {
  const tc = m.cpu.context;
  m.memory.write(DATA, Uint8Array.of(0xcd, 0x80));
  tc.ripNumber = DATA;
  tc.setGpr(Gpr.RAX, BigInt(number));
  for (const [i, index] of [Gpr.RBX, Gpr.RCX, Gpr.RDX].entries()) tc.setGpr(index, args[i] ?? 0n);
  m.fault(vector, vector === GP ? GATE_80 : 0);
  return m.rax;
}

test('arguments are 32 bits of EBX and the following, and only EAX changes', () => {
  const m = new Machine();
  const tc = m.cpu.context;
  for (const index of [Gpr.RSI, Gpr.RDI, Gpr.R8, Gpr.R9, Gpr.R10, Gpr.R11]) tc.setGpr(index, SENTINEL);
  assert.equal(int80(m, 403, [0xffff_ffff_0000_0001n, 0xffff_ffff_0000_0000n + BigInt(DATA + 64)]), 0);
  assert.equal(tc.ripNumber, DATA + 2);
  for (const index of [Gpr.RSI, Gpr.RDI, Gpr.R8, Gpr.R9, Gpr.R10, Gpr.R11])
    assert.equal(tc.gpr(index), SENTINEL);
  assert.equal(tc.gpr(Gpr.RBX), 0xffff_ffff_0000_0001n);
});

test('clock_gettime writes 32 bits each', () => {
  const m = new Machine();
  m.memory.fill(DATA + 64, 16, 0xaa);
  assert.equal(int80(m, 265, [0n, BigInt(DATA + 64)]), 0);
  assert.equal(m.memory.readU64(DATA + 72), 0xaaaa_aaaa_aaaa_aaaan);
  assert.ok(m.memory.readU32(DATA + 68) < 1_000_000_000);
  assert.equal(int80(m, 265, [0n, 16n]), -Errno.EFAULT);
  assert.equal(int80(m, 265, [99n, BigInt(DATA + 64)]), -Errno.EINVAL);
});

test('#UD at INT 80H is the same, and unknown calls are ENOSYS', () => {
  const m = new Machine();
  assert.equal(int80(m, 20, [], UD), m.call('getpid'));
  assert.equal(int80(m, 9999, []), -Errno.ENOSYS);
  assert.equal(m.warnings.length, 1);
});
