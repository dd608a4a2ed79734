// Segment descriptors, descriptor tables, gates and the TSS, against published bytes: Linux's GDT
// (arch/x86/kernel/cpu/common.c) and the figures of SDM vol. 3.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  buildTss64,
  GATE_BYTES,
  GdtBuilder,
  IdtBuilder,
  selectorOf,
  writeGate,
} from '../../../src/arch/x86/descriptors.ts';
import {
  decodeDescriptor,
  encodeDescriptor,
  packAttributes,
  type Segment,
  SegmentAttribute,
  SegmentPreset,
  SystemType,
  unpackAttributes,
} from '../../../src/arch/x86/segments.ts';
import { randomWords } from './random-state.ts';

function descriptorOf(segment: Segment): bigint {
  const { lo, hi } = encodeDescriptor(segment);
  return (BigInt(hi) << 32n) | BigInt(lo);
}

describe('descriptors', () => {
  const published: [name: keyof typeof SegmentPreset, descriptor: bigint][] = [
    ['kernelCode64', 0x00af_9b00_0000_ffffn],
    ['kernelData', 0x00cf_9300_0000_ffffn],
    ['userCode64', 0x00af_fb00_0000_ffffn],
    ['userData', 0x00cf_f300_0000_ffffn],
    ['realModeCode', 0x0000_9b00_0000_ffffn],
    ['unusable', 0n],
  ];
  for (const [name, descriptor] of published) {
    test(`of ${name} is 0x${descriptor.toString(16).padStart(16, '0')}`, () => {
      assert.equal(descriptorOf(SegmentPreset[name]), descriptor);
    });
  }

  test('scatter base and limit as figure 3-8 shows', () => {
    const { lo, hi } = encodeDescriptor({
      selector: 8,
      base: 0x1234_5678n,
      limit: 0xa_bcde,
      attributes: 0x4093,
    });
    assert.equal(lo, 0x5678_bcde);
    assert.equal(hi, 0x124a_9334);
  });

  test('decode to what they were encoded from', () => {
    const next = randomWords(1);
    for (let i = 0; i < 500; i++) {
      const attributes = next() & 0xf0ff;
      const field = next() & 0xf_ffff;
      const limit = attributes & SegmentAttribute.G ? ((field << 12) | 0xfff) >>> 0 : field;
      const segment: Segment = { selector: next() & 0xffff, base: BigInt(next()), limit, attributes };
      const { lo, hi } = encodeDescriptor(segment);
      assert.deepEqual(decodeDescriptor(lo, hi, segment.selector), segment);
    }
  });

  test('refuse a limit that the granularity cannot express', () => {
    const bad = { selector: 8, base: 0n, attributes: 0x93 };
    assert.throws(() => encodeDescriptor({ ...bad, limit: 0x10_0000 }), RangeError);
    assert.throws(() => encodeDescriptor({ ...bad, limit: 0x1234, attributes: 0x8093 }), RangeError);
  });

  test('attributes pack to the VMX access-rights format (SDM vol. 3 table 24-2)', () => {
    const code = { type: 11, s: true, dpl: 3, present: true, avl: false, l: true, db: false, g: true };
    assert.equal(packAttributes({ ...code, unusable: false }), 0xa0fb);
    for (let attributes = 0; attributes < 0x2_0000; attributes += 0x11) {
      const defined = attributes & ~SegmentAttribute.RESERVED;
      assert.equal(packAttributes(unpackAttributes(defined)), defined);
    }
  });
});

describe('a GDT', () => {
  test('holds segments where their selectors point', () => {
    const gdt = new GdtBuilder(10);
    gdt.set({ ...SegmentPreset.userCode64, selector: 0x33 });
    const view = new DataView(gdt.bytes.buffer);
    assert.equal(view.getBigUint64(0x30, true), 0x00af_fb00_0000_ffffn);
    assert.equal(gdt.bytes.filter((byte) => byte !== 0).length, 4);
    assert.equal(gdt.limit, 79);
  });

  test('gives a TSS sixteen bytes, with the upper half of its base', () => {
    const gdt = new GdtBuilder(10);
    gdt.set({ selector: 0x40, base: 0x7fff_1234_5678n, limit: 0x67, attributes: 0x80 | SystemType.TSS_BUSY });
    const view = new DataView(gdt.bytes.buffer);
    assert.equal(view.getBigUint64(0x40, true), 0x1200_8b34_5678_0067n);
    assert.equal(view.getBigUint64(0x48, true), 0x7fffn);
  });

  test('refuses the null selector', () => {
    assert.throws(() => new GdtBuilder(2).set({ ...SegmentPreset.userData, selector: 3 }), RangeError);
  });

  test('selectors carry index and RPL', () => {
    assert.equal(selectorOf(6, 3), 0x33);
    assert.equal(selectorOf(8), 0x40);
  });
});

describe('gates', () => {
  const gate = {
    selector: 0x10,
    offset: 0xffff_8123_4567_89abn,
    type: SystemType.INTERRUPT_GATE,
    dpl: 3,
    ist: 2,
  };

  test('have the fields of figure 6-8', () => {
    const bytes = new Uint8Array(GATE_BYTES).fill(0xff);
    writeGate(bytes, 0, gate);
    assert.equal(Buffer.from(bytes).toString('hex'), 'ab89100002ee67452381ffff00000000');
  });

  test('lie at sixteen times their vector', () => {
    const idt = new IdtBuilder();
    idt.set({ ...gate, vector: 14 });
    assert.equal(idt.limit, 0xfff);
    assert.equal(
      idt.bytes.findIndex((byte) => byte !== 0),
      14 * 16,
    );
  });
});

describe('a 64-bit TSS', () => {
  const stacks = { rsp: [0x1111n, 0x2222n, 0x3333n], ist: [0x4444n] } as const;

  test('has its stacks where figure 7-11 shows them', () => {
    const view = new DataView(buildTss64(stacks).buffer);
    assert.deepEqual(
      [4, 12, 20, 36, 44].map((at) => view.getBigUint64(at, true)),
      [0x1111n, 0x2222n, 0x3333n, 0x4444n, 0n],
    );
  });

  test('without open ports ends before its I/O bitmap, which closes them all', () => {
    const bytes = buildTss64(stacks);
    assert.ok(new DataView(bytes.buffer).getUint16(102, true) > bytes.length - 1);
  });

  test('opens exactly the ports it is given, and ends its bitmap with a byte of ones', () => {
    const bytes = buildTss64({ ...stacks, openPorts: [0x80, 0xffff] });
    const base = new DataView(bytes.buffer).getUint16(102, true);
    const open: number[] = [];
    for (let port = 0; port < 0x1_0000; port++) {
      if (!((bytes[base + (port >> 3)]! >> (port & 7)) & 1)) open.push(port);
    }
    assert.deepEqual(open, [0x80, 0xffff]);
    assert.equal(bytes.length, base + 8192 + 1);
    assert.equal(bytes.at(-1), 0xff);
  });
});
