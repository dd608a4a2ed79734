// The control signal around KVM_RUN: a kick or a timer before, during or after an entry is never lost and
// never left over. The guest counts in CX without ever exiting, or exits at once. KVM api.rst,
// KVM_SET_SIGNAL_MASK.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { Errno } from '../../src/host/errors.ts';
import { KvmExitReason } from '../../src/host/kvm/abi.ts';
import { kvmIsMissing } from '../support/hypertick.ts';
import { RealModeMachine } from './host-machine.ts';

/** inc cx; jmp back */
const SPIN = [0x41, 0xeb, 0xfd];
const HLT = [0xf4];
const NS_PER_MS = 1_000_000;

/** What the kicking thread runs: it waits for the word to become 1, then signals the thread. */
const KICKER = `
  const { workerData, parentPort } = require('node:worker_threads');
  import(workerData.signals).then(({ SignalTarget }) => {
    const target = new SignalTarget(workerData.threadId, workerData.signal);
    const word = new Int32Array(workerData.word);
    parentPort.postMessage('ready');
    Atomics.wait(word, 0, 0);
    Atomics.wait(word, 1, 0, 5);
    target.raise();
  });
`;

/**
 * Enters a guest that never exits until our signal has ended an entry. The kernel may interrupt one for reasons of its
 * own (EINTR without our signal): the runner takes that for an ordinary signal exit and enters again, and so does this.
 */
function enterUntilSignalled({ vcpu, signal }: RealModeMachine): void {
  const giveUp = performance.now() + 5000;
  do {
    assert.ok(performance.now() < giveUp, 'the signal came');
    assert.equal(vcpu.enter(), Errno.EINTR);
  } while (!signal.discardPending());
}

describe('the control signal', { skip: kvmIsMissing() }, () => {
  test('raised before the entry ends it before the guest executes anything', (t) => {
    const machine = new RealModeMachine(t, SPIN);
    machine.signal.raise();
    assert.equal(machine.vcpu.enter(), Errno.EINTR);
    assert.equal(machine.register('rcx'), 0);
    assert.equal(machine.vcpu.enter(), Errno.EINTR, 'KVM_RUN does not consume it');
    assert.ok(machine.signal.discardPending());
  });

  test('from a timer ends an entry that would never end', (t) => {
    const machine = new RealModeMachine(t, SPIN);
    for (const ns of [NS_PER_MS / 10, NS_PER_MS, 3 * NS_PER_MS]) {
      machine.timer.arm(ns);
      enterUntilSignalled(machine);
      assert.equal(machine.signal.discardPending(), false, 'nothing is left over');
    }
  });

  test('from a timer that expires at any moment around the entry is never lost', (t) => {
    const machine = new RealModeMachine(t, SPIN);
    // A lost signal leaves the guest spinning for ever: the test would not end.
    for (let ns = 1; ns < 100_000; ns += 997) {
      machine.timer.arm(ns);
      enterUntilSignalled(machine);
    }
  });

  test('from another thread gets a spinning guest out', async (t) => {
    const machine = new RealModeMachine(t, SPIN);
    const word = new SharedArrayBuffer(8);
    const signals = new URL('../../src/host/signals.ts', import.meta.url).href;
    const { threadId, signal } = machine.signal;
    const worker = new Worker(KICKER, { eval: true, workerData: { signals, word, threadId, signal } });
    t.after(() => worker.terminate());
    await new Promise((resolve) => worker.once('message', resolve));
    const go = new Int32Array(word);
    Atomics.store(go, 0, 1);
    Atomics.notify(go, 0);
    enterUntilSignalled(machine);
  });

  test('of a timer that expires after the exit is not left over for the next entry', (t) => {
    const machine = new RealModeMachine(t, HLT);
    machine.timer.arm(1);
    // Pending once: whatever KVM_RUN did, the signal waits to be taken.
    const giveUp = performance.now() + 5000;
    while (!machine.signal.discardPending()) assert.ok(performance.now() < giveUp, 'the signal came');
    assert.equal(machine.vcpu.enter(), 0);
    assert.equal(machine.vcpu.run.exitReason, KvmExitReason.HLT);
  });

  test('is taken completely, however often it was raised', (t) => {
    const machine = new RealModeMachine(t, HLT);
    for (let i = 0; i < 5; i++) machine.signal.raise();
    assert.ok(machine.signal.discardPending());
    assert.equal(machine.signal.discardPending(), false);
    assert.equal(machine.vcpu.enter(), 0);
  });

  test('of a disarmed timer does not come', (t) => {
    const machine = new RealModeMachine(t, HLT);
    machine.timer.arm(1000 * NS_PER_MS);
    machine.timer.disarm();
    assert.equal(machine.vcpu.enter(), 0);
    assert.equal(machine.signal.discardPending(), false);
  });
});
