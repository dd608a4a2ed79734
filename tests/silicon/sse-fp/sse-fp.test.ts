// Floating-point instructions of SSE to SSE4.1 as the engine executes them, against this machine's processor: results, flags of
// MXCSR and RFLAGS, and #XM, on edge values in pairs and on random ones from a fixed seed, in all modes of MXCSR.

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { Vector } from '../../../src/arch/x86/exceptions.ts';
import { Cr4 } from '../../../src/arch/x86/registers.ts';
import { OFFSET } from '../../../src/arch/x86/state-layout.ts';
import { CODE, FunctionalMachine } from '../../support/functional-machine.ts';
import { noSilicon, otherVendor, Silicon, SiliconCase } from '../float/silicon.ts';
import { bitsOf, EDGES, EdgeOperands, type ElementKind } from './edges.ts';
import { EngineCases, outcome } from './engine-cases.ts';
import { codesOf, FP_SUBJECTS, type FpSubject } from './subjects.ts';

const MASKED = 0x1f80;
const PE = 0x20;
const RANDOM_CASES = 1200;
/** Pairs of edge values that are tried, of all there are: every such many. */
const PAIR_STEP = 3;

function fill(bytes: Uint8Array, kind: ElementKind, values: (i: number) => bigint): void {
  const size = bitsOf(kind) / 8;
  for (let i = 0; i < bytes.length / size; i++) {
    for (let rest = values(i), j = 0; j < size; j++, rest >>= 8n) bytes[i * size + j] = Number(rest & 0xffn);
  }
}

/** A case with these values of the first elements; the other elements are random. */
function caseOf(
  subject: FpSubject,
  code: readonly number[],
  inMemory: boolean,
  random: EdgeOperands,
  pair: readonly [bigint, bigint],
): SiliconCase {
  const { destination, source, sourceFile } = subject;
  const one = SiliconCase.of(code);
  // TOP 3 and two registers in use: what an MMX register as operand resets.
  one.fxsave.set([0x7f, 0x03, 0, 0x18, 0x18]);
  const [a, b] = pair;
  fill(one.xmm(0), destination, (i) => (i === 0 ? a : random.value(destination)));
  const operand = new Uint8Array(16);
  fill(operand, source, (i) => (i === 0 ? b : random.value(source)));
  if (inMemory) one.memory.set(operand);
  else if (sourceFile === 'xmm') one.xmm(1).set(operand);
  else if (sourceFile === 'mmx') one.mmx(1).set(operand.subarray(0, 8));
  else one.rbx = new DataView(operand.buffer).getBigUint64(0, true);
  one.rax = 0x1234_5678_9abc_def0n;
  one.rflags = random.oneIn(2) ? 0x202 : 0xad7;
  return one;
}

function casesOf(subject: FpSubject): SiliconCase[] {
  const random = new EdgeOperands(754);
  const codes = codesOf(subject);
  const { destination, source } = subject;
  const cases: SiliconCase[] = [];
  let count = 0;
  for (const a of EDGES[destination]) {
    for (const b of EDGES[source]) {
      if (count++ % PAIR_STEP !== 0) continue;
      const { code, inMemory } = random.pick(codes);
      const one = caseOf(subject, code, inMemory, random, [a, b]);
      one.mxcsr = MASKED | (random.oneIn(2) ? PE : 0);
      cases.push(one);
    }
  }
  for (let i = 0; i < RANDOM_CASES; i++) {
    const { code, inMemory } = random.pick(codes);
    const a = random.value(destination);
    const one = caseOf(subject, code, inMemory, random, [
      a,
      random.value(source, destination === source ? a : undefined),
    ]);
    one.mxcsr = random.mxcsr() | random.flags();
    cases.push(one);
  }
  // Translated code is made for one instruction after the other.
  return cases.sort((x, y) => Buffer.compare(x.code, y.code));
}

describe('SSE floating-point instructions on the engine', { skip: noSilicon() }, () => {
  let silicon: Silicon | undefined;
  after(() => silicon?.close());

  for (const subject of FP_SUBJECTS) {
    test(`${subject.name} does what the processor does`, { skip: subject.vendor && otherVendor() }, () => {
      silicon ??= new Silicon();
      const cases = casesOf(subject);
      const copies = () => cases.map((one) => new SiliconCase(one.bytes.slice()));
      const [interpreted, translated] = [copies(), copies()];
      const engine = new EngineCases();
      for (const one of interpreted) engine.run(one);
      for (const one of translated) engine.runTranslated(one);
      const inputs = cases.map(
        (one) =>
          `${Buffer.from(one.code).toString('hex')} ${outcome(one)} mem ${Buffer.from(one.memory.subarray(0, 16)).reverse().toString('hex')}`,
      );
      silicon.run(cases);
      for (const [i, one] of cases.entries()) {
        const expected = outcome(one);
        assert.equal(outcome(interpreted[i]!), expected, `interpreted: ${inputs[i]}`);
        assert.equal(outcome(translated[i]!), expected, `translated: ${inputs[i]}`);
      }
    });
  }

  test('128 bits in memory must be aligned, and nothing else', () => {
    silicon ??= new Silicon();
    const random = new EdgeOperands(16);
    const cases = FP_SUBJECTS.map((subject) => {
      const code = codesOf(subject).find(({ inMemory }) => inMemory)!.code;
      const at = subject.opcode.length;
      const one = SiliconCase.of([...code.slice(0, at), 0x47, 8, ...code.slice(at + 1)]);
      one.memory.set(Uint8Array.from({ length: 32 }, () => random.below(256)));
      return one;
    });
    const ours = cases.map((one) => new SiliconCase(one.bytes.slice()));
    const engine = new EngineCases();
    for (const one of ours) engine.run(one);
    silicon.run(cases);
    const signals = (list: readonly SiliconCase[]) =>
      list.map(({ signal }, i) => `${FP_SUBJECTS[i]!.name}: ${signal}`);
    assert.deepEqual(signals(ours), signals(cases));
    assert(cases.some(({ signal }) => signal !== 0));
  });
});

// SDM vol. 3A §2.5, CR4.OSXMMEXCPT.
test('an unmasked exception is #UD where the operating system does not handle #XM', () => {
  const machine = new FunctionalMachine();
  const { tc, engine } = machine;
  machine.load([0xf2, 0x0f, 0x5e, 0xc1]);
  tc.u32[OFFSET.mxcsr >> 2] = 0;
  tc.set(OFFSET.cr4, tc.get(OFFSET.cr4) & ~BigInt(Cr4.OSXMMEXCPT));
  const end = engine.run(1);
  assert.equal(end.kind === 'exception' && end.vector, Vector.UD);
  assert.equal(tc.u32[OFFSET.mxcsr >> 2], 1);
  assert.equal(tc.ripNumber, CODE);
  assert.equal(engine.executed, 0);
});
