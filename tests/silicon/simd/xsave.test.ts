// XSAVE, XRSTOR, their variants and XGETBV: the components x87 and SSE compared with silicon, whose others are not asked for;
// and what only the operating system's settings show.

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { Vector } from '../../../src/arch/x86/exceptions.ts';
import { Cr0, Cr4, Xcr0 } from '../../../src/arch/x86/registers.ts';
import { OFFSET } from '../../../src/arch/x86/state-layout.ts';
import { CODE, DATA, FunctionalMachine, PAGES } from '../../support/functional-machine.ts';
import type { Random } from '../../support/random.ts';
import { type MachineState, Silicon, whyNoSilicon } from '../../support/silicon.ts';
import { MEMORY, OPERAND_AT, randomState } from './cases.ts';
import { casesOf, sameAsSilicon } from './comparison.ts';

/** With ModRM 66 (memory at RSI + OPERAND_AT) and the extension of the opcode in its middle. */
const at = (extension: number): number[] => [0x46 | (extension << 3), OPERAND_AT];
const XSAVE = [0x0f, 0xae, ...at(4)];
const XSAVEOPT = [0x0f, 0xae, ...at(6)];
const XSAVEC = [0x0f, 0xc7, ...at(4)];
const XRSTOR = [0x0f, 0xae, ...at(5)];
const XSAVES = [0x0f, 0xc7, ...at(5)];
const XRSTORS = [0x0f, 0xc7, ...at(3)];
const XGETBV = [0x0f, 0x01, 0xd0];
const wide = (code: readonly number[]): number[] => [0x48, ...code];
const LOCK = 0xf0;

/** In the area. */
const AT = { mxcsr: 24, xstateBv: 512, xcompBv: 520, reserved: 528, end: 576 } as const;
const COMPACTED = 1n << 63n;
/** Components of silicon that we do not have: AVX, AVX-512, PKRU. */
const OF_SILICON_ONLY = 0x2e4;

/** EDX:EAX ask for x87 or SSE, and for components that no processor has. */
function asking(random: Random, state: MachineState): MachineState {
  state.setGpr(0, BigInt((random.u32() & ~OF_SILICON_ONLY & ~3) >>> 0) | BigInt(random.below(4)));
  return state;
}

/** Each part of the state is initial at times. */
function partlyInitial(random: Random): MachineState {
  const state = asking(random, randomState(random));
  const { fx } = state;
  if (random.oneIn(2)) {
    const mxcsr = fx.slice(AT.mxcsr, AT.mxcsr + 4);
    fx.fill(0, 0, 160);
    fx.set([0x7f, 3]);
    fx.set(mxcsr, AT.mxcsr);
  }
  if (random.oneIn(2)) fx.fill(0, 160);
  if (random.oneIn(3)) fx[AT.mxcsr] = 0xa1;
  state.memory.fill(0xcc, OPERAND_AT);
  return state;
}

interface Header {
  xstateBv?: bigint;
  xcompBv?: bigint;
  /** Of a byte of the header. */
  reservedAt?: number;
  mxcsr?: number;
}

function withHeader(random: Random, { xstateBv, xcompBv, reservedAt, mxcsr }: Header): MachineState {
  const state = asking(random, randomState(random));
  state.memory.set(randomState(random).fx, OPERAND_AT);
  const area = state.memory.subarray(OPERAND_AT);
  const view = new DataView(area.buffer, area.byteOffset, area.length);
  area.fill(0, AT.xstateBv, AT.end);
  view.setUint32(AT.mxcsr, mxcsr ?? 0x1fa0, true);
  view.setBigUint64(AT.xstateBv, xstateBv ?? BigInt(random.below(4)), true);
  view.setBigUint64(AT.xcompBv, xcompBv ?? 0n, true);
  if (reservedAt !== undefined) area[AT.xstateBv + reservedAt] = 1;
  return state;
}

describe('as on silicon', { skip: whyNoSilicon(['xsave', 'xsaveopt', 'xsavec']) }, () => {
  const silicon = whyNoSilicon() === false ? new Silicon() : undefined;
  after(() => silicon?.dispose());

  for (const [name, code] of Object.entries({ XSAVE, XSAVEOPT, XSAVEC })) {
    test(`${name} writes what is asked for and in use, and nothing else`, () => {
      for (const form of [code, wide(code)]) {
        const vectors = sameAsSilicon(silicon!, casesOf(form, partlyInitial, 60), true);
        assert.ok(vectors.every((vector) => vector === -1));
      }
    });
  }

  const images: Readonly<Record<string, (random: Random) => Header>> = {
    'in standard format': () => ({}),
    'in compacted format': (random) => {
      const components = BigInt(random.below(4));
      return { xcompBv: COMPACTED | components, xstateBv: components & BigInt(random.below(4)) };
    },
    'with something in the last bytes of a standard header': (random) => ({
      reservedAt: 24 + random.below(40),
    }),
  };
  for (const [what, header] of Object.entries(images)) {
    test(`XRSTOR takes an image ${what}`, () => {
      for (const form of [XRSTOR, wide(XRSTOR)]) {
        const cases = casesOf(form, (random) => withHeader(random, header(random)), 60);
        assert.ok(sameAsSilicon(silicon!, cases).every((vector) => vector === -1));
      }
    });
  }

  const refused: Readonly<Record<string, (random: Random) => Header>> = {
    'XSTATE_BV beyond XCR0': (random) => ({ xstateBv: 1n << BigInt(random.pick([3, 4, 8, 20, 63])) }),
    'XCOMP_BV without bit 63': (random) => ({ xcompBv: 1n << BigInt(random.below(62)) }),
    'XCOMP_BV beyond XCR0': (random) => ({ xcompBv: COMPACTED | (1n << BigInt(random.pick([3, 8, 62]))) }),
    'XSTATE_BV beyond XCOMP_BV': () => ({ xcompBv: COMPACTED | 1n, xstateBv: 2n }),
    'a reserved byte of a standard header': (random) => ({ reservedAt: 8 + random.below(16) }),
    'a reserved byte of a compacted header': (random) => ({
      xcompBv: COMPACTED,
      xstateBv: 0n,
      reservedAt: 16 + random.below(48),
    }),
  };
  for (const [what, header] of Object.entries(refused)) {
    test(`XRSTOR refuses ${what} with #GP`, () => {
      const cases = casesOf(XRSTOR, (random) => withHeader(random, header(random)));
      assert.ok(sameAsSilicon(silicon!, cases).every((vector) => vector === Vector.GP));
    });
  }

  test('XRSTOR looks at reserved bits of MXCSR if SSE is asked for, compacted if it is there as well', () => {
    const random = (compacted: boolean) => (random: Random) =>
      withHeader(random, { mxcsr: 0x8000_1f80, ...(compacted && { xcompBv: COMPACTED | 3n }) });
    for (const compacted of [false, true]) {
      const vectors = sameAsSilicon(silicon!, casesOf(XRSTOR, random(compacted), 40));
      assert.deepEqual(new Set(vectors), new Set([-1, Vector.GP]));
    }
  });

  for (const [name, code] of Object.entries({ XSAVE, XSAVEOPT, XSAVEC, XRSTOR })) {
    test(`${name}: an area that is not at a multiple of 64 is #GP, LOCK and other prefixes #UD`, () => {
      const moved = code.with(-1, OPERAND_AT - 16);
      const states = (random: Random) => withHeader(random, {});
      assert.ok(sameAsSilicon(silicon!, casesOf(moved, states)).every((vector) => vector === Vector.GP));
      // 66 makes CLWB of XSAVEOPT.
      for (const prefix of [LOCK, 0xf2, 0xf3, ...(code === XSAVEOPT ? [] : [0x66])]) {
        const vectors = sameAsSilicon(silicon!, casesOf([prefix, ...code], states, 2));
        assert.ok(vectors.every((vector) => vector === Vector.UD));
      }
    });
  }

  for (const [name, code] of Object.entries({ XSAVES, XRSTORS })) {
    test(`${name} is privileged`, () => {
      const vectors = sameAsSilicon(
        silicon!,
        casesOf(code, (random) => withHeader(random, {}), 2),
      );
      assert.ok(vectors.every((vector) => vector === Vector.GP));
    });
  }
});

/** A machine in front of an instruction with an area at `area`. */
function machineAt(code: readonly number[], area: number, answer: Xgetbv1 = 'xgetbv1'): FunctionalMachine {
  const machine = new FunctionalMachine({
    cpuid: (leaf, subleaf) => [leaf === 0xd && subleaf === 1 && answer === 'xgetbv1' ? 4 : 0, 0, 0, 0],
  });
  machine.load(code);
  machine.tc.setGpr(6, BigInt(area - OPERAND_AT));
  machine.tc.setGpr(0, 3n);
  machine.tc.setGpr(2, 0n);
  return machine;
}
type Xgetbv1 = 'xgetbv1' | 'no xgetbv1';

describe('what the operating system has set', () => {
  for (const [name, code] of Object.entries({ XSAVE, XSAVEOPT, XSAVEC, XRSTOR, XGETBV })) {
    test(`${name} is #UD without CR4.OSXSAVE`, () => {
      const machine = machineAt(code, MEMORY);
      machine.tc.u32[OFFSET.cr4 >> 2]! &= ~Cr4.OSXSAVE;
      assert.deepEqual(machine.engine.run(1), {
        kind: 'exception',
        vector: Vector.UD,
        errorCode: 0,
        address: 0n,
      });
    });
  }

  test('CR0.TS makes them #NM, XGETBV excepted', () => {
    for (const [code, kind] of [
      [XSAVE, 'exception'],
      [XSAVEC, 'exception'],
      [XRSTOR, 'exception'],
      [XGETBV, 'budget'],
    ] as const) {
      const machine = machineAt(code, MEMORY);
      machine.tc.setGpr(1, 0n);
      machine.tc.u32[OFFSET.cr0 >> 2]! |= Cr0.TS;
      const end = machine.engine.run(1);
      assert.equal(end.kind, kind);
      if (end.kind === 'exception') assert.equal(end.vector, Vector.NM);
    }
  });

  test('no components are saved that XCR0 does not enable', () => {
    const machine = machineAt(XSAVE, MEMORY);
    machine.tc.set(OFFSET.xcr0, BigInt(Xcr0.X87));
    machine.engine.run(1);
    const { buffer } = machine.read(MEMORY + AT.xstateBv, 8);
    assert.equal(new DataView(buffer).getBigUint64(0, true) & ~1n, 0n);
    assert.deepEqual(machine.read(MEMORY + AT.mxcsr, 4), new Uint8Array(4));
  });
});

describe('XGETBV', () => {
  function answer(index: number, prepare: (machine: FunctionalMachine) => void, has: Xgetbv1 = 'xgetbv1') {
    const machine = machineAt(XGETBV, MEMORY, has);
    machine.tc.set(OFFSET.xcr0, 3n);
    machine.tc.initFpu();
    prepare(machine);
    machine.tc.setGpr(1, BigInt(index));
    const end = machine.engine.run(1);
    return end.kind === 'exception' ? `#${end.vector}` : machine.tc.gpr(0);
  }
  const nothing = () => undefined;

  test('tells XCR0, and with ECX = 1 what is in use', () => {
    assert.equal(answer(0, nothing), 3n);
    assert.equal(answer(1, nothing), 0n);
    assert.equal(
      answer(1, ({ tc }) => tc.set(OFFSET.zmm + 8, 1n)),
      2n,
    );
    assert.equal(
      answer(1, ({ tc }) => tc.set(OFFSET.fip, 1n)),
      1n,
    );
  });

  test('counts MXCSR as a part of SSE, as Zen 4 does', () => {
    assert.equal(
      answer(1, ({ tc }) => (tc.u32[OFFSET.mxcsr >> 2] = 0x1fa0)),
      2n,
    );
  });

  test('is #GP with another ECX, and with 1 where CPUID does not have it', () => {
    assert.equal(answer(2, nothing), `#${Vector.GP}`);
    assert.equal(answer(1, nothing, 'no xgetbv1'), `#${Vector.GP}`);
  });
});

describe('page faults, in the order of Zen 4', () => {
  const END = DATA + PAGES * 4096;

  function fault(code: readonly number[], area: number): bigint | undefined {
    const machine = machineAt(code, area);
    const before = machine.read(DATA, PAGES * 4096);
    const end = machine.engine.run(1);
    assert.deepEqual(machine.read(DATA, PAGES * 4096), before);
    return end.kind === 'exception' && end.vector === Vector.PF ? end.address : undefined;
  }

  for (const [name, code] of Object.entries({ XSAVE, XSAVEOPT, XSAVEC }))
    test(`${name}: the last byte of the area, then the first; nothing is written`, () => {
      assert.equal(fault(code, END - 64), BigInt(END - 64 + AT.end - 1));
      assert.equal(fault(code, DATA - 64), BigInt(DATA - 64));
    });

  test('XRSTOR: the header, then the first byte', () => {
    assert.equal(fault(XRSTOR, END - 512), BigInt(END));
    assert.equal(fault(XRSTOR, DATA - 64), BigInt(DATA - 64));
  });

  test('XSAVE to a page that cannot be written', () => {
    assert.equal(fault(XSAVE, CODE), BigInt(CODE + AT.end - 1));
  });
});
