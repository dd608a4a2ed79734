// What random cases are made of, and how it is counted.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { PageFaultError, Vector } from '../../../src/arch/x86/exceptions.ts';
import { DecodeTable } from '../../../src/arch/x86/isa/decode-table.ts';
import { Decoder } from '../../../src/arch/x86/isa/decoder.ts';
import { INSTRUCTIONS } from '../../../src/arch/x86/isa/instructions.ts';
import { NOP } from '../../../src/arch/x86/isa/integer/hints.ts';
import { CODE_ADDRESS, DATA_ADDRESS } from '../../../tools/fuzz/address-space.ts';
import { runCampaign } from '../../../tools/fuzz/campaign.ts';
import { Coverage } from '../../../tools/fuzz/coverage.ts';
import { sameOutcome } from '../../../tools/fuzz/difference.ts';
import type { Executor } from '../../../tools/fuzz/executor.ts';
import { ALL_FEATURES } from '../../../tools/fuzz/functional-executor.ts';
import { type RandomCase, randomSequence } from '../../../tools/fuzz/random-sequence.ts';
import { encodeVariant, rowSource } from '../../../tools/fuzz/row-source.ts';
import type { Ending, Outcome } from '../../../tools/fuzz/sequence.ts';
import { formatCase } from '../../../tools/fuzz/sequence-text.ts';
import { emptyState, USER_REGISTERS } from '../../../tools/fuzz/user-state.ts';
import { allVariants, type Variant, variantName, variantsOf } from '../../../tools/fuzz/variants.ts';
import { Random } from '../../support/random.ts';

const VARIANTS = allVariants();

test('each variant is encoded as what it is', () => {
  const decoder = new Decoder(new DecodeTable(INSTRUCTIONS, ALL_FEATURES));
  const random = new Random(3);
  const context = {
    random,
    pointers: [3],
    alignedPointers: [3],
    code: CODE_ADDRESS,
    caseNumber: 0,
    position: 0,
  };
  for (const variant of VARIANTS) {
    const bytes = encodeVariant(variant, context);
    const decoded = decoder.decode(bytes, 0, bytes.length, true);
    const what = `${variantName(variant)}: ${Buffer.from(bytes).toString('hex')}`;
    assert.ok(typeof decoded !== 'string', `${what} is ${decoded}`);
    // Of the reserved NOPs some are PREFETCH: they do the same.
    const { instruction } = decoded.form;
    if (instruction.crack !== NOP.crack) assert.equal(decoded.form, variant.form, what);
    else assert.equal(variant.form.instruction.crack, NOP.crack, what);
    assert.equal(decoded.lengthBytes, bytes.length, what);
    assert.equal(decoded.isLocked, variant.prefix === 'lock', what);
    if (variant.prefix === '67') assert.equal(decoded.addressBits, 32, what);
    if (variant.form.hasOperandSize) assert.equal(decoded.operandBits, variant.size, what);
    const hasMemory = decoded.operands.some(({ memory }) => memory !== undefined);
    if (variant.place === 'register') assert.equal(hasMemory, variant.form.operands.some(isImplied), what);
  }
});

const isImplied = ({ source }: Variant['form']['operands'][number]) => source === 'maskStore';

const ADD = variantOf('ADD', 'register');
const JMP = variantOf('JMP', 'register');

function variantOf(mnemonic: string, place: Variant['place']): Variant {
  return VARIANTS.find(
    ({ form, place: where }) => form.instruction.mnemonic === mnemonic && where === place,
  )!;
}

/** Three additions of two bytes each. */
function threeOf(variants: readonly Variant[]): RandomCase {
  const instructions = variants.map(() => Uint8Array.of(0x00, 0xc0));
  const sequence = { codeAddress: CODE_ADDRESS, instructions, state: emptyState(), fill: 0, data: [] };
  return { sequence, undefinedFlags: 0, variants };
}

function outcomeAt(ending: Ending, rip: number, memory: Outcome['memory'] = []): Outcome {
  const state = emptyState();
  state.ripNumber = rip;
  return { ending, state, memory };
}

function fault(vector: number, errorCode = 0): Ending {
  return { kind: 'exception', vector, errorCode, address: 0n };
}

describe('coverage counts what has certainly been executed', () => {
  const count = (outcome: Outcome | undefined, variants = [ADD, ADD, ADD]) => {
    const coverage = new Coverage([ADD, JMP]);
    coverage.count(threeOf(variants), outcome);
    const { generated, completed, compared } = coverage.counts;
    return [generated[0], compared[0], completed[0]];
  };

  test('all of a case that comes to its end', () => {
    assert.deepEqual(count(outcomeAt({ kind: 'end' }, DATA_ADDRESS)), [3, 3, 3]);
  });

  test('up to the instruction that faults', () => {
    assert.deepEqual(count(outcomeAt(fault(Vector.GP), CODE_ADDRESS + 2)), [3, 2, 1]);
  });

  test('not one that could not be fetched, nor the one behind a trap', () => {
    assert.deepEqual(count(outcomeAt(fault(Vector.PF, PageFaultError.FETCH), CODE_ADDRESS + 2)), [3, 1, 1]);
    assert.deepEqual(count(outcomeAt(fault(Vector.DB), CODE_ADDRESS + 2)), [3, 1, 1]);
  });

  test('nothing behind a jump', () => {
    const outcome = outcomeAt({ kind: 'end' }, DATA_ADDRESS);
    assert.deepEqual(count(outcome, [ADD, JMP, ADD]), [2, 1, 1]);
  });

  test('nothing of what the executors disagree on, of a time-out, of code that has changed itself', () => {
    assert.deepEqual(count(undefined), [3, 0, 0]);
    assert.deepEqual(count(outcomeAt({ kind: 'timeout' }, CODE_ADDRESS)), [3, 0, 0]);
    const change = [{ address: CODE_ADDRESS + 5, bytes: Uint8Array.of(1) }];
    assert.deepEqual(count(outcomeAt({ kind: 'end' }, DATA_ADDRESS, change)), [3, 0, 0]);
  });

  test('and the table has all of it, the rarest first', () => {
    const coverage = new Coverage([ADD, JMP]);
    coverage.count(threeOf([ADD, ADD, ADD]), outcomeAt({ kind: 'end' }, DATA_ADDRESS));
    coverage.add({ generated: [1, 2], compared: [1, 2], completed: [1, 2] });
    const lines = coverage.table().trimEnd().split('\n');
    assert.equal(lines[1], `2\t2\t2\t${variantName(JMP)}`);
    assert.equal(lines[2], `4\t4\t4\t${variantName(ADD)}`);
    assert.match(
      coverage.summary(),
      /^2 variants, each compared at least 2 times: 2 less than 1000 times, 0 never$/,
    );
  });
});

test('the cases of a campaign are the same whatever the number of those who share it', () => {
  const casesOf = (of: number): string[] => {
    const seen: string[] = [];
    const recorder: Executor = {
      name: 'recorder',
      tolerance: {},
      run: (cases) => {
        seen.push(...cases.map((sequence) => formatCase(sequence)));
        return cases.map(() => outcomeAt({ kind: 'end' }, DATA_ADDRESS));
      },
      close: () => {},
    };
    for (let remainder = 0; remainder < of; remainder++)
      runCampaign(recorder, [], {
        seed: 5,
        count: 1300,
        maxFailures: 1,
        source: rowSource(VARIANTS),
        share: { of, remainder },
      });
    return seen.sort();
  };
  const alone = casesOf(1);
  assert.equal(new Set(alone).size, 1300);
  assert.deepEqual(casesOf(2), alone);
  assert.deepEqual(casesOf(4), alone);
});

test('each variant begins a case when there are twice as many cases as variants', () => {
  const source = rowSource(VARIANTS);
  const random = new Random(1);
  const seen = new Set<Variant | undefined>();
  for (let caseNumber = 0; caseNumber < 2 * VARIANTS.length; caseNumber++)
    seen.add(
      source({ random, pointers: [], alignedPointers: [], code: CODE_ADDRESS, caseNumber, position: 0 })
        .variant,
    );
  assert.equal(seen.size, VARIANTS.length);
});

test('memory operands have variants with address size and segment, LOCK only where it is legal', () => {
  const [form] = INSTRUCTIONS.find(({ mnemonic }) => mnemonic === 'ADD')!.forms;
  const prefixes = (place: Variant['place']) =>
    variantsOf(form!)
      .filter((variant) => variant.place === place)
      .map(({ prefix }) => prefix);
  assert.deepEqual(prefixes('memory'), ['none', 'lock', '67', 'fs', 'gs']);
  assert.deepEqual(prefixes('register'), ['none']);
});

test('an inexact result may differ in the last place and in C1, no more; nothing follows it', () => {
  const withR0 = (digits: string, fsw = '0x0'): Outcome => {
    const outcome = outcomeAt({ kind: 'end' }, DATA_ADDRESS);
    for (const [name, value] of [
      ['x87.r0', digits],
      ['fsw', fsw],
    ] as const) {
      const { at, sizeBytes } = USER_REGISTERS.find((register) => register.name === name)!;
      for (let i = 0; i < sizeBytes; i++)
        outcome.state.u8[at + i] = Number((BigInt(value) >> BigInt(8 * i)) & 0xffn);
    }
    return outcome;
  };
  const isSame = (one: Outcome, other: Outcome) => sameOutcome(one, other, { isInexact: true });
  const one = withR0('0x3fff8000000000000000');
  // The number below 1 has another exponent.
  assert.equal(isSame(one, withR0('0x3ffeffffffffffffffff')), true);
  assert.equal(isSame(one, withR0('0x3fff8000000000000001', '0x200')), true);
  assert.equal(isSame(one, withR0('0x3fff8000000000000002')), false);
  assert.equal(isSame(one, withR0('0xbfff8000000000000000')), false);
  assert.equal(isSame(one, withR0('0x3fff8000000000000000', '0x100')), false);
  assert.equal(sameOutcome(one, withR0('0x3fff8000000000000001')), false);
  const [sine] = VARIANTS.filter(({ form }) => form.instruction.mnemonic === 'FSIN');
  const { variants, isInexact } = randomSequence(new Random(1), {
    source: rowSource([sine!]),
    maxInstructions: 4,
  });
  assert.deepEqual([variants!.length, isInexact], [1, true]);
});
