// The CPUID of a guest: what the policy hides and sets, and what a checkpoint of it demands of another host. Leaves and bits:
// SDM vol. 2A "CPUID"; AMD's APM vol. 3 appendix E.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { featuresOf } from '../../../src/arch/x86/cpuid.ts';
import { named } from '../../../src/cpu/kvm/x86/cpuid-names.ts';
import {
  type CpuidPolicy,
  guestCpuid,
  ignoredFeatures,
  lackingFeatures,
} from '../../../src/cpu/kvm/x86/cpuid-policy.ts';
import { GuestCpuid } from '../../../src/cpu/kvm/x86/guest-cpuid.ts';
import type { CpuidEntry } from '../../../src/host/kvm/vcpu.ts';
import { FatalError } from '../../../src/sim/trouble.ts';
import { fakeFullSystem } from '../../support/fake-full-system.ts';
import { FAKE_KVM, FakeVcpu } from '../../support/fake-vcpu.ts';

const ONES = 0xffff_ffff;

function leaf(number: number, index: number, [eax, ebx, ecx, edx]: readonly number[]): CpuidEntry {
  return { function: number, index, flags: 0, eax: eax ?? 0, ebx: ebx ?? 0, ecx: ecx ?? 0, edx: edx ?? 0 };
}

/** A host that has everything. */
const HOST: readonly CpuidEntry[] = [
  leaf(0, 0, [0x1f, 0x756e_6547, 0x6c65_746e, 0x4965_6e69]),
  leaf(1, 0, [0x806f8, 0x1234_0800, ONES, ONES]),
  leaf(4, 0, [0xfc00_4121, 0x1c0_003f, 0x3f, 0]),
  leaf(4, 3, [0xfc1f_c163, 0x1c0_003f, 0xffff, 4]),
  leaf(6, 0, [ONES, ONES, ONES, ONES]),
  leaf(7, 0, [1, ONES, ONES, ONES]),
  leaf(0xa, 0, [0x0730_0805, 0, 0, 0x603]),
  leaf(0xb, 0, [1, 2, 0x100, 0x12]),
  leaf(0xb, 1, [7, 64, 0x201, 0x12]),
  leaf(0xd, 0, [0x6_02e7, 0x980, 0x2b00, 0]),
  leaf(0xd, 1, [0x1f, 0x980, 0, 0]),
  leaf(0xd, 2, [256, 576, 0, 0]),
  leaf(0xd, 17, [64, 0xac0, 2, 0]),
  leaf(0x15, 0, [2, 216, 25_000_000, 0]),
  leaf(0x16, 0, [2700, 3800, 100, 0]),
  leaf(0x4000_0000, 0, [0x4000_0001, 0x4b4d_564b, 0x564b_4d56, 0x4d]),
  leaf(0x4000_0001, 0, [ONES, 0, 0, 0]),
  leaf(0x8000_0001, 0, [0, 0, ONES, ONES]),
  leaf(0x8000_0008, 0, [0x3030, ONES, 0x7001, 0]),
];

const POLICY: CpuidPolicy = {
  apicId: 0,
  cpuCount: 1,
  apicMsrs: true,
  showHypervisor: false,
  tscKhz: 2_600_000,
};

function guest(policy: Partial<CpuidPolicy> = {}): CpuidEntry[] {
  return guestCpuid(HOST, { ...POLICY, ...policy });
}

function find(entries: readonly CpuidEntry[], number: number, index = 0): CpuidEntry {
  const entry = entries.find((candidate) => candidate.function === number && candidate.index === index);
  assert.ok(entry, `leaf ${number.toString(16)}`);
  return entry;
}

test('features whose state no thread context holds are hidden, the rest of a host’s stays', () => {
  const features = new Set(featuresOf(named(guest())));
  for (const hidden of ['vmx', 'svm', 'amx_tile', 'cet_ss', 'hle', 'la57', 'sgx', 'monitor', 'hypervisor'])
    assert.ok(!features.has(hidden), hidden);
  for (const kept of [
    'avx2',
    'avx512f',
    'fsgsbase',
    'pcid',
    'smap',
    'invariant_tsc',
    'x2apic',
    'lm',
    'rdtscp',
  ])
    assert.ok(features.has(kept) || kept === 'invariant_tsc', kept);
});

test('the local APIC’s MSRs decide over x2APIC and the TSC deadline', () => {
  const with_ = featuresOf(named(guest({ apicMsrs: true })));
  const without = featuresOf(named(guest({ apicMsrs: false })));
  assert.deepEqual(
    with_.filter((name) => !without.includes(name)),
    ['x2apic', 'tsc_deadline'],
  );
});

test('KVM’s own leaves and the hypervisor bit are shown on demand', () => {
  assert.ok(!guest().some((entry) => entry.function >>> 28 === 4));
  const shown = guest({ showHypervisor: true });
  assert.equal(find(shown, 0x4000_0001).eax, ONES);
  assert.ok(featuresOf(named(shown)).includes('hypervisor'));
});

test('the paravirtual clock shows the hypervisor bit, KVM’s signature, the clock, and nothing else of KVM', () => {
  const shown = guest({ kvmClock: true });
  assert.equal(find(shown, 1).ecx >>> 31, 1);
  assert.deepEqual(find(shown, 0x4000_0000), find([...HOST], 0x4000_0000));
  const { eax, ebx, ecx, edx } = find(shown, 0x4000_0001);
  assert.deepEqual([eax, ebx, ecx, edx], [0x0100_000a, 0, 0, 0]);
});

test('one processor: APIC id 0, one thread, caches of its own', () => {
  const entries = guest();
  assert.equal(find(entries, 1).ebx, 0x0001_0800);
  assert.equal(find(entries, 1).edx & (1 << 28), 0, 'HTT');
  assert.equal(find(entries, 4, 3).eax >>> 14, 0);
  assert.deepEqual(
    [0, 1].map((index) => [find(entries, 0xb, index).eax, find(entries, 0xb, index).ebx]),
    [
      [0, 1],
      [0, 1],
    ],
  );
});

test('the third of six: its APIC id everywhere, three bits of it for cores, a shared last-level cache', () => {
  const entries = guest({ apicId: 2, cpuCount: 6 });
  assert.equal(find(entries, 1).ebx, 0x0206_0800);
  assert.notEqual(find(entries, 1).edx & (1 << 28), 0, 'HTT');
  assert.deepEqual(
    [find(entries, 0xb, 0), find(entries, 0xb, 1)].map(({ eax, ebx, ecx, edx }) => [eax, ebx, ecx, edx]),
    [
      [0, 1, 0x100, 2],
      [3, 6, 0x201, 2],
    ],
  );
  assert.equal((find(entries, 4, 0).eax >>> 14) & 0xfff, 0, 'L1 is not shared');
  assert.equal((find(entries, 4, 3).eax >>> 14) & 0xfff, 5, 'L3 is shared by all');
  assert.equal(find(entries, 4, 3).eax >>> 26, 5);
  assert.equal(find(entries, 0x8000_0008).ecx & 0xf0ff, 0x3005);
});

test('the TSC’s frequency follows from the crystal, which is the APIC timer’s: unknown, nothing is said', () => {
  assert.equal(find(guest(), 0x15).eax, 0);
  const { eax, ebx, ecx } = find(guest({ apicTimerKhz: 1_000_000 }), 0x15);
  assert.equal((ecx * ebx) / eax, 2_600_000_000);
  assert.equal(find(guest({ apicTimerKhz: 1_000_000 }), 0x16).eax, 2600);
});

test('XSAVE components that no thread context holds are not offered', () => {
  const entries = guest();
  assert.equal(find(entries, 0xd, 0).eax, 0x2e7);
  assert.ok(entries.some((entry) => entry.function === 0xd && entry.index === 2));
  assert.ok(!entries.some((entry) => entry.function === 0xd && entry.index === 17));
});

test('no performance counters, and a timer that always runs', () => {
  assert.deepEqual([find(guest(), 0xa).eax, find(guest(), 0xa).edx], [0, 0]);
  assert.equal(find(guest(), 6).eax, 4);
});

test('what a saved guest lacks on a host is named, bits without a name by their place', () => {
  const saved = guest();
  const poorer = saved.map((entry) => {
    if (entry.function === 7) return { ...entry, ebx: entry.ebx & ~(1 << 5) };
    return entry.function === 0x8000_0008 ? { ...entry, ebx: entry.ebx & ~(1 << 12) } : entry;
  });
  assert.deepEqual(lackingFeatures(saved, poorer), ['avx2', 'CPUID.80000008H.0:EBX[12]']);
  assert.deepEqual(lackingFeatures(poorer, saved), []);
});

test('a checkpoint is refused with the names, and otherwise brings its own CPUID and TSC frequency along', () => {
  const vcpu = new FakeVcpu();
  const setUp = { tscFactor: 1, scalesTsc: false, checks: true, warn: () => {} };
  const { tscKhz: _, ...policy } = POLICY;
  const source = new GuestCpuid('cpu', HOST, policy);
  assert.equal(source.giveTo(vcpu, setUp), 1_000_000);
  const saved = source.save();
  const same = new GuestCpuid('cpu', [...HOST, leaf(0x8000_0007, 0, [0, 0, 0, 0x100])], policy);
  same.restore(saved);
  assert.deepEqual(same.entries, source.entries, 'a richer host shows no more than was seen');
  const without = HOST.map((entry) => (entry.function === 7 ? { ...entry, ebx: entry.ebx & ~0x20 } : entry));
  assert.throws(
    () => new GuestCpuid('cpu', without, policy).restore(saved),
    (error) => error instanceof FatalError && /lacks: avx2;/.test(error.message),
  );
});

test('a vCPU that has its CPUID cannot be given another guest’s', () => {
  const { tscKhz: _, ...policy } = POLICY;
  const setUp = { tscFactor: 1, scalesTsc: false, checks: false, warn: () => {} };
  const cpuid = new GuestCpuid('cpu', HOST, policy);
  cpuid.giveTo(new FakeVcpu(), setUp);
  cpuid.restore(cpuid.save());
  assert.throws(() => cpuid.restore({ tscKhz: 1_000_000, leaves: [] }), /restore it in a new run/);
});

test('a host with another TSC frequency scales it for a restored guest, or says that it cannot', () => {
  const { tscKhz: _, ...policy } = POLICY;
  const saved = { tscKhz: 2_000_000, leaves: [] };
  const warnings: string[] = [];
  const khz: number[] = [];
  const vcpu = Object.assign(new FakeVcpu(), { setTscKhz: (value: number) => khz.push(value) });
  for (const scalesTsc of [true, false]) {
    const cpuid = new GuestCpuid('cpu', HOST, policy);
    cpuid.restore(saved);
    const warn = (message: string) => warnings.push(message);
    assert.equal(cpuid.giveTo(vcpu as never, { tscFactor: 1, scalesTsc, checks: false, warn }), 2_000_000);
  }
  assert.deepEqual(khz, [2_000_000]);
  assert.match(warnings.join(), /runs at 1000000 kHz instead of 2000000/);
});

test('a KVM that shows features it was not given is found out; what it keeps in step with CR4 is no matter', () => {
  const given = [leaf(1, 0, [0, 0, 0, 0])];
  assert.deepEqual(ignoredFeatures(given, [leaf(1, 0, [0, 0, (1 << 28) | (1 << 27), 0])]), ['avx']);
});

test('the CPU warns once where KVM ignores the list', async () => {
  const kvm = { ...FAKE_KVM, supportedCpuid: [leaf(1, 0, [0, 0, 0, 0])] };
  const m = fakeFullSystem([FakeVcpu.spin], {
    wiring: { kvm },
    prepare: (vcpu) => {
      vcpu.getCpuid2 = () => [leaf(1, 0, [0, 0, 1 << 28, 0])];
    },
  });
  await m.run(1_000_000);
  assert.equal(m.warnings.filter((line) => line.includes('was not given: avx')).length, 1);
});
