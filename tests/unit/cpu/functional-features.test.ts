// What the functional CPU says of itself by CPUID, the auxiliary vector and /proc/cpuinfo, and how features are chosen.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CPUID_FEATURES, featuresOf, levelOf, X86_64_LEVELS } from '../../../src/arch/x86/cpuid.ts';
import { FunctionalCpuid } from '../../../src/cpu/functional/cpuid.ts';
import { chooseFeatures, FeatureSet } from '../../../src/cpu/functional/features.ts';
import { FatalError } from '../../../src/sim/trouble.ts';

const IMPLEMENTED = new Set([
  ...chooseFeatures('cpu', 'x86-64-v2', new Set(X86_64_LEVELS.flat())).names,
  ...['bmi2', 'xsave', 'xsaveopt', 'xsavec', 'xgetbv1', 'xsaves'],
]);
const choose = (list: string) => chooseFeatures('cpu', list, IMPLEMENTED);
const cpuid = (list: string, hz = 3e9) => new FunctionalCpuid(choose(list), hz);

/** All answers, as the functions of arch/x86/cpuid.ts want them. */
function entriesOf(processor: FunctionalCpuid) {
  const words = new Set(CPUID_FEATURES.map(({ leaf, subleaf }) => `${leaf} ${subleaf}`));
  return [...words].map((word) => {
    const [leaf, subleaf] = word.split(' ').map(Number) as [number, number];
    const [eax, ebx, ecx, edx] = processor.answer(leaf, subleaf);
    return { leaf, subleaf, eax, ebx, ecx, edx };
  });
}

const ascii = (...registers: readonly number[]): string =>
  Buffer.from(Uint32Array.from(registers).buffer).toString('latin1').replace(/\0+$/, '');

describe('a choice of features', () => {
  test('levels are those of the psABI', () => {
    for (const [list, level] of [
      ['x86-64', 1],
      ['x86-64-v1', 1],
      ['x86-64-v2', 2],
      ['', 2],
      ['max', 2],
    ] as const)
      assert.equal(levelOf(entriesOf(cpuid(list))), level, list);
  });

  test('adds and takes away, by the names of /proc/cpuinfo and of the manuals', () => {
    assert.ok(choose('+bmi2').has('bmi2'));
    assert.ok(!choose('x86-64-v2').has('bmi2'));
    assert.ok(choose('max').has('bmi2'));
    for (const name of ['pni', 'sse3', 'SSE3']) assert.ok(!choose(`x86-64-v2,-${name}`).has('sse3'), name);
    assert.ok(!choose('-sse4.2, -lahf_lm').has('lahf'));
  });

  test('what is built on a feature goes with it', () => {
    const { names } = choose('x86-64-v2,-ssse3');
    for (const name of ['ssse3', 'sse4_1', 'sse4_2']) assert.ok(!names.has(name), name);
    assert.ok(names.has('sse3') && names.has('popcnt'));
  });

  test('the decoder is told both names', () => {
    const names = choose('x86-64-v2').forDecoder;
    for (const name of ['lahf', 'lahf_lm', 'sse3', 'pni', 'popcnt']) assert.ok(names.has(name), name);
  });

  test('refuses what is none, what is not implemented, and what cannot be missing', () => {
    for (const [list, says] of [
      ['x86-64-v5', /'x86-64-v5' is neither a level/],
      ['x86-64-v3', /x86-64-v3: the functional CPU does not have avx$/],
      ['+avx512f', /\+avx512f: the functional CPU does not have avx512f$/],
      ['+frobnicate', /no processor feature is called 'frobnicate'/],
      ['-sse2', /-sse2: every x86-64 processor has it/],
      ['max,bmi2', /'bmi2' says neither \+ nor -/],
    ] as const)
      assert.throws(
        () => choose(list),
        (error) => error instanceof FatalError && says.test(error.message),
        list,
      );
  });

  test('what is built on a feature brings it along, and goes with it', () => {
    assert.ok(choose('x86-64-v2,+xsavec').has('xsave'));
    const left = choose('max,-xsave');
    for (const name of ['xsave', 'osxsave', 'xsaveopt', 'xsavec', 'xgetbv1', 'xsaves'])
      assert.ok(!left.has(name), name);
  });

  test('osxsave is there exactly where xsave is: the emulated system enables it', () => {
    assert.ok(new FeatureSet(['xsave']).has('osxsave'));
    assert.ok(!new FeatureSet(['osxsave']).has('osxsave'));
  });
});

describe('CPUID', () => {
  test('features are those that were chosen, and no others', () => {
    const list = 'x86-64-v2,+bmi2,-sse4_2';
    assert.deepEqual(new Set(featuresOf(entriesOf(cpuid(list)))), choose(list).names);
  });

  test('the area of XSAVE holds x87 and SSE; without XSAVE leaf 0DH is empty', () => {
    assert.deepEqual(cpuid('max').answer(0xd, 0), [3, 576, 576, 0]);
    const [variants, compactedBytes] = cpuid('max').answer(0xd, 1);
    assert.deepEqual([variants, compactedBytes], [0xf, 576]);
    assert.deepEqual(cpuid('max,-xsavec,-xsaves').answer(0xd, 1), [5, 0, 0, 0]);
    assert.deepEqual(cpuid('x86-64-v2').answer(0xd, 0), [0, 0, 0, 0]);
  });

  test('vendor, highest leaves, brand', () => {
    const { answer } = { answer: (leaf: number) => cpuid('').answer(leaf, 0) };
    const [highest, b, c, d] = answer(0);
    assert.equal(ascii(b, d, c), 'GenuineIntel');
    assert.equal(highest, 0x16);
    assert.equal(answer(0x8000_0000)[0], 0x8000_0008);
    const brand = [2, 3, 4].flatMap((i) => [...answer(0x8000_0000 + i)]);
    assert.equal(ascii(...brand), 'hypertick functional CPU');
  });

  test('caches by leaf 4: sizes as SDM vol. 2A computes them', () => {
    const sizes = [0, 1, 2, 3].map((i) => {
      const [eax, ebx, ecx] = cpuid('').answer(4, i);
      const [ways, partitions, line] = [(ebx >>> 22) + 1, ((ebx >>> 12) & 0x3ff) + 1, (ebx & 0xfff) + 1];
      return [eax & 31, (eax >>> 5) & 7, (ways * partitions * line * (ecx + 1)) / 1024];
    });
    assert.deepEqual(sizes, [
      [1, 1, 32],
      [2, 1, 32],
      [3, 2, 256],
      [3, 3, 8192],
    ]);
    assert.deepEqual(cpuid('').answer(4, 4), [0, 0, 0, 0]);
  });

  test('leaf 15H gives the frequency of the TSC', () => {
    for (const hz of [3e9, 2.5e9, 1e9]) {
      const [denominator, numerator, crystalHz] = cpuid('', hz).answer(0x15, 0);
      assert.equal((crystalHz * numerator) / denominator, hz);
    }
  });

  test('leaves that there are not are zero, whatever ECX is; others do not look at it', () => {
    assert.deepEqual(cpuid('').answer(0x4000_0000, 0), [0, 0, 0, 0]);
    assert.deepEqual(cpuid('').answer(0xd, 0), [0, 0, 0, 0]);
    assert.deepEqual(cpuid('').answer(1, 77), cpuid('').answer(1, 0));
  });
});

test('AT_HWCAP and /proc/cpuinfo say the same as CPUID', () => {
  const processor = cpuid('x86-64-v2,-popcnt');
  assert.equal(processor.hwcap, processor.answer(1, 0)[3]);
  assert.equal(processor.hwcap2, 0);
  const flags = /^flags\t\t: (.*)$/m.exec(processor.cpuinfo)![1]!.split(' ');
  for (const flag of ['pni', 'ssse3', 'cx16', 'lahf_lm', 'sse2', 'lm', 'syscall'])
    assert.ok(flags.includes(flag), flag);
  assert.ok(!flags.includes('popcnt'));
  assert.match(processor.cpuinfo, /^cpu MHz\t\t: 3000\.000$/m);
  assert.match(processor.cpuinfo, /\n\n$/);
});
