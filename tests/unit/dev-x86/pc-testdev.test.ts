// QEMU's pc-testdev as test kernels use it: expected values are those of its register, lines and memory there
// (QEMU: hw/misc/pc-testdev.c).

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PcTestdev } from '../../../src/dev/x86/pc-testdev.ts';
import { copyState } from '../../support/device-access.ts';
import { Accessor, Probe, quietRoot } from './pc-bench.ts';

const MEMORY = 0xff00_0000;
const RAM_BYTES = 0x10_0000;

function bench() {
  const forgotten: number[] = [];
  const device = new PcTestdev(quietRoot(), 'testdev', {
    registerPort: 0xe0,
    linePort: 0x2000,
    memoryBase: MEMORY,
    ram: {
      contains: (pa, sizeBytes) => pa + sizeBytes <= RAM_BYTES,
      dropSecondaryMappings: (pa, sizeBytes) => forgotten.push(pa, sizeBytes),
    },
  });
  const lines = device.lines.map((line) => {
    const probe = new Probe();
    line.connect(probe);
    return probe;
  });
  return { device, lines, forgotten, access: new Accessor(device) };
}

test('the register takes and gives bytes, words and doublewords at any offset, at 0xe0 and at 0xe8', () => {
  const { access } = bench();
  access.out(0xe0, 0x1234_5678, 4);
  access.out(0xe1, 0xabcd, 2);
  access.out(0xe3, 0x9e);
  assert.equal(access.in(0xe0, 4), 0x9eab_cd78);
  assert.deepEqual(
    [0xe0, 0xe1, 0xe2, 0xe3].map((port) => access.in(port)),
    [0x78, 0xcd, 0xab, 0x9e],
  );
  assert.equal(access.in(0xe2, 2), 0x9eab);
  assert.equal(access.in(0xe8, 4), 0x9eab_cd78);
  access.out(0xe9, 0);
  assert.equal(access.in(0xe0, 2), 0x0078);
});

test('ports 0x2000 + n drive interrupt line n; wider accesses are of single bytes', () => {
  const { access, lines } = bench();
  access.out(0x200e, 1);
  access.out(0x2017, 0xff);
  assert.deepEqual(
    lines.flatMap(({ level }, n) => (level ? [n] : [])),
    [14, 23],
  );
  access.out(0x200e, 1);
  assert.equal(lines[14]!.rises, 1);
  access.out(0x200b, 1, 4);
  assert.deepEqual(
    lines.flatMap(({ level }, n) => (level ? [n] : [])),
    [11, 23],
    '14 is the fourth byte',
  );
  assert.equal(access.in(0x200b), 0);
});

test('a doubleword at 0xe4 makes the host forget the page of RAM; other widths and addresses do nothing', () => {
  const { access, forgotten } = bench();
  access.out(0xe4, 0x0001_2345, 4);
  access.out(0xe4, 0x5000, 2);
  access.out(0xe4, 0xfee0_0000, 4);
  assert.deepEqual(forgotten, [0x1_2000, 0x1000]);
  assert.equal(access.in(0xe4, 4), 0);
});

test('its memory keeps 64 KiB of bytes, whatever the width', () => {
  const { access } = bench();
  access.store(MEMORY + 0xfffc, 4, 0x8877_6655);
  access.store(MEMORY + 1, 2, 0x2211);
  assert.equal(access.load(MEMORY + 0xfffd, 1), 0x66);
  assert.equal(access.load(MEMORY, 4), 0x0022_1100);
});

test('a restored device has register and memory, and drives the lines that were high', () => {
  const [from, to] = [bench(), bench()];
  from.access.out(0xe0, 0x1234_5678, 4);
  from.access.out(0x2005, 1);
  from.access.out(0x2006, 1);
  from.access.out(0x2006, 0);
  from.access.store(MEMORY + 0x8000, 1, 0x5a);
  copyState(from.device, to.device);
  to.device.restored();
  assert.equal(to.access.in(0xe0, 4), 0x1234_5678);
  assert.equal(to.access.load(MEMORY + 0x8000, 1), 0x5a);
  assert.deepEqual(
    to.lines.map(({ level, rises }) => [level, rises]),
    to.lines.map((_, n) => (n === 5 ? [true, 1] : [false, 0])),
  );
});
