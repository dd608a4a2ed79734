// What MMX and SSE instructions raise: misaligned operands, memory that is not there, pending x87 exceptions, units that are
// switched off; and that nothing has changed then.

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { Vector } from '../../../src/arch/x86/exceptions.ts';
import type { Form } from '../../../src/arch/x86/isa/encoding.ts';
import { SIMD } from '../../../src/arch/x86/isa/simd/index.ts';
import { Cr0, Cr4, Rflags } from '../../../src/arch/x86/registers.ts';
import { OFFSET } from '../../../src/arch/x86/state-layout.ts';
import { encodeForm } from '../../support/encode-form.ts';
import { DATA, FunctionalMachine, PAGES } from '../../support/functional-machine.ts';
import { Random } from '../../support/random.ts';
import {
  difference,
  EngineProcessor,
  hostFeatures,
  type InstructionCase,
  type MachineState,
  MEMORY_BYTES,
  Silicon,
  whyNoSilicon,
} from '../../support/silicon.ts';
import { OPERAND_AT, placesOf, randomState } from './cases.ts';

const STATUS_FLAGS = 0x8d5;
const END_OF_DATA = DATA + PAGES * 4096;

function isOnHost({ formFeature, instruction }: Form): boolean {
  const feature = formFeature ?? instruction.feature;
  return feature === undefined || hostFeatures().has(feature);
}

/** A form with its operand in memory, so far from what RSI points to. */
function inMemory(form: Form, displacement: number, immediate = 1): Uint8Array {
  return encodeForm(form, { reg: 1, rm: { displacement }, immediate });
}

/** Intel's processors ask SHA for alignment, AMD's do not. */
const MEMORY_FORMS = SIMD.flatMap(({ forms }) => forms).filter(
  (form) => placesOf(form).includes('memory') && isOnHost(form) && form.instruction.feature !== 'sha_ni',
);
const MMX_FORMS = SIMD.flatMap(({ forms }) => forms).filter(
  (form) =>
    isOnHost(form) &&
    (form.operands.some(({ file }) => file === 'mmx') || form.instruction.mnemonic === 'EMMS'),
);

describe('as on silicon', { skip: whyNoSilicon() }, () => {
  const silicon = whyNoSilicon() === false ? new Silicon() : undefined;
  after(() => silicon?.dispose());

  /** Vectors are those of silicon; where there is one, the engine has changed nothing. */
  function same(cases: readonly InstructionCase[], how: 'interpreted' | 'translated'): number[] {
    const expected = silicon!.run(cases);
    const own = new EngineProcessor(how).run(cases);
    for (const [n, { vector, address, state }] of own.entries()) {
      const where = Buffer.from(cases[n]!.code).toString('hex');
      assert.equal(address, expected[n]!.address, `${where}: address`);
      assert.equal(vector, expected[n]!.vector, `${where}: vector`);
      if (vector === -1) continue;
      assert.equal(difference(state, cases[n]!.state, STATUS_FLAGS), undefined, `${where}: unchanged`);
    }
    return expected.map(({ vector }) => vector);
  }

  for (const how of ['interpreted', 'translated'] as const) {
    test(`a misaligned operand raises #GP or does not matter, ${how}`, () => {
      const random = new Random(1);
      const vectors = same(
        MEMORY_FORMS.flatMap((form) =>
          [4, 8, 15].map((by) => ({ code: inMemory(form, OPERAND_AT + by), state: withZeroMxcsr(random) })),
        ),
        how,
      );
      assert.ok(vectors.includes(Vector.GP));
      assert.ok(vectors.includes(-1));
    });

    test(`a misaligned operand with RFLAGS.AC raises #AC, if not #GP, ${how}`, () => {
      const random = new Random(5);
      const vectors = same(
        // Which of the two these raise depends on by how much (SDM vol. 2 "FXSAVE": implementations differ).
        MEMORY_FORMS.filter(({ instruction }) => instruction.unit !== 'fxsave').flatMap((form) =>
          [0, 1, 2, 4, 8].map((by) => {
            const state = withZeroMxcsr(random);
            state.rflags |= Rflags.AC;
            return { code: inMemory(form, OPERAND_AT + by), state };
          }),
        ),
        how,
      );
      assert.ok(vectors.includes(Vector.AC));
    });

    test(`an operand that reaches into a page that is not there raises #PF, ${how}`, () => {
      const random = new Random(2);
      const base = END_OF_DATA - MEMORY_BYTES;
      const vectors = same(
        MEMORY_FORMS.flatMap((form) =>
          [0, 1, 2, 4, 8, 16, 208, 496].map((before) => {
            const state = withZeroMxcsr(random);
            state.memoryAt = base;
            state.setGpr(6, BigInt(base));
            // With the largest immediate, nothing of the operand may be left.
            return { code: inMemory(form, MEMORY_BYTES - before, before === 0 ? 0xff : 1), state };
          }),
        ),
        how,
      );
      assert.ok(vectors.includes(Vector.PF));
    });

    test(`MMX waits for a pending x87 exception, ${how}`, () => {
      const random = new Random(3);
      const vectors = same(
        MMX_FORMS.map((form) => ({ code: anyPlace(form), state: withPending(random) })),
        how,
      );
      assert.ok(vectors.includes(Vector.MF));
    });
  }

  test('what no prefix allows is undefined', () => {
    const random = new Random(4);
    const cases = SIMD.flatMap(({ forms }) => forms)
      .filter(isOnHost)
      .flatMap((form) => {
        const code = anyPlace(form);
        return [0x66, 0xf3, 0xf2].map((prefix) => ({
          code: Uint8Array.from([prefix, ...code]),
          state: randomState(random),
        }));
      });
    const expected = silicon!.run(cases);
    for (const [n, { vector }] of new EngineProcessor('interpreted').run(cases).entries()) {
      // What this processor has and the engine does not (yet) is undefined there.
      if (vector !== Vector.UD)
        assert.equal(vector, expected[n]!.vector, Buffer.from(cases[n]!.code).toString('hex'));
    }
  });
});

/** Registers if they are possible. */
function anyPlace(form: Form): Uint8Array {
  const rm = placesOf(form)[0] === 'register' ? 3 : { displacement: OPERAND_AT };
  return encodeForm(form, { reg: 1, rm, immediate: 1 });
}

/** LDMXCSR and FXRSTOR find no reserved bits. */
function withZeroMxcsr(random: Random): MachineState {
  const state = randomState(random);
  state.memory.fill(0);
  return state;
}

/** An unmasked invalid operation has been signalled. */
function withPending(random: Random): MachineState {
  const state = randomState(random);
  const view = new DataView(state.fx.buffer, state.fx.byteOffset);
  view.setUint16(0, 0x37e, true);
  view.setUint16(2, 0x8081, true);
  return state;
}

test('on the stack, an address that is not canonical raises #SS before it is found misaligned', () => {
  const machine = new FunctionalMachine();
  machine.load([0x0f, 0x28, 0x04, 0x24]); // MOVAPS XMM0, [RSP]
  machine.tc.setGpr(4, 0x8000_0000_0004n);
  const end = machine.engine.run(1);
  assert.equal(end.kind === 'exception' && end.vector, Vector.SS);
});

describe('units that are switched off', () => {
  const FORMS = {
    mmx: [0x0f, 0xfc, 0xc1], // PADDB MM0, MM1
    sse: [0x66, 0x0f, 0xfc, 0xc1], // PADDB XMM0, XMM1
    sseMemory: [0x0f, 0x28, 0x06], // MOVAPS XMM0, [RSI]: RSI points nowhere
    ldmxcsr: [0x0f, 0xae, 0x16], // LDMXCSR [RSI]
    emms: [0x0f, 0x77],
    fxsave: [0x0f, 0xae, 0x06], // FXSAVE [RSI]
    movnti: [0x0f, 0xc3, 0x07], // MOVNTI [RDI], EAX
  };
  type Name = keyof typeof FORMS;

  function vectorsIn(cr0: number, cr4: number): Partial<Record<Name, number>> {
    const machine = new FunctionalMachine();
    const vectors: Partial<Record<Name, number>> = {};
    for (const [name, code] of Object.entries(FORMS)) {
      machine.load(code);
      machine.tc.setGpr(7, BigInt(DATA));
      machine.tc.setGpr(6, BigInt(DATA));
      machine.engine.run(1);
      // The same bytes again, after the system has changed its mind.
      machine.tc.setGpr(6, 0n);
      machine.tc.u32[OFFSET.cr0 >> 2]! ^= cr0;
      machine.tc.u32[OFFSET.cr4 >> 2]! ^= cr4;
      machine.tc.ripNumber -= code.length;
      const end = machine.engine.run(1);
      machine.tc.u32[OFFSET.cr0 >> 2]! ^= cr0;
      machine.tc.u32[OFFSET.cr4 >> 2]! ^= cr4;
      if (end.kind === 'exception') vectors[name as Name] = end.vector;
    }
    return vectors;
  }

  const { UD, NM, PF } = Vector;

  test('all are on: memory that is not there raises #PF', () => {
    assert.deepEqual(vectorsIn(0, 0), { sseMemory: PF, ldmxcsr: PF, fxsave: PF });
  });

  test('CR0.TS: #NM', () => {
    const all = { mmx: NM, sse: NM, sseMemory: NM, ldmxcsr: NM, emms: NM, fxsave: NM };
    assert.deepEqual(vectorsIn(Cr0.TS, 0), all);
  });

  test('CR0.EM: #UD, but FXSAVE #NM', () => {
    const all = { mmx: UD, sse: UD, sseMemory: UD, ldmxcsr: UD, emms: UD, fxsave: NM };
    assert.deepEqual(vectorsIn(Cr0.EM, 0), all);
  });

  test('CR4.OSFXSR off: SSE is undefined, MMX is not', () => {
    assert.deepEqual(vectorsIn(0, Cr4.OSFXSR), { sse: UD, sseMemory: UD, ldmxcsr: UD, fxsave: PF });
  });
});
