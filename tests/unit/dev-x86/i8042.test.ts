// Expected values: IBM PS/2 Hardware Interface Technical Reference; the probes are those of Linux's i8042 and libps2.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { I8042 } from '../../../src/dev/x86/i8042.ts';
import { Root } from '../../../src/sim/root.ts';
import { copyState, inb, outb, stateOf, watch } from '../../support/device-access.ts';

const [DATA, COMMAND, CONTROL_A] = [0x60, 0x64, 0x92];
const [FULL, SYSTEM, WAS_COMMAND, FROM_MOUSE, TIMEOUT] = [0x01, 0x04, 0x08, 0x20, 0x40];

function machine(params: { mouse?: boolean } = {}) {
  const warnings: string[] = [];
  const root = new Root({ warnSink: (line) => warnings.push(line), traceSink: () => {} });
  const i8042 = new I8042(root, 'i8042', params);
  const command = (value: number, ...args: number[]) => {
    outb(i8042, COMMAND, value);
    for (const arg of args) outb(i8042, DATA, arg);
  };
  /** Everything there is to read, the source in front: k or m. */
  const hear = (): string => {
    const heard: string[] = [];
    for (let status = inb(i8042, COMMAND); (status & FULL) !== 0; status = inb(i8042, COMMAND)) {
      const from = (status & FROM_MOUSE) !== 0 ? 'm' : 'k';
      heard.push(
        `${from}${inb(i8042, DATA).toString(16).padStart(2, '0')}${(status & TIMEOUT) !== 0 ? '!' : ''}`,
      );
    }
    return heard.join(' ');
  };
  return { root, i8042, command, hear, warnings };
}

test('the controller passes its self test and finds no error on its lines', () => {
  const { i8042, command, hear } = machine();
  command(0xaa);
  assert.equal(hear(), 'k55');
  assert.equal(inb(i8042, COMMAND) & SYSTEM, SYSTEM);
  command(0xab);
  command(0xa9);
  assert.equal(hear(), 'k00 k00');
});

test('status says whether the last write was a command', () => {
  const { i8042, command } = machine();
  command(0x60);
  assert.equal(inb(i8042, COMMAND) & WAS_COMMAND, WAS_COMMAND);
  outb(i8042, DATA, 0x47);
  assert.equal(inb(i8042, COMMAND) & WAS_COMMAND, 0);
});

test('the command byte reads back, and the enable commands change its bits', () => {
  const { command, hear } = machine();
  command(0x60, 0x03);
  command(0x20);
  assert.equal(hear(), 'k03');
  command(0xad);
  command(0xa7);
  command(0x20);
  assert.equal(hear(), 'k33');
  command(0xae);
  command(0xa8);
  command(0x20);
  assert.equal(hear(), 'k03');
});

test('the keyboard answers reset, identify, echo, lights and scan code set', () => {
  const { i8042, command, hear } = machine();
  command(0x60, 0x00);
  const ask = (...bytes: number[]) => {
    for (const byte of bytes) outb(i8042, DATA, byte);
    return hear();
  };
  assert.equal(ask(0xff), 'kfa kaa');
  assert.equal(ask(0xf2), 'kfa kab k83');
  assert.equal(ask(0xee), 'kee');
  assert.equal(ask(0xed, 0x07), 'kfa kfa');
  assert.equal(ask(0xf0, 0x00), 'kfa kfa k02');
  assert.equal(ask(0xf0, 0x01), 'kfa kfa');
  assert.equal(ask(0xf0, 0x00), 'kfa kfa k01');
  assert.equal(ask(0xf4), 'kfa');
  assert.equal(ask(0x12), 'kfe');
  assert.equal(ask(0xed, 0xff), 'kfa kfa kaa', 'a command in place of an argument');
  command(0x60, 0x40);
  assert.equal(ask(0xf0, 0x00), 'kfa kfa k41', 'translated');
  assert.equal(ask(0xf2), 'kfa kab k41');
});

test('with translation the identification is what set 1 makes of it', () => {
  const { i8042, command, hear } = machine();
  command(0x60, 0x40);
  outb(i8042, DATA, 0xf2);
  assert.equal(hear(), 'kfa kab k41');
});

test('each byte for the host is an edge of IRQ 1, if the command byte enables it', () => {
  const { i8042, command, hear } = machine();
  const levels = watch(i8042.keyboardInterrupt);
  command(0x60, 0x00);
  outb(i8042, DATA, 0xff);
  assert.deepEqual(levels, []);
  command(0x60, 0x01);
  assert.deepEqual(levels, [true]);
  assert.equal(hear(), 'kfa kaa');
  assert.deepEqual(levels, [true, false, true, false]);
});

test('without a mouse what is sent to it times out; the loop of the auxiliary port works all the same', () => {
  const { i8042, command, hear } = machine();
  command(0x60, 0x02);
  const levels = watch(i8042.mouseInterrupt);
  command(0xd4, 0xf2);
  assert.equal(hear(), 'mfe!');
  assert.deepEqual(levels, [true, false]);
  command(0xd3, 0x5a);
  assert.equal(hear(), 'm5a');
});

test('a mouse answers reset, identify, settings and status on IRQ 12', () => {
  const { i8042, command, hear } = machine({ mouse: true });
  command(0x60, 0x02);
  const ask = (...bytes: number[]) => {
    for (const byte of bytes) command(0xd4, byte);
    return hear();
  };
  assert.equal(ask(0xff), 'mfa maa m00');
  assert.equal(ask(0xf2), 'mfa m00');
  assert.equal(ask(0xf3, 0x50), 'mfa mfa');
  assert.equal(ask(0xe8, 0x03), 'mfa mfa');
  assert.equal(ask(0xf4), 'mfa');
  assert.equal(ask(0xe9), 'mfa m20 m03 m50');
  assert.equal(i8042.keyboardInterrupt.level, false);
});

test('command 0xfe resets the machine, as do the output port and port 0x92', () => {
  const { i8042, command } = machine();
  const levels = watch(i8042.reset);
  command(0xff);
  command(0xd1, 0x03);
  outb(i8042, CONTROL_A, 0x02);
  assert.deepEqual(levels, []);
  command(0xfe);
  assert.deepEqual(levels, [true, false]);
  command(0xd1, 0x02);
  assert.equal(levels.length, 4);
  outb(i8042, CONTROL_A, 0x03);
  assert.equal(levels.length, 6);
  outb(i8042, CONTROL_A, 0x03);
  assert.equal(levels.length, 6, 'only a rising bit resets');
});

test('address line 20 is open at first; output port, commands and port 0x92 are one switch', () => {
  const { i8042, command, hear } = machine();
  assert.equal(i8042.a20.level, true);
  outb(i8042, CONTROL_A, 0x00);
  assert.equal(i8042.a20.level, false);
  command(0xd0);
  assert.equal(hear(), 'k01');
  command(0xdf);
  assert.deepEqual([i8042.a20.level, inb(i8042, CONTROL_A)], [true, 0x02]);
  command(0xd1, 0x01);
  assert.deepEqual([i8042.a20.level, inb(i8042, CONTROL_A)], [false, 0x00]);
});

test('a host that never reads loses bytes, and the queue has an end', () => {
  const { i8042, hear } = machine();
  for (let i = 0; i < 1000; i++) outb(i8042, DATA, 0xee);
  assert.equal(hear().split(' ').length, 16);
});

test('an unknown command is warned about, once', () => {
  const { command, hear, warnings } = machine();
  command(0x99);
  command(0x99);
  assert.deepEqual(warnings, ['warn: i8042: command 0x99 is unknown: it does nothing']);
  assert.equal(hear(), '');
});

test('a checkpoint keeps what waits to be read, awaited arguments, devices, and the levels of the pins', () => {
  const one = machine({ mouse: true });
  one.command(0x60, 0x03);
  one.command(0xd4, 0xe8);
  outb(one.i8042, DATA, 0xf0);
  outb(one.i8042, CONTROL_A, 0x00);
  one.command(0xd4);
  const other = machine({ mouse: true });
  copyState(one.i8042, other.i8042);
  assert.deepEqual(stateOf(other.i8042), stateOf(one.i8042));
  for (const { i8042, hear } of [one, other]) {
    assert.deepEqual([i8042.a20.level, i8042.mouseInterrupt.level], [false, true]);
    outb(i8042, DATA, 0x01);
    outb(i8042, DATA, 0x03);
    assert.equal(hear(), 'mfa kfa mfa kfa');
  }
});
