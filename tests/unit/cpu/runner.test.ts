// Properties of the run loop's innermost part: kicks, half entries, the timer.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Mail, VcpuRunner } from '../../../src/cpu/kvm/runner.ts';
import { KvmExitReason } from '../../../src/host/kvm/abi.ts';
import { FakeVcpu } from '../../support/fake-vcpu.ts';

function runner({ resolutionNs = 1, beforeEntry = (_letters: number): boolean => true } = {}) {
  const vcpu = new FakeVcpu(resolutionNs);
  const letters: number[] = [];
  const made = new VcpuRunner({
    vcpu,
    timer: vcpu.time,
    signal: vcpu.signal,
    now: vcpu.time.now,
    client: {
      beforeEntry: (mail) => {
        letters.push(mail);
        return beforeEntry(mail);
      },
    },
  });
  return { vcpu, runner: made, letters };
}
const halt = (vcpu: FakeVcpu): number => vcpu.exit(KvmExitReason.HLT);

test('a kick before the entry is seen by the last look and does not end the entry', () => {
  const { vcpu, runner: r, letters } = runner();
  vcpu.script.push(halt);
  r.kick();
  assert.equal(r.run(1000), 'exit');
  assert.deepEqual(letters, [Mail.Kick]);
  assert.equal(vcpu.signal.pending, false);
});

test('letters are delivered once', () => {
  const { vcpu, runner: r, letters } = runner();
  vcpu.script.push(halt, halt);
  r.kick(4);
  r.run(1000);
  r.run(1000);
  assert.deepEqual(letters, [4 | Mail.Kick, 0]);
});

test('a kick between the last look and the entry ends it before the guest executes anything', () => {
  let kick = (): void => {};
  let first = true;
  const {
    vcpu,
    runner: r,
    letters,
  } = runner({
    beforeEntry: () => {
      if (first) kick();
      first = false;
      return true;
    },
  });
  kick = () => r.kick();
  vcpu.script.push(halt);
  assert.equal(r.run(1000), 'signal');
  assert.equal(vcpu.script.length, 1, 'the guest has not run');
  assert.equal(r.run(1000), 'exit');
  assert.deepEqual(letters, [0, Mail.Kick], 'the letter waits for the next look');
  assert.equal(vcpu.signal.pending, false);
});

test('a kick while the guest runs ends the run, and the next run is not cut short', () => {
  const { vcpu, runner: r, letters } = runner();
  vcpu.script.push((v) => {
    r.kick();
    return FakeVcpu.spin(v);
  }, halt);
  assert.equal(r.run(1000), 'signal');
  assert.equal(vcpu.signal.pending, false);
  assert.equal(r.run(1000), 'exit');
  assert.deepEqual(letters, [0, Mail.Kick]);
});

test('a kick after an exit is not left over: the next entry is not ended by it', () => {
  const { vcpu, runner: r, letters } = runner();
  vcpu.script.push(halt, halt);
  assert.equal(r.run(1000), 'exit');
  r.kick();
  assert.equal(r.run(1000), 'exit');
  assert.deepEqual(letters, [0, Mail.Kick]);
});

test('a timer that fires after the guest has exited does not end the next entry', () => {
  const { vcpu, runner: r } = runner();
  vcpu.script.push(halt, halt);
  r.run(1000);
  vcpu.time.advance(2000);
  assert.equal(vcpu.signal.pending, true);
  assert.equal(r.run(1000), 'exit');
});

test('a half entry executes nothing, and the next entry is a whole one', () => {
  const { vcpu, runner: r } = runner();
  vcpu.script.push(halt);
  assert.equal(r.halfEntry(), 'signal');
  assert.equal(vcpu.script.length, 1);
  assert.equal(r.run(1000), 'exit');
  assert.deepEqual(
    vcpu.entries.map((entry) => entry.immediateExit),
    [true, false],
  );
});

test('an entry that the last look cancels does not reach KVM', () => {
  const { vcpu, runner: r } = runner({ beforeEntry: () => false });
  assert.equal(r.run(1000), 'cancelled');
  assert.equal(vcpu.entries.length, 0);
  assert.equal(r.elapsedNs, 0);
});

test('a run ends when its time is up and says so', () => {
  const { vcpu, runner: r } = runner();
  vcpu.script.push(FakeVcpu.spin);
  assert.equal(r.run(5000), 'signal');
  assert.equal(r.timeIsUp, true);
  assert.equal(r.elapsedNs, 5000);
  assert.equal(vcpu.signal.pending, false);
});

test('a run shorter than the resolution is lengthened to it', () => {
  const { vcpu, runner: r } = runner({ resolutionNs: 300 });
  vcpu.script.push(FakeVcpu.spin);
  r.run(10);
  assert.deepEqual(vcpu.time.armed, [300]);
});

test('the timer stays armed across exits while it is early enough, and is armed anew for an earlier deadline', () => {
  const { vcpu, runner: r } = runner();
  vcpu.script.push(halt, halt, halt);
  r.run(1000);
  vcpu.time.advance(100);
  r.run(1000); // deadline 1100, the timer fires at 1000
  r.run(500); // deadline 600
  assert.deepEqual(vcpu.time.armed, [1000, 500]);
});

test('a timer kept from an earlier entry may fire too early; the run then ends without its time being up', () => {
  const { vcpu, runner: r } = runner();
  vcpu.script.push(halt, FakeVcpu.spin, FakeVcpu.spin);
  r.run(1000);
  vcpu.time.advance(100);
  assert.equal(r.run(1000), 'signal');
  assert.equal(r.timeIsUp, false);
  assert.equal(r.run(1000), 'signal');
  assert.equal(r.timeIsUp, true);
});

test('closing disarms the timer and drops a pending signal', () => {
  const { vcpu, runner: r } = runner();
  vcpu.script.push(halt);
  r.run(1000);
  r.kick();
  r.close();
  assert.equal(vcpu.time.armedFor, Number.POSITIVE_INFINITY);
  assert.equal(vcpu.signal.pending, false);
});

/** The time is up, and the timer fires, in the moment in which a kick's signal is taken off. */
function timerFiresDuringDiscard(vcpu: FakeVcpu, ns: number): void {
  const { signal } = vcpu;
  const discard = signal.discardPending.bind(signal);
  signal.discardPending = () => {
    signal.discardPending = discard;
    vcpu.time.advance(ns);
    return discard();
  };
}

test('a timer whose signal is taken off with that of a kick before the entry is armed again', () => {
  const { vcpu, runner: r } = runner();
  let armedFor = 0;
  vcpu.script.push(halt, (v) => {
    armedFor = v.time.armedFor;
    return halt(v);
  });
  r.run(1000);
  r.kick();
  timerFiresDuringDiscard(vcpu, 1000);
  r.run(5000);
  assert.ok(Number.isFinite(armedFor), 'else the guest would run for ever');
});
