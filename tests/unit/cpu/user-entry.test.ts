// Where user code stands after each kind of return from KVM, and what user code cannot do: on a scripted vCPU, in ring 0
// of the stub as on hardware, or in ring 3 as under PVM.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Gpr, Seg } from '../../../src/arch/x86/registers.ts';
import { RegClass, type X86ThreadContext } from '../../../src/arch/x86/thread-context.ts';
import { STUB_VIRTUAL } from '../../../src/cpu/kvm/x86/user-stub.ts';
import { KvmExitReason } from '../../../src/host/kvm/abi.ts';
import { KvmVcpuEvents } from '../../../src/host/kvm/abi-x86.ts';
import { FatalError } from '../../../src/sim/trouble.ts';
import { CODE, exitWith, fakeMachine, syscall } from '../../support/fake-machine.ts';
import { EINTR, FakeVcpu, type Step } from '../../support/fake-vcpu.ts';

const USER_CODE = 0x33;
const AT_OUT = STUB_VIRTUAL;
const AT_SYSRET = STUB_VIRTUAL + 2;
const EXCEPTION_ENTRIES = STUB_VIRTUAL + 4096;
const SYSCALL_PORT = 0xe0;
const NOT_CANONICAL = 0x8000_0000_0000;

type Registers = { rip?: number; rcx?: number; r11?: number; cpl?: number };

function place(vcpu: FakeVcpu, { rip = CODE, rcx = CODE + 7, r11 = 0x202, cpl = 3 }: Registers): void {
  vcpu.setReg('rip', rip);
  vcpu.setReg('rcx', rcx);
  vcpu.setReg('r11', r11);
  vcpu.setCpl(cpl);
}

/** The timer ends the run with the guest at this place. */
const interruptedAt =
  (registers: Registers): Step =>
  (vcpu) => {
    place(vcpu, registers);
    return FakeVcpu.spin(vcpu);
  };

/** An access to a port from this place. */
const portAt =
  (registers: Registers, access: (vcpu: FakeVcpu) => number): Step =>
  (vcpu) => {
    vcpu.time.advance(100);
    place(vcpu, registers);
    return access(vcpu);
  };

/** Runs up to 1 µs, where the first entry has ended by the timer; returns the machine and user code's registers. */
async function interrupted(registers: Registers) {
  const m = fakeMachine([interruptedAt(registers), FakeVcpu.spin]);
  m.at(0, () => m.cpu.activateContext());
  await m.run(1_000_000);
  return m;
}

test('interrupted in front of the stub’s OUT, user code is in front of its SYSCALL', async () => {
  for (const cpl of [0, 3]) {
    const m = await interrupted({ rip: AT_OUT, cpl });
    assert.equal(m.cpu.canSwitchThread, true);
    const tc = m.cpu.readState(RegClass.general | RegClass.special);
    assert.equal(tc.ripNumber, CODE + 5);
    assert.equal(tc.rflags, 0x202);
    assert.equal(tc.segment(Seg.CS).selector, USER_CODE);
    assert.equal(tc.cpl, 3);
  }
});

test('interrupted in front of SYSRETQ in ring 0, user code is behind its SYSCALL', async () => {
  const m = await interrupted({ rip: AT_SYSRET, cpl: 0 });
  assert.equal(m.cpu.canSwitchThread, true);
  const tc = m.cpu.readState(RegClass.general | RegClass.special);
  assert.equal(tc.ripNumber, CODE + 7);
  assert.equal(tc.cpl, 3);
});

test('interrupted in an exception entry, the thread cannot be replaced before the exit has come', async () => {
  const m = await interrupted({ rip: EXCEPTION_ENTRIES + 14 * 16, cpl: 0 });
  assert.equal(m.cpu.canSwitchThread, false);
});

test('an exception that KVM has queued holds the thread', async () => {
  const m = await interrupted({});
  const events = new Uint8Array(KvmVcpuEvents.size);
  events[KvmVcpuEvents.at.exception] = 1;
  m.vcpu.stored.set('events', events);
  assert.equal(m.cpu.canSwitchThread, false);
});

test('draining runs on until a queued exception has been delivered', async () => {
  const m = fakeMachine([interruptedAt({}), syscall(1)]);
  const events = new Uint8Array(KvmVcpuEvents.size);
  events[KvmVcpuEvents.at.exception] = 1;
  m.at(0, () => m.cpu.activateContext());
  await m.run(1_000_000);
  m.vcpu.stored.set('events', events);
  m.os.onSyscall = () => {
    m.vcpu.stored.set('events', new Uint8Array(KvmVcpuEvents.size));
  };
  await m.simulator.drain();
  assert.equal(m.os.log.length, 1, 'the guest has run on');
  assert.equal(m.vcpu.entries[1]!.immediateExit, false);
  assert.equal(m.cpu.kvmState, 'Idle');
});

test('ring 0 in the stub returns by SYSRETQ: only the general registers are given, with the stub’s RIP', async () => {
  let ripInside = 0;
  const m = fakeMachine([
    syscall(39, { cpl: 0 }),
    (vcpu) => {
      ripInside = tc?.ripNumber ?? 0;
      return FakeVcpu.spin(vcpu);
    },
  ]);
  let tc: X86ThreadContext | undefined;
  m.os.onSyscall = (general, cpu) => {
    general.setGprNumber(Gpr.RAX, 9);
    tc = cpu.readState(RegClass.special);
    assert.deepEqual([tc.cpl, tc.segment(Seg.CS).selector], [3, USER_CODE], 'the system sees ring 3');
  };
  m.at(0, () => m.cpu.activateContext());
  await m.run(2_000_000);
  const entry = m.vcpu.entries[1]!;
  assert.deepEqual([entry.rip, entry.rax, entry.dirtyRegs], [AT_SYSRET, 9, 1], 'KVM_SYNC_X86_REGS alone');
  assert.equal(ripInside, CODE + 7, 'the thread context keeps user code’s');
});

const FULL_RETURNS: Readonly<Record<string, (tc: X86ThreadContext) => void>> = {
  'another return address': (tc) => {
    tc.ripNumber = CODE + 0x40;
  },
  'other flags': (tc) => {
    tc.rflags = 0x246;
  },
  'other segments': (tc) => tc.setSegmentBase(Seg.FS, 0x1234n),
};
for (const [what, change] of Object.entries(FULL_RETURNS)) {
  test(`${what}: ring 0 in the stub is left with all registers of ring 3`, async () => {
    const m = fakeMachine([syscall(15, { cpl: 0 }), FakeVcpu.spin]);
    m.os.onSyscall = (tc, cpu) => {
      if (what === 'other segments') cpu.modifyState(RegClass.special);
      change(tc);
    };
    m.at(0, () => m.cpu.activateContext());
    await m.run(2_000_000);
    const { dirtyRegs, cs, cpl, rip } = m.vcpu.entries[1]!;
    assert.deepEqual([dirtyRegs, cs, cpl], [3, USER_CODE, 3], 'REGS and SREGS');
    assert.notEqual(rip, AT_SYSRET);
  });
}

test('a drain behind a system call in ring 0 leaves user code’s registers', async () => {
  const m = fakeMachine([syscall(39, { cpl: 0 })]);
  m.os.onSyscall = () => {};
  m.at(0, () => m.cpu.activateContext());
  await m.run(100_000);
  await m.simulator.drain();
  const tc = m.cpu.readState(RegClass.all);
  assert.deepEqual([tc.ripNumber, tc.cpl, tc.segment(Seg.CS).selector], [CODE + 7, 3, USER_CODE]);
});

test('user code that jumps into the stub chooses no privileged flags', async () => {
  const m = fakeMachine([
    portAt({ rip: AT_SYSRET, r11: 0xffff_ffff }, (v) => v.portOut(SYSCALL_PORT)),
    FakeVcpu.spin,
  ]);
  m.os.onSyscall = () => {};
  m.at(0, () => m.cpu.activateContext());
  await m.run(2_000_000);
  // SDM vol. 1 §3.4.3: CF PF AF ZF SF TF DF OF NT RF AC ID, IF set, bit 1 set; IOPL, VM, VIF, VIP and reserved bits clear.
  assert.equal(m.vcpu.entries[1]!.rflags, 0x25_4fd7);
});

test('an access to the stub’s port from elsewhere makes no system call; reading gives ones', async () => {
  const m = fakeMachine([
    portAt({ rip: CODE + 2 }, (v) => v.portOut(SYSCALL_PORT)),
    portAt({ rip: AT_SYSRET }, (v) => v.portIn(SYSCALL_PORT)),
    portAt({ rip: CODE + 2 }, (v) => v.portOut(0xce)),
    FakeVcpu.spin,
  ]);
  m.at(0, () => m.cpu.activateContext());
  await m.run(3_000_000);
  assert.deepEqual(m.os.log, []);
  assert.equal(m.vcpu.run.u8[4096], 0xff);
  assert.equal(m.cpu.stats.numIO.value, 3);
});

test('an address that no processor accepts is a #GP of the program, and is not entered', async () => {
  const m = fakeMachine([syscall(15), FakeVcpu.spin]);
  m.os.onSyscall = (tc) => {
    tc.ripNumber = NOT_CANONICAL;
  };
  m.os.onException = (e, cpu) => {
    assert.equal(e.vector, 13);
    cpu.modifyState(RegClass.general).ripNumber = CODE + 0x20;
  };
  m.at(0, () => m.cpu.activateContext());
  await m.run(2_000_000);
  assert.deepEqual(m.os.log.slice(1), [`exception 13 at 0x${NOT_CANONICAL.toString(16)}`]);
  assert.equal(m.vcpu.entries[1]!.rip, CODE + 0x20);
});

test('exits that nothing serves end with one line that names them, and the state in the trace', async () => {
  for (const [reason, text] of [
    [KvmExitReason.SHUTDOWN, /shutdown/i],
    [KvmExitReason.FAIL_ENTRY, /entry failed/i],
    [KvmExitReason.INTERNAL_ERROR, /internal/i],
  ] as const) {
    const m = fakeMachine([exitWith(reason)]);
    m.at(0, () => m.cpu.activateContext());
    await assert.rejects(
      m.run(2_000_000),
      (error) => error instanceof FatalError && text.test(error.message),
    );
    assert.match(m.lines.join('\n'), /rip 0x/);
  }
});

test('EINTR without our signal is an ordinary signal exit', async () => {
  const m = fakeMachine([() => EINTR, FakeVcpu.spin]);
  m.at(0, () => m.cpu.activateContext());
  await m.run(2_000_000);
  assert.equal(m.cpu.stats.numExitSignal.value, 2);
});
