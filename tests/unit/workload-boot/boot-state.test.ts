// The state in which a processor starts: legal for the hardware in every mode, and mapped as promised. Rules: Intel SDM
// vol. 3 §26.3.1 (what VMX enters) and §4.5 (page tables).

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkGuestState } from '../../../src/arch/x86/guest-state-check.ts';
import { PageFlag, walk } from '../../../src/arch/x86/page-table.ts';
import { Gpr, Seg } from '../../../src/arch/x86/registers.ts';
import { OFFSET, X86ThreadContext } from '../../../src/arch/x86/thread-context.ts';
import { applyBootState, type BootMode } from '../../../src/workload/boot/index.ts';
import { boot, pattern } from './pc.ts';

function contextIn(mode: BootMode) {
  const { start, memory } = boot(pattern(100), { flat: { address: 0x8000, mode } });
  const context = new X86ThreadContext();
  context.u8.fill(0xa5);
  applyBootState(context, start);
  return { context, start, memory };
}

for (const mode of ['real', 'protected', 'long'] as const) {
  test(`a processor can be entered in ${mode} mode`, () => {
    const { context } = contextIn(mode);
    const options = { unrestrictedGuest: true, physicalAddressBits: 46 };
    assert.deepEqual(checkGuestState(context, options), []);
    assert.equal(context.linearPc, 0x8000n);
    assert.equal(context.in64BitMode, mode === 'long');
    assert.equal(context.rflags, 2);
  });
}

test('nothing of the state before is left', () => {
  const { context } = contextIn('protected');
  for (const index of [Gpr.RAX, Gpr.RBX, Gpr.RSI, Gpr.RBP, Gpr.R15]) assert.equal(context.gpr(index), 0n);
  assert.equal(context.get(OFFSET.efer), 0n);
  assert.equal(context.get(OFFSET.cr4), 0n);
  const fresh = new X86ThreadContext();
  fresh.powerOn();
  assert.deepEqual(context.segment(Seg.TR), fresh.segment(Seg.TR));
});

test('the selectors are those of descriptors in memory that say the same', () => {
  for (const mode of ['protected', 'long'] as const) {
    const { context, memory } = contextIn(mode);
    const gdt = Number(context.get(OFFSET.gdtr));
    for (const segment of [Seg.CS, Seg.SS, Seg.DS, Seg.ES, Seg.FS, Seg.GS]) {
      const { selector, attributes } = context.segment(segment);
      const high = memory.u32(gdt + selector + 4);
      assert.equal((high >>> 8) & 0xf0ff, attributes);
      assert.equal(memory.u32(gdt + selector), 0xffff);
    }
  }
});

test('64-bit mode starts with the first 4 GiB mapped to themselves, writable, for the kernel only', () => {
  const { context, memory } = contextIn('long');
  const readU64 = (at: number) => memory.u64(at);
  for (const address of [0n, 0x8000n, 0x1f_ffffn, 0x20_0000n, 0x4000_0000n, 0xfee0_0123n, 0xffff_ffffn]) {
    const found = walk({ readU64 }, context.pageTableBase, address);
    assert.equal(found?.physicalAddress, Number(address));
    assert.equal(found.pageSizeBytes, 0x20_0000);
    assert.equal(found.flags & (PageFlag.P | PageFlag.W | PageFlag.U | PageFlag.NX), PageFlag.P | PageFlag.W);
  }
  assert.equal(walk({ readU64 }, context.pageTableBase, 0x1_0000_0000n), undefined);
});
