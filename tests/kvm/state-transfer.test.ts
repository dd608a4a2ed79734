// Every register class through a real vCPU and back: KVM returns what it was given.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, test } from 'node:test';
import { Cr0, Cr4, Efer, Seg, Xcr0 } from '../../src/arch/x86/registers.ts';
import { OFFSET, RegClass, STRIDE, X86ThreadContext } from '../../src/arch/x86/thread-context.ts';
import { setUserMode } from '../../src/arch/x86/user-mode.ts';
import { XSAVE_HELD, XsaveFormat } from '../../src/arch/x86/xsave.ts';
import { Kvm } from '../../src/cpu/kvm/kvm.ts';
import { KvmCpuStats } from '../../src/cpu/kvm/stats.ts';
import { X86StateTransfer } from '../../src/cpu/kvm/x86/state-transfer.ts';
import { KvmCap } from '../../src/host/kvm/abi.ts';

const skip = existsSync('/dev/kvm') ? false : 'no /dev/kvm on this host';

/** A vCPU and a way to send contexts through it; without sync regs every class takes its ioctl. */
function vcpuPath({ syncRegs, useXSave = true }: { syncRegs: boolean; useXSave?: boolean }) {
  const kvm = Kvm.open();
  const vm = kvm.createVm();
  const vcpu = vm.createVcpu(0);
  vcpu.setCpuid2(kvm.supportedCpuid);
  after(() => {
    vcpu.close();
    vm.close();
    kvm.close();
  });
  const cpuid = kvm.supportedCpuid.map((entry) => ({ ...entry, leaf: entry.function, subleaf: entry.index }));
  const options = {
    syncRegs: syncRegs ? kvm.capability(KvmCap.SYNC_REGS) : 0,
    xsave: useXSave ? XsaveFormat.fromCpuid(cpuid) : undefined,
    msrIndices: kvm.msrIndices,
  };
  const xcr0 = (cpuid.find((entry) => entry.leaf === 0xd && entry.subleaf === 0)!.eax & XSAVE_HELD) >>> 0;
  const stats = new KvmCpuStats();
  const tc = new X86ThreadContext();
  const transfer = new X86StateTransfer(vcpu, tc, stats, options);
  return { tc, transfer, stats, xcr0 };
}

/** User-mode state with something in every register. */
function fill(tc: X86ThreadContext, xcr0: number): void {
  setUserMode(tc, 0x10_0000, xcr0);
  for (let i = 0; i < 16; i++) tc.setGpr(i, 0x0101_0101_0101_0101n * BigInt(i + 1));
  tc.rip = 0x40_1234n;
  tc.setSegmentBase(Seg.FS, 0x7fff_1234_5000n);
  tc.u16[OFFSET.fsw >> 1] = 0x3800;
  tc.u16[OFFSET.ftw >> 1] = 0x80;
  for (let i = 0; i < 10; i++) tc.u8[OFFSET.st + 7 * STRIDE.st + i] = 0xa0 + i;
  const vectorBytes = xcr0 & Xcr0.ZMM_HI256 ? 64 : xcr0 & Xcr0.AVX ? 32 : 16;
  for (let r = 0; r < (xcr0 & Xcr0.HI16_ZMM ? 32 : 16); r++) {
    for (let i = 0; i < vectorBytes; i++) tc.u8[OFFSET.zmm + r * STRIDE.zmm + i] = (r * 7 + i) & 0xff;
  }
}

for (const [name, syncRegs] of [
  ['by ioctl', false],
  ['with the shared page for what travels there', true],
] as const) {
  test(`general, special and vector registers survive a vCPU, ${name}`, { skip }, () => {
    const { tc, transfer, xcr0 } = vcpuPath({ syncRegs });
    fill(tc, xcr0);
    const given = new X86ThreadContext();
    given.copyFrom(tc);
    const classes = RegClass.general | RegClass.special | RegClass.fpu | RegClass.xcr | RegClass.debug;
    transfer.store(classes);
    tc.u8.fill(0, 0, OFFSET.msr);
    transfer.load(classes);
    assert.deepEqual(tc.diff(given, classes), []);
  });
}

test('without XSAVE the x87 and SSE registers survive', { skip }, () => {
  const { tc, transfer } = vcpuPath({ syncRegs: false, useXSave: false });
  fill(tc, Xcr0.X87 | Xcr0.SSE);
  const given = new X86ThreadContext();
  given.copyFrom(tc);
  transfer.store(RegClass.special | RegClass.fpu);
  tc.u8.fill(0, OFFSET.st, OFFSET.msr);
  tc.u16[OFFSET.fsw >> 1] = 0;
  transfer.load(RegClass.fpu);
  assert.deepEqual(tc.diff(given, RegClass.fpu), []);
});

test('MSRs: only those that differ are written, and never the TSC', { skip }, () => {
  const { tc, transfer, stats } = vcpuPath({ syncRegs: false });
  transfer.load(RegClass.msr);
  const before = stats.numSyncIoctls.value;
  transfer.store(RegClass.msr);
  assert.equal(stats.numSyncIoctls.value, before, 'nothing differs, nothing is written');
  tc.setMsr(0xc000_0082, 0x7fff_ffe0_0000n);
  tc.setMsr(0x10, 0n);
  transfer.store(RegClass.msr);
  assert.equal(stats.numSyncIoctls.value, before + 1);
  transfer.store(RegClass.msr);
  assert.equal(stats.numSyncIoctls.value, before + 1, 'what was written is not written again');
  transfer.load(RegClass.msr);
  assert.equal(tc.msr(0xc000_0082), 0x7fff_ffe0_0000n);
  assert.notEqual(tc.msr(0x10), 0n, 'the TSC runs on');
});

test('the control registers of user mode are those that were asked for', { skip }, () => {
  const { tc, transfer, xcr0 } = vcpuPath({ syncRegs: false });
  setUserMode(tc, 0x10_0000, xcr0);
  transfer.store(RegClass.special);
  transfer.load(RegClass.special);
  assert.equal(
    Number(tc.get(OFFSET.efer)) & (Efer.LMA | Efer.SCE | Efer.NXE),
    Efer.LMA | Efer.SCE | Efer.NXE,
  );
  assert.equal(Number(tc.get(OFFSET.cr4)) & Cr4.OSXSAVE, Cr4.OSXSAVE);
  assert.equal(Number(tc.get(OFFSET.cr0)) & Cr0.WP, Cr0.WP);
});
