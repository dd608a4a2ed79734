import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  codeName,
  defaultAction,
  PendingSignals,
  Signal,
  SignalCode,
  SignalSet,
  signalName,
} from '../../../src/workload/linux/signals.ts';

test('a set holds each of the 64 signals by itself, as bit n - 1 of the mask', () => {
  for (let signal = 1; signal <= 64; signal++) {
    const set = SignalSet.of(signal);
    assert.deepEqual([...set], [signal]);
    const mask = (BigInt(set.hi >>> 0) << 32n) | BigInt(set.lo >>> 0);
    assert.equal(mask, 1n << BigInt(signal - 1));
    assert.equal(set.lowestOutside(new SignalSet()), signal);
    assert.equal(set.lowestOutside(set), 0);
  }
});

test('pending signals come lowest first, and real-time ones of one number in the order of sending', () => {
  const pending = new PendingSignals();
  for (const [signal, value] of [
    [40, 1n],
    [Signal.SIGTERM, 2n],
    [40, 3n],
    [Signal.SIGHUP, 4n],
  ] as const) {
    pending.add({ signal, code: SignalCode.SI_QUEUE, value });
  }
  const none = new SignalSet();
  const taken = [1, 2, 3, 4].map(() => pending.take(none)!.value);
  assert.deepEqual(taken, [4n, 2n, 1n, 3n]);
  assert.equal(pending.take(none), undefined);
  assert.equal(pending.set.isEmpty, true);
});

test('a standard signal that is pending already is not queued again', () => {
  const pending = new PendingSignals();
  pending.add({ signal: Signal.SIGUSR1, code: SignalCode.SI_QUEUE, value: 1n });
  pending.add({ signal: Signal.SIGUSR1, code: SignalCode.SI_QUEUE, value: 2n });
  assert.equal(pending.take(new SignalSet())?.value, 1n);
  assert.equal(pending.take(new SignalSet()), undefined);
});

test('a blocked signal stays pending', () => {
  const pending = new PendingSignals();
  pending.add({ signal: Signal.SIGUSR1, code: 0 });
  assert.equal(pending.take(SignalSet.of(Signal.SIGUSR1)), undefined);
  assert.equal(pending.set.has(Signal.SIGUSR1), true);
});

test('default actions are those of signal(7)', () => {
  const by = (action: string) =>
    Array.from({ length: 64 }, (_, i) => i + 1).filter((signal) => defaultAction(signal) === action);
  assert.deepEqual(by('ignore'), [Signal.SIGCHLD, Signal.SIGURG, Signal.SIGWINCH]);
  assert.deepEqual(by('stop'), [Signal.SIGSTOP, Signal.SIGTSTP, Signal.SIGTTIN, Signal.SIGTTOU]);
  assert.deepEqual(by('continue'), [Signal.SIGCONT]);
});

test('names are those of signal(7) and sigaction(2)', () => {
  assert.deepEqual([11, 32, 34].map(signalName), ['SIGSEGV', 'SIGRTMIN', 'SIGRTMIN+2']);
  assert.equal(codeName(Signal.SIGSEGV, 2), 'SEGV_ACCERR');
  assert.equal(codeName(Signal.SIGBUS, 2), 'BUS_ADRERR');
  assert.equal(codeName(Signal.SIGFPE, 1), 'FPE_INTDIV');
  assert.equal(codeName(Signal.SIGTERM, 0), 'SI_USER');
  assert.equal(codeName(Signal.SIGSEGV, 0x80), 'SI_KERNEL');
});

test('faults come before all other signals', () => {
  const pending = new PendingSignals();
  for (const signal of [Signal.SIGHUP, Signal.SIGUSR1, Signal.SIGSEGV]) pending.add({ signal, code: 0 });
  const order = [1, 2, 3].map(() => pending.take(new SignalSet())?.signal);
  assert.deepEqual(order, [Signal.SIGSEGV, Signal.SIGHUP, Signal.SIGUSR1]);
});
