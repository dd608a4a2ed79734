// Features that a user hides or asks for, and what travels along when the guest is a hypervisor itself.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { featuresOf } from '../../../src/arch/x86/cpuid.ts';
import { MsrIndex } from '../../../src/arch/x86/msrs.ts';
import { OFFSET, RegClass, X86ThreadContext } from '../../../src/arch/x86/thread-context.ts';
import { KvmCpuStats } from '../../../src/cpu/kvm/stats.ts';
import { named } from '../../../src/cpu/kvm/x86/cpuid-names.ts';
import { guestCpuid } from '../../../src/cpu/kvm/x86/cpuid-policy.ts';
import { chooseFeatures, withoutHidden } from '../../../src/cpu/kvm/x86/feature-choice.ts';
import { GuestCpuid } from '../../../src/cpu/kvm/x86/guest-cpuid.ts';
import { NestedState } from '../../../src/cpu/kvm/x86/nested-state.ts';
import { X86StateTransfer } from '../../../src/cpu/kvm/x86/state-transfer.ts';
import type { CpuidEntry } from '../../../src/host/kvm/vcpu.ts';
import { fakeFullSystem } from '../../support/fake-full-system.ts';
import { FAKE_KVM, FakeVcpu } from '../../support/fake-vcpu.ts';

const ONES = 0xffff_ffff;
const SVM_LEAF = 0x8000_000a;

const leaf = (number: number, index: number, [eax, ebx, ecx, edx]: readonly number[]): CpuidEntry => ({
  ...{ function: number, index, flags: 0 },
  ...{ eax: eax ?? 0, ebx: ebx ?? 0, ecx: ecx ?? 0, edx: edx ?? 0 },
});

/** A host that has everything. */
const HOST: readonly CpuidEntry[] = [
  leaf(0, 0, [0xd]),
  leaf(1, 0, [0x800f12, 0, ONES, ONES]),
  leaf(7, 0, [0, ONES, ONES, ONES]),
  leaf(0xd, 0, [0x2e7, 0x980, 0x988, 0]),
  leaf(0xd, 1, [0xf, 0, 0, 0]),
  ...[2, 5, 6, 7, 9].map((component) => leaf(0xd, component, [64, 0x240, 0, 0])),
  leaf(0x8000_0001, 0, [0, 0, ONES, ONES]),
  leaf(0x8000_0008, 0, [0x3030, 0, 0, 0]),
  leaf(SVM_LEAF, 0, [1, 8, 0, ONES]),
];
const MACHINE = { supportedCpuid: HOST, hasIrqchip: true, hasNestedState: true };
const POLICY = { apicId: 0, cpuCount: 1, apicMsrs: true, showHypervisor: false };

function shown(list: string): Set<string> {
  const features = chooseFeatures('cpu', list, MACHINE);
  return new Set(featuresOf(named(guestCpuid(HOST, { ...POLICY, tscKhz: 1_000_000, features }))));
}

test('a hidden feature takes along what is built on it, and its part of the extended state', () => {
  const cut = (list: string) => withoutHidden(HOST, chooseFeatures('cpu', list, MACHINE));
  const lost = (list: string) => {
    const left = new Set(featuresOf(named(cut(list))));
    return featuresOf(named(HOST)).filter((name) => !left.has(name));
  };
  const components = (list: string) => cut(list).flatMap((e) => (e.function === 0xd ? [e.index] : []));
  assert.deepEqual(lost('-popcnt,-X2APIC'), ['x2apic', 'popcnt']);
  assert.ok(['avx', 'avx2', 'fma', 'vaes', 'avx512f', 'avx512_vnni'].every((f) => lost('-avx').includes(f)));
  assert.ok(!lost('-avx512f').includes('avx2'));
  assert.deepEqual(components('-avx'), [0, 1, 9]);
  assert.deepEqual(components('-avx512f'), [0, 1, 2, 9]);
  assert.deepEqual(components('-xsave'), []);
  assert.equal(cut('-avx512f').find((e) => e.function === 0xd)?.eax, 0x207);
  assert.deepEqual(cut(''), HOST);
});

test('nested virtualization and five levels of page tables are shown on request', () => {
  assert.ok(!shown('').has('svm') && !shown('').has('la57') && !shown('').has('npt'));
  const asked = shown('+svm,+la57');
  assert.ok(asked.has('svm') && asked.has('la57') && asked.has('npt') && !asked.has('skinit'));
  assert.ok(!shown('+svm,-npt').has('npt'));
});

test('what the APIC’s MSRs would offer can be hidden all the same', () => {
  assert.ok(shown('').has('x2apic'));
  assert.ok(!shown('-x2apic').has('x2apic'));
});

test('what is no feature, or cannot be shown, is refused in one line', () => {
  const refusal = (list: string, machine = MACHINE) => {
    try {
      chooseFeatures('board.cpu', list, machine);
    } catch (error) {
      return (error as Error).message;
    }
    return 'taken';
  };
  assert.equal(refusal('-avx2,+fma,'), 'taken');
  assert.match(refusal('avx2'), /^board\.cpu: features: 'avx2' says neither \+ nor -/);
  assert.match(refusal('-sse5'), /no processor feature is called 'sse5'/);
  assert.match(refusal('-avx51'), /called 'avx51'; there are avx/);
  assert.match(refusal('+cet_ss'), /guests do not get that by choice/);
  assert.match(refusal('+fma, -fma'), /both \+fma and -fma/);
  assert.match(refusal('+svm', { ...MACHINE, hasNestedState: false }), /lacks KVM_CAP_NESTED_STATE/);
  assert.match(refusal('+svm', { ...MACHINE, hasIrqchip: false }), /interrupt controllers.*irqchip 'kernel'/);
  assert.match(refusal('+la57', { ...MACHINE, supportedCpuid: [] }), /does not offer it/);
});

test('a guest that was given more or less than usual is restored without being told so again', () => {
  const vcpu = new FakeVcpu();
  const setUp = { tscFactor: 1, scalesTsc: false, checks: false, warn: () => {} };
  const features = chooseFeatures('cpu', '+svm,-avx2', MACHINE);
  const source = new GuestCpuid('cpu', HOST, { ...POLICY, features });
  source.giveTo(vcpu, setUp);
  const copy = new GuestCpuid('cpu', HOST, POLICY);
  copy.restore(source.save());
  assert.ok(copy.shows('svm') && !copy.shows('avx2'));
  assert.deepEqual(copy.stateOptions, {
    unrestrictedGuest: true,
    physicalAddressBits: 48,
    linearAddressBits: 48,
  });
});

/** An SVM state: header and, if the guest's guest executes, its control block. */
function svmState(sizeBytes: number): Uint8Array {
  const bytes = new Uint8Array(sizeBytes).fill(0x5a, 128);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, sizeBytes > 128 ? 1 : 0, true);
  view.setUint16(2, 1, true);
  view.setUint32(4, sizeBytes, true);
  return bytes;
}

function transfer(nested: NestedState) {
  const vcpu = new FakeVcpu();
  const tc = new X86ThreadContext();
  tc.powerOn();
  const { msrIndices } = FAKE_KVM;
  const options = { syncRegs: FAKE_KVM.capability(), xsave: undefined, msrIndices, nested };
  return { vcpu, tc, moved: new X86StateTransfer(vcpu, tc, new KvmCpuStats(), options) };
}

test('the nested state comes with the events, and goes behind EFER and before MSRs', () => {
  const nested = new NestedState();
  const source = transfer(nested);
  source.vcpu.stored.set('nested', svmState(128 + 4096));
  source.moved.load(RegClass.general);
  assert.deepEqual(nested.save(), null);
  source.moved.load(RegClass.events);
  const copy = new NestedState();
  copy.restore(nested.save());
  const target = transfer(copy);
  target.tc.set(OFFSET.efer, 0x1d01n);
  target.tc.setMsr(MsrIndex.LSTAR, 0x1234n);
  target.moved.store(RegClass.all);
  assert.deepEqual(target.vcpu.stored.get('nested'), svmState(128 + 4096));
  const order = ['set sregs', 'set nested', 'set msrs'].map((call) =>
    target.vcpu.calls.findIndex((c) => c.startsWith(call)),
  );
  assert.ok(order.every((at) => at >= 0) && order[0]! < order[1]! && order[1]! < order[2]!, `${order}`);
  target.vcpu.calls.length = 0;
  target.moved.store(RegClass.all);
  assert.ok(!target.vcpu.calls.includes('set nested'), 'given once');
});

test('a nested state that is damaged, or another vendor’s, is refused', () => {
  const restore = (bytes: Uint8Array) => () => new NestedState().restore(bytes.toHex());
  const intel = svmState(128);
  intel[2] = 0;
  assert.throws(restore(intel), /format 0, not SVM/);
  assert.throws(restore(svmState(4224).subarray(0, 4000)), /length/);
  assert.throws(restore(new Uint8Array(7)), /hexadecimal/);
  assert.throws(() => new NestedState().restore('xyz'), /hexadecimal/);
});

test('a CPU that shows no SVM never asks KVM for nested state', async () => {
  const m = fakeFullSystem([FakeVcpu.spin], { wiring: { kvm: { ...FAKE_KVM, supportedCpuid: [...HOST] } } });
  await m.run(1_000_000);
  m.cpu.readState(RegClass.all);
  assert.ok(m.vcpu.calls.includes('get debugregs'));
  assert.ok(!m.vcpu.calls.includes('get nested'));
});
