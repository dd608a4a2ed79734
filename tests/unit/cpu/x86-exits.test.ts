// Exits of a whole machine over a scripted vCPU: MSRs, hypercalls, ends of the machine, and what is said about exits that
// nothing can serve. Linux api.rst, section 5.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MsrIndex } from '../../../src/arch/x86/msrs.ts';
import { initProcessor } from '../../../src/arch/x86/processor-reset.ts';
import { Cr4, Gpr, Seg } from '../../../src/arch/x86/registers.ts';
import { SegmentPreset } from '../../../src/arch/x86/segments.ts';
import { RegClass, X86ThreadContext } from '../../../src/arch/x86/thread-context.ts';
import { nameEntryFailure } from '../../../src/cpu/kvm/x86/exit-reports.ts';
import {
  KVM_RUN_EXIT_OFFSET,
  KvmExitLayouts,
  KvmExitReason,
  KvmInternalError,
  KvmSystemEvent,
} from '../../../src/host/kvm/abi.ts';
import { KvmSregs } from '../../../src/host/kvm/abi-x86.ts';
import { KVM_RUN_HYPERCALL_RET_OFFSET } from '../../../src/host/kvm/run.ts';
import type { PhysAddr } from '../../../src/mem/addr.ts';
import { FatalError } from '../../../src/sim/trouble.ts';
import { exitReady, fakeFullSystem } from '../../support/fake-full-system.ts';
import { FAKE_KVM, FakeVcpu, type Step } from '../../support/fake-vcpu.ts';

const AT = KVM_RUN_EXIT_OFFSET;

function msrExit(reason: number, index: number, data = 0n): Step {
  return (vcpu) => {
    const { at } = KvmExitLayouts.msr;
    vcpu.run.view.setUint32(AT + at.index, index, true);
    vcpu.run.view.setBigUint64(AT + at.data, data, true);
    vcpu.run.u8[AT + at.error] = 0x55;
    return exitReady(reason, false)(vcpu);
  };
}
const rdmsr = (index: number): Step => msrExit(KvmExitReason.X86_RDMSR, index);
const wrmsr = (index: number, data: bigint): Step => msrExit(KvmExitReason.X86_WRMSR, index, data);

/** Notes how an MSR exit was answered, and spins. */
function answer(into: { error?: number; data?: bigint }): Step {
  return (vcpu) => {
    const { at } = KvmExitLayouts.msr;
    into.error = vcpu.run.u8[AT + at.error]!;
    into.data = vcpu.run.view.getBigUint64(AT + at.data, true);
    return FakeVcpu.spin(vcpu);
  };
}

test('MSRs of x2APIC and the TSC deadline go to the controller, both ways', async () => {
  const read: { error?: number; data?: bigint } = {};
  const m = fakeFullSystem([rdmsr(0x802), wrmsr(0x6e0, 0x1234n), answer(read)]);
  m.apic.msrs.set(0x802, 7n).set(0x6e0, 0n);
  await m.run(1_000_000);
  assert.deepEqual(m.apic.log, ['rdmsr 0x802', 'wrmsr 0x6e0 0x1234']);
  assert.equal(read.error, 0);
  assert.equal(m.apic.msrsReachable, true);
  assert.ok(m.vcpu.calls.includes('msr exits 6e0 10 3b'), 'asked for before the vCPU is made');
});

test('what the controller refuses and MSRs that nobody knows raise #GP, said once per MSR', async () => {
  const first: { error?: number } = {};
  const script = [rdmsr(0x830), rdmsr(0x345), rdmsr(0x345), wrmsr(0x345, 1n), answer(first)];
  const m = fakeFullSystem(script, { debugFlags: 'KvmIO' });
  await m.run(1_000_000);
  assert.equal(first.error, 1);
  const said = m.lines.filter((line) => line.includes('#GP')).map((line) => line.split(': ').at(-1));
  assert.deepEqual(said, ['RDMSR of 0x830 raises #GP', 'RDMSR of 0x345 raises #GP']);
});

test('a guest that writes its TSC gets what it wrote, backwards too', async () => {
  let tsc = 0n;
  const m = fakeFullSystem([
    wrmsr(MsrIndex.TSC, 5n),
    (vcpu) => {
      tsc = vcpu.tsc;
      return FakeVcpu.spin(vcpu);
    },
  ]);
  await m.run(1_000_000);
  assert.ok(tsc >= 5n && tsc <= 6n, `${tsc}`);
});

test('TSC_ADJUST and the TSC move each other, and the APIC hears of it', async () => {
  const seen: bigint[] = [];
  const m = fakeFullSystem([
    wrmsr(MsrIndex.TSC_ADJUST, 5000n),
    (vcpu) => {
      seen.push(vcpu.tsc);
      return wrmsr(MsrIndex.TSC, 1_000_000n)(vcpu);
    },
    FakeVcpu.spin,
  ]);
  let changes = 0;
  Object.assign(m.apic, { tscChanged: () => changes++ });
  await m.run(1_000_000);
  // 100 ns for each exit, at a cycle per nanosecond, and clock periods.
  assert.ok(seen[0]! >= 5100n && seen[0]! <= 5103n, `${seen[0]}`);
  const adjust = Number(m.vcpu.getMsrs(Uint32Array.of(MsrIndex.TSC_ADJUST))[0]);
  assert.ok(adjust >= 999_795 && adjust <= 999_800, `${adjust}`);
  assert.equal(changes, 2);
});

test('without MSR exits the local APIC’s MSRs cannot be reached', () => {
  const m = fakeFullSystem([], { wiring: { kvm: { ...FAKE_KVM, capability: () => 0 } } });
  assert.equal(m.apic.msrsReachable, false);
});

test('an MSR that KVM lists and refuses is left out with a warning; those behind it are written', async () => {
  const m = fakeFullSystem([FakeVcpu.spin], { prepare: (vcpu) => vcpu.refusedMsrs.add(0xc000_0081) });
  const tc = m.cpu.modifyState(RegClass.msr);
  tc.setMsr(0xc000_0081, 1n);
  tc.setMsr(0xc000_0082, 2n);
  await m.run(1_000_000);
  assert.match(m.warnings.join(), /does not take MSR STAR/);
  assert.deepEqual(m.vcpu.getMsrs(Uint32Array.of(0xc000_0082)), BigUint64Array.of(2n));
});

test('an unknown hypercall returns −KVM_ENOSYS', async () => {
  let result = 0n;
  const m = fakeFullSystem([
    exitReady(KvmExitReason.HYPERCALL, false),
    (vcpu) => {
      result = vcpu.run.view.getBigInt64(KVM_RUN_HYPERCALL_RET_OFFSET, true);
      return FakeVcpu.spin(vcpu);
    },
  ]);
  await m.run(1_000_000);
  assert.equal(result, -1000n);
  assert.equal(m.cpu.stats.numHypercalls.value, 1);
});

test('shutdown and system events end the simulation with a cause; nothing runs afterwards', async () => {
  const systemEvent =
    (type: number): Step =>
    (vcpu) => {
      vcpu.run.view.setUint32(AT + KvmExitLayouts.system_event.at.type, type, true);
      return exitReady(KvmExitReason.SYSTEM_EVENT, false)(vcpu);
    };
  for (const [step, cause] of [
    [exitReady(KvmExitReason.SHUTDOWN, false), 'triple fault'],
    [systemEvent(KvmSystemEvent.RESET), 'system reset'],
    [systemEvent(KvmSystemEvent.CRASH), 'system crash'],
    [systemEvent(5), 'system event 5'],
  ] as const) {
    const m = fakeFullSystem([step]);
    assert.equal((await m.run(1_000_000)).cause, cause);
    assert.equal(m.cpu.kvmState, 'Idle');
    m.cpu.wakeup();
    assert.equal(m.cpu.kvmState, 'Idle', 'an interrupt does not bring it back');
    assert.equal(m.warnings.length, 1);
  }
});

test('a debug exit is an exit event, and the guest can go on', async () => {
  const m = fakeFullSystem([exitReady(KvmExitReason.DEBUG, false), FakeVcpu.spin]);
  assert.equal((await m.run(1_000_000)).cause, 'debug exit');
  assert.equal((await m.run(1_000_000)).cause, 'simulate() limit reached');
});

async function failure(step: Step): Promise<string> {
  const m = fakeFullSystem([step]);
  const tc = m.cpu.modifyState(RegClass.all);
  tc.setSegment(Seg.CS, { ...SegmentPreset.realModeCode, selector: 0x10, base: 0x100n });
  tc.rip = 0x20n;
  m.memory.write(0x120 as PhysAddr, Uint8Array.of(0x0f, 0xc7, 0x08));
  let message = '';
  await assert.rejects(m.run(1_000_000), (error) => {
    message = error instanceof FatalError ? error.message : '';
    return error instanceof FatalError;
  });
  assert.match(m.lines.join(), /state of the vCPU:\n-- integer/);
  return message;
}

function internalError(suberror: number): Step {
  return (vcpu) => {
    vcpu.run.view.setUint32(AT + KvmExitLayouts.internal.at.suberror, suberror, true);
    vcpu.run.view.setUint32(AT + KvmExitLayouts.internal.at.ndata, 0, true);
    return vcpu.exit(KvmExitReason.INTERNAL_ERROR);
  };
}

test('an instruction that KVM cannot emulate is shown with its linear address and bytes', async () => {
  const message = await failure(internalError(KvmInternalError.EMULATION));
  assert.match(message, /instruction at 0x120, bytes 0f c7 08 00 /);
});

test('another internal error is named', async () => {
  assert.match(
    await failure(internalError(KvmInternalError.DELIVERY_EV)),
    /at 0x120: internal error DELIVERY_EV/,
  );
});

test('a failed entry names the hardware’s reason and the rules that the state breaks', async () => {
  const step: Step = (vcpu) => {
    const { at } = KvmExitLayouts.fail_entry;
    vcpu.run.view.setBigUint64(AT + at.hardware_entry_failure_reason, 0x8000_0021n, true);
    vcpu.run.syncRegs.sregs[KvmSregs.at.cr4 + 2]! |= Cr4.PCIDE >> 16;
    return vcpu.exit(KvmExitReason.FAIL_ENTRY);
  };
  const message = await failure(step);
  assert.match(message, /VMX: invalid guest state/);
  assert.match(
    message,
    /at 0x120; it breaks: CR4\.PCIDE needs EFER\.LMA \(SDM vol\. 3 §26\.3\.1\.1; is 0x20000\)/,
  );
});

test('reasons of failed entries', () => {
  assert.equal(nameEntryFailure(0x8000_0022n), 'VMX: an MSR could not be loaded');
  assert.equal(nameEntryFailure(0xffff_ffff_ffff_ffffn), 'SVM: invalid guest state');
  assert.equal(nameEntryFailure(7n), 'VMX: invalid control fields');
  assert.equal(nameEntryFailure(0xdeadn), 'a reason of the host kernel');
});

test('segments are made legal before they are written', async () => {
  let type = -1;
  const m = fakeFullSystem([FakeVcpu.spin]);
  const tc = m.cpu.modifyState(RegClass.special);
  tc.setSegment(Seg.DS, { ...SegmentPreset.realMode, attributes: SegmentPreset.realMode.attributes & ~1 });
  await m.run(1_000_000);
  type = m.cpu.readState(RegClass.special).segment(Seg.DS).attributes & 0xf;
  assert.equal(type, 3, 'the accessed bit');
});

test('INIT keeps what the manual says that it keeps', () => {
  const tc = new X86ThreadContext();
  tc.powerOn();
  tc.set(0x170, 0x2000_0011n);
  tc.setMsr(MsrIndex.LSTAR, 9n);
  tc.set(0x1a8, 7n);
  initProcessor(tc, 0x806f8);
  assert.equal(tc.get(0x170), 0x2000_0010n, 'CR0.NW and CD');
  assert.equal(tc.msr(MsrIndex.LSTAR), 9n);
  assert.equal(tc.get(0x1a8), 7n, 'XCR0');
  assert.equal(tc.gprNumber(Gpr.RDX), 0x806f8);
  const fresh = new X86ThreadContext();
  fresh.powerOn();
  fresh.setGprNumber(Gpr.RDX, 0x806f8);
  const differ = tc.diff(fresh).map(({ name }) => name);
  assert.deepEqual(differ, ['cr0', 'xcr0', 'msr.LSTAR', 'event.activity']);
});
