// Cases of the differential fuzzer without any processor: their text, their memory, their differences, random ones, and
// how they get smaller.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Gpr, Rflags, Xcr0 } from '../../../src/arch/x86/registers.ts';
import { OFFSET } from '../../../src/arch/x86/thread-context.ts';
import {
  AREA_BYTES,
  areaAddress,
  areaBackground,
  areaChanges,
  areaOffset,
  areaPatches,
  CODE_ADDRESS,
  CODE_END,
  DATA_ADDRESS,
  END_ADDRESS,
  fillArea,
  ISLAND_ADDRESS,
  READ_ONLY_ADDRESS,
} from '../../../tools/fuzz/address-space.ts';
import { CODE_PATTERNS } from '../../../tools/fuzz/code-patterns.ts';
import { describeDifference, sameOutcome } from '../../../tools/fuzz/difference.ts';
import { Comparison } from '../../../tools/fuzz/disagreement.ts';
import type { Executor } from '../../../tools/fuzz/executor.ts';
import { minimize } from '../../../tools/fuzz/minimize.ts';
import { randomSequence } from '../../../tools/fuzz/random-sequence.ts';
import { codeBytes, type Ending, type Outcome, type Sequence } from '../../../tools/fuzz/sequence.ts';
import { formatCase, formatCases, parseCases, SequenceTextError } from '../../../tools/fuzz/sequence-text.ts';
import { canonicalize, emptyState, sameUserState } from '../../../tools/fuzz/user-state.ts';
import { Random } from '../../support/random.ts';

const NOP = Uint8Array.of(0x90);
const nothing: Sequence = {
  codeAddress: CODE_ADDRESS,
  instructions: [NOP],
  state: emptyState(),
  fill: 0,
  data: [],
};

function outcome(ending: Ending, change: (state: Outcome['state']) => void = () => {}): Outcome {
  const state = emptyState();
  change(state);
  return { ending, state, memory: [] };
}

describe('the pages of a case', () => {
  test('every offset has an address and the other way round', () => {
    for (let offset = 0; offset < AREA_BYTES; offset += 509)
      assert.equal(areaOffset(areaAddress(offset)), offset);
    for (const address of [CODE_ADDRESS - 1, CODE_END, DATA_ADDRESS - 1, ISLAND_ADDRESS - 1, END_ADDRESS])
      assert.equal(areaOffset(address), -1);
  });

  test('code is followed by a jump to the end, cut off where the pages end', () => {
    const [whole] = areaPatches({ ...nothing, codeAddress: CODE_ADDRESS + 7 });
    const target = new DataView(whole!.bytes.buffer).getInt32(2, true) + CODE_ADDRESS + 7 + 6;
    assert.equal(whole!.bytes[1], 0xe9);
    assert.equal(target, END_ADDRESS);
    assert.equal(areaPatches({ ...nothing, codeAddress: CODE_END - 3 })[0]!.bytes.length, 3);
    assert.throws(() => areaPatches({ ...nothing, codeAddress: CODE_END }), RangeError);
  });

  test('data must lie in pages that follow one another', () => {
    const bytes = new Uint8Array(8);
    const at = (address: number) => ({ ...nothing, data: [{ address, bytes }] });
    areaPatches(at(READ_ONLY_ADDRESS - 4));
    assert.throws(() => areaPatches(at(READ_ONLY_ADDRESS + 0xffc)), RangeError);
    assert.throws(() => areaPatches(at(ISLAND_ADDRESS - 4)), RangeError);
  });

  test('changes are the longest runs, and end where the address space has a gap', () => {
    const before = new Uint8Array(AREA_BYTES);
    fillArea(before, areaBackground(5), { ...nothing, fill: 5 });
    const after = before.slice();
    for (const address of [DATA_ADDRESS + 1, DATA_ADDRESS + 2, READ_ONLY_ADDRESS + 0xfff, ISLAND_ADDRESS])
      after[areaOffset(address)]! ^= 0xff;
    assert.deepEqual(
      areaChanges(before, after).map(({ address, bytes }) => [address, bytes.length]),
      [
        [DATA_ADDRESS + 1, 2],
        [READ_ONLY_ADDRESS + 0xfff, 1],
        [ISLAND_ADDRESS, 1],
      ],
    );
  });
});

describe('cases as text', () => {
  test('random cases and outcomes come back as they were', () => {
    const random = new Random(7);
    for (let i = 0; i < 50; i++) {
      const { sequence } = randomSequence(random, { components: Xcr0.AVX | Xcr0.AVX512 });
      const { sequence: other } = randomSequence(random);
      const result: Outcome = {
        ending: { kind: 'exception', vector: 14, errorCode: 6, address: 0xffff_8000_0000_0000n },
        state: other.state,
        memory: [{ address: DATA_ADDRESS, bytes: Uint8Array.of(1, 2) }],
      };
      const [back] = parseCases(formatCase(sequence, result));
      assert.ok(sameUserState(back!.sequence.state, sequence.state));
      assert.deepEqual(codeBytes(back!.sequence), codeBytes(sequence));
      const { state: _, ...plain } = sequence;
      const { state: __, ...plainBack } = back!.sequence;
      assert.deepEqual(plainBack, plain);
      assert.deepEqual(describeDifference(back!.outcome!, result, ['read', 'written']), []);
    }
  });

  test('several cases, comments, and endings without a state', () => {
    const endings: Ending[] = [
      { kind: 'end' },
      { kind: 'syscall' },
      { kind: 'timeout' },
      { kind: 'refused', reason: 'a b' },
    ];
    const cases = endings.map((ending) => ({ sequence: nothing, outcome: outcome(ending) }));
    const text = `# found today\n\n${formatCases(cases)}`;
    assert.deepEqual(
      parseCases(text).map((recorded) => recorded.outcome?.ending),
      endings,
    );
    assert.deepEqual(parseCases(''), []);
  });

  test('what is wrong is said', () => {
    for (const text of [
      'code 414000 90',
      'case',
      'case\ncode 414000 9',
      'case\ncode 414000 90\nrax 11112222333344445',
      'case\ncode 414000 90\nray 1',
    ])
      assert.throws(() => parseCases(text), SequenceTextError);
  });
});

describe('differences', () => {
  const end: Ending = { kind: 'end' };

  test('are named with both values', () => {
    const one = outcome(end, (state) => state.setGpr(Gpr.RDX, 5n));
    const other = outcome(end, (state) => {
      state.rflags |= Rflags.CF | Rflags.OF;
      state.u8[OFFSET.zmm + 64] = 0xab;
    });
    assert.deepEqual(
      describeDifference(one, { ...other, memory: [{ address: 0x500000, bytes: NOP }] }, ['a', 'b']),
      [
        'rdx: a 0x0000000000000005, b 0x0000000000000000',
        'rflags: a 0x202, b 0xa03 (CF OF)',
        'zmm1: a 0x0, b 0xab',
        'memory 0x500000: a unchanged, b 90',
      ],
    );
  });

  test('that are tolerated are none', () => {
    const one = outcome(end, (state) => (state.u16[OFFSET.fop >> 1] = 1));
    const other = outcome(end, (state) => (state.rflags |= Rflags.AF));
    assert.ok(!sameOutcome(one, other));
    assert.ok(!sameOutcome(one, other, { flags: Rflags.AF }));
    assert.ok(sameOutcome(one, other, { flags: Rflags.AF, registers: new Set(['fop']) }));
  });

  test('of endings: vector, error code and address; refusals contradict nobody', () => {
    const fault = (errorCode: number) => outcome({ kind: 'exception', vector: 14, errorCode, address: 8n });
    assert.ok(!sameOutcome(fault(4), fault(6)));
    assert.ok(!sameOutcome(fault(4), outcome(end)));
    assert.ok(
      sameOutcome(
        fault(4),
        outcome({ kind: 'refused', reason: '' }, (state) => state.setGpr(0, 1n)),
      ),
    );
    assert.deepEqual(describeDifference(fault(4), outcome(end), ['a', 'b']), [
      'ending: a #PF (page fault), error code 0x4, address 0x8, b end',
    ]);
  });
});

describe('random cases', () => {
  test('the same seed gives the same cases, another one others', () => {
    const some = (seed: number) => {
      const random = new Random(seed);
      return formatCases(Array.from({ length: 20 }, () => randomSequence(random)));
    };
    assert.equal(some(3), some(3));
    assert.notEqual(some(3), some(4));
  });

  test('are in a form that a processor keeps, and fit into their pages', () => {
    const random = new Random(1);
    for (let i = 0; i < 2000; i++) {
      const { sequence } = randomSequence(random);
      const state = emptyState();
      state.copyFrom(sequence.state);
      canonicalize(state);
      assert.ok(sameUserState(state, sequence.state));
      assert.ok(codeBytes(sequence).length <= 64);
      areaPatches(sequence);
    }
  });

  test('make every pattern', () => {
    assert.ok(CODE_PATTERNS.length >= 60);
    const lengths = new Set<number>();
    const random = new Random(2);
    for (let i = 0; i < 2000; i++)
      for (const { length } of randomSequence(random).sequence.instructions) lengths.add(length);
    assert.ok(Math.max(...lengths) <= 15);
    for (let length = 1; length < 12; length++) assert.ok(lengths.has(length), `none of ${length} bytes`);
  });
});

describe('minimizing', () => {
  const random = new Random(9);
  const made = () => randomSequence(random, { maxInstructions: 8 }).sequence;

  test('leaves what matters and nothing else', () => {
    // "Differs" if some instruction is a NOP, bits 3 and 40 of RBX are set and the byte at DATA + 5 is not below 0x80.
    const differs = ({ instructions, state, data }: Sequence): boolean =>
      instructions.some((bytes) => bytes[0] === 0x90) &&
      (state.gpr(Gpr.RBX) & 0x100_0000_0008n) === 0x100_0000_0008n &&
      data.some(({ address, bytes }) => (bytes[DATA_ADDRESS + 5 - address] ?? 0) >= 0x80);
    const { instructions, state, ...rest } = made();
    state.setGpr(Gpr.RBX, 0x1234_5fff_ffff_ffffn);
    const data = [{ address: DATA_ADDRESS, bytes: new Uint8Array(16).fill(0xff) }];
    const given = { ...rest, state, data, fill: 3, codeAddress: CODE_ADDRESS + 9 };
    const smallest = minimize({ ...given, instructions: [...instructions, NOP, ...instructions] }, differs);
    assert.equal(
      formatCase(smallest),
      `case\ncode 414000 90\ndata ${(DATA_ADDRESS + 5).toString(16)} 80\nrbx 10000000008\n`,
    );
  });

  test('is deterministic, keeps the difference and heeds the limit', () => {
    const sequence = made();
    const wanted = codeBytes(sequence).at(-1)!;
    let asked = 0;
    const differs = (candidate: Sequence): boolean => {
      asked++;
      return codeBytes(candidate).includes(wanted) && candidate.state.rflags === sequence.state.rflags;
    };
    const [one, other] = [minimize(sequence, differs), minimize(sequence, differs)];
    assert.equal(formatCase(one), formatCase(other));
    assert.ok(differs(one));
    asked = 0;
    assert.ok(differs(minimize(sequence, differs, { maxTrials: 10 })));
    assert.equal(asked, 11);
  });
});

describe('comparing two executors', () => {
  /** Says RAX = the `n`th number of `answers` for the `n`th case that it is asked for. */
  const scripted = (name: string, answers: number[], tolerance = {}): Executor => ({
    name,
    tolerance,
    run: (cases) =>
      cases.map(() => outcome({ kind: 'end' }, (state) => state.setGprNumber(Gpr.RAX, answers.shift() ?? 0))),
    close: () => {},
  });

  test('what differs twice is a disagreement; once, if the reference says the same again; else it is counted', () => {
    // The second case: the reference changes its mind. The third differs twice. The fourth: the other changes its mind.
    const reference = scripted('a', [1, 2, 3, 4, 7, 7, 3, 4, 4]);
    const comparison = new Comparison(reference, scripted('b', [1, 7, 8, 9, 7, 9, 4]));
    const found = comparison.run(new Array(4).fill({ sequence: nothing, undefinedFlags: 0 }));
    assert.deepEqual(
      found.map(({ index, lines }) => [index, ...lines]),
      [
        [2, 'rax: a 0x0000000000000003, b 0x0000000000000009'],
        [3, 'rax: a 0x0000000000000004, b 0x0000000000000009'],
      ],
    );
    assert.equal(comparison.unconfirmed, 1);
  });

  test('what an executor is not trusted in may differ', () => {
    const rax = { registers: new Set(['rax']) };
    assert.deepEqual(
      new Comparison(scripted('a', [1]), scripted('b', [2], rax)).run([
        { sequence: nothing, undefinedFlags: 0 },
      ]),
      [],
    );
  });
});
