// x87 instructions on the engine: their rows against the unit's table, what precedes an instruction's execution, faults of memory
// operands, and the fast paths against the unit, which is compared with silicon in tests/silicon/float. Sections are the SDM's.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Vector } from '../../../src/arch/x86/exceptions.ts';
import { INSTRUCTIONS } from '../../../src/arch/x86/isa/instructions.ts';
import { unitInstruction } from '../../../src/arch/x86/isa/x87/unit.ts';
import { Cr0, Gpr } from '../../../src/arch/x86/registers.ts';
import { OFFSET, STRIDE, X86ThreadContext } from '../../../src/arch/x86/thread-context.ts';
import { x87Instruction } from '../../../src/arch/x86/x87/instructions.ts';
import { Fsw, X87Unit } from '../../../src/arch/x86/x87/unit.ts';
import { CODE, DATA, FunctionalMachine, PAGES } from '../../support/functional-machine.ts';
import { Random } from '../../support/random.ts';

const ONE = 0x3fff_8000_0000_0000_0000n;
const END = DATA + PAGES * 4096;
/** JMP to the next instruction, SYSCALL: blocks that end with SYSCALL are never translated. */
const END_OF_CODE = 'eb000f05';
const WAYS = ['never', 'always'] as const;

/** One machine for many pieces of code, each at a place of its own: a machine takes long to make. */
class Bench {
  readonly machine: FunctionalMachine;
  readonly #initial: Uint8Array;
  #next = CODE;

  constructor(translate: (typeof WAYS)[number]) {
    this.machine = new FunctionalMachine({ translate });
    this.machine.tc.initFpu();
    this.#initial = this.machine.tc.u8.slice();
  }

  /** The initial state, this code and its end, RBX at DATA, which is zero. */
  prepare(code: string): FunctionalMachine {
    const { tc } = this.machine;
    const bytes = Buffer.from(code + END_OF_CODE, 'hex');
    this.machine.write(this.#next, bytes);
    tc.u8.set(this.#initial);
    tc.ripNumber = this.#next;
    tc.setGprNumber(Gpr.RBX, DATA);
    this.machine.write(DATA, new Uint8Array(128));
    this.machine.write(END - 128, new Uint8Array(128));
    this.#next += 16;
    return this.machine;
  }
}

const BENCHES = new Map(WAYS.map((translate) => [translate, new Bench(translate)]));

function machine(code: string, translate: (typeof WAYS)[number] = 'never'): FunctionalMachine {
  return BENCHES.get(translate)!.prepare(code);
}

function push(tc: X86ThreadContext, ...values: readonly bigint[]): void {
  const unit = new X87Unit(tc);
  for (const value of values) unit.push(value);
}

const x87State = (tc: X86ThreadContext) => Buffer.from(tc.u8.slice(OFFSET.fcw, OFFSET.zmm)).toString('hex');

describe('x87 rows', () => {
  const forms = INSTRUCTIONS.flatMap((instruction) => instruction.forms).filter(
    ({ map, opcode }) => map === 0 && opcode >= 0xd8 && opcode <= 0xdf,
  );

  test('each row has the mnemonic and the operand size of the instruction that the unit executes', () => {
    for (const form of forms) {
      const { name, sizeBytes, modrm } = unitInstruction(form);
      assert.equal(form.instruction.mnemonic, name.split(' ')[0], `${form}`);
      const memory = form.operands.find(({ only }) => only === 'memory');
      assert.equal(memory !== undefined, modrm < 0xc0, `${form}`);
      if (typeof memory?.memoryBits === 'number') assert.equal(memory.memoryBits, 8 * sizeBytes, `${form}`);
    }
  });

  test('every encoding of the unit has one row, and no other encoding has one', () => {
    for (let opcode = 0xd8; opcode <= 0xdf; opcode++) {
      for (let modrm = 0; modrm < 256; modrm++) {
        const kind = modrm >= 0xc0 ? 'register' : 'memory';
        const matching = forms.filter(
          (form) =>
            form.opcode === opcode &&
            form.extension === ((modrm >> 3) & 7) &&
            (form.modrmKind ?? kind) === kind &&
            (form.rmExtension ?? modrm & 7) === (modrm & 7),
        );
        const expected = x87Instruction(opcode, modrm) === undefined ? 0 : 1;
        assert.equal(matching.length, expected, `${opcode.toString(16)} ${modrm.toString(16)}`);
      }
    }
  });
});

describe('x87 in front of the execution', () => {
  // Vol. 3 table 2-2.
  test('TS or EM raises #NM even where the operand would fault; FWAIT heeds TS with MP alone', () => {
    for (const [code, cr0, vector] of [
      ['dd4300', Cr0.TS, Vector.NM],
      ['dd4300', Cr0.EM, Vector.NM],
      ['d97300', Cr0.TS, Vector.NM],
      ['9b', Cr0.TS, undefined],
      ['9b', Cr0.TS | Cr0.MP, Vector.NM],
      ['9b', Cr0.EM, undefined],
    ] as const) {
      const m = machine(code);
      m.tc.setGpr(Gpr.RBX, 0n);
      const kept = m.tc.get(OFFSET.cr0) & ~BigInt(Cr0.TS | Cr0.EM | Cr0.MP);
      m.tc.set(OFFSET.cr0, kept | BigInt(cr0));
      const end = m.engine.run(10);
      if (vector === undefined) assert.equal(end.kind, 'syscall', code);
      else assert.ok(end.kind === 'exception' && end.vector === vector, code);
    }
  });

  // Vol. 1 §8.6.
  test('a pending exception raises #MF before the operand is looked at, but not for FNSTSW and its like', () => {
    const m = machine('dfe0dd4300');
    const start = m.tc.ripNumber;
    m.tc.u16[OFFSET.fcw >> 1] = 0x37e;
    m.tc.u16[OFFSET.fsw >> 1] = Fsw.ES | Fsw.B | 1;
    m.tc.setGpr(Gpr.RBX, 0n);
    const end = m.engine.run(10);
    assert.ok(end.kind === 'exception' && end.vector === Vector.MF);
    assert.equal(m.tc.gprLo(Gpr.RAX) & 0xffff, Fsw.ES | Fsw.B | 1);
    assert.equal(m.tc.ripNumber, start + 2);
  });

  // Vol. 1 §8.1.8 to §8.1.9.
  test('FOP, FIP and FDP name the last instruction that was no control instruction, and its operand', () => {
    for (const translate of WAYS) {
      const m = machine('dd4308d93b', translate);
      const start = m.tc.rip;
      m.engine.run(10);
      assert.equal(m.tc.u16[OFFSET.fop >> 1], 0x543);
      assert.equal(m.tc.get(OFFSET.fip), start);
      assert.equal(m.tc.get(OFFSET.fdp), BigInt(DATA + 8));
    }
  });
});

describe('x87 memory operands', () => {
  test('a page fault at a store leaves registers, flags and memory as they were', () => {
    const stores: readonly (readonly [code: string, bytes: number])[] = [
      ['d91b', 4],
      ['dd1b', 8],
      ['db3b', 10],
      ['df1b', 2],
      ['db1b', 4],
      ['df3b', 8],
      ['dd0b', 8],
      ['df33', 10],
      ['d933', 28],
      ['dd33', 108],
      ['66dd33', 94],
    ];
    for (const translate of WAYS) {
      for (const [code, bytes] of stores) {
        const m = machine(code, translate);
        push(m.tc, 0x4000_c90f_daa2_2168_c235n);
        const at = END - bytes + 1;
        m.tc.setGprNumber(Gpr.RBX, at);
        const before = x87State(m.tc);
        const end = m.engine.run(10);
        assert.ok(end.kind === 'exception' && end.vector === Vector.PF, code);
        // Only what lies behind the end faults: parts of two bytes and more report where the page begins.
        assert.equal(end.address, BigInt(END), code);
        assert.equal(x87State(m.tc), before, code);
        assert.deepEqual(m.read(at, bytes - 1), new Uint8Array(bytes - 1), code);
      }
    }
  });

  test('environments look at both ends first: CR2 is the last byte where only the second page is missing', () => {
    for (const code of ['d933', 'd923', 'dd33', 'dd23']) {
      const m = machine(code);
      m.tc.setGprNumber(Gpr.RBX, END - 8);
      const end = m.engine.run(10);
      const bytes = code.startsWith('d9') ? 28 : 108;
      assert.ok(end.kind === 'exception' && end.address === BigInt(END - 8 + bytes - 1), code);
    }
  });

  // Vol. 1 §8.5.4 and §8.5.6.
  test('a store with an unmasked overflow stores and pops nothing; an unmasked inexact one does', () => {
    const overflow = machine('dd1b');
    overflow.tc.u16[OFFSET.fcw >> 1] = 0x377;
    push(overflow.tc, 0x7ffe_8000_0000_0000_0000n);
    overflow.engine.run(10);
    assert.deepEqual(overflow.read(DATA, 8), new Uint8Array(8));
    assert.equal(new X87Unit(overflow.tc).isEmpty(0), false);
    const inexact = machine('dd1b');
    inexact.tc.u16[OFFSET.fcw >> 1] = 0x35f;
    push(inexact.tc, ONE + 0x401n);
    inexact.engine.run(10);
    assert.deepEqual([...inexact.read(DATA, 8)], [1, 0, 0, 0, 0, 0, 0xf0, 0x3f]);
    assert.ok(new X87Unit(inexact.tc).fsw & Fsw.ES);
    assert.equal(inexact.tc.u16[OFFSET.ftw >> 1], 0);
  });

  test('the image of FNSAVE comes back by FRSTOR, in both formats', () => {
    for (const prefix of ['', '66']) {
      const m = machine(`${prefix}dd33${prefix}dd23`);
      push(m.tc, ONE, 0xc000_8000_0000_0000_0001n, 0x1234_5678_9abc_def0_1234n);
      m.tc.u16[OFFSET.fcw >> 1] = 0xb7f;
      const before = x87State(m.tc);
      assert.equal(m.engine.run(10).kind, 'syscall');
      assert.equal(x87State(m.tc), before);
    }
  });
});

describe('x87 status flags', () => {
  test('FUCOMI sets ZF, PF, CF by the relation and clears the others, for ordinary and other numbers', () => {
    const nan = 0x7fff_c000_0000_0000_0000n;
    for (const translate of WAYS) {
      for (const [top, other, flags] of [
        [ONE, ONE, 0x40],
        [ONE, ONE + 1n, 0x01],
        [ONE + 1n, ONE, 0x00],
        [0n, 1n << 79n, 0x40],
        [ONE | (1n << 79n), 0n, 0x01],
        [nan, ONE, 0x45],
      ] as const) {
        const m = machine('dbe9', translate);
        push(m.tc, other, top);
        m.tc.rflags |= 0x8d5;
        m.engine.run(10);
        assert.equal(m.tc.rflags & 0x8d5, flags);
      }
    }
  });

  test('FCMOVcc goes by the flags in front of it, pending ones too', () => {
    for (const translate of WAYS) {
      // cmp eax, ecx / fcmovb st, st(1) / fcmovnu st, st(2)
      const m = machine('39c8dac1dbda', translate);
      push(m.tc, 5n, 4n, 3n);
      m.tc.setGprNumber(Gpr.RAX, 1);
      m.tc.setGprNumber(Gpr.RCX, 2);
      m.engine.run(10);
      // 1 − 2 has the low byte FF: PF is set, so that only the first moves.
      assert.equal(new X87Unit(m.tc).st(0), 4n);
    }
  });
});

/** Encodings of ordinary numbers and of some others, close to each other more often than not. */
function randomNumber(random: Random): bigint {
  const words = (BigInt(random.u32()) << 32n) | BigInt(random.u32());
  const significand = random.oneIn(3) ? words & ~0xffff_ffff_ffffn : words;
  const exponent = random.oneIn(12) ? random.pick([0, 1, 0x7ffe, 0x7fff]) : 0x3fff - 70 + random.below(140);
  const integer = exponent === 0 && random.oneIn(2) ? 0n : 1n << 63n;
  const sign = random.oneIn(2) ? 0x8000n : 0n;
  return (((BigInt(exponent) | sign) << 64n) | significand | integer) & ((1n << 80n) - 1n);
}

describe('x87 fast paths', () => {
  // D8, DC, DE: operations; DB, DD, DF: comparisons and moves; then memory operands at RBX.
  const codes = [
    'd8c1 d8c9 d8d1 d8d9 d8e1 d8e9 d8f1 d8f9 dcc1 dcc9 dce1 dce9 dcf1 dcf9 dec1 dec9 dee1 dee9 def1 def9',
    'd9c1 d9c9 dde1 dde9 dbe9 dbf1 dfe9 dff1 ddd1 ddd9 ddd8 d9e0 d9e1 d9e8 d9ee d8c0 dec0 d8e0 d9c8',
    'd903 dd03 db2b df03 db03 df2b d913 d91b dd13 dd1b db3b df13 df1b db13 db1b df3b df0b db0b dd0b',
    'd803 d80b d823 d82b d833 d83b dc03 dc0b dc23 dc2b dc33 dc3b d813 d81b dc13 dc1b d92b',
  ].flatMap((line) => line.split(' '));

  for (const translate of WAYS) {
    test(`they give what the unit gives: ${translate === 'never' ? 'interpreted' : 'translated'}`, () => {
      const random = new Random(translate === 'never' ? 1 : 2);
      for (const code of codes) compareWithUnit(code, translate, random);
    });
  }
});

/** Runs an instruction on many states, and the unit's function on the same. */
function compareWithUnit(code: string, translate: (typeof WAYS)[number], random: Random): void {
  const m = machine(code, translate);
  const start = m.tc.rip;
  const reference = new X86ThreadContext();
  const unit = new X87Unit(reference);
  const [opcode, modrm] = [...Buffer.from(code, 'hex')] as [number, number];
  const instruction = x87Instruction(opcode, modrm)!;
  for (let round = 0; round < 60; round++) {
    m.tc.initFpu();
    m.tc.rip = start;
    m.tc.u16[OFFSET.fcw >> 1] = random.pick([0x37f, 0x37f, 0xf7f, 0x27f, 0x35f, 0x77f]);
    m.tc.u16[OFFSET.fsw >> 1] = (random.below(8) << 11) | (random.u32() & 0x4700);
    m.tc.u16[OFFSET.ftw >> 1] = random.oneIn(6) ? random.below(256) : 0xff;
    if (random.oneIn(2)) new X87Unit(m.tc).free(7);
    for (let i = 0; i < 8; i++) {
      const number = randomNumber(random);
      m.tc.set(OFFSET.st + i * STRIDE.st, BigInt.asUintN(64, number));
      m.tc.u16[(OFFSET.st + i * STRIDE.st + 8) >> 1] = Number(number >> 64n);
    }
    const memory = Uint8Array.from({ length: 16 }, () => random.u32());
    if (random.oneIn(2)) new DataView(memory.buffer).setFloat64(0, random.u32() / 7 - 1e8, true);
    if (random.oneIn(3)) new DataView(memory.buffer).setFloat32(0, random.u32() / 7 - 1e8, true);
    m.write(DATA, memory);
    reference.u8.set(m.tc.u8);
    const operand = {
      memory: memory.slice(),
      i: modrm & 7,
      opcode: ((opcode & 7) << 8) | modrm,
      fip: start,
      fdp: BigInt(DATA),
      operandSize16: false,
      stored: false,
    };
    unit.execute(instruction, operand);
    assert.equal(m.engine.run(10).kind, 'syscall');
    assert.equal(x87State(m.tc), x87State(reference), `${code}, round ${round}`);
    assert.equal(m.tc.rflags & 0x8d5, reference.rflags & 0x8d5, code);
    const stored = operand.stored ? operand.memory : memory;
    assert.deepEqual(m.read(DATA, 16), stored, `${code}, round ${round}`);
  }
}
