// Interrupts into a scripted vCPU: which event gets in, when, and what is asked of KVM instead. SDM vol. 3 §6.7 to §6.9,
// §8.4; Linux api.rst on KVM_INTERRUPT, request_interrupt_window and ready_for_interrupt_injection.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Activity, activityOf } from '../../../src/arch/x86/processor-reset.ts';
import { Gpr, Rflags, Seg } from '../../../src/arch/x86/registers.ts';
import { EVENT, OFFSET, RegClass } from '../../../src/arch/x86/thread-context.ts';
import { KVM_RUN_EXIT_OFFSET, KvmExitLayouts, KvmExitReason } from '../../../src/host/kvm/abi.ts';
import { KvmSyncX86, KvmVcpuEventParts, KvmVcpuEvents } from '../../../src/host/kvm/abi-x86.ts';
import { exitReady, fakeFullSystem, halt } from '../../support/fake-full-system.ts';
import { EINTR, FakeVcpu, type Step } from '../../support/fake-vcpu.ts';

const WINDOW = KvmExitReason.IRQ_WINDOW_OPEN;
const SIGNAL = KvmExitReason.INTR;
const INJECTED_INTERRUPT = KvmVcpuEvents.at.interrupt + KvmVcpuEventParts.interrupt.at.injected;

/** Notes what KVM was asked for at each entry, then does the step. */
function watching(windows: boolean[], step: Step): Step {
  return (vcpu) => {
    windows.push(vcpu.run.requestInterruptWindow);
    return step(vcpu);
  };
}

/** IF=1 from the first entry on. */
function enableInterrupts(m: ReturnType<typeof fakeFullSystem>): void {
  m.cpu.modifyState(RegClass.general).rflags = Rflags.FIXED | Rflags.IF;
}

/** IA32_X2APIC_APICID */
const X2APIC_ID = 0x802;

test('an external interrupt is injected when KVM is ready, and acknowledged once', async () => {
  const m = fakeFullSystem([exitReady(SIGNAL, true), FakeVcpu.spin]);
  m.at(50_000, () => m.apic.vectors.push(0x31));
  await m.run(1_000_000);
  assert.deepEqual(m.injected(), ['interrupt 49']);
  assert.deepEqual(m.apic.log, ['external 49']);
  assert.equal(m.cpu.stats.numInterrupts.value, 1);
});

test('without readiness a window is asked for; when it opens the interrupt gets in and nothing is asked for', async () => {
  const windows: boolean[] = [];
  const m = fakeFullSystem([
    watching(windows, exitReady(SIGNAL, false)),
    watching(windows, exitReady(WINDOW, true)),
    watching(windows, FakeVcpu.spin),
  ]);
  m.at(50_000, () => m.apic.vectors.push(0x31));
  await m.run(1_000_000);
  assert.deepEqual(windows, [false, true, false]);
  assert.deepEqual(m.injected(), ['interrupt 49']);
});

test('of two interrupts one is injected per entry, and a window is asked for the other', async () => {
  const windows: boolean[] = [];
  const m = fakeFullSystem([
    exitReady(SIGNAL, true),
    watching(windows, exitReady(WINDOW, true)),
    watching(windows, FakeVcpu.spin),
  ]);
  m.at(50_000, () => m.apic.vectors.push(0x31, 0x32));
  await m.run(1_000_000);
  assert.deepEqual(m.injected(), ['interrupt 49', 'interrupt 50']);
  assert.deepEqual(windows, [true, false]);
});

test('an interrupt that is gone when it is to be acknowledged injects nothing', async () => {
  const m = fakeFullSystem([exitReady(SIGNAL, true), FakeVcpu.spin]);
  m.apic.takeExternal = () => {
    m.apic.vectors.length = 0;
    return undefined;
  };
  m.at(50_000, () => m.apic.vectors.push(0x31));
  await m.run(1_000_000);
  assert.deepEqual(m.injected(), []);
});

const LIES: readonly (readonly [what: string, change: (m: ReturnType<typeof fakeFullSystem>) => void])[] = [
  ['RFLAGS.IF was cleared', (m) => (m.cpu.modifyState(RegClass.general).rflags = Rflags.FIXED)],
  ['an STI shadow was set', (m) => setEvent(m, EVENT.interruptShadow, 1)],
  ['an interrupt is on its way already', (m) => setEvent(m, EVENT.interruptInjected, 1)],
  ['an exception is on its way', (m) => setEvent(m, EVENT.exceptionInjected, 1)],
];

function setEvent(m: ReturnType<typeof fakeFullSystem>, event: number, value: number): void {
  m.cpu.modifyState(RegClass.events).u8[OFFSET.events + event] = value;
}

for (const [what, change] of LIES) {
  test(`KVM says ready, but ${what} since: the window is asked for`, async () => {
    const windows: boolean[] = [];
    const m = fakeFullSystem([exitReady(SIGNAL, true), watching(windows, FakeVcpu.spin)]);
    m.at(50_000, () => {
      change(m);
      m.apic.vectors.push(0x31);
    });
    await m.run(1_000_000);
    assert.deepEqual(m.injected(), []);
    assert.deepEqual(windows, [true]);
  });
}

test('KVM says not ready, but interrupts were enabled since: the interrupt gets in', async () => {
  const m = fakeFullSystem([exitReady(SIGNAL, false), FakeVcpu.spin]);
  m.at(50_000, () => {
    enableInterrupts(m);
    m.apic.vectors.push(0x31);
  });
  await m.run(1_000_000);
  assert.deepEqual(m.injected(), ['interrupt 49']);
});

test('at the first entry there is no exit to believe: the thread context decides', async () => {
  const m = fakeFullSystem([FakeVcpu.spin]);
  enableInterrupts(m);
  m.apic.vectors.push(0x31);
  await m.run(1_000_000);
  assert.deepEqual(m.injected(), ['interrupt 49']);
});

test('events that would travel with the entry are given before the injection, not on top of it', async () => {
  const m = fakeFullSystem([exitReady(SIGNAL, true), FakeVcpu.spin]);
  m.at(50_000, () => {
    m.cpu.modifyState(RegClass.events);
    m.apic.nmi = true;
  });
  await m.run(1_000_000);
  assert.deepEqual(m.vcpu.calls.slice(m.vcpu.calls.indexOf('nmi') - 1, m.vcpu.calls.indexOf('nmi') + 1), [
    'set events',
    'nmi',
  ]);
  assert.equal(m.vcpu.entries[1]!.dirtyRegs & KvmSyncX86.EVENTS, 0);
});

test('an NMI gets in whatever RFLAGS.IF says, before an external interrupt', async () => {
  const m = fakeFullSystem([exitReady(SIGNAL, false), exitReady(WINDOW, true), FakeVcpu.spin]);
  m.at(50_000, () => {
    m.apic.nmi = true;
    m.apic.vectors.push(0x31);
  });
  await m.run(1_000_000);
  assert.deepEqual(m.injected(), ['nmi', 'interrupt 49']);
  assert.equal(m.cpu.stats.numInterrupts.value, 2);
});

test('INIT resets what the manual says and parks the processor: the entry does not take place', async () => {
  const m = fakeFullSystem([exitReady(SIGNAL, true), FakeVcpu.spin]);
  m.at(50_000, () => {
    const tc = m.cpu.modifyState(RegClass.all);
    tc.setGprNumber(Gpr.RBX, 5);
    tc.set(OFFSET.cr3, 0x1000n);
    tc.u32[OFFSET.mxcsr >> 2] = 0x1fc0;
    m.apic.init = true;
    m.cpu.wakeup();
  });
  await m.run(1_000_000);
  assert.equal(m.vcpu.entries.length, 1);
  assert.equal(m.cpu.kvmState, 'Idle');
  const tc = m.cpu.readState(RegClass.all);
  assert.equal(tc.gprNumber(Gpr.RBX), 0);
  assert.equal(tc.get(OFFSET.cr3), 0n);
  assert.equal(tc.rip, 0xfff0n);
  assert.equal(tc.u32[OFFSET.mxcsr >> 2], 0x1fc0, 'INIT leaves SSE alone');
  assert.equal(activityOf(tc), Activity.waitForSipi);
  assert.equal(m.cpu.isHaltedForGood, true, 'nobody else is there to send STARTUP');
});

test('INIT comes behind the instruction that KVM still has to complete', async () => {
  const readMsr: Step = (vcpu) => {
    vcpu.time.advance(100);
    vcpu.run.view.setUint32(KVM_RUN_EXIT_OFFSET + KvmExitLayouts.msr.at.index, X2APIC_ID, true);
    return vcpu.exit(KvmExitReason.X86_RDMSR);
  };
  const m = fakeFullSystem([readMsr, () => EINTR, FakeVcpu.spin]);
  m.apic.msrs.set(X2APIC_ID, 0n);
  const { apic } = m;
  const readAndInit = apic.readMsr.bind(apic);
  apic.readMsr = (index) => {
    apic.init = true;
    return readAndInit(index);
  };
  await m.run(1_000_000);
  assert.deepEqual(
    m.vcpu.entries.map(({ immediateExit }) => immediateExit),
    [false, true],
    'the second entry completes RDMSR and executes nothing',
  );
  assert.deepEqual(apic.log, [`rdmsr 0x${X2APIC_ID.toString(16)}`, 'init']);
  assert.equal(m.cpu.kvmState, 'Idle');
});

test('STARTUP starts a parked processor at its page; nothing else does', async () => {
  const m = fakeFullSystem([exitReady(SIGNAL, true), FakeVcpu.spin]);
  const wake = (): void => m.cpu.wakeup();
  m.at(50_000, () => {
    m.apic.init = true;
    wake();
  });
  m.at(200_000, () => {
    m.apic.nmi = true;
    m.apic.vectors.push(0x31);
    wake();
  });
  m.at(400_000, () => {
    assert.equal(m.vcpu.entries.length, 1);
    m.apic.startup = 0x9a;
    wake();
  });
  await m.run(500_000);
  assert.deepEqual(m.apic.log, ['init', 'startup 154']);
  assert.equal(m.vcpu.entries[1]!.rip, 0);
  assert.equal(m.vcpu.entries[1]!.dirtyRegs & KvmSyncX86.REGS, KvmSyncX86.REGS);
  const { u8 } = m.vcpu.run;
  assert.ok(u8.length > 0);
  const cs = m.cpu.readState(RegClass.special).segment(Seg.CS);
  assert.deepEqual([cs.selector, cs.base], [0x9a00, 0x9_a000n]);
});

test('INIT and STARTUP that come together start the processor in the same entry', async () => {
  const m = fakeFullSystem([exitReady(SIGNAL, true), FakeVcpu.spin]);
  m.at(50_000, () => {
    m.apic.init = true;
    m.apic.startup = 2;
  });
  await m.run(500_000);
  assert.deepEqual(m.apic.log, ['init', 'startup 2']);
  assert.deepEqual(m.transitions().slice(-1), ['Running -> Running']);
  assert.equal(m.vcpu.entries[1]!.rip, 0);
});

test('STARTUP to a processor that does not wait for it is lost', async () => {
  const m = fakeFullSystem([exitReady(SIGNAL, true), FakeVcpu.spin]);
  m.at(50_000, () => {
    m.apic.startup = 2;
  });
  await m.run(500_000);
  assert.deepEqual(m.apic.log, ['startup 2']);
  assert.equal(m.vcpu.entries[1]!.rip, m.vcpu.entries[0]!.rip);
});

test('an interrupt that comes between the exit and the service of HLT does not let the thread sleep', async () => {
  const m = fakeFullSystem([halt(true), FakeVcpu.spin]);
  m.at(50_000, () => {
    m.apic.vectors.push(0x31);
    m.cpu.wakeup();
  });
  await m.run(1_000_000);
  assert.ok(!m.transitions().includes('RunningService -> Idle'));
  assert.deepEqual(m.injected(), ['interrupt 49']);
});

test('a halted thread wakes for an interrupt with RFLAGS.IF set, and for nothing else than NMI or INIT without', async () => {
  const woken = async (interruptible: boolean, pend: (m: ReturnType<typeof fakeFullSystem>) => void) => {
    const m = fakeFullSystem([halt(interruptible), FakeVcpu.spin, FakeVcpu.spin]);
    m.at(500_000, () => {
      assert.equal(m.cpu.kvmState, 'Idle');
      pend(m);
      m.cpu.wakeup();
    });
    await m.run(1_000_000);
    return m.cpu.kvmState !== 'Idle';
  };
  assert.equal(await woken(true, (m) => m.apic.vectors.push(0x31)), true);
  assert.equal(await woken(false, (m) => m.apic.vectors.push(0x31)), false);
  assert.equal(
    await woken(false, (m) => {
      m.apic.nmi = true;
    }),
    true,
  );
  assert.equal(await woken(true, () => {}), false, 'a wakeup without anything pending is spurious');
});

test('HLT with interrupts off is for good, with interrupts on it is not', async () => {
  for (const interruptible of [true, false]) {
    const m = fakeFullSystem([halt(interruptible)]);
    await m.run(1_000_000);
    assert.equal(m.cpu.isHaltedForGood, !interruptible);
  }
});

test('what became pending during a drain wakes a halted thread at resume', async () => {
  const m = fakeFullSystem([halt(true), FakeVcpu.spin]);
  await m.run(500_000);
  await m.simulator.drain();
  m.apic.vectors.push(0x31);
  m.simulator.resume();
  await m.run(1_000_000);
  assert.deepEqual(m.injected(), ['interrupt 49']);
});

test('CR8 and the APIC’s base are the controller’s at each entry, and the guest’s changes become the controller’s', async () => {
  const seen: number[] = [];
  const m = fakeFullSystem([
    (vcpu) => {
      seen.push(vcpu.run.cr8, vcpu.run.apicBase);
      vcpu.run.cr8 = 9;
      vcpu.run.apicBase = 0xfee0_0800;
      return exitReady(SIGNAL, true)(vcpu);
    },
    FakeVcpu.spin,
  ]);
  m.apic.cr8 = 3;
  await m.run(1_000_000);
  assert.deepEqual(seen, [3, 0xfee0_0900]);
  assert.deepEqual([m.apic.cr8, m.apic.apicBase], [9, 0xfee0_0800]);
  const tc = m.cpu.readState(RegClass.special);
  assert.deepEqual([tc.get(OFFSET.cr8), tc.get(OFFSET.apicBase)], [9n, 0xfee0_0800n]);
});

test('the local APIC’s page is found wherever the guest has put it', () => {
  const m = fakeFullSystem([], { wiring: { localApic: 0x1_fee0_0000 as never } });
  assert.equal(m.cpu.translateAccess(0xfee0_0080 as never), 0x1_fee0_0080);
  assert.equal(m.cpu.translateAccess(0xfee0_1000 as never), 0xfee0_1000);
  m.apic.apicBase = 0xd000_0900;
  assert.equal(m.cpu.translateAccess(0xd000_0ff0 as never), 0x1_fee0_0ff0);
  assert.equal(m.cpu.translateAccess(0xfee0_0080 as never), 0xfee0_0080);
  m.apic.apicBase = 0xd000_0100;
  assert.equal(m.cpu.translateAccess(0xd000_0080 as never), 0xd000_0080, 'switched off it is nowhere');
});

test('a drain runs to an interrupt window until what was injected is delivered, and injects nothing new', async () => {
  const windows: boolean[] = [];
  const undelivered: Step = (vcpu) => {
    vcpu.stored.set('events', eventsWith(INJECTED_INTERRUPT));
    return exitReady(SIGNAL, true)(vcpu);
  };
  const delivered: Step = (vcpu) => {
    vcpu.stored.set('events', new Uint8Array(KvmVcpuEvents.size));
    return exitReady(WINDOW, true)(vcpu);
  };
  const m = fakeFullSystem([undelivered, watching(windows, undelivered), watching(windows, delivered)], {
    wiring: { kvm: BY_IOCTL },
  });
  await m.run(50_000);
  m.apic.vectors.push(0x31);
  await m.simulator.drain();
  assert.deepEqual(windows, [true, true]);
  assert.deepEqual(m.injected(), []);
  assert.equal(m.event(EVENT.interruptInjected), 0);
  assert.equal(m.cpu.kvmState, 'Idle');
});

/** Events take their ioctl. */
const BY_IOCTL = {
  capability: (): number => KvmSyncX86.REGS | KvmSyncX86.SREGS,
  supportedCpuid: [],
  supportedHyperVCpuid: [],
  msrIndices: [],
};

function eventsWith(at: number): Uint8Array {
  const events = new Uint8Array(KvmVcpuEvents.size);
  events[at] = 1;
  return events;
}
