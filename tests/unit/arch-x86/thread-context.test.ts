// X86ThreadContext: layout, accessors, copying, comparing, saving.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Gpr, Seg } from '../../../src/arch/x86/registers.ts';
import {
  CLASS_RANGES,
  OFFSET,
  REG_CLASS_NAMES,
  REGISTERS,
  RegClass,
  STATE_SIZE_BYTES,
} from '../../../src/arch/x86/state-layout.ts';
import { X86ThreadContext } from '../../../src/arch/x86/thread-context.ts';
import { FatalError } from '../../../src/sim/trouble.ts';
import { randomState } from './random-state.ts';

describe('layout', () => {
  test('classes partition the state', () => {
    const sorted = [...CLASS_RANGES].sort(([a], [b]) => a - b);
    assert.equal(sorted[0]![0], 0);
    for (let i = 1; i < sorted.length; i++) assert.equal(sorted[i]![0], sorted[i - 1]![1]);
    assert.equal(sorted.at(-1)![1], STATE_SIZE_BYTES);
  });

  test('every register lies in the range of its class and overlaps no other', () => {
    const owner: string[] = new Array(STATE_SIZE_BYTES).fill('');
    for (const { name, at, sizeBytes, class: regClass } of REGISTERS) {
      const [start, end] = CLASS_RANGES[REG_CLASS_NAMES.indexOf(regClass)]!;
      assert.ok(at >= start && at + sizeBytes <= end, `${name} outside ${regClass}`);
      for (let i = at; i < at + sizeBytes; i++) {
        assert.equal(owner[i], '', `${name} overlaps ${owner[i]}`);
        owner[i] = name;
      }
    }
  });

  test('registers are aligned to their size, vectors to cache lines', () => {
    for (const { name, at, sizeBytes } of REGISTERS) {
      const alignment = sizeBytes === 10 ? 16 : sizeBytes;
      assert.equal(at % alignment, 0, name);
    }
  });

  test('class bits follow the order of the class names', () => {
    REG_CLASS_NAMES.forEach((name, bit) => {
      assert.equal(RegClass[name], 1 << bit);
    });
  });

  test('a context lives at any 64-byte boundary of shared memory', () => {
    const shared = new SharedArrayBuffer(64 + STATE_SIZE_BYTES);
    const tc = new X86ThreadContext(shared, 64);
    tc.setGpr(Gpr.R15, 0x1122_3344_5566_7788n);
    assert.equal(new DataView(shared).getBigUint64(64 + OFFSET.gpr + 15 * 8, true), 0x1122_3344_5566_7788n);
  });
});

describe('number accessors', () => {
  const exact = [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 2 ** 32, 2 ** 47 - 1, 2 ** 53 - 1];
  for (const value of exact) {
    test(`keep ${value} exactly`, () => {
      const tc = new X86ThreadContext();
      tc.setGprNumber(Gpr.RAX, value);
      assert.equal(tc.gpr(Gpr.RAX), BigInt(value));
      assert.equal(tc.gprNumber(Gpr.RAX), value);
      tc.ripNumber = value;
      assert.equal(tc.rip, BigInt(value));
      assert.equal(tc.ripNumber, value);
    });
  }

  for (const value of [-1, -4095, -(2 ** 31), -(2 ** 32), -(2 ** 32) - 1, -(2 ** 53)]) {
    test(`store ${value} as two's complement`, () => {
      const tc = new X86ThreadContext();
      tc.setGprNumber(Gpr.RDI, value);
      assert.equal(tc.gpr(Gpr.RDI), BigInt.asUintN(64, BigInt(value)));
    });
  }

  test('read values from 2^53 as at least 2^53', () => {
    const tc = new X86ThreadContext();
    for (const value of [2n ** 53n + 1n, 2n ** 63n, 2n ** 64n - 1n]) {
      tc.setGpr(Gpr.RSI, value);
      assert.ok(tc.gprNumber(Gpr.RSI) >= 2 ** 53);
    }
  });

  test('halves are unsigned', () => {
    const tc = new X86ThreadContext();
    tc.setGpr(Gpr.R8, 0xffff_fffe_8000_0001n);
    assert.deepEqual([tc.gprLo(Gpr.R8), tc.gprHi(Gpr.R8)], [0x8000_0001, 0xffff_fffe]);
    tc.setGprHalves(Gpr.R9, 0x8000_0001, 0xffff_fffe);
    assert.equal(tc.gpr(Gpr.R9), tc.gpr(Gpr.R8));
  });
});

test('MSRs with a field of their own are that field', () => {
  const tc = new X86ThreadContext();
  assert.ok(tc.setMsr(0xc000_0100, 0x7fff_1234n)); // FS_BASE
  assert.equal(tc.segmentBase(Seg.FS), 0x7fff_1234n);
  tc.set(OFFSET.efer, 0xd01n);
  assert.equal(tc.msr(0xc000_0080), 0xd01n);
  assert.equal(tc.msr(0x1234), undefined);
  assert.equal(tc.setMsr(0x1234, 1n), false);
});

test('CR3 gives its table without PCID, cache bits and the bits above 51', () => {
  const tc = new X86ThreadContext();
  tc.set(OFFSET.cr3, 0xe010_0012_3456_7fffn);
  assert.equal(tc.pageTableBase, 0x12_3456_7000);
});

test('power-on state is that of SDM vol. 3 table 9-1', () => {
  const tc = randomState(1);
  tc.powerOn();
  assert.equal(tc.get(OFFSET.cr0), 0x6000_0010n);
  assert.equal(tc.rflags, 2);
  assert.equal(tc.rip, 0xfff0n);
  assert.equal(tc.linearPc, 0xffff_fff0n);
  assert.deepEqual(tc.segment(Seg.CS), {
    selector: 0xf000,
    base: 0xffff_0000n,
    limit: 0xffff,
    attributes: 0x9b,
  });
  assert.deepEqual(tc.segment(Seg.SS), { selector: 0, base: 0n, limit: 0xffff, attributes: 0x93 });
  assert.deepEqual(tc.segment(Seg.LDTR), { selector: 0, base: 0n, limit: 0xffff, attributes: 0x82 });
  assert.deepEqual(tc.segment(Seg.TR), { selector: 0, base: 0n, limit: 0xffff, attributes: 0x8b });
  assert.equal(tc.get(OFFSET.dr6), 0xffff_0ff0n);
  assert.equal(tc.get(OFFSET.dr7), 0x400n);
  assert.equal(tc.get(OFFSET.xcr0), 1n);
  assert.equal(tc.msr(0x277), 0x0007_0406_0007_0406n); // PAT
  assert.equal(tc.u16[OFFSET.fcw >> 1], 0x37f);
  assert.equal(tc.u32[OFFSET.mxcsr >> 2], 0x1f80);
  assert.equal(tc.gpr(Gpr.RAX), 0n);
});

test('the linear PC is CS.base + RIP modulo 2^32, and RIP alone in 64-bit mode', () => {
  const tc = new X86ThreadContext();
  tc.setSegment(Seg.CS, { selector: 0xf000, base: 0xf_0000n, limit: 0xffff, attributes: 0x9b });
  tc.rip = 0xfff0n;
  assert.equal(tc.linearPc, 0xf_fff0n);
  tc.rip = 0xffff_fff0n;
  assert.equal(tc.linearPc, 0xe_fff0n);
  tc.setSegment(Seg.CS, { selector: 0x33, base: 0x1000n, limit: 0xffff_ffff, attributes: 0xa0fb });
  tc.set(OFFSET.efer, 0xd01n);
  tc.rip = 0xffff_ffff_8100_0000n;
  assert.equal(tc.linearPc, 0xffff_ffff_8100_0000n);
});

describe('copying', () => {
  for (const [bit, name] of REG_CLASS_NAMES.entries()) {
    test(`of class ${name} takes its registers and no others`, () => {
      const from = randomState(2);
      const to = randomState(3);
      const before = randomState(3);
      to.copyFrom(from, 1 << bit);
      assert.ok(to.equals(from, 1 << bit));
      assert.ok(to.equals(before, RegClass.all & ~(1 << bit)));
      assert.ok(!before.equals(from, 1 << bit), 'the two states differ to begin with');
    });
  }

  test('of all classes makes equal contexts', () => {
    const to = new X86ThreadContext();
    to.copyFrom(randomState(4));
    assert.deepEqual(to.u8, randomState(4).u8);
  });
});

test('a difference is named with both values', () => {
  const mine = randomState(5);
  const theirs = randomState(5);
  mine.setGpr(Gpr.RSP, 0x10n);
  theirs.setGpr(Gpr.RSP, 0x20n);
  assert.deepEqual(mine.diff(theirs), [
    { name: 'rsp', mine: '0x0000000000000010', theirs: '0x0000000000000020' },
  ]);
  assert.deepEqual(mine.diff(theirs, RegClass.fpu), []);
});

describe('saving', () => {
  test('and restoring gives back every bit, through JSON', () => {
    const tc = new X86ThreadContext();
    tc.restore(JSON.parse(JSON.stringify(randomState(6).save())));
    assert.deepEqual(tc.u8, randomState(6).u8);
  });

  test('names every register once', () => {
    assert.equal(Object.keys(randomState(7).save()).length, REGISTERS.length);
  });

  const damage: Record<string, [change: (saved: Record<string, string>) => unknown, message: RegExp]> = {
    'a missing register': [({ rip: _, ...rest }) => rest, /rip is missing/],
    'an unknown register': [(saved) => ({ ...saved, r99: '0x0' }), /unknown register r99/],
    'a value of the wrong width': [(saved) => ({ ...saved, cr0: '0x11' }), /cr0 is "0x11", wanted 0x and 16/],
    'a value that is no number': [(saved) => ({ ...saved, fcw: '0xzzzz' }), /fcw/],
    'no object at all': [() => 'junk', /not an object/],
  };
  for (const [what, [change, message]] of Object.entries(damage)) {
    test(`refuses ${what} and leaves the context as it was`, () => {
      const tc = randomState(8);
      assert.throws(
        () => tc.restore(change(randomState(9).save())),
        (error) => error instanceof FatalError && message.test(error.message),
      );
      assert.ok(tc.equals(randomState(8)));
    });
  }
});
