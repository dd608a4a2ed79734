// The guest's TSC over a scripted vCPU whose counter runs at one cycle per host nanosecond: both policies, re-basing within
// the bound, and that it never goes backwards. SDM vol. 3 §17.17.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { MsrIndex } from '../../../src/arch/x86/msrs.ts';
import { RegClass } from '../../../src/arch/x86/thread-context.ts';
import { KVM_RUN_EXIT_OFFSET, KvmCap, KvmExitLayouts, KvmExitReason } from '../../../src/host/kvm/abi.ts';
import { type FakeFullSystemOptions, fakeFullSystem } from '../../support/fake-full-system.ts';
import { FAKE_KVM, FakeVcpu, type Step } from '../../support/fake-vcpu.ts';
import { scratchDirectory } from '../../support/hypertick.ts';

const US = 1000;
const TICKS_PER_US = 1e6;
const SIGNAL = KvmExitReason.INTR;

/** Runs for `ns` in the guest and notes its TSC when it is entered and left. */
function reading(seen: bigint[], ns: number): Step {
  return (vcpu) => {
    seen.push(vcpu.tsc);
    vcpu.time.advance(ns);
    seen.push(vcpu.tsc);
    return vcpu.exit(SIGNAL);
  };
}

/** Reading the TSC takes so long before the moment that it is of, and so long behind it, in ns. */
function slowReading(beforeNs: () => number, afterNs: number) {
  return (vcpu: FakeVcpu): void => {
    const { getMsrs } = vcpu;
    vcpu.getMsrs = (indices) => {
      vcpu.time.ns += beforeNs();
      const values = getMsrs.call(vcpu, indices);
      vcpu.time.ns += afterNs;
      return values;
    };
  };
}

/** A KVM without KVM_CAP_TSC_CONTROL. */
const UNSCALED = {
  kvm: {
    ...FAKE_KVM,
    capability: (cap: number): number => (cap === KvmCap.TSC_CONTROL ? 0 : FAKE_KVM.capability()),
  },
};

function machine(script: readonly Step[], options: FakeFullSystemOptions = {}) {
  return fakeFullSystem(script, options);
}

function assertForwards(seen: readonly bigint[]): void {
  for (const [i, value] of seen.entries()) assert.ok(i === 0 || value >= seen[i - 1]!, `${seen.join(' ')}`);
}

test('a simulated TSC starts at zero with simulated time, whatever the host’s shows', async () => {
  const seen: bigint[] = [];
  const m = machine([reading(seen, 10 * US), FakeVcpu.spin]);
  await m.run(100 * TICKS_PER_US);
  assert.deepEqual(seen, [0n, 10_000n]);
  assert.equal(m.cpu.tscHz, 1e9);
});

test('host time that passes outside the guest is taken back once it exceeds the bound, and not before', async () => {
  for (const [outside, entry] of [
    [40 * US, 10_000n + 40_000n],
    [60 * US, 10_000n],
  ] as const) {
    const seen: bigint[] = [];
    const m = machine([reading(seen, 10 * US), reading(seen, 10 * US), FakeVcpu.spin]);
    m.at(5 * TICKS_PER_US, () => m.vcpu.time.advance(outside));
    await m.run(100 * TICKS_PER_US);
    // The clock grid of 333 ticks rounds simulated time up by less than a nanosecond.
    assert.ok(seen[2]! - entry <= 1n && seen[2]! >= entry, `${seen[2]} after ${outside} ns`);
    assertForwards(seen);
  }
});

test('time that the machine sleeps through is in the TSC when it wakes', async () => {
  const seen: bigint[] = [];
  const m = machine([
    (vcpu) => {
      vcpu.time.advance(10 * US);
      return vcpu.exit(KvmExitReason.HLT);
    },
    reading(seen, 10 * US),
    FakeVcpu.spin,
  ]);
  m.at(5000 * TICKS_PER_US, () => m.cpu.activateContext());
  await m.run(5100 * TICKS_PER_US);
  assert.ok(seen[0]! >= 5_000_000n - 50_000n && seen[0]! <= 5_000_001n, `${seen[0]}`);
});

test('where simulated time is slower than the guest’s counter, the counter stands still outside, and never goes back', async () => {
  const seen: bigint[] = [];
  const steps = Array.from({ length: 6 }, () => reading(seen, 200 * US));
  const m = machine([...steps, FakeVcpu.spin], { params: { hostFactor: 0.5 }, wiring: UNSCALED });
  await m.run(600 * TICKS_PER_US);
  assertForwards(seen);
  assert.match(m.warnings.join(), /cannot scale the TSC/);
});

test('what the simulator reads is what the guest would read: never less than it has seen', async () => {
  const m = machine([reading([], 200 * US), FakeVcpu.spin], {
    params: { hostFactor: 0.5 },
    wiring: UNSCALED,
  });
  let read = 0n;
  m.at(50 * TICKS_PER_US, () => {
    read = m.cpu.readTsc();
  });
  await m.run(150 * TICKS_PER_US);
  assert.ok(read >= 200_000n, `${read}`);
});

test('the TSC of the thread context is simulated time; a restored one goes on from its value', async () => {
  const seen: bigint[] = [];
  const m = machine([reading([], 10 * US), reading(seen, 10 * US), FakeVcpu.spin]);
  m.at(5 * TICKS_PER_US, () => {
    m.cpu.modifyState(RegClass.msr).setMsr(MsrIndex.TSC, 123_456_789n);
  });
  await m.run(15 * TICKS_PER_US);
  assert.ok(seen[0]! >= 123_456_789n && seen[0]! <= 123_456_790n, `${seen[0]}`);
  await m.simulator.drain();
  const shown = m.cpu.readState(RegClass.msr).msr(MsrIndex.TSC)!;
  assert.ok(shown >= 123_466_789n && shown <= 123_476_790n, `${shown}`);
});

test('MSRs that are written for another reason leave the TSC alone', async () => {
  const seen: bigint[] = [];
  const m = machine([reading(seen, 10 * US), reading(seen, 10 * US), FakeVcpu.spin]);
  m.at(5 * TICKS_PER_US, () => m.cpu.modifyState(RegClass.msr));
  await m.run(100 * TICKS_PER_US);
  assert.ok(seen[2]! - 10_000n <= 1n);
});

test('with tsc: host the offset stays, and a restored guest is only ever moved forwards', async () => {
  const m = machine([reading([], 10 * US), FakeVcpu.spin], { params: { tsc: 'host' } });
  await m.run(10 * TICKS_PER_US);
  const before = m.vcpu.tsc;
  m.cpu.modifyState(RegClass.msr).setMsr(MsrIndex.TSC, 1000n);
  await m.run(20 * TICKS_PER_US);
  assert.ok(m.vcpu.tsc >= before, 'an older value does not set it back');
  assert.equal(m.vcpu.tscOffset, 0n);
  const future = before + 10n ** 12n;
  m.vcpu.script.push(FakeVcpu.spin);
  m.cpu.modifyState(RegClass.msr).setMsr(MsrIndex.TSC, future);
  await m.run(30 * TICKS_PER_US);
  assert.ok(m.vcpu.tsc >= future);
});

test('without the offset attribute the MSR moves the TSC, by small differences too', async () => {
  const seen: bigint[] = [];
  const m = machine([reading(seen, 10 * US), reading(seen, 10 * US), FakeVcpu.spin], {
    prepare: (vcpu) => {
      vcpu.tscOffset = undefined;
    },
  });
  m.at(5 * TICKS_PER_US, () => m.vcpu.time.advance(60 * US));
  await m.run(100 * TICKS_PER_US);
  assert.equal(seen[0], 0n);
  assert.ok(seen[2]! >= 10_000n && seen[2]! <= 10_001n, `${seen[2]}`);
});

test('a counter that KVM stops between entries is read each time, and stays in step with simulated time', async () => {
  const seen: bigint[] = [];
  const entries = 20;
  const m = machine([...Array.from({ length: entries }, () => reading(seen, 10 * US)), FakeVcpu.spin]);
  // 45 µs pass outside per entry, during which the counter stands still.
  for (let i = 0; i < entries; i++) {
    m.at((5 + 10 * i) * TICKS_PER_US, () => {
      m.vcpu.time.advance(45 * US);
      m.vcpu.tscOffset! -= 45_000n;
    });
  }
  await m.run(1000 * TICKS_PER_US);
  assertForwards(seen);
  for (const [i, value] of seen.entries()) {
    const simulated = 10_000 * Math.ceil(i / 2);
    assert.ok(Math.abs(Number(value) - simulated) < 50_000, `${value} instead of ${simulated}`);
  }
});

test('reading that takes long makes nobody see less than before', async () => {
  const seen: bigint[] = [];
  const m = machine([...Array.from({ length: 8 }, () => reading(seen, 100 * US)), FakeVcpu.spin], {
    params: { hostFactor: 0.5 },
    wiring: UNSCALED,
    prepare: slowReading(() => 7 * US, 9 * US),
  });
  await m.run(400 * TICKS_PER_US);
  assertForwards(seen);
});

test('a counter whose reading takes longer than the bound stays in step with simulated time', async () => {
  const seen: bigint[] = [];
  const entries = 60;
  let readings = 0;
  const steps = Array.from({ length: entries }, () => reading(seen, 10 * US));
  const m = machine([...steps, ...Array.from({ length: 20 }, () => FakeVcpu.spin)], {
    prepare: slowReading(() => (100 + ((37 * ++readings) % 200)) * US, 150 * US),
  });
  for (let i = 0; i < entries; i++)
    m.at((5 + 10 * i) * TICKS_PER_US, () => void m.vcpu.time.advance(200 * US));
  await m.run(4000 * TICKS_PER_US);
  assertForwards(seen);
  // The first readings make trust; from then on the counter runs with simulated time.
  const trusted = seen.slice(30);
  const gained = Number(trusted.at(-1)! - trusted[0]!) - 10 * US * Math.floor(trusted.length / 2);
  assert.ok(Math.abs(gained) < 50 * US, `${gained} ns gained`);
});

test('a counter that is set shows the guest nothing less, however long reading takes', async () => {
  const seen: bigint[] = [];
  const value = 123_456_789n;
  const m = machine([reading(seen, 10 * US), reading(seen, 10 * US), FakeVcpu.spin, FakeVcpu.spin], {
    prepare: slowReading(() => 100 * US, 150 * US),
  });
  m.at(5 * TICKS_PER_US, () => m.cpu.modifyState(RegClass.msr).setMsr(MsrIndex.TSC, value));
  await m.run(3000 * TICKS_PER_US);
  assert.ok(seen[0]! >= 0n, `${seen[0]} after RESET`);
  assert.ok(seen[2]! >= value, `${seen[2]} after it was set to ${value}`);
});

test('where KVM moves the offset itself, the one that it has now is the one that counts', async () => {
  const seen: bigint[] = [];
  const entries = 100;
  const m = machine([...Array.from({ length: entries }, () => reading(seen, 10 * US)), FakeVcpu.spin]);
  // 70 µs pass outside per entry; for 30 of them the counter stands still, the rest has to be taken back.
  for (let i = 0; i < entries; i++) {
    m.at((5 + 10 * i) * TICKS_PER_US, () => {
      m.vcpu.time.advance(70 * US);
      m.vcpu.tscOffset! -= 30_000n;
    });
  }
  await m.run(entries * 10 * TICKS_PER_US);
  assertForwards(seen);
  const lead = Number(seen.at(-1)!) - (10 * US * seen.length) / 2;
  assert.ok(Math.abs(lead) < 100 * US, `${lead} ns ahead`);
});

test('outside the guest the counter gains a little at each of many entries, but not more than ten bounds', async () => {
  const seen: bigint[] = [];
  const entries = 400;
  const m = machine([...Array.from({ length: entries }, () => reading(seen, 10 * US)), FakeVcpu.spin]);
  for (let i = 0; i < entries; i++) m.at((5 + 10 * i) * TICKS_PER_US, () => void m.vcpu.time.advance(4 * US));
  await m.run(5000 * TICKS_PER_US);
  assertForwards(seen);
  const lead = Number(seen.at(-1)!) - 10 * US * entries;
  assert.ok(lead > 400 * US && lead < 520 * US, `${lead} ns ahead`);
});

test('a KVM that moves the TSC by no means leaves the host’s, and that is said', async () => {
  const seen: bigint[] = [];
  const m = machine([reading(seen, 10 * US), FakeVcpu.spin], {
    prepare: (vcpu) => {
      vcpu.tscOffset = undefined;
      vcpu.tscMovesByMsr = false;
    },
  });
  await m.run(5 * TICKS_PER_US);
  assert.ok(seen[0]! >= 7_000_000_000_000n);
  assert.match(m.warnings.join(), /does not move the TSC/);
  assert.ok(m.cpu.readTsc() >= seen[1]!);
});

const haltFor: Step = (vcpu) => {
  vcpu.time.advance(10 * US);
  return vcpu.exit(KvmExitReason.HLT);
};
const SECOND = 1e12;

test('a guest that sleeps beyond the epoch, or is at work when it ends, sees simulated time', async () => {
  for (const wakeUp of [1001 * SECOND, 1000 * SECOND - 20 * TICKS_PER_US]) {
    const seen: bigint[] = [];
    const m = machine([haltFor, ...Array.from({ length: 6 }, () => reading(seen, 10 * US)), FakeVcpu.spin]);
    m.at(wakeUp, () => m.cpu.activateContext());
    await m.run(wakeUp + 200 * TICKS_PER_US);
    assert.equal(seen.length, 12);
    assertForwards(seen);
    for (const [i, value] of seen.entries()) {
      const simulated = wakeUp / 1000 + 10_000 * Math.ceil(i / 2);
      assert.ok(Math.abs(Number(value) - simulated) < 50_000, `${value} instead of ${simulated}`);
    }
  }
});

test('drained in its sleep once more, the machine has the counter of that moment, and not of the first time', async () => {
  const m = machine([reading([], 10 * US), haltFor]);
  const counter = (): bigint => m.cpu.readState(RegClass.msr).msr(MsrIndex.TSC)!;
  for (const seconds of [10, 60]) {
    await m.run(seconds * SECOND);
    await m.simulator.drain();
    assert.equal(counter(), BigInt(seconds * 1e9));
  }
});

/** A machine with KVM's clock; what it is set to goes to `sets`. */
const withClock = (script: readonly Step[], sets: bigint[], prepare?: FakeFullSystemOptions['prepare']) =>
  machine(script, {
    wiring: { clock: { setClock: (ns) => sets.push(ns), startSeconds: 0 } },
    ...(prepare === undefined ? {} : { prepare }),
  });

test('KVM’s clock goes on in simulated time behind a restore, whether the TSC can be moved or not', async (t) => {
  const directory = join(scratchDirectory(t), 'saved');
  const saved = withClock([reading([], 10 * US), haltFor, reading([], 10 * US), FakeVcpu.spin], []);
  saved.at(10 * SECOND, () => saved.cpu.activateContext());
  await saved.run(10 * SECOND + 50 * TICKS_PER_US);
  await saved.simulator.checkpoint(directory);
  const fixed = (vcpu: FakeVcpu): void => {
    vcpu.tscOffset = undefined;
    vcpu.tscMovesByMsr = false;
  };
  for (const prepare of [undefined, fixed]) {
    const sets: bigint[] = [];
    const restored = withClock([reading([], 10 * US), FakeVcpu.spin], sets, prepare);
    restored.simulator.restore(directory);
    await restored.run(10 * SECOND + 300 * TICKS_PER_US);
    const clock = Number(sets.at(-1));
    assert.ok(Math.abs(clock - 10e9) < 1e6, `${clock} ns at 10 s`);
  }
});

test('a guest that writes its TSC does not move KVM’s clock', async () => {
  const sets: bigint[] = [];
  const write: Step = (vcpu) => {
    const { at } = KvmExitLayouts.msr;
    vcpu.time.advance(10 * US);
    vcpu.run.view.setUint32(KVM_RUN_EXIT_OFFSET + at.index, MsrIndex.TSC, true);
    vcpu.run.view.setBigUint64(KVM_RUN_EXIT_OFFSET + at.data, 3_600_000_000_000n, true);
    return vcpu.exit(KvmExitReason.X86_WRMSR);
  };
  const m = withClock([reading([], 10 * US), write, reading([], 10 * US), FakeVcpu.spin], sets);
  await m.run(300 * TICKS_PER_US);
  assert.ok(
    sets.every((ns) => ns < 1_000_000n),
    sets.join(),
  );
});
