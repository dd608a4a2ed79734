/** The tree of SimObjects: paths, queues, declarations, warnings. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeConfig } from '../../../src/sim/config.ts';
import { EventQueue } from '../../../src/sim/event-queue.ts';
import { declareParams, frequency, type ParamInputs } from '../../../src/sim/params.ts';
import { Root } from '../../../src/sim/root.ts';
import { SimObject } from '../../../src/sim/sim-object.ts';
import { numberCell } from '../../../src/sim/state.ts';

class Part extends SimObject {
  declareTwice(): void {
    this.state('count', numberCell());
    this.state('count', numberCell());
  }
}

const PARAMS = declareParams({ clock: frequency({ default: '1GHz', description: 'clock' }) });
class Clocked extends SimObject {
  constructor(parent: SimObject, name: string, given: ParamInputs<typeof PARAMS> = {}) {
    super(parent, name);
    this.resolveParams(PARAMS, given);
  }
}

test('paths leave out the root, and descendants come parents first', () => {
  const root = new Root();
  const board = new Part(root, 'board');
  const cpu = new Part(board, 'cpu');
  const memory = new Part(board, 'memory');
  assert.deepEqual([root.path, board.path, cpu.path], ['root', 'board', 'board.cpu']);
  assert.deepEqual([...root.descendants()], [root, board, cpu, memory]);
  assert.equal(cpu.root, root);
});

test('an object uses its own event queue or the nearest one above', () => {
  const root = new Root();
  const queue = new EventQueue('cpus');
  const cpu = new Part(root, 'cpu');
  const other = new (class extends SimObject {
    constructor() {
      super(root, 'other', { eventQueue: queue });
    }
  })();
  assert.equal(cpu.eventQueue, root.eventQueue);
  assert.equal(new Part(other, 'below').eventQueue, queue);
  assert.deepEqual(root.eventQueues, [root.eventQueue, queue]);
});

test('names must be identifiers, unique among siblings, and not the root’s', () => {
  const root = new Root();
  new Part(root, 'cpu');
  assert.throws(() => new Part(root, 'cpu'), /has a child 'cpu' already/);
  assert.throws(() => new Part(root, 'root'), /is the root/);
  for (const name of ['', 'a.b', '../x', '1a', 'a b'])
    assert.throws(() => new Part(root, name), RangeError, name);
});

test('state is declared once', () => {
  const part = new Part(new Root(), 'part');
  assert.throws(() => part.declareTwice(), /part: state 'count' is declared twice/);
});

test('the configuration lists types, checked parameters and children', () => {
  const root = new Root({ seed: 7 });
  new Clocked(root, 'cpu', { clock: '2GHz' });
  assert.deepEqual(describeConfig(root), {
    type: 'Root',
    path: 'root',
    params: { seed: 7 },
    children: { cpu: { type: 'Clocked', path: 'cpu', params: { clock: 2e9 }, children: {} } },
  });
});

test('a warning is given once for each object and kind', () => {
  const lines: string[] = [];
  const root = new Root({ warnSink: (line) => lines.push(line) });
  const a = new Part(root, 'a');
  const b = new Part(root, 'b');
  a.warnOnce('no counters');
  a.warnOnce('no counters');
  b.warnOnce('no counters');
  a.warnOnce('syscall 1 (write)', 'syscall');
  a.warnOnce('syscall 2 (open)', 'syscall');
  assert.deepEqual(lines, ['warn: a: no counters', 'warn: b: no counters', 'warn: a: syscall 1 (write)']);
});

test('hooks before the process ends run newest first, once, in spite of errors', () => {
  const root = new Root();
  const calls: string[] = [];
  root.beforeProcessExit(() => calls.push('first'));
  root.beforeProcessExit(() => {
    throw new Error('broken hook');
  });
  root.beforeProcessExit(() => calls.push('last'));
  assert.throws(() => root.runProcessExitHooks(), AggregateError);
  root.runProcessExitHooks();
  assert.deepEqual(calls, ['last', 'first']);
});
