// CPUID features, levels and intersection; exceptions by vector. Expected bits: SDM vol. 2 "CPUID", tables
// 3-10 and 3-11, APM vol. 3 appendix E; levels: x86-64 psABI; error codes: SDM vol. 3 table 6-1.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  CPUID_FEATURES,
  type CpuidEntry,
  featuresOf,
  findCpuid,
  hasFeature,
  intersectCpuid,
  levelOf,
  missingFeatures,
  physicalAddressBits,
  withoutFeatures,
  X86_64_LEVELS,
} from '../../../src/arch/x86/cpuid.ts';
import {
  describeVector,
  EXCEPTIONS,
  exceptionOf,
  pushesErrorCode,
} from '../../../src/arch/x86/exceptions.ts';

function entry(leaf: number, subleaf: number, rest: Partial<CpuidEntry> = {}): CpuidEntry {
  return { leaf, subleaf, eax: 0, ebx: 0, ecx: 0, edx: 0, ...rest };
}

/** A machine that offers exactly these features. */
function machineWith(names: readonly string[]): CpuidEntry[] {
  const entries = new Map<string, CpuidEntry>();
  for (const feature of CPUID_FEATURES) {
    const key = `${feature.leaf}.${feature.subleaf}`;
    const old = entries.get(key) ?? entry(feature.leaf, feature.subleaf);
    const bit = names.includes(feature.name) ? (1 << feature.bit) >>> 0 : 0;
    entries.set(key, { ...old, [feature.register]: (old[feature.register] | bit) >>> 0 });
  }
  return [...entries.values()];
}

describe('features', () => {
  const known: [name: string, leaf: number, register: 'eax' | 'ebx' | 'ecx' | 'edx', bit: number][] = [
    ['fpu', 1, 'edx', 0],
    ['cmov', 1, 'edx', 15],
    ['sse2', 1, 'edx', 26],
    ['sse3', 1, 'ecx', 0],
    ['ssse3', 1, 'ecx', 9],
    ['fma', 1, 'ecx', 12],
    ['cx16', 1, 'ecx', 13],
    ['sse4_1', 1, 'ecx', 19],
    ['x2apic', 1, 'ecx', 21],
    ['movbe', 1, 'ecx', 22],
    ['popcnt', 1, 'ecx', 23],
    ['tsc_deadline', 1, 'ecx', 24],
    ['xsave', 1, 'ecx', 26],
    ['osxsave', 1, 'ecx', 27],
    ['avx', 1, 'ecx', 28],
    ['f16c', 1, 'ecx', 29],
    ['hypervisor', 1, 'ecx', 31],
    ['fsgsbase', 7, 'ebx', 0],
    ['avx2', 7, 'ebx', 5],
    ['bmi2', 7, 'ebx', 8],
    ['avx512f', 7, 'ebx', 16],
    ['adx', 7, 'ebx', 19],
    ['smap', 7, 'ebx', 20],
    ['clwb', 7, 'ebx', 24],
    ['avx512cd', 7, 'ebx', 28],
    ['avx512vl', 7, 'ebx', 31],
    ['pku', 7, 'ecx', 3],
    ['la57', 7, 'ecx', 16],
    ['rdpid', 7, 'ecx', 22],
    ['pks', 7, 'ecx', 31],
    ['fsrm', 7, 'edx', 4],
    ['serialize', 7, 'edx', 14],
    ['cet_ibt', 7, 'edx', 20],
    ['amx_tile', 7, 'edx', 24],
    ['ssbd', 7, 'edx', 31],
    ['lahf', 0x8000_0001, 'ecx', 0],
    ['lzcnt', 0x8000_0001, 'ecx', 5],
    ['topoext', 0x8000_0001, 'ecx', 22],
    ['syscall', 0x8000_0001, 'edx', 11],
    ['nx', 0x8000_0001, 'edx', 20],
    ['pdpe1gb', 0x8000_0001, 'edx', 26],
    ['rdtscp', 0x8000_0001, 'edx', 27],
    ['lm', 0x8000_0001, 'edx', 29],
    ['invariant_tsc', 0x8000_0007, 'edx', 8],
  ];
  test('are the bits that the manuals say', () => {
    for (const [name, leaf, register, bit] of known) {
      const machine = [entry(leaf, 0, { [register]: (1 << bit) >>> 0 })];
      assert.deepEqual(featuresOf(machine), [name]);
      assert.ok(hasFeature(machine, name));
    }
  });

  test('have one name each, and no two the same bit', () => {
    assert.equal(new Set(CPUID_FEATURES.map(({ name }) => name)).size, CPUID_FEATURES.length);
    for (const feature of CPUID_FEATURES) assert.ok(feature.bit < 32, feature.name);
  });

  test('with unknown names are refused', () => {
    assert.throws(() => hasFeature([], 'warp_drive'), /warp_drive/);
    assert.throws(() => withoutFeatures([entry(1, 0)], ['warp_drive']), /warp_drive/);
  });

  test('missing on another machine are named', () => {
    const needed = machineWith(['sse2', 'avx', 'avx512f']);
    assert.deepEqual(missingFeatures(needed, machineWith(['sse2', 'bmi1'])), ['avx', 'avx512f']);
    assert.deepEqual(missingFeatures(needed, needed), []);
    assert.deepEqual(missingFeatures(needed, []), ['sse2', 'avx', 'avx512f']);
  });

  test('are removed by name, others stay', () => {
    const cut = withoutFeatures(machineWith(['pbe', 'avx', 'sse2', 'nx']), ['avx', 'pbe']);
    assert.deepEqual(featuresOf(cut), ['sse2', 'nx']);
    assert.ok(cut.every(({ edx }) => edx >= 0));
  });
});

describe('levels', () => {
  for (let level = 1; level <= 4; level++) {
    test(`x86-64-v${level} needs all of its features and those below`, () => {
      const names = X86_64_LEVELS.slice(0, level).flat();
      assert.equal(levelOf(machineWith(names)), level);
      for (const name of X86_64_LEVELS[level - 1]!) {
        assert.equal(levelOf(machineWith(names.filter((other) => other !== name))), level - 1, name);
      }
    });
  }

  test('of a machine without SSE2 is none', () => assert.equal(levelOf([]), 0));
});

describe('intersection', () => {
  const wanted = [
    entry(0, 0, { eax: 0xd, ebx: 0x756e_6547 }),
    entry(1, 0, { eax: 0x806f8, ebx: 0x800, ecx: 0xffff_ffff, edx: 0xffff_ffff }),
    entry(7, 0, { eax: 1, ebx: 0xffff_ffff }),
    entry(0xd, 0, { eax: 0x2e7, ebx: 2696, ecx: 2696 }),
    entry(0xd, 9, { eax: 8, ebx: 2688 }),
    entry(0xd, 2, { eax: 256, ebx: 576 }),
  ];
  const host = [
    entry(1, 0, { eax: 0xa10f11, ecx: 0x8000_0001, edx: 0x1 }),
    entry(0xd, 0, { eax: 0x7, ebx: 832, ecx: 832 }),
    entry(0xd, 2, { eax: 256, ebx: 600 }),
  ];
  const cut = intersectCpuid(wanted, host);

  test('ANDs feature words and keeps what is no feature', () => {
    assert.deepEqual(findCpuid(cut, 1), entry(1, 0, { eax: 0x806f8, ebx: 0x800, ecx: 0x8000_0001, edx: 1 }));
    assert.deepEqual(findCpuid(cut, 0), wanted[0]);
  });

  test('clears the features of a leaf that the host lacks', () => {
    assert.deepEqual(findCpuid(cut, 7), entry(7, 0, { eax: 1 }));
  });

  test('keeps XSAVE components that both have, at the place of the host', () => {
    assert.equal(findCpuid(cut, 0xd)?.eax, 0x7);
    assert.deepEqual(findCpuid(cut, 0xd, 2), entry(0xd, 2, { eax: 256, ebx: 600 }));
    assert.deepEqual(findCpuid(cut, 0xd, 9), entry(0xd, 9));
  });

  test('with itself changes nothing', () => assert.deepEqual(intersectCpuid(wanted, wanted), wanted));
});

test('the physical-address width is leaf 80000008H, or 36 bits without it', () => {
  assert.equal(physicalAddressBits([entry(0x8000_0008, 0, { eax: 0x3934 })]), 0x34);
  assert.equal(physicalAddressBits([]), 36);
});

describe('exceptions', () => {
  test('that push an error code are #DF #TS #NP #SS #GP #PF #AC #CP, and AMD #VC #SX', () => {
    const vectors = EXCEPTIONS.filter((e) => e.pushesErrorCode).map(({ vector }) => vector);
    assert.deepEqual(vectors, [8, 10, 11, 12, 13, 14, 17, 21, 29, 30]);
    assert.ok(pushesErrorCode(14));
    assert.ok(!pushesErrorCode(0x80));
  });

  test('are ascending by vector, reserved ones left out', () => {
    const vectors = EXCEPTIONS.map(({ vector }) => vector);
    assert.deepEqual(
      vectors,
      [...vectors].sort((a, b) => a - b),
    );
    assert.equal(exceptionOf(9), undefined);
    assert.equal(exceptionOf(15), undefined);
  });

  test('are described for messages', () => {
    assert.equal(describeVector(14), '#PF (page fault)');
    assert.equal(describeVector(2), 'NMI (nonmaskable interrupt)');
    assert.equal(describeVector(0x80), 'vector 0x80');
  });
});
