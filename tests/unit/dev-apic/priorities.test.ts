import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeApic, randomNumbers } from './apic-bench.ts';

test('interrupts are taken by class above the one in service, and by number when it ends', () => {
  const { probe } = makeApic();
  for (const vector of [0x31, 0x4f, 0x41, 0x35]) probe.fixed(vector);
  assert.equal(probe.apic.takeExternal(), 0x4f);
  // 0x41 is of the same class as 0x4f: SDM vol. 3A §10.8.3.1.
  assert.equal(probe.apic.hasExternal, false);
  assert.equal(probe.apic.takeExternal(), undefined);
  probe.fixed(0x52);
  assert.equal(probe.apic.takeExternal(), 0x52);
  probe.write('eoi', 0);
  assert.equal(probe.apic.hasExternal, false);
  probe.write('eoi', 0);
  assert.deepEqual(probe.drainVectors(), [0x41, 0x35, 0x31]);
});

test('a request is in IRR until it is taken, then in ISR until its EOI', () => {
  const { probe } = makeApic();
  probe.fixed(0x85);
  const shown = () => [probe.read('irr4'), probe.read('isr4')];
  assert.deepEqual(shown(), [0x20, 0]);
  probe.apic.takeExternal();
  assert.deepEqual(shown(), [0, 0x20]);
  probe.fixed(0x85);
  probe.fixed(0x85);
  assert.deepEqual(shown(), [0x20, 0x20]);
  probe.write('eoi', 0);
  assert.deepEqual(probe.drainVectors(), [0x85]);
  assert.deepEqual(shown(), [0, 0]);
});

test('an EOI with nothing in service does nothing', () => {
  const { probe } = makeApic();
  probe.fixed(0x40);
  probe.write('eoi', 0);
  assert.deepEqual(probe.drainVectors(), [0x40]);
});

/** TPR, vector in service (0: none) and the PPR that follows: SDM vol. 3A §10.8.3.1. */
const PPR: readonly (readonly [tpr: number, inService: number, ppr: number])[] = [
  [0x00, 0, 0x00],
  [0x4a, 0, 0x4a],
  [0x00, 0x53, 0x50],
  [0x4a, 0x53, 0x50],
  [0x5a, 0x53, 0x5a],
  [0x6a, 0x53, 0x6a],
];
for (const [tpr, inService, ppr] of PPR) {
  test(`TPR ${tpr.toString(16)} with vector ${inService.toString(16)} in service gives PPR ${ppr.toString(16)}`, () => {
    const { probe } = makeApic();
    if (inService !== 0) {
      probe.fixed(inService);
      probe.apic.takeExternal();
    }
    probe.write('tpr', tpr);
    assert.equal(probe.read('ppr'), ppr);
    // A request must be of a class above it.
    if (ppr !== 0) probe.fixed(ppr | 0xf);
    assert.equal(probe.apic.hasExternal, false);
    const above = (ppr & 0xf0) + 0x10;
    probe.fixed(above);
    assert.equal(probe.apic.takeExternal(), above);
  });
}

test('CR8 is the class of the TPR; lowering it lets an interrupt through and wakes the processor', () => {
  const { probe } = makeApic();
  probe.write('tpr', 0x7c);
  assert.equal(probe.apic.cr8, 7);
  probe.apic.cr8 = 9;
  assert.equal(probe.read('tpr'), 0x90);
  probe.fixed(0x91);
  assert.deepEqual([probe.apic.isPending, probe.cpu.wakeups], [false, 0]);
  probe.apic.cr8 = 8;
  assert.deepEqual([probe.apic.isPending, probe.cpu.wakeups], [true, 1]);
});

test('the arbitration priority is the highest class of task, request and service', () => {
  const { probe } = makeApic();
  probe.write('tpr', 0x4a);
  assert.equal(probe.read('apr'), 0x4a);
  probe.fixed(0x53);
  assert.equal(probe.read('apr'), 0x50);
  probe.apic.takeExternal();
  probe.write('tpr', 0x5a);
  // Not above the class in service: the manual's second case.
  assert.equal(probe.read('apr'), 0x50);
});

test('only level-triggered interrupts set TMR, and the last request of a vector counts', () => {
  const { probe } = makeApic();
  probe.fixed(0x61, true);
  assert.equal(probe.read('tmr3'), 2);
  probe.fixed(0x61, false);
  assert.equal(probe.read('tmr3'), 0);
});

test('an 8259 at LINT0 comes before the IRR, whatever the priority, as long as it asserts its line', () => {
  const { probe } = makeApic({ virtualWire: true });
  probe.write('tpr', 0xff);
  probe.picVectors.push(0x20);
  probe.apic.lint0.setLevel(true);
  assert.ok(probe.apic.hasExternal);
  assert.equal(probe.apic.takeExternal(), 0x20);
  assert.equal(probe.read('isr1'), 0);
  probe.apic.lint0.setLevel(false);
  assert.deepEqual([probe.apic.hasExternal, probe.apic.takeExternal()], [false, undefined]);
  probe.apic.lint0.setLevel(true);
  probe.write('lvtLint0', 0x1_0700);
  assert.equal(probe.apic.hasExternal, false);
});

/** IRR, ISR and PPR as the manual tells them, with lists. */
class Model {
  irr: number[] = [];
  isr: number[] = [];
  tpr = 0;

  get ppr(): number {
    const isrv = Math.max(0, ...this.isr);
    return this.tpr >> 4 >= isrv >> 4 ? this.tpr : (isrv >> 4) << 4;
  }

  get deliverable(): number | undefined {
    const irrv = Math.max(0, ...this.irr);
    return irrv >> 4 > this.ppr >> 4 ? irrv : undefined;
  }

  request(vector: number): void {
    if (!this.irr.includes(vector)) this.irr.push(vector);
  }

  take(): number | undefined {
    const vector = this.deliverable;
    if (vector === undefined) return undefined;
    this.irr = this.irr.filter((v) => v !== vector);
    this.isr.push(vector);
    return vector;
  }

  eoi(): void {
    const isrv = Math.max(0, ...this.isr);
    this.isr = this.isr.filter((v) => v !== isrv);
  }
}

function bitmap(vectors: readonly number[], word: number): number {
  return vectors.filter((v) => v >> 5 === word).reduce((bits, v) => bits + 2 ** (v & 31), 0);
}

test('a hundred thousand random operations agree with a model of lists', () => {
  const { probe } = makeApic();
  const model = new Model();
  const random = randomNumbers(0x1234_5678);
  const operations = [
    () => {
      const vector = 16 + random(240);
      probe.fixed(vector, random(2) === 0);
      model.request(vector);
    },
    () => assert.equal(probe.apic.takeExternal(), model.take()),
    () => {
      probe.write('eoi', 0);
      model.eoi();
    },
    () => {
      model.tpr = random(256);
      probe.write('tpr', model.tpr);
    },
    () => {
      model.tpr = random(4) << 4;
      probe.apic.cr8 = model.tpr >> 4;
    },
  ];
  let taken = 0;
  for (let step = 0; step < 100_000; step++) {
    operations[random(operations.length)]!();
    const vector = model.deliverable;
    if (vector !== undefined) taken++;
    assert.equal(probe.apic.hasExternal, vector !== undefined);
    if (step % 50 !== 0) continue;
    assert.equal(probe.read('ppr'), model.ppr);
    for (let word = 0; word < 8; word++) {
      assert.equal(probe.read(0x200 + 16 * word), bitmap(model.irr, word));
      assert.equal(probe.read(0x100 + 16 * word), bitmap(model.isr, word));
    }
  }
  assert.ok(taken > 10_000, 'the walk visits states with something to take');
});
