// The control signal and its timer on a thread of this process, without KVM. signal(7), timer_settime(2).

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { HostClock } from '../../../src/host/clock.ts';
import {
  blockedSignals,
  CONTROL_SIGNAL,
  ControlSignal,
  currentThreadId,
  kernelSigset,
  SignalTarget,
  unblockSignal,
} from '../../../src/host/signals.ts';
import { PosixTimer } from '../../../src/host/timer.ts';

const has = (set: Uint8Array, signal: number): boolean =>
  (set[(signal - 1) >> 3]! & (1 << ((signal - 1) & 7))) !== 0;

/** Takes the signal when it comes; fails if it does not. */
function waitFor(signal: ControlSignal): void {
  const clock = new HostClock();
  const giveUp = clock.now() + 5e9;
  while (!signal.discardPending()) assert.ok(clock.now() < giveUp, 'the signal came');
}

describe('signal sets', () => {
  test('have bit n−1 for signal n', () => {
    assert.deepEqual([...kernelSigset(1, 9, 64)], [1, 1, 0, 0, 0, 0, 0, 0x80]);
  });
});

describe('the control signal', () => {
  test('is blocked on its thread and open in the mask for the guest', () => {
    const signal = new ControlSignal();
    assert.ok(has(blockedSignals(), CONTROL_SIGNAL));
    assert.equal(has(signal.entryMask(), CONTROL_SIGNAL), false);
    unblockSignal(CONTROL_SIGNAL);
    assert.equal(has(blockedSignals(), CONTROL_SIGNAL), false);
  });

  test('waits until it is taken', () => {
    const signal = new ControlSignal();
    assert.equal(signal.discardPending(), false);
    assert.equal(signal.raise(), true);
    assert.equal(signal.discardPending(), true);
    assert.equal(signal.discardPending(), false);
  });

  test('for a thread that is gone is no error', () => {
    // No thread has the highest number that Linux gives.
    assert.equal(new SignalTarget(4_194_303).raise(), false);
    assert.ok(currentThreadId() > 0);
  });
});

describe('a timer', () => {
  test('signals its thread, not before the time is up, and once', (t) => {
    const signal = new ControlSignal();
    const timer = new PosixTimer(signal);
    t.after(() => timer.close());
    const clock = new HostClock();
    const start = clock.now();
    timer.arm(2_000_000);
    waitFor(signal);
    assert.ok(clock.now() - start >= 2_000_000);
    assert.equal(signal.discardPending(), false);
  });

  test('armed for no time at all expires instead of stopping', (t) => {
    const signal = new ControlSignal();
    const timer = new PosixTimer(signal);
    t.after(() => timer.close());
    timer.arm(0);
    waitFor(signal);
  });

  test('takes delays of seconds, and stops', (t) => {
    const signal = new ControlSignal();
    const timer = new PosixTimer(signal);
    t.after(() => timer.close());
    timer.arm(5_999_999_999);
    timer.disarm();
    assert.equal(signal.discardPending(), false);
    assert.ok(timer.resolutionNs >= 1);
  });
});
