/** 8259A pair against the data sheet (Intel 231468-003) and, for ELCR, the 82371SB's. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Pic8259Pair } from '../../../src/dev/x86/pic8259.ts';
import { Accessor, Probe, quietRoot, restoreAll, saveAll } from './pc-bench.ts';

const OCW2 = { eoi: 0x20, specificEoi: 0x60, rotateEoi: 0xa0, rotateSpecific: 0xe0, setPriority: 0xc0 };
const ROTATE_AEOI_SET = 0x80;
const ROTATE_AEOI_CLEAR = 0x00;
const OCW3 = { readIrr: 0x0a, readIsr: 0x0b, poll: 0x0c, specialMask: 0x68, noSpecialMask: 0x48 };

function bench({ icw4 = 0x01, mask = [0x00, 0x00] } = {}) {
  const root = quietRoot();
  const pic = new Pic8259Pair(root, 'pic');
  const intr = new Probe();
  pic.intr.connect(intr);
  const io = new Accessor(pic);
  const initialize = (icw1 = 0x11) => {
    for (const [port, base, icw3] of [
      [0x20, 0x30, 0x04],
      [0xa0, 0x38, 0x02],
    ] as const) {
      io.out(port, icw1);
      io.out(port + 1, base);
      if ((icw1 & 2) === 0) io.out(port + 1, icw3);
      if ((icw1 & 1) !== 0) io.out(port + 1, icw4);
    }
  };
  initialize();
  io.out(0x21, mask[0]!);
  io.out(0xa1, mask[1]!);
  const lines = Array.from({ length: 16 }, (_, irq) => pic.input(irq));
  const raise = (...irqs: number[]) => {
    for (const irq of irqs) lines[irq]!.setLevel(true);
  };
  const lower = (...irqs: number[]) => {
    for (const irq of irqs) lines[irq]!.setLevel(false);
  };
  const isr = (port = 0x20) => {
    io.out(port, OCW3.readIsr);
    return io.in(port);
  };
  const irr = (port = 0x20) => {
    io.out(port, OCW3.readIrr);
    return io.in(port);
  };
  return { root, pic, intr, io, initialize, raise, lower, isr, irr };
}

test('ICW2 sets bits 7:3 of the vector; an edge becomes a request, the acknowledgement puts it into service', () => {
  const { pic, intr, io, raise, isr, irr } = bench();
  io.out(0x20, 0x11);
  io.out(0x21, 0x57);
  io.out(0x21, 0x04);
  io.out(0x21, 0x01);
  raise(4);
  assert.equal(intr.level, true);
  assert.equal(irr(), 0x10);
  assert.equal(pic.acknowledge(), 0x54);
  assert.equal(irr(), 0);
  assert.equal(isr(), 0x10);
  assert.equal(intr.level, false);
});

test('the mask can be read back and holds requests back without losing them', () => {
  const { pic, intr, io, raise } = bench({ mask: [0xff, 0xff] });
  assert.equal(io.in(0x21), 0xff);
  raise(3);
  assert.equal(intr.level, false);
  io.out(0x21, 0xf7);
  assert.equal(io.in(0x21), 0xf7);
  assert.equal(intr.level, true);
  assert.equal(pic.acknowledge(), 0x33);
});

test('fully nested: a lower level waits for the EOI, a higher one interrupts', () => {
  const { pic, intr, io, raise, isr } = bench();
  raise(4);
  pic.acknowledge();
  raise(6);
  assert.equal(intr.level, false);
  raise(1);
  assert.equal(intr.level, true);
  assert.equal(pic.acknowledge(), 0x31);
  assert.equal(isr(), 0x12);
  io.out(0x20, OCW2.eoi);
  assert.equal(isr(), 0x10, 'the highest level in service ends');
  io.out(0x20, OCW2.eoi);
  assert.equal(pic.acknowledge(), 0x36);
});

test('a specific EOI ends the level that it names', () => {
  const { pic, io, raise, isr } = bench();
  raise(4);
  pic.acknowledge();
  raise(1);
  pic.acknowledge();
  io.out(0x20, OCW2.specificEoi | 4);
  assert.equal(isr(), 0x02);
});

test('IRQ 8 to 15 arrive through IR2, and take an EOI each', () => {
  const { pic, intr, io, raise, isr } = bench();
  raise(12);
  assert.equal(pic.acknowledge(), 0x3c);
  assert.equal(isr(0x20), 0x04);
  assert.equal(isr(0xa0), 0x10);
  raise(14, 9);
  assert.equal(intr.level, false, 'IR2 is in service at the master');
  io.out(0xa0, OCW2.eoi);
  io.out(0x20, OCW2.eoi);
  assert.equal(pic.acknowledge(), 0x39);
  io.out(0xa0, OCW2.eoi);
  io.out(0x20, OCW2.eoi);
  assert.equal(pic.acknowledge(), 0x3e);
});

test('special fully nested mode lets the slave interrupt its own service', () => {
  const { pic, intr, raise } = bench({ icw4: 0x11 });
  raise(12);
  pic.acknowledge();
  raise(10);
  assert.equal(intr.level, true);
  assert.equal(pic.acknowledge(), 0x3a);
});

test('rotation on non-specific EOI makes the level served the lowest (data sheet, figure of automatic rotation)', () => {
  const { pic, io, raise, isr } = bench();
  raise(4);
  pic.acknowledge();
  raise(6);
  io.out(0x20, OCW2.rotateEoi);
  assert.equal(isr(), 0);
  // The order is 5, 6, 7, 0, …, 4 now.
  raise(0, 5);
  assert.equal(pic.acknowledge(), 0x35);
});

test('set priority names the lowest level; rotation on specific EOI does both', () => {
  const { pic, io, raise, isr } = bench();
  io.out(0x20, OCW2.setPriority | 5);
  raise(0, 5, 6);
  assert.equal(pic.acknowledge(), 0x36);
  io.out(0x20, OCW2.rotateSpecific | 6);
  assert.equal(isr(), 0);
  assert.equal(pic.acknowledge(), 0x30);
});

test('automatic EOI leaves nothing in service; with rotation the served level becomes the lowest', () => {
  const { pic, io, raise, lower, isr } = bench({ icw4: 0x03 });
  raise(0, 1);
  assert.equal(pic.acknowledge(), 0x30);
  assert.equal(isr(), 0);
  assert.equal(pic.acknowledge(), 0x31);
  io.out(0x20, ROTATE_AEOI_SET);
  lower(0, 1);
  raise(0);
  assert.equal(pic.acknowledge(), 0x30);
  lower(0);
  raise(0, 1);
  assert.equal(pic.acknowledge(), 0x31, '0 is the lowest now');
  io.out(0x20, ROTATE_AEOI_CLEAR);
  lower(0, 1);
  raise(0, 3);
  assert.equal(pic.acknowledge(), 0x33, 'the order 2, 3, …, 1 stays');
  lower(3);
  raise(3);
  assert.equal(pic.acknowledge(), 0x33);
});

test('special mask mode: a masked level in service holds nobody back, nor does a non-specific EOI end it', () => {
  const { pic, intr, io, raise, isr } = bench();
  raise(3);
  pic.acknowledge();
  raise(5);
  io.out(0x21, 0x08);
  assert.equal(intr.level, false);
  io.out(0x20, OCW3.specialMask);
  assert.equal(intr.level, true);
  assert.equal(pic.acknowledge(), 0x35);
  io.out(0x20, OCW2.eoi);
  assert.equal(isr(), 0x08);
  io.out(0x20, OCW3.noSpecialMask);
  io.out(0x20, OCW2.eoi);
  assert.equal(isr(), 0);
});

test('the poll command makes the next read an acknowledgement', () => {
  const { io, raise, isr, intr } = bench();
  io.out(0x20, OCW3.poll);
  assert.equal(io.in(0x20) & 0x80, 0, 'nothing requests');
  raise(5, 6);
  io.out(0x20, OCW3.poll);
  assert.equal(io.in(0x20), 0x85);
  assert.equal(isr(), 0x20);
  assert.equal(intr.level, false);
});

test('polls of both chips find two requests of the slave one after the other', () => {
  const { io, raise } = bench();
  const poll = (port: number) => {
    io.out(port, OCW3.poll);
    return io.in(port);
  };
  raise(8, 9);
  assert.deepEqual([poll(0x20), poll(0xa0)], [0x82, 0x80]);
  io.out(0xa0, OCW2.eoi);
  io.out(0x20, OCW2.eoi);
  assert.deepEqual([poll(0x20), poll(0xa0)], [0x82, 0x81]);
});

test('polls in automatic EOI mode find them, too', () => {
  const { io, raise } = bench({ icw4: 0x03 });
  const poll = (port: number) => {
    io.out(port, OCW3.poll);
    return io.in(port);
  };
  raise(8, 9);
  assert.deepEqual([poll(0x20), poll(0xa0), poll(0x20), poll(0xa0)], [0x82, 0x80, 0x82, 0x81]);
});

test('automatic EOI at both chips: two requests of the slave are two interrupts', () => {
  const { pic, intr, raise } = bench({ icw4: 0x03 });
  raise(8, 9);
  assert.deepEqual([pic.acknowledge(), pic.acknowledge()], [0x38, 0x39]);
  assert.equal(intr.level, false);
});

test('the choice between IRR and ISR stays until it is changed', () => {
  const { pic, io, raise } = bench();
  raise(1);
  io.out(0x20, OCW3.readIsr);
  pic.acknowledge();
  assert.deepEqual([io.in(0x20), io.in(0x20)], [0x02, 0x02]);
});

test('an edge-triggered line that stays high interrupts once', () => {
  const { pic, intr, io, raise, lower } = bench();
  raise(3);
  pic.acknowledge();
  io.out(0x20, OCW2.eoi);
  assert.equal(intr.level, false);
  lower(3);
  raise(3);
  assert.equal(intr.level, true);
});

test('a level-triggered line requests as long as it is high', () => {
  const { pic, intr, io, raise, lower, irr } = bench();
  io.out(0x4d0, 0x20);
  raise(5);
  pic.acknowledge();
  assert.equal(irr(), 0x20);
  io.out(0x20, OCW2.eoi);
  assert.equal(intr.level, true);
  lower(5);
  assert.equal(intr.level, false);
  assert.equal(irr(), 0);
});

test('ELCR: the bits of IRQ 0, 1, 2, 8 and 13 cannot be set; both registers are one word', () => {
  const { io } = bench();
  io.out(0x4d0, 0xffff, 2);
  assert.equal(io.in(0x4d0, 2), 0xdef8);
  io.out(0x4d1, 0x0a);
  assert.deepEqual([io.in(0x4d0), io.in(0x4d1)], [0xf8, 0x0a]);
});

test('a request that is gone when it is acknowledged gives the vector of IR7, and nothing is in service', () => {
  const { pic, io, raise, lower, isr } = bench();
  io.out(0x4d0, 0x20);
  raise(5);
  lower(5);
  assert.equal(pic.acknowledge(), 0x37);
  assert.equal(isr(), 0);
});

test('a request that the slave no longer has is none of the master either', () => {
  const { pic, intr, io, raise, lower } = bench();
  raise(10);
  io.out(0xa1, 0x04);
  assert.equal(intr.level, false);
  assert.equal(pic.acknowledge(), 0x37);
  io.out(0x4d1, 0x02);
  raise(9);
  lower(9);
  assert.equal(intr.level, false);
  io.out(0xa1, 0x00);
  assert.equal(pic.acknowledge(), 0x3a);
});

test('ICW1 clears the mask, what is in service and requests, and asks for new edges', () => {
  const { pic, intr, io, raise, lower, initialize, isr, irr } = bench();
  raise(3);
  pic.acknowledge();
  raise(4, 9);
  io.out(0x21, 0xaa);
  initialize();
  assert.deepEqual([io.in(0x21), isr(), irr(), intr.level], [0, 0, 0, false]);
  lower(4);
  raise(4);
  assert.equal(pic.acknowledge(), 0x34);
  io.out(0x20, OCW2.eoi);
  lower(9);
  raise(9);
  assert.equal(pic.acknowledge(), 0x39);
});

test('a level-triggered line of the slave that is high requests again after both are initialized', () => {
  const { pic, io, raise, initialize } = bench();
  io.out(0x4d1, 0x02);
  raise(9);
  initialize();
  assert.equal(pic.acknowledge(), 0x39);
});

test('without IC4 no ICW4 follows and its functions are off; with SNGL no ICW3 follows', () => {
  const { pic, io, initialize, raise, isr } = bench({ icw4: 0x03 });
  initialize(0x10);
  io.out(0x21, 0x55);
  assert.equal(io.in(0x21), 0x55);
  raise(1);
  pic.acknowledge();
  assert.equal(isr(), 0x02, 'no automatic EOI');
  initialize(0x12);
  io.out(0x21, 0x66);
  assert.equal(io.in(0x21), 0x66);
});

test('each interrupt is an edge of the output', () => {
  const { pic, intr, raise } = bench({ icw4: 0x03 });
  raise(3, 4);
  assert.equal(intr.rises, 1);
  pic.acknowledge();
  assert.equal(intr.rises, 2);
});

test('IRQ 2 leads nowhere and others than 0 to 15 do not exist', () => {
  const { pic, intr, raise } = bench();
  raise(2);
  assert.equal(intr.level, false);
  assert.throws(() => pic.input(16), RangeError);
});

test('the state goes from one pair to another, in the middle of an initialization, too', () => {
  const one = bench();
  one.raise(1, 10);
  one.pic.acknowledge();
  one.io.out(0xa0, 0x11);
  one.io.out(0xa1, 0x70);
  const other = bench();
  other.pic.restoreState(one.pic.saveState());
  other.io.out(0xa1, 0x02);
  other.io.out(0xa1, 0x01);
  assert.equal(other.isr(), 0x02);
  other.io.out(0x20, OCW2.eoi);
  other.raise(9);
  assert.equal(other.pic.acknowledge(), 0x71);
});

test('a checkpoint keeps requests, lines and the output', () => {
  const one = bench();
  one.io.out(0x4d1, 0x02);
  one.raise(9, 3);
  const other = bench();
  restoreAll(other.root, saveAll(one.root));
  assert.equal(other.intr.level, true);
  other.raise(3);
  assert.equal(other.pic.acknowledge(), 0x39);
  assert.deepEqual(other.pic.saveState().slave, { ...one.pic.saveState().slave, isr: 0x02 });
  other.lower(9);
  other.io.out(0xa0, OCW2.eoi);
  other.io.out(0x20, OCW2.eoi);
  assert.equal(other.pic.acknowledge(), 0x33);
  other.io.out(0x20, OCW2.eoi);
  assert.equal(other.intr.level, false, 'the line that was high already is no new edge');
});
