// Register structures of KVM to and from the thread context: known places, and round trips of arbitrary bits.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Gpr, Seg } from '../../../src/arch/x86/registers.ts';
import { SegmentPreset } from '../../../src/arch/x86/segments.ts';
import { EVENT, OFFSET, RegClass, X86ThreadContext } from '../../../src/arch/x86/thread-context.ts';
import * as convert from '../../../src/cpu/kvm/x86/conversions.ts';
import { fpuFromKvm, fpuToKvm } from '../../../src/cpu/kvm/x86/legacy-fpu.ts';
import {
  KvmDebugregs,
  KvmFpu,
  KvmRegs,
  KvmSegment,
  KvmSregs,
  KvmVcpuEvents,
} from '../../../src/host/kvm/abi-x86.ts';

/** A context whose every byte differs from its neighbours'. */
function patterned(): X86ThreadContext {
  const tc = new X86ThreadContext();
  tc.powerOn();
  for (let i = OFFSET.gpr; i < OFFSET.rflags; i++) tc.u8[i] = (i * 37 + 11) & 0xff;
  tc.rflags = 0x246;
  return tc;
}
const view = (sizeBytes: number): DataView => new DataView(new ArrayBuffer(sizeBytes));

test('general registers: each goes to the member of its name', () => {
  const tc = patterned();
  const regs = new Uint32Array(KvmRegs.size >> 2);
  convert.generalToKvm(tc, regs);
  const member = (name: keyof typeof KvmRegs.at): bigint =>
    new DataView(regs.buffer).getBigUint64(KvmRegs.at[name], true);
  assert.equal(member('rax'), tc.gpr(Gpr.RAX));
  assert.equal(member('rbx'), tc.gpr(Gpr.RBX));
  assert.equal(member('rsp'), tc.gpr(Gpr.RSP));
  assert.equal(member('rdi'), tc.gpr(Gpr.RDI));
  assert.equal(member('r15'), tc.gpr(Gpr.R15));
  assert.equal(member('rip'), tc.rip);
  assert.equal(member('rflags'), 0x246n);
});

test('general registers survive the round trip', () => {
  const tc = patterned();
  const regs = new Uint32Array(KvmRegs.size >> 2);
  convert.generalToKvm(tc, regs);
  const back = new X86ThreadContext();
  convert.generalFromKvm(back, regs);
  assert.deepEqual(back.diff(tc, RegClass.general), []);
});

test('a code segment of ring 3: the attribute bits are taken apart', () => {
  const tc = new X86ThreadContext();
  tc.powerOn();
  tc.setSegment(Seg.CS, { ...SegmentPreset.userCode64, selector: 0x33, base: 0x1234_5678_9abcn });
  const sregs = view(KvmSregs.size);
  convert.specialToKvm(tc, sregs);
  const cs = KvmSregs.at.cs;
  assert.equal(sregs.getUint16(cs + KvmSegment.at.selector, true), 0x33);
  assert.equal(sregs.getBigUint64(cs + KvmSegment.at.base, true), 0x1234_5678_9abcn);
  const byte = (name: 'type' | 'dpl' | 'present' | 'l' | 'db' | 'g' | 's' | 'unusable'): number =>
    sregs.getUint8(cs + KvmSegment.at[name]);
  assert.deepEqual(
    [
      byte('type'),
      byte('dpl'),
      byte('present'),
      byte('l'),
      byte('db'),
      byte('g'),
      byte('s'),
      byte('unusable'),
    ],
    [0xb, 3, 1, 1, 0, 1, 1, 0],
  );
});

test('special registers survive the round trip, unusable segments included, and the interrupt bitmap is empty', () => {
  const tc = new X86ThreadContext();
  tc.powerOn();
  tc.setSegment(Seg.DS, SegmentPreset.unusable);
  tc.setSegment(Seg.FS, { ...SegmentPreset.userData, selector: 0x2b, base: 0xffff_8000_0000_1000n });
  for (const at of [
    OFFSET.cr0,
    OFFSET.cr2,
    OFFSET.cr3,
    OFFSET.cr4,
    OFFSET.cr8,
    OFFSET.efer,
    OFFSET.apicBase,
    OFFSET.idtr,
  ]) {
    tc.set(at, 0x0102_0304_0506_0708n + BigInt(at));
  }
  const sregs = view(KvmSregs.size);
  sregs.setBigUint64(KvmSregs.at.interrupt_bitmap + 8, 1n, true);
  convert.specialToKvm(tc, sregs);
  assert.equal(sregs.getBigUint64(KvmSregs.at.interrupt_bitmap + 8, true), 0n);
  const back = new X86ThreadContext();
  convert.specialFromKvm(back, sregs);
  assert.deepEqual(back.diff(tc, RegClass.special), []);
});

test('debug registers survive the round trip', () => {
  const tc = new X86ThreadContext();
  tc.powerOn();
  tc.set(OFFSET.dr0, 1n);
  tc.set(OFFSET.dr3, 0xdead_beefn);
  const debugregs = view(KvmDebugregs.size);
  convert.debugToKvm(tc, debugregs);
  const back = new X86ThreadContext();
  convert.debugFromKvm(back, debugregs);
  assert.deepEqual(back.diff(tc, RegClass.debug), []);
});

test('events survive the round trip; STI and MOV SS shadows have each their own bit in KVM', () => {
  const tc = new X86ThreadContext();
  const at = (field: number): number => OFFSET.events + field;
  tc.u8[at(EVENT.exceptionInjected)] = 1;
  tc.u8[at(EVENT.exceptionVector)] = 14;
  tc.u8[at(EVENT.exceptionHasErrorCode)] = 1;
  tc.dataView.setUint32(at(EVENT.exceptionErrorCode), 6, true);
  tc.u8[at(EVENT.nmiMasked)] = 1;
  for (const [shadow, kvm] of [
    [1, 2],
    [2, 1],
    [3, 3],
  ] as const) {
    tc.u8[at(EVENT.interruptShadow)] = shadow;
    const events = view(KvmVcpuEvents.size);
    convert.eventsToKvm(tc, events);
    assert.equal(events.getUint8(KvmVcpuEvents.at.interrupt + 3), kvm);
    const back = new X86ThreadContext();
    convert.eventsFromKvm(back, events);
    assert.deepEqual(back.diff(tc, RegClass.events), []);
  }
});

test('the legacy FPU structure holds x87 and SSE state', () => {
  const tc = new X86ThreadContext();
  tc.powerOn();
  tc.u16[OFFSET.fsw >> 1] = 0x3000; // TOP = 6
  tc.u16[OFFSET.ftw >> 1] = 0xc0;
  for (let i = 0; i < 10; i++) tc.u8[OFFSET.st + 6 * 16 + i] = 0x60 + i;
  for (let i = 0; i < 16; i++) tc.u8[OFFSET.zmm + 64 * 3 + i] = 0x30 + i;
  const fpu = new Uint8Array(KvmFpu.size);
  fpuToKvm(tc, fpu);
  assert.equal(fpu[KvmFpu.at.fpr], 0x60, 'ST0 is R6');
  assert.equal(fpu[KvmFpu.at.xmm + 16 * 3], 0x30);
  const back = new X86ThreadContext();
  back.powerOn();
  fpuFromKvm(back, fpu);
  assert.deepEqual(back.diff(tc, RegClass.fpu), []);
});
