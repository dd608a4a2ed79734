/** Debug flags and trace lines. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { applyDebugFlags, type DebugFlag, noDebugFlags } from '../../../src/sim/debug-flags.ts';
import { Root } from '../../../src/sim/root.ts';
import { SimObject } from '../../../src/sim/sim-object.ts';
import { asTick } from '../../../src/sim/tick.ts';

class Part extends SimObject {}

function enabled(list: string): string[] {
  const flags = noDebugFlags();
  applyDebugFlags(flags, list);
  return (Object.keys(flags) as DebugFlag[]).filter((name) => flags[name]);
}

test('a list is applied from left to right; a minus switches off; compound flags stand for several', () => {
  assert.deepEqual(enabled(''), []);
  assert.deepEqual(enabled('Kvm, KvmRun'), ['Kvm', 'KvmRun']);
  assert.deepEqual(enabled('KvmAll,-KvmIO,-KvmTimer'), ['Kvm', 'KvmContext', 'KvmInt', 'KvmRun']);
  assert.deepEqual(enabled('-KvmIO,KvmIO'), ['KvmIO']);
  assert.deepEqual(enabled('All,-All'), []);
});

test('an unknown flag is refused with the names spelt alike', () => {
  assert.throws(() => enabled('KvmRum'), {
    name: 'FatalError',
    message: "--debug-flags: unknown flag 'KvmRum'; did you mean KvmRun?",
  });
  assert.throws(() => enabled('kvmio'), /did you mean KvmIO/);
  assert.throws(() => enabled('toString'), /unknown flag 'toString'; known: Checkpoint, .*SyscallAll/);
});

test('a trace line is gem5’s: tick in seven places, path, text; nothing without the flag', () => {
  const lines: string[] = [];
  const root = new Root({ debugFlags: 'KvmRun', traceSink: (line) => lines.push(line) });
  const cpu = new Part(new Part(root, 'board'), 'cpu');
  cpu.trace('KvmRun', 'enter');
  cpu.trace('Kvm', 'not shown');
  root.eventQueue.advanceTo(asTick(123_456_789n));
  cpu.trace('KvmRun', 'exit');
  assert.deepEqual(lines, ['      0: board.cpu: enter', '123456789: board.cpu: exit']);
});
