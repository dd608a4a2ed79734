/** The educational device against its description in QEMU, docs/specs/edu.rst. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { restoreAll, saveAll } from '../dev-x86/pc-bench.ts';
import { BAR, eduBench } from './edu-bench.ts';

/** Registers. */
const LIVENESS = 0x04;
const FACTORIAL = 0x08;
const STATUS = 0x20;
const INTERRUPTS = 0x24;
const RAISE = 0x60;
const ACKNOWLEDGE = 0x64;
const COMMAND = 0x98;
/** Where its buffer is, as it sees it. */
const BUFFER = 0x4_0000;
const FROM_MEMORY = 1;
const TO_MEMORY = 3;
const AND_INTERRUPT = 4;

describe('edu', () => {
  test('identifies itself: 1234:11e8, version 1.0, a BAR of 1 MiB, INTA', () => {
    const { read, readConfig, config } = eduBench();
    assert.equal(readConfig(0x00, 4), 0x11e8_1234);
    assert.equal(readConfig(0x08, 4), 0x00ff_0010);
    assert.equal(readConfig(0x3d, 1), 1);
    assert.equal(read(0x00), 0x0100_00ed);
    config(0x10, 4, 0xffff_ffff);
    assert.equal(readConfig(0x10, 4), 0xfff0_0000);
  });

  test('lives: what is written comes back inverted', () => {
    const { read, write } = eduBench();
    write(LIVENESS, 0x1234_5678);
    assert.equal(read(LIVENESS), 0xedcb_a987);
  });

  test('is accessed by aligned words of 32 bits only', () => {
    const { io, read, write } = eduBench();
    write(LIVENESS, 0);
    io.store(BAR + LIVENESS, 1, 0x55);
    io.store(BAR + LIVENESS, 2, 0x55);
    assert.equal(read(LIVENESS), 0xffff_ffff);
    assert.deepEqual([io.load(BAR, 1), io.load(BAR + 2, 2)], [0xff, 0xffff]);
  });

  test('computes factorials modulo 2³², which takes a millisecond', () => {
    const { read, write, pass } = eduBench();
    for (const [n, expected] of [
      [0, 1],
      [1, 1],
      [5, 120],
      [12, 479_001_600],
      [13, 1_932_053_504],
      [33, 2_147_483_648],
      [34, 0],
      [0xffff_ffff, 0],
    ] as const) {
      write(FACTORIAL, n);
      assert.equal(read(STATUS), 1, 'it computes');
      pass(999);
      assert.deepEqual([read(STATUS), read(FACTORIAL)], [1, n]);
      pass(1);
      assert.deepEqual([read(STATUS), read(FACTORIAL)], [0, expected]);
    }
  });

  test('takes no number while it computes another', () => {
    const { read, write, pass } = eduBench();
    write(FACTORIAL, 4);
    write(FACTORIAL, 5);
    pass(1000);
    assert.equal(read(FACTORIAL), 24);
  });

  test('interrupts after a factorial if it is asked to', () => {
    const { read, write, pass, inta } = eduBench();
    write(FACTORIAL, 3);
    pass(1000);
    assert.equal(inta.level, false);
    write(STATUS, 0xffff_ffff);
    assert.equal(read(STATUS), 0x80);
    write(FACTORIAL, 3);
    pass(1000);
    assert.deepEqual([inta.level, read(INTERRUPTS)], [true, 1]);
  });

  test('raises what it is told to, and holds INTA until all of it is acknowledged', () => {
    const { read, write, inta } = eduBench();
    write(RAISE, 0);
    assert.equal(inta.level, false);
    write(RAISE, 0x30);
    assert.deepEqual([inta.level, read(INTERRUPTS)], [true, 0x30]);
    write(ACKNOWLEDGE, 0x10);
    assert.deepEqual([inta.level, read(INTERRUPTS)], [true, 0x20]);
    write(ACKNOWLEDGE, 0x20);
    assert.deepEqual([inta.level, read(INTERRUPTS)], [false, 0]);
  });
});

for (const mode of ['atomic', 'timing'] as const)
  describe(`edu's DMA, ${mode}`, () => {
    test('copies from memory to its buffer and back', () => {
      const { transfer, read, pass, fill, bytes, inta } = eduBench(mode);
      fill(0x1000, '00112233445566778899');
      transfer(0x1001, BUFFER + 0xffb, 5, FROM_MEMORY);
      assert.equal(read(COMMAND), 1);
      pass(999);
      assert.equal(read(COMMAND) & 1, 1);
      pass(10);
      assert.equal(read(COMMAND) & 1, 0);
      transfer(BUFFER + 0xffc, 0x2000, 4, TO_MEMORY);
      pass(1010);
      assert.equal(bytes(0x2000, 5), '2233445500');
      assert.equal(inta.level, false);
    });

    test('interrupts if the command says so', () => {
      const { transfer, pass, read, inta } = eduBench(mode);
      transfer(BUFFER, 0x2000, 4096, TO_MEMORY | AND_INTERRUPT);
      pass(1500);
      assert.deepEqual([inta.level, read(INTERRUPTS)], [true, 0x100]);
    });
  });

describe('edu’s DMA', () => {
  test('keeps its registers while it runs', () => {
    const { transfer, read, pass, bytes, fill } = eduBench();
    fill(0x1000, 'abcd');
    transfer(0x1000, BUFFER, 2, FROM_MEMORY);
    transfer(BUFFER, 0x2000, 1, TO_MEMORY);
    assert.deepEqual([read(0x80), read(0x88), read(0x90), read(COMMAND)], [0x1000, BUFFER, 2, 1]);
    pass(1010);
    transfer(BUFFER, 0x2000, 2, TO_MEMORY);
    pass(1010);
    assert.equal(bytes(0x2000, 2), 'abcd');
  });

  test('a command without the run bit is none', () => {
    const { transfer, read, root } = eduBench();
    transfer(BUFFER, 0x2000, 2, TO_MEMORY & ~1);
    assert.equal(read(COMMAND), 0);
    assert.equal(root.eventQueue.isEmpty, true);
  });

  test('drives 28 bits of an address, or as many as a parameter says', () => {
    for (const [params, expected] of [
      [{}, 'cd'],
      [{ dmaMask: 0xff }, 'cd'],
      [{ dmaMask: 0xf_ffff_ffff }, '00'],
    ] as const) {
      const { transfer, pass, fill, bytes } = eduBench('atomic', params);
      fill(0x40, 'cd');
      transfer(0x7_1000_0040, BUFFER, 1, FROM_MEMORY);
      pass(1010);
      transfer(BUFFER, 0x80, 1, TO_MEMORY);
      pass(1010);
      assert.equal(bytes(0x80, 1), expected === '00' ? 'ff' : expected, JSON.stringify(params));
    }
  });

  test('that leaves the buffer is not made, and comes to its end', () => {
    const { transfer, pass, read, bytes } = eduBench();
    for (const [source, destination, count, command] of [
      [BUFFER - 1, 0x2000, 2, TO_MEMORY],
      [BUFFER + 0xfff, 0x2000, 2, TO_MEMORY],
      [BUFFER, 0x2000, 2 ** 40, TO_MEMORY],
      [0x2000, BUFFER + 0x1000, 1, FROM_MEMORY],
      [0x2000, 2 ** 52, 1, FROM_MEMORY],
    ] as const) {
      transfer(source, destination, count, command | AND_INTERRUPT);
      pass(1010);
      assert.equal(read(COMMAND) & 1, 0);
      assert.equal(read(INTERRUPTS), 0x100);
    }
    assert.equal(bytes(0x2000, 2), '0000');
  });

  test('needs the bus master bit', () => {
    const { transfer, pass, config, bytes } = eduBench();
    config(0x04, 2, 0x2);
    transfer(0x1000, BUFFER, 1, FROM_MEMORY);
    pass(1010);
    config(0x04, 2, 0x6);
    transfer(BUFFER, 0x2000, 1, TO_MEMORY);
    pass(1010);
    assert.equal(bytes(0x2000, 1), 'ff');
  });

  test('reaches its own registers without harm', () => {
    const { transfer, pass, fill, read, inta } = eduBench('atomic', { dmaMask: 0xffff_ffff });
    fill(0x1000, '0500000000000000');
    transfer(0x1000, BUFFER, 4, FROM_MEMORY);
    pass(1010);
    transfer(BUFFER, BAR + RAISE, 4, TO_MEMORY | AND_INTERRUPT);
    pass(1010);
    assert.deepEqual([inta.level, read(INTERRUPTS)], [true, 0x105]);
  });
});

describe('a checkpoint of edu', () => {
  test('holds a factorial and a transfer that are under way, and the buffer', () => {
    const first = eduBench();
    first.fill(0x1000, '77');
    first.write(STATUS, 0x80);
    first.transfer(0x1000, BUFFER, 1, FROM_MEMORY);
    first.pass(2000);
    first.write(FACTORIAL, 6);
    first.transfer(BUFFER, 0x2000, 1, TO_MEMORY | AND_INTERRUPT);
    const second = eduBench();
    second.pass(2000);
    restoreAll(second.root, saveAll(first.root));
    assert.deepEqual(saveAll(second.root), saveAll(first.root));
    second.pass(1010);
    assert.deepEqual(
      [second.read(FACTORIAL), second.read(INTERRUPTS), second.bytes(0x2000, 1), second.inta.level],
      [720, 0x101, '77', true],
    );
  });

  test('drives INTA again', () => {
    const first = eduBench();
    first.write(RAISE, 1);
    const second = eduBench();
    restoreAll(second.root, saveAll(first.root));
    assert.equal(second.inta.level, true);
  });
});
