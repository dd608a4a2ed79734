// Expected values: PC16550D data sheet; the probes are those of Linux's drivers/tty/serial/8250/8250_port.c.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { portAddress } from '../../../src/arch/x86/address-spaces.ts';
import { BREAK, MemoryBackend } from '../../../src/dev/serial/char-backend.ts';
import { Uart16550 } from '../../../src/dev/serial/uart-16550.ts';
import { Root } from '../../../src/sim/root.ts';
import {
  copyState,
  inb,
  MICROSECOND,
  MILLISECOND,
  outb,
  pass,
  stateOf,
  watch,
} from '../../support/device-access.ts';

const COM1 = 0x3f8;
const [DATA, IER, IIR, FCR, LCR, MCR, LSR, MSR, SCR] = [0, 1, 2, 2, 3, 4, 5, 6, 7].map((at) => COM1 + at) as [
  number,
  number,
  number,
  number,
  number,
  number,
  number,
  number,
  number,
];
const OUT2 = 0x08;
const LOOP = 0x10;

function machine(params: { flowControl?: boolean } = {}) {
  const warnings: string[] = [];
  const root = new Root({ warnSink: (line) => warnings.push(line), traceSink: () => {} });
  const backend = new MemoryBackend();
  const uart = new Uart16550(root, 'com1', { base: portAddress(COM1), backend, ...params });
  return { root, backend, uart, warnings };
}

/** Like machine(), with FIFOs, received-data interrupts, and the gate of the pin open. */
function listening(trigger: 0 | 1 | 2 | 3 = 0) {
  const made = machine();
  outb(made.uart, FCR, (trigger << 6) | 0x07);
  outb(made.uart, IER, 0x01);
  outb(made.uart, MCR, OUT2);
  return made;
}

test('registers have the values after reset of table II', () => {
  const { uart } = machine();
  assert.equal(inb(uart, IER), 0x00);
  assert.equal(inb(uart, IIR), 0x01);
  assert.equal(inb(uart, LCR), 0x00);
  assert.equal(inb(uart, MCR), 0x00);
  assert.equal(inb(uart, LSR), 0x60);
  assert.equal(inb(uart, MSR) & 0x0f, 0x00);
});

test('the divisor latch is behind DLAB, and IER keeps its value meanwhile', () => {
  const { uart, backend } = machine();
  outb(uart, IER, 0x0f);
  outb(uart, LCR, 0x83);
  outb(uart, DATA, 0x34);
  outb(uart, IER, 0x12);
  assert.deepEqual([inb(uart, DATA), inb(uart, IER)], [0x34, 0x12]);
  outb(uart, LCR, 0x03);
  assert.equal(inb(uart, IER), 0x0f);
  assert.equal(backend.text, '');
});

test("Linux's autoconfig finds a 16550A with FIFOs of 16 bytes", () => {
  const { uart } = machine();
  // IER: four bits and no more.
  outb(uart, IER, 0);
  assert.equal(inb(uart, IER) & 0x0f, 0);
  outb(uart, IER, 0x0f);
  assert.equal(inb(uart, IER) & 0x0f, 0x0f);
  outb(uart, IER, 0x40);
  assert.equal(inb(uart, IER) & 0x40, 0, 'no UUE bit: no XScale');
  outb(uart, IER, 0);
  // Loopback: OUT2 and RTS come back as DCD and CTS.
  outb(uart, MCR, LOOP | 0x0a);
  assert.equal(inb(uart, MSR) & 0xf0, 0x90);
  outb(uart, MCR, 0);
  // FIFOs.
  outb(uart, LCR, 0xbf);
  outb(uart, IIR, 0);
  outb(uart, LCR, 0);
  outb(uart, FCR, 0x01);
  assert.equal(inb(uart, IIR) >> 6, 3);
  // EFR (16650), EXCR (NS16C5xx) and the 64-byte mode of a 16750 are not there.
  outb(uart, LCR, 0x80);
  assert.notEqual(inb(uart, IIR), 0);
  outb(uart, LCR, 0xbf);
  assert.notEqual(inb(uart, IIR), 0);
  outb(uart, LCR, 0x80);
  outb(uart, FCR, 0x21);
  assert.equal(inb(uart, IIR) >> 5, 6);
  outb(uart, LCR, 0);
  // size_fifo(): 256 characters around the loop, of which the FIFO keeps 16.
  outb(uart, FCR, 0x07);
  outb(uart, MCR, LOOP);
  for (let i = 0; i < 256; i++) outb(uart, DATA, i);
  let count = 0;
  while ((inb(uart, LSR) & 0x01) !== 0 && count < 256) {
    assert.equal(inb(uart, DATA), count);
    count++;
  }
  assert.equal(count, 16);
});

test('LSR is never 0xff, and the scratch register holds any byte: the safety checks of drivers', () => {
  const { uart } = machine();
  assert.notEqual(inb(uart, LSR), 0xff);
  for (const value of [0x00, 0x55, 0xaa, 0xff]) {
    outb(uart, SCR, value);
    assert.equal(inb(uart, SCR), value);
  }
});

test('characters leave at once and whole, whatever word length is programmed', () => {
  const { uart, backend } = machine();
  for (const byte of Buffer.from('Aé\n', 'latin1')) outb(uart, DATA, byte);
  assert.equal(backend.text, 'Aé\n');
  assert.equal(inb(uart, LSR) & 0x60, 0x60);
});

test('the interrupt of the empty transmitter is acknowledged by the IIR read that shows it', () => {
  const { uart } = machine();
  const levels = watch(uart.interrupt);
  outb(uart, MCR, OUT2);
  outb(uart, IER, 0x02);
  assert.deepEqual(levels, [true]);
  assert.equal(inb(uart, IIR) & 0x0f, 0x02);
  assert.deepEqual(levels, [true, false]);
  assert.equal(inb(uart, IIR) & 0x0f, 0x01);
  outb(uart, IER, 0x02);
  assert.equal(inb(uart, IIR) & 0x0f, 0x01, 'enabling what is enabled raises nothing');
  outb(uart, DATA, 0x41);
  assert.deepEqual(levels, [true, false, true], 'each character raises it again');
});

test("Linux's THRE test: masking and unmasking raises the interrupt again", () => {
  const { uart } = machine();
  outb(uart, IER, 0x02);
  assert.equal(inb(uart, IIR) & 0x0f, 0x02);
  outb(uart, IER, 0x00);
  assert.equal(inb(uart, IIR) & 0x0f, 0x01);
  outb(uart, IER, 0x02);
  assert.equal(inb(uart, IIR) & 0x0f, 0x02);
});

test('an IIR read that shows something more urgent leaves the transmitter its interrupt', () => {
  const { uart, backend, root } = machine();
  outb(uart, IER, 0x03);
  backend.feed('x');
  pass(root, 0);
  assert.equal(inb(uart, IIR) & 0x0f, 0x04);
  assert.equal(inb(uart, DATA), 0x78);
  assert.equal(inb(uart, IIR) & 0x0f, 0x02);
});

test('OUT2 is the gate of the interrupt line, and a loop closes it', () => {
  const { uart } = machine();
  outb(uart, IER, 0x02);
  assert.equal(uart.interrupt.level, false);
  outb(uart, MCR, OUT2);
  assert.equal(uart.interrupt.level, true);
  outb(uart, MCR, OUT2 | LOOP);
  assert.equal(uart.interrupt.level, false);
});

for (const [trigger, level] of [1, 4, 8, 14].entries()) {
  test(`with trigger level ${level} that many characters interrupt, and fewer only after a time-out`, () => {
    const { uart, backend, root } = listening(trigger as 0 | 1 | 2 | 3);
    backend.feed('x'.repeat(level - 1));
    pass(root, 0);
    assert.equal(uart.interrupt.level, false);
    backend.feed('x');
    pass(root, 0);
    assert.equal(inb(uart, IIR), 0xc4);
    inb(uart, DATA);
    assert.equal(inb(uart, IIR), 0xc1, 'one less is too few again');
  });
}

test('four character times of silence raise the time-out interrupt, which a read of data ends', () => {
  const { uart, backend, root } = listening(3);
  // 115200 baud, 8 data bits, no parity, 1 stop bit: 10 bits in 86.8 µs.
  outb(uart, LCR, 0x83);
  outb(uart, DATA, 1);
  outb(uart, IER, 0);
  outb(uart, LCR, 0x03);
  backend.feed('ab');
  pass(root, 346 * MICROSECOND);
  assert.equal(inb(uart, IIR), 0xc1);
  pass(root, 2 * MICROSECOND);
  assert.equal(inb(uart, IIR), 0xcc);
  assert.equal(uart.interrupt.level, true);
  assert.equal(inb(uart, DATA), 0x61);
  assert.equal(uart.interrupt.level, false);
  pass(root, 348 * MICROSECOND);
  assert.equal(inb(uart, IIR), 0xcc, 'there is one more character');
  inb(uart, DATA);
  pass(root, MILLISECOND);
  assert.equal(inb(uart, IIR), 0xc1);
});

test('input waits outside while the FIFO is full, and nothing overruns', () => {
  const { uart, backend, root } = listening();
  const text = 'The quick brown fox jumps over the lazy dog';
  backend.feed(text);
  pass(root, 0);
  let heard = '';
  while ((inb(uart, LSR) & 0x01) !== 0) heard += String.fromCharCode(inb(uart, DATA));
  assert.equal(heard, text);
  assert.equal(inb(uart, LSR) & 0x02, 0);
});

test('around the loop a seventeenth character overruns: it is lost, and LSR says so once', () => {
  const { uart } = machine();
  outb(uart, FCR, 0x01);
  outb(uart, IER, 0x04);
  outb(uart, MCR, LOOP);
  for (let i = 0; i < 17; i++) outb(uart, DATA, i);
  assert.equal(inb(uart, IIR), 0xc6);
  assert.equal(inb(uart, LSR), 0x63);
  assert.equal(inb(uart, LSR), 0x61);
  assert.equal(inb(uart, IIR), 0xc1);
});

test('without FIFOs an overrun loses the older character', () => {
  const { uart } = machine();
  outb(uart, MCR, LOOP);
  outb(uart, DATA, 0x11);
  outb(uart, DATA, 0x22);
  assert.equal(inb(uart, LSR), 0x63);
  assert.equal(inb(uart, DATA), 0x22);
  assert.equal(inb(uart, LSR), 0x60);
});

test('a break shows when it is at the top of the FIFO, with the error summary before that', () => {
  const { uart, backend, root } = listening();
  backend.feed([0x61, BREAK, 0x62]);
  pass(root, 0);
  assert.equal(inb(uart, LSR), 0xe1);
  assert.equal(inb(uart, DATA), 0x61);
  assert.equal(inb(uart, LSR), 0x71);
  assert.equal(inb(uart, LSR), 0x61);
  assert.equal(inb(uart, DATA), 0x00);
  assert.equal(inb(uart, DATA), 0x62);
});

test('a break that is sent around the loop is received', () => {
  const { uart } = machine();
  outb(uart, MCR, LOOP);
  outb(uart, LCR, 0x43);
  assert.equal(inb(uart, LSR), 0x71);
});

test('the loop feeds the modem outputs back, one by one, and MSR notes the changes until it is read', () => {
  const { uart } = machine();
  outb(uart, MCR, LOOP);
  inb(uart, MSR);
  for (const [output, input, delta] of [
    [0x01, 0x20, 0x02], // DTR, DSR
    [0x02, 0x10, 0x01], // RTS, CTS
    [0x08, 0x80, 0x08], // OUT2, DCD
  ] as const) {
    outb(uart, MCR, LOOP | output);
    assert.equal(inb(uart, MSR), input | delta);
    assert.equal(inb(uart, MSR), input);
    outb(uart, MCR, LOOP);
    assert.equal(inb(uart, MSR), delta);
  }
  outb(uart, MCR, LOOP | 0x04);
  assert.equal(inb(uart, MSR), 0x40, 'the ring indicator reports only its trailing edge');
  outb(uart, MCR, LOOP);
  assert.equal(inb(uart, MSR), 0x04);
});

test('a change of the modem status interrupts if enabled, with the lowest priority', () => {
  const { uart } = machine();
  outb(uart, IER, 0x0a);
  outb(uart, MCR, LOOP);
  assert.equal(inb(uart, IIR), 0x02);
  assert.equal(inb(uart, IIR), 0x00);
  inb(uart, MSR);
  assert.equal(inb(uart, IIR), 0x01);
});

test('switching the FIFOs empties them; clear bits clear and are not kept', () => {
  const { uart, backend, root } = listening();
  backend.feed('abc');
  pass(root, 0);
  outb(uart, FCR, 0x00);
  pass(root, 0);
  assert.equal(inb(uart, LSR) & 0x01, 0);
  outb(uart, FCR, 0x01);
  backend.feed('d');
  pass(root, 0);
  outb(uart, FCR, 0x03);
  assert.equal(inb(uart, LSR) & 0x01, 0);
  backend.feed('e');
  pass(root, 0);
  assert.equal(inb(uart, DATA), 0x65);
});

test('with flow control input waits until the guest raises RTS', () => {
  const { uart, backend, root } = machine({ flowControl: true });
  backend.feed('hello');
  uart.startup();
  pass(root, 0);
  outb(uart, FCR, 0x07);
  pass(root, 0);
  assert.equal(inb(uart, LSR) & 0x01, 0);
  outb(uart, MCR, 0x0b);
  pass(root, 0);
  assert.equal(inb(uart, DATA), 0x68);
});

test('a divisor of zero makes no storm of events', () => {
  const { uart, backend, root } = listening(3);
  outb(uart, LCR, 0x80);
  outb(uart, DATA, 0);
  outb(uart, IER, 0);
  outb(uart, LCR, 0x00);
  backend.feed('x');
  pass(root, MILLISECOND);
  assert.equal(root.eventQueue.size, 0);
  assert.equal(inb(uart, IIR), 0xcc);
});

test('an idle simulation waits for the line only if input would interrupt the guest', () => {
  const { uart, backend, root } = machine();
  const [source] = root.idleSources;
  assert.equal(source!.canWake(), false);
  outb(uart, IER, 0x01);
  outb(uart, MCR, OUT2);
  assert.equal(source!.canWake(), true);
  backend.feed('x');
  pass(root, 0);
  assert.equal(source!.canWake(), false, 'the character that has no room behind it has interrupted already');
  inb(uart, DATA);
  backend.end();
  assert.equal(source!.canWake(), false);
});

test('a checkpoint has everything: FIFO, pending interrupts, a running time-out, the level of the pin', () => {
  const { uart, backend, root } = listening(3);
  outb(uart, IER, 0x03);
  inb(uart, IIR);
  backend.feed('abc');
  pass(root, MILLISECOND);
  const other = machine();
  copyState(uart, other.uart);
  assert.deepEqual(stateOf(other.uart), stateOf(uart));
  assert.equal(other.uart.interrupt.level, uart.interrupt.level);
  for (const { uart: one, root: its } of [{ uart, root }, other]) {
    pass(its, 10 * MILLISECOND);
    assert.equal(one.interrupt.level, true);
    assert.equal(inb(one, IIR), 0xcc);
    assert.equal(inb(one, DATA), 0x61);
  }
});
