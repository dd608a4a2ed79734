/** MSI of a PCI function, by the example of edu: PCI Local Bus Specification 3.0, §6.7 and §6.8.1. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BAR, eduBench } from './edu-bench.ts';

const CAPABILITY = 0x40;
const CONTROL = CAPABILITY + 2;
const ADDRESS_LOW = CAPABILITY + 4;
const ADDRESS_HIGH = CAPABILITY + 8;
const DATA = CAPABILITY + 12;
const RAISE = 0x60;
const ACKNOWLEDGE = 0x64;

function enabled(address = 0xfee0_0000, data = 0x4d) {
  const bench = eduBench();
  bench.config(ADDRESS_LOW, 4, address);
  bench.config(DATA, 2, data);
  bench.config(CONTROL, 2, 1);
  return bench;
}

describe('the capability', () => {
  test('is the first of the list, and the last', () => {
    const { readConfig } = eduBench();
    assert.equal(readConfig(0x06, 2) & 0x10, 0x10, 'status: there is a list');
    assert.equal(readConfig(0x34, 1), CAPABILITY);
    assert.equal(readConfig(CAPABILITY, 2), 0x0005, 'MSI, no next one');
  });

  test('has one vector, an address of 64 bits and data of 16', () => {
    const { readConfig, config } = eduBench();
    assert.equal(readConfig(CONTROL, 2), 0x0080);
    for (const [register, sizeBytes, kept] of [
      [CONTROL, 2, 0x00f1],
      [ADDRESS_LOW, 4, 0xffff_fffc],
      [ADDRESS_HIGH, 4, 0xffff_ffff],
      [DATA, 4, 0x0000_ffff],
    ] as const) {
      config(register, sizeBytes, 0xffff_ffff >>> (32 - 8 * sizeBytes));
      assert.equal(readConfig(register, sizeBytes), kept);
    }
  });
});

describe('a message', () => {
  test('takes the place of INTA', () => {
    const { write, pass, vectors, inta, readConfig } = enabled();
    write(RAISE, 1);
    assert.deepEqual(vectors, [], 'not within the access that raises it');
    pass(10);
    assert.deepEqual([vectors, inta.level, readConfig(0x06, 2) & 8], [[0x4d], false, 8]);
  });

  test('comes for each interrupt that is raised, also before the last has been acknowledged', () => {
    const { write, pass, vectors } = enabled();
    for (let i = 0; i < 3; i++) {
      write(RAISE, 1);
      pass(10);
    }
    assert.equal(vectors.length, 3);
  });

  test('that has not left yet stands for those that follow', () => {
    const { write, pass, vectors } = enabled();
    for (let i = 0; i < 3; i++) write(RAISE, 1);
    pass(10);
    assert.equal(vectors.length, 1);
  });

  test('needs the bus master bit', () => {
    const { write, pass, vectors, config } = enabled();
    config(0x04, 2, 2);
    write(RAISE, 1);
    pass(10);
    assert.deepEqual(vectors, []);
  });

  test('is a write like any other: into memory, if that is its address', () => {
    const { write, pass, bytes } = enabled(0x3000, 0x1234);
    write(RAISE, 1);
    pass(10);
    assert.equal(bytes(0x3000, 4), '34120000');
  });

  test('comes behind the data that it tells of', () => {
    const { transfer, vectors, pass, fill, bytes } = enabled();
    fill(0x1000, '99');
    transfer(0x1000, 0x4_0000, 1, 1);
    pass(1010);
    transfer(0x4_0000, 0x2000, 1, 7);
    assert.equal(bytes(0x2000, 1), '00');
    while (vectors.length === 0) pass(1);
    assert.equal(bytes(0x2000, 1), '99');
  });

  test('whose address is the register that raises it goes on for ever, in time', () => {
    const { write, pass, inta, root } = enabled(BAR + RAISE, 1);
    write(RAISE, 1);
    const served = pass(1000);
    assert.ok(served > 10 && served < 100_000, `${served} events in a millisecond`);
    assert.equal(root.eventQueue.size, 1);
    assert.equal(inta.level, false);
  });
});

test('INTA comes back when MSI is disabled and something is left to tell', () => {
  const { write, pass, config, inta } = enabled();
  write(RAISE, 1);
  pass(10);
  config(CONTROL, 2, 0);
  assert.equal(inta.level, true);
  config(CONTROL, 2, 1);
  assert.equal(inta.level, false);
  write(ACKNOWLEDGE, 1);
  config(CONTROL, 2, 0);
  assert.equal(inta.level, false);
});
