import assert from 'node:assert/strict';
import { test } from 'node:test';
import { portAddress } from '../../../src/arch/x86/address-spaces.ts';
import { MemoryBackend } from '../../../src/dev/serial/char-backend.ts';
import { Uart16550 } from '../../../src/dev/serial/uart-16550.ts';
import { Root } from '../../../src/sim/root.ts';
import { Simulator } from '../../../src/sim/simulator.ts';
import { inb, outb } from '../../support/device-access.ts';

const COM1 = 0x3f8;

/** A machine that only echoes: its interrupt handler is the sink of the pin. Typing q ends it. */
function echoMachine() {
  const root = new Root({ warnSink: () => {}, traceSink: () => {} });
  const backend = new MemoryBackend();
  const uart = new Uart16550(root, 'com1', { base: portAddress(COM1), backend });
  uart.interrupt.connect({
    setLevel: (level) => {
      if (!level) return;
      const key = inb(uart, COM1);
      outb(uart, COM1, key);
      if (key === 0x71) root.exitSimLoop('quit');
    },
  });
  outb(uart, COM1 + 1, 0x01);
  outb(uart, COM1 + 4, 0x08);
  return { root, backend, simulator: new Simulator(root) };
}

test('an idle simulation waits for its console without simulated time passing', async () => {
  const { root, backend, simulator } = echoMachine();
  const waits: number[] = [];
  const wait = backend.waitForInput.bind(backend);
  backend.waitForInput = async (maxMs) => {
    waits.push(maxMs);
    await wait(maxMs);
  };
  const keys = ['h', 'i', 'q'];
  const typing = setInterval(() => backend.feed(keys.shift() ?? 'q'), 5);
  const exit = await simulator.runUntilExit();
  clearInterval(typing);
  assert.deepEqual({ cause: exit.cause, tick: exit.tick }, { cause: 'quit', tick: 0n });
  assert.equal(backend.text, 'hiq');
  assert.equal(root.curTick, 0n);
  // Between two keys it slept: it did not go round and round.
  assert.ok(waits.length < 100, `${waits.length} waits`);
});

test('when the console has ended, an idle simulation ends', async () => {
  const { backend, simulator } = echoMachine();
  setTimeout(() => backend.end(), 5);
  assert.equal((await simulator.runUntilExit()).cause, 'event queue empty');
});
