// The CPUID leaves of Hyper-V's interface: what the guest gets of those that KVM offers, where KVM's own are then, and what a
// checkpoint demands. TLFS, "Feature and Interface Discovery".

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CpuidPolicy, guestCpuid, lackingFeatures } from '../../../src/cpu/kvm/x86/cpuid-policy.ts';
import { GuestCpuid } from '../../../src/cpu/kvm/x86/guest-cpuid.ts';
import type { CpuidEntry } from '../../../src/host/kvm/vcpu.ts';

const ONES = 0xffff_ffff;
const leaf = (number: number, eax: number, ebx = 0, ecx = 0, edx = 0): CpuidEntry => ({
  ...{ function: number, index: 0, flags: 0 },
  ...{ eax, ebx, ecx, edx },
});

const HOST: readonly CpuidEntry[] = [
  leaf(0, 1),
  leaf(1, 0x806f8, 0x800, 0, 0),
  leaf(0x4000_0000, 0x4000_0001, 0x4b4d_564b, 0x564b_4d56, 0x4d),
  leaf(0x4000_0001, ONES),
];
/** As Linux 6.1 has them, with all feature bits. */
const HYPER_V: readonly CpuidEntry[] = [
  leaf(0x4000_0000, 0x4000_0082, 0x756e_694c, 0x564b_2078, 0x7648_204d),
  leaf(0x4000_0001, 0x3123_7648),
  leaf(0x4000_0002, 0x3839, 0xa_0000),
  leaf(0x4000_0003, ONES, ONES, ONES, ONES),
  leaf(0x4000_0004, ONES, ONES),
  leaf(0x4000_0005, 1024, 1024),
  leaf(0x4000_000a, 1),
  leaf(0x4000_0080, 0x4000_0082, 0x7263_694d),
  leaf(0x4000_0082, 1),
];
const POLICY: CpuidPolicy = {
  apicId: 0,
  cpuCount: 1,
  apicMsrs: true,
  showHypervisor: true,
  tscKhz: 2_600_000,
  hyperV: HYPER_V,
};

const guest = (policy: Partial<CpuidPolicy> = {}) => guestCpuid(HOST, { ...POLICY, ...policy });
const find = (entries: readonly CpuidEntry[], number: number): CpuidEntry | undefined =>
  entries.find((entry) => entry.function === number);
const textOf = (...words: readonly number[]) =>
  Buffer.from(Uint32Array.from(words).buffer).toString('latin1');

test('the first leaf names Microsoft’s vendor and the last leaf that is kept', () => {
  const { eax, ebx, ecx, edx } = find(guest(), 0x4000_0000)!;
  assert.equal(eax, 0x4000_0005);
  assert.equal(textOf(ebx, ecx, edx), 'Microsoft Hv');
  assert.equal(textOf(find(guest(), 0x4000_0001)!.eax), 'Hv#1');
});

test('debugging, re-enlightenment and nested virtualization are not offered', () => {
  const { eax, ebx, edx } = find(guest(), 0x4000_0003)!;
  assert.deepEqual([~eax >>> 0, ~ebx >>> 0, ~edx >>> 0], [0xb000, 0x800, 0x802]);
  assert.equal(~find(guest(), 0x4000_0004)!.eax >>> 0, 0x4000);
  for (const number of [0x4000_000a, 0x4000_0080, 0x4000_0082])
    assert.equal(find(guest(), number), undefined);
});

test('KVM’s own leaves come at 40000100H, with what they would show without Hyper-V', () => {
  const shown = guest();
  const { eax, ebx, ecx, edx } = find(shown, 0x4000_0100)!;
  assert.deepEqual([eax, textOf(ebx, ecx, edx)], [0x4000_0101, 'KVMKVMKVM\0\0\0']);
  assert.equal(find(shown, 0x4000_0101)!.eax, ONES);
  const clockOnly = guest({ showHypervisor: false, kvmClock: true });
  assert.equal(find(clockOnly, 0x4000_0101)!.eax, 0x0100_000a);
});

test('Hyper-V alone shows the hypervisor bit and nothing of KVM', () => {
  const shown = guest({ showHypervisor: false });
  assert.equal(find(shown, 1)!.ecx >>> 31, 1);
  assert.equal(find(shown, 0x4000_0100), undefined);
  assert.ok(find(shown, 0x4000_0003));
});

test('a checkpoint is refused where a feature of Hyper-V’s interface is missing', () => {
  const poorer = HYPER_V.map((entry) =>
    entry.function === 0x4000_0003 ? { ...entry, eax: entry.eax & ~8, edx: entry.edx & ~(1 << 19) } : entry,
  );
  assert.deepEqual(lackingFeatures(guest(), guest({ hyperV: poorer })), [
    'CPUID.40000003H.0:EAX[3]',
    'CPUID.40000003H.0:EDX[19]',
  ]);
  const saved = new GuestCpuid('a', HOST, POLICY).save();
  const restore = (hyperV: readonly CpuidEntry[] | undefined) => () =>
    new GuestCpuid('b', HOST, { ...POLICY, hyperV }).restore(saved);
  assert.throws(restore(undefined), /features that this host lacks: .*40000003H\.0:EAX\[0\]/);
  assert.doesNotThrow(restore(HYPER_V));
});
