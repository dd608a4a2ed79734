// Instructions that a region begins and the interpreter begins anew, since an access misses the TLB or is in two pages.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Gpr } from '../../../src/arch/x86/registers.ts';
import type { EngineOptions } from '../../../src/cpu/functional/engine-interface.ts';
import { CODE, DATA, FunctionalMachine } from '../../support/functional-machine.ts';

/** ENTER's last access, at the end of the frame, is in two pages. */
const FRAME_BYTES = 0x408;
const STACK_TOP = DATA + 0xffc + FRAME_BYTES;
/** What it pushes: RBP, two links, and where RBP is. */
const LINKS_BYTES = 32;

/**
 *        mov ecx, 1000
 * again: mov rsp, r8 / mov rbp, r9 / add r10, r11 / mov [rbp-8], r10 / enter 0x3e8, 3 / sub ecx, 1 / jne again / syscall
 */
const ENTER_OFTEN = 'b9e80300004c89c44c89cd4d01da4c8955f8c8e8030383e90175ea0f05';

/** What ENTER leaves on a stack where its source lies 12 bytes below its destination: it copies what it has pushed. */
function frameAfterEnter(translate: NonNullable<EngineOptions['translate']>): string {
  const m = new FunctionalMachine({ translate });
  m.load(Buffer.from(ENTER_OFTEN, 'hex'));
  m.tc.setGpr(Gpr.R8, BigInt(STACK_TOP));
  m.tc.setGpr(Gpr.R9, BigInt(STACK_TOP - 12));
  m.tc.setGpr(Gpr.R11, 0x0123_4567_89ab_cdefn);
  assert.deepEqual(m.engine.run(10_000), { kind: 'syscall' });
  assert.equal(m.tc.ripNumber, CODE + ENTER_OFTEN.length / 2);
  return Buffer.from(m.read(STACK_TOP - LINKS_BYTES, LINKS_BYTES)).toString('hex');
}

test('ENTER that copies what it has pushed does so once', () => {
  const expected = frameAfterEnter('never');
  assert.equal(frameAfterEnter('always'), expected);
  assert.equal(frameAfterEnter('hot'), expected);
});
