// What the manuals say about the x87 unit, whatever the processor of this machine: pending exceptions, the
// pointers to the last instruction, decoding, MMX. Sections are the SDM's.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { FXSAVE, physicalRegister } from '../../../src/arch/x86/fxsave.ts';
import { Cr0, Seg } from '../../../src/arch/x86/registers.ts';
import { SegmentPreset } from '../../../src/arch/x86/segments.ts';
import { OFFSET } from '../../../src/arch/x86/state-layout.ts';
import { X86ThreadContext } from '../../../src/arch/x86/thread-context.ts';
import { emms, enterMmx } from '../../../src/arch/x86/x87/control.ts';
import { X87_BY_NAME, x87Instruction } from '../../../src/arch/x86/x87/instructions.ts';
import { readBytes, writeBytes } from '../../../src/arch/x86/x87/memory.ts';
import {
  Fsw,
  savesPointers,
  type X87Operand,
  type X87Outcome,
  X87Unit,
} from '../../../src/arch/x86/x87/unit.ts';
import { otherVendor, runOnSilicon, SiliconCase } from './silicon.ts';

const ONE = 0x3fff_8000_0000_0000_0000n;

class Bench {
  readonly tc = new X86ThreadContext();
  readonly unit = new X87Unit(this.tc);
  readonly operand: X87Operand = {
    memory: new Uint8Array(108),
    i: 0,
    opcode: 0,
    fip: 0n,
    fdp: 0n,
    operandSize16: false,
    stored: false,
  };

  constructor() {
    this.tc.powerOn();
  }

  run(name: string, operand: Partial<X87Operand> = {}): X87Outcome {
    Object.assign(this.operand, operand);
    return this.unit.execute(X87_BY_NAME.get(name)!, this.operand);
  }
}

describe('x87 unit', () => {
  // Vol. 1 §8.6 and §8.3.12.
  test('an unmasked exception is raised by the next waiting instruction, which is not executed', () => {
    const bench = new Bench();
    bench.unit.fcw = 0x37b;
    assert.equal(bench.run('FLD1'), 'none');
    assert.equal(bench.run('FLDZ'), 'none');
    assert.equal(bench.run('FDIVP ST(i),ST(0)', { i: 1 }), 'none');
    assert.equal(bench.unit.fsw & (Fsw.ES | Fsw.B | 4), Fsw.ES | Fsw.B | 4);
    const before = bench.tc.save();
    assert.equal(bench.run('FLDPI'), 'mf');
    assert.deepEqual(bench.tc.save(), before);
    assert.equal(bench.unit.st(1), ONE);
    assert.equal(bench.run('FNSTSW AX'), 'none');
    assert.equal(bench.run('FNCLEX'), 'none');
    assert.equal(bench.run('FLDPI'), 'none');
  });

  // Vol. 1 §8.5.4: the destination in memory stays as it was.
  test('a store with unmasked overflow stores nothing and pops nothing', () => {
    const bench = new Bench();
    bench.unit.fcw = 0x377;
    bench.unit.push(0x7ffe_8000_0000_0000_0000n);
    assert.equal(bench.run('FSTP m64fp'), 'none');
    assert.equal(bench.operand.stored, false);
    assert.equal(bench.unit.isEmpty(0), false);
    assert.ok(bench.unit.fsw & Fsw.ES);
  });

  // Vol. 1 §8.5.1.1.
  test('a push onto a full stack gives the indefinite value and says overflow by C1', () => {
    const bench = new Bench();
    for (let i = 0; i < 9; i++) bench.run('FLD1');
    assert.equal(bench.unit.st(0), 0xffff_c000_0000_0000_0000n);
    assert.equal(bench.unit.fsw & (Fsw.SF | Fsw.C1 | 1), Fsw.SF | Fsw.C1 | 1);
  });

  // Vol. 1 §8.1.8, §8.1.9.
  test('instructions leave their opcode and addresses, control instructions do not', () => {
    const bench = new Bench();
    bench.run('FLD m64fp', { opcode: 0x507, fip: 0x1234n, fdp: 0xffff_8000_0000_0010n });
    bench.run('FABS', { opcode: 0x1e1, fip: 0x1236n, fdp: 0n });
    bench.run('FLDCW m2byte', { opcode: 0x12f, fip: 0x1238n, fdp: 0x77n, memory: bench.operand.memory });
    assert.equal(bench.tc.u16[OFFSET.fop >> 1], 0x1e1);
    assert.equal(bench.tc.get(OFFSET.fip), 0x1236n);
    assert.equal(bench.tc.get(OFFSET.fdp), 0xffff_8000_0000_0010n);
  });

  test('an environment image carries the pointers and the selectors of the moment', () => {
    const bench = new Bench();
    bench.tc.set(OFFSET.cr0, bench.tc.get(OFFSET.cr0) | BigInt(Cr0.PE));
    const flat = { base: 0n, limit: 0xffff_ffff, attributes: 0xa09b };
    bench.tc.setSegment(Seg.CS, { ...flat, selector: 0x33 });
    bench.tc.setSegment(Seg.DS, { ...flat, selector: 0x2b });
    bench.run('FLD m32fp', { opcode: 0x107, fip: 0x1_0000_1234n, fdp: 0x2_0000_5678n });
    bench.run('FNSTENV m14/28byte');
    const words = [12, 16, 20, 24].map((at) => readBytes(bench.operand.memory, at, 4));
    assert.deepEqual(words, [0x1234n, 0x0107_0033n, 0x5678n, 0xffff_002bn]);
  });

  // Vol. 1 figures 8-10 and 8-12.
  test('in real-address mode an environment image carries linear addresses, which it restores', () => {
    for (const [operandSize16, expected] of [
      [false, [0xffff_2345n, 0x1107n, 0xffff_0060n, 0x2000n]],
      [true, [0x2345n, 0x1107n, 0x0060n, 0x2000n]],
    ] as const) {
      const bench = new Bench();
      bench.tc.setSegment(Seg.CS, { ...SegmentPreset.realModeCode, selector: 0x1200, base: 0x1_2000n });
      bench.tc.setSegment(Seg.DS, { ...SegmentPreset.realMode, selector: 0x2000, base: 0x2_0000n });
      bench.run('FLD m32fp', { opcode: 0x107, fip: 0x345n, fdp: 0x60n });
      const pointers = [OFFSET.fip, OFFSET.fdp].map((at) => bench.tc.get(at));
      bench.run('FNSTENV m14/28byte', { operandSize16 });
      const step = operandSize16 ? 2 : 4;
      const words = [3, 4, 5, 6].map((i) => readBytes(bench.operand.memory, i * step, step));
      assert.deepEqual(words, expected);
      bench.run('FNINIT');
      bench.run('FLDENV m14/28byte');
      assert.deepEqual(
        [OFFSET.fip, OFFSET.fdp].map((at) => bench.tc.get(at)),
        pointers,
      );
      assert.equal(bench.tc.u16[OFFSET.fop >> 1], 0x107);
    }
  });

  // Vol. 2D tables.
  test('opcodes find their instructions', () => {
    assert.equal(x87Instruction(0xd9, 0xee)?.name, 'FLDZ');
    assert.equal(x87Instruction(0xdc, 0xe3)?.name, 'FSUBR ST(i),ST(0)');
    assert.equal(x87Instruction(0xd8, 0xe3)?.name, 'FSUB ST(0),ST(i)');
    assert.equal(x87Instruction(0xde, 0xd9)?.name, 'FCOMPP');
    assert.equal(x87Instruction(0xdd, 0x07)?.name, 'FLD m64fp');
    assert.equal(x87Instruction(0xdb, 0x6c)?.name, 'FLD m80fp');
    for (const [opcode, modrm] of [
      [0xd9, 0xd1],
      [0xde, 0xd8],
      [0xda, 0xe8],
      [0xdb, 0x20],
      [0xd9, 0x08],
    ] as const) {
      assert.equal(x87Instruction(opcode, modrm), undefined);
    }
  });

  // Vol. 1 §9.5.1, §9.6.3.
  test('MMX instructions make all registers valid from R0 on, EMMS empties them', () => {
    const bench = new Bench();
    bench.run('FLD1');
    assert.equal(enterMmx(bench.tc), 'none');
    assert.equal(bench.unit.ftw, 0xff);
    assert.equal(physicalRegister(bench.unit.fsw, 0), 0);
    assert.equal(emms(bench.tc), 'none');
    assert.equal(bench.unit.ftw, 0);
    bench.unit.fsw |= Fsw.ES;
    assert.equal(enterMmx(bench.tc), 'mf');
    assert.equal(emms(bench.tc), 'mf');
  });

  test('FXSAVE stores the pointers while an exception is pending only', { skip: otherVendor() }, () => {
    const fcws = [0x37e, 0x37f];
    const cases = fcws.map((fcw) => {
      const one = SiliconCase.of([0xd9, 0x07]);
      one.view.setUint16(0x200, fcw, true);
      writeBytes(one.memory, 0, 4, 0x7f80_0001n);
      return one;
    });
    runOnSilicon(cases);
    for (const one of cases) {
      const stored =
        readBytes(one.fxsave, FXSAVE.fop, 2) === 0x107n && readBytes(one.fxsave, FXSAVE.fdp, 8) !== 0n;
      assert.equal(stored, savesPointers('amd', Number(readBytes(one.fxsave, FXSAVE.fsw, 2))));
    }
    assert.deepEqual(
      cases.map((one) => readBytes(one.fxsave, FXSAVE.fop, 2)),
      [0x107n, 0n],
    );
  });

  // The processor itself: after FLD m32fp at [rdi+8] each instruction, then FNSTENV to [rdi+64].
  test('the pointers move as the processor moves them', { skip: otherVendor() }, () => {
    const names = [...X87_BY_NAME.keys()].filter((name) => !/FLDENV|FNSTENV|FRSTOR|FNSAVE/.test(name));
    const cases = names.map((name) => {
      const { opcode, modrm } = X87_BY_NAME.get(name)!;
      const code = [opcode, modrm < 8 ? (modrm << 3) | 7 : modrm];
      const one = SiliconCase.of([0xd9, 0x47, 0x08, ...code, 0xd9, 0x77, 0x40]);
      one.fxsave[4] = 0x78;
      for (let i = 0; i < 8; i++) writeBytes(one.fxsave, 32 + 16 * i, 10, ONE);
      writeBytes(one.memory, 0, 2, 0x37fn);
      return one;
    });
    runOnSilicon(cases);
    for (const [i, name] of names.entries()) {
      const instruction = X87_BY_NAME.get(name)!;
      const one = cases[i]!;
      const bench = new Bench();
      bench.run('FLD m32fp', { opcode: 0x147, fip: 0n, fdp: 8n });
      const opcode = ((instruction.opcode & 7) << 8) | one.bytes[4]!;
      bench.run(name, { opcode, fip: 3n, fdp: 0n });
      const seen = one.memory.subarray(64);
      const shown = [bench.tc.u16[OFFSET.fop >> 1], bench.tc.get(OFFSET.fip), bench.tc.get(OFFSET.fdp)];
      // The code lies at the start of a page, the operands at the same place in a record of 1024 bytes.
      const fdp = readBytes(seen, 20, 4) === 0n ? 0n : (readBytes(seen, 20, 4) & 0x3ffn) - 0x40n;
      assert.deepEqual(shown, [Number(readBytes(seen, 18, 2)), readBytes(seen, 12, 4) & 0xfffn, fdp], name);
    }
  });
});
