// Hyper-V's interface on a scripted vCPU: what KVM is told, hypercalls that it hands over, messages and event flags in guest
// memory, MSRs in checkpoints. Layouts and status values: TLFS, "Hypercall Interface", "Inter-Partition Communication".

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HYPER_V_MSRS, type HyperVPorts, HyperVStatus } from '../../../src/arch/x86/hyper-v.ts';
import type { X86KvmCpuParams } from '../../../src/cpu/kvm/x86/x86-kvm-params.ts';
import { KVM_RUN_EXIT_OFFSET, KvmCap, KvmExitLayouts, KvmExitReason } from '../../../src/host/kvm/abi.ts';
import { KvmRegs } from '../../../src/host/kvm/abi-x86.ts';
import type { PhysAddr } from '../../../src/mem/addr.ts';
import { FatalError } from '../../../src/sim/trouble.ts';
import { fakeFullSystem } from '../../support/fake-full-system.ts';
import { FakeIrqchip } from '../../support/fake-irqchip.ts';
import { FAKE_KVM, FakeVcpu, type Step } from '../../support/fake-vcpu.ts';
import { stateOf } from '../../support/state-of.ts';

const [SYNIC, HCALL, SYNDBG] = [1, 2, 3];
const [POST, SIGNAL, FAST] = [0x5c, 0x5d, 0x1_0000];
const TIME_REF_COUNT = 0x4000_0020;
const [SCONTROL, SIEFP, SIMP, EOM] = [0x4000_0080, 0x4000_0082, 0x4000_0083, 0x4000_0084];
const MESSAGES = 0x2000;
const FLAGS = 0x3000;
const INPUT = 0x4000;
const at = KvmExitLayouts.hyperv.at;

/** What hypercalls reach, in words. */
class Ports implements HyperVPorts {
  readonly log: string[] = [];
  postMessage(connection: number, type: number, payload: Uint8Array): HyperVStatus {
    this.log.push(`message ${connection} ${type} ${payload.toHex()}`);
    return HyperVStatus.SUCCESS;
  }
  signalEvent(connection: number, flag: number): HyperVStatus {
    this.log.push(`event ${connection} ${flag}`);
    return HyperVStatus.INSUFFICIENT_BUFFERS;
  }
  endOfMessage(): void {
    this.log.push('end of message');
  }
}

function machine(
  script: readonly Step[] = [],
  prepare?: (vcpu: FakeVcpu) => void,
  params: X86KvmCpuParams = {},
) {
  const irqchip = new FakeIrqchip();
  const clockNs: bigint[] = [];
  const clock = { setClock: (ns: bigint) => clockNs.push(ns), startSeconds: 0 };
  const m = fakeFullSystem([...script, FakeVcpu.spin], {
    params: { hyperV: true, ...params },
    wiring: { interrupts: undefined as never, irqchip, clock },
    ...(prepare === undefined ? {} : { prepare }),
  });
  const ports = new Ports();
  m.cpu.hyperV!.connect(ports);
  const bytes = (address: number, count: number): string => {
    const into = new Uint8Array(count);
    m.memory.read(address as PhysAddr, into);
    return into.toHex();
  };
  /** The guest enables its SynIC. */
  const enable = (): void =>
    m.vcpu.setMsrs(
      Uint32Array.of(SCONTROL, SIMP, SIEFP),
      BigUint64Array.of(1n, BigInt(MESSAGES) | 1n, BigInt(FLAGS) | 1n),
    );
  return { ...m, irqchip, clockNs, ports, bytes, enable, run: () => m.run(1_000_000) };
}

const hyperv =
  (type: number, input = 0, parameter = 0n): Step =>
  (vcpu) => {
    const { view } = vcpu.run;
    view.setUint32(KVM_RUN_EXIT_OFFSET + at.type, type, true);
    view.setBigUint64(KVM_RUN_EXIT_OFFSET + at['u.hcall.input'], BigInt(input), true);
    view.setBigUint64(KVM_RUN_EXIT_OFFSET + at['u.hcall.params'], parameter, true);
    view.setBigUint64(KVM_RUN_EXIT_OFFSET + at['u.hcall.result'], 0xdeadn, true);
    return vcpu.exit(KvmExitReason.HYPERV);
  };

/** The status that a hypercall returns, with the parameters in memory as `words` from INPUT on. */
async function call(input: number, parameter: bigint, words: readonly number[] = [], prepare?: Step) {
  let result = -1n;
  const m = machine([
    (vcpu) => {
      prepare?.(vcpu);
      return hyperv(HCALL, input, parameter)(vcpu);
    },
    (vcpu) => {
      result = vcpu.run.view.getBigUint64(KVM_RUN_EXIT_OFFSET + at['u.hcall.result'], true);
      return FakeVcpu.spin(vcpu);
    },
  ]);
  for (const [i, word] of words.entries()) m.memory.writeU32((INPUT + 4 * i) as PhysAddr, word);
  await m.run();
  return { ...m, status: Number(result) };
}

test('a new vCPU gets its SynIC and power-on values, in an order in which KVM takes them', async () => {
  const m = machine();
  await m.run();
  const given = m.vcpu.calls
    .find((line) => line.startsWith('set msrs 40000000'))!
    .split(' ')
    .slice(2);
  assert.deepEqual(
    given,
    HYPER_V_MSRS.map(({ index }) => index.toString(16)),
  );
  assert.ok(
    given.indexOf('40000000') < given.indexOf('40000001'),
    'the guest OS id before the hypercall page',
  );
  for (const n of [0, 1, 2, 3]) {
    const [config, count] = [0xb0 + 2 * n, 0xb1 + 2 * n].map((low) =>
      given.indexOf(`400000${low.toString(16)}`),
    );
    assert.ok(count! >= 0 && count! < config!, `count ${n} before configuration`);
  }
  assert.ok(m.vcpu.calls.indexOf('enable cap 123') < m.vcpu.calls.indexOf(`set msrs ${given.join(' ')}`));
  const of = (...indices: number[]) => [...m.vcpu.getMsrs(Uint32Array.from(indices))];
  assert.deepEqual(of(SCONTROL, 0x4000_009f, 0x4000_0105), [0n, 0x1_0000n, 1n << 63n]);
  assert.deepEqual(m.irqchip.log, ['sints of 1', 'vcpu 0']);
});

test('what is missing is said in one line', () => {
  const without = (...caps: number[]) => ({
    ...FAKE_KVM,
    capability: (cap?: number) => (caps.includes(cap!) ? 0 : 7),
  });
  const make = (kvm: typeof FAKE_KVM, irqchip?: FakeIrqchip) =>
    fakeFullSystem([], {
      params: { hyperV: true },
      wiring: { kvm, ...(irqchip === undefined ? {} : { interrupts: undefined as never, irqchip }) },
    });
  assert.throws(
    () => make(without(KvmCap.HYPERV_SYNIC, KvmCap.SYS_HYPERV_CPUID), new FakeIrqchip()),
    new FatalError('cpu: hyperV: this KVM lacks KVM_CAP_HYPERV_SYNIC, KVM_CAP_SYS_HYPERV_CPUID'),
  );
  assert.throws(() => make(FAKE_KVM), /^FatalError: cpu: hyperV: only the kernel's .* --irqchip kernel$/);
});

test('a guest without the interface has no trace of it', async () => {
  const m = fakeFullSystem([FakeVcpu.spin]);
  await m.run(1_000_000);
  assert.equal(m.cpu.hyperV, undefined);
  assert.ok(!m.vcpu.calls.some((line) => /enable cap|40000/.test(line)));
});

test('a change of the SynIC’s registers is noted by nobody', async () => {
  const m = machine([hyperv(SYNIC)]);
  await m.run();
  assert.equal(m.vcpu.entries.length, 2);
  assert.equal(m.cpu.stats.numHypercalls.value, 0);
});

test('HvPostMessage hands connection, type and payload to the ports', async () => {
  const m = await call(POST, BigInt(INPUT), [0x18, 0, 0x1234_5678, 8, 0x0403_0201, 0x0807_0605]);
  assert.equal(m.status, HyperVStatus.SUCCESS);
  assert.deepEqual(m.ports.log, [`message 24 ${0x1234_5678} 0102030405060708`]);
  assert.equal(m.cpu.stats.numHypercalls.value, 1);
});

for (const [what, address, words, status] of [
  ['at an odd address', INPUT + 4, [], HyperVStatus.INVALID_ALIGNMENT],
  ['across pages', 0x5000 - 248, [], HyperVStatus.INVALID_ALIGNMENT],
  ['outside RAM', 0x4000_0000, [], HyperVStatus.INVALID_PARAMETER],
  ['beyond all addresses', 2 ** 63, [], HyperVStatus.INVALID_PARAMETER],
  ['of type 0', INPUT, [1, 0, 0, 8], HyperVStatus.INVALID_PARAMETER],
  ['of a type that is the hypervisor’s', INPUT, [1, 0, 0x8000_0010, 8], HyperVStatus.INVALID_PARAMETER],
  ['that is too long', INPUT, [1, 0, 1, 241], HyperVStatus.INVALID_PARAMETER],
] as const)
  test(`a message ${what} is refused with status ${status}`, async () => {
    const m = await call(POST, BigInt(address), words);
    assert.equal(m.status, status);
    assert.deepEqual(m.ports.log, []);
  });

test('HvPostMessage has no fast form, and unknown calls are refused', async () => {
  assert.equal((await call(POST | FAST, 0n)).status, HyperVStatus.INVALID_HYPERCALL_INPUT);
  assert.equal((await call(0x42, 0n)).status, HyperVStatus.INVALID_HYPERCALL_CODE);
});

test('HvSignalEvent hands connection and flag to the ports; what is reserved must be zero', async () => {
  const m = await call(SIGNAL | FAST, 0x3_0000_0022n);
  assert.equal(m.status, HyperVStatus.INSUFFICIENT_BUFFERS, 'what the ports say');
  assert.deepEqual(m.ports.log, ['event 34 3']);
  const refused = await call(SIGNAL | FAST, 1n << 48n);
  assert.equal(refused.status, HyperVStatus.INVALID_HYPERCALL_INPUT);
  assert.deepEqual(refused.ports.log, []);
});

test('HvSignalEvent in memory: the address is in the registers, whatever the exit says', async () => {
  // ECX has the low half of it outside 64-bit mode.
  const m = await call(SIGNAL, 0x22n, [0x22, 0x5], (vcpu) => {
    vcpu.regs.setBigUint64(KvmRegs.at.rcx, BigInt(INPUT), true);
    vcpu.regs.setBigUint64(KvmRegs.at.rbx, 0xffff_ffff_0000_0000n, true);
    return 0;
  });
  assert.deepEqual(m.ports.log, ['event 34 5']);
});

test('without ports there are no connections', async () => {
  let result = 0n;
  const m = fakeFullSystem(
    [
      hyperv(HCALL, SIGNAL | FAST, 1n),
      (vcpu) => {
        result = vcpu.run.view.getBigUint64(KVM_RUN_EXIT_OFFSET + at['u.hcall.result'], true);
        return FakeVcpu.spin(vcpu);
      },
    ],
    { params: { hyperV: true }, wiring: { interrupts: undefined as never, irqchip: new FakeIrqchip() } },
  );
  await m.run(1_000_000);
  assert.equal(Number(result), HyperVStatus.INVALID_CONNECTION_ID);
});

test('an exit of another kind ends the simulation with a report', async () => {
  await assert.rejects(machine([hyperv(SYNDBG)]).run(), /KVM exit that cannot be served .*hyperv, type 0x3/);
});

test('a message fills the slot of its SINT and raises it; an occupied slot is marked and stays', async () => {
  const m = machine();
  await m.run();
  const synic = m.cpu.hyperV!;
  const message = { type: 0x1234_5678, port: 0x18, payload: Uint8Array.of(1, 2, 3) };
  assert.equal(synic.postMessage(8, message), false, 'the SynIC is off');
  m.enable();
  const slot = MESSAGES + 8 * 256;
  m.memory.writeU8((slot + 5) as PhysAddr, 0xff);
  assert.equal(synic.postMessage(8, message), true);
  assert.equal(m.bytes(slot, 20), '78563412 03 00 0000 1800000000000000 01020300'.replaceAll(' ', ''));
  assert.equal(synic.postMessage(8, { ...message, type: 1 }), false);
  assert.equal(m.bytes(slot, 8), '7856341203010000', 'flag 0: a message is pending');
  assert.deepEqual(m.irqchip.log.slice(2), ['vcpu 0 sint 8']);
});

test('an event flag raises its SINT when it was clear', async () => {
  const m = machine();
  await m.run();
  const synic = m.cpu.hyperV!;
  synic.setEventFlag(9, 0x21);
  m.enable();
  for (let i = 0; i < 2; i++) synic.setEventFlag(9, 0x21);
  assert.equal(m.bytes(FLAGS + 9 * 256, 6), '000000000200');
  assert.deepEqual(m.irqchip.log.slice(2), ['vcpu 0 sint 9']);
});

test('pages outside RAM are as good as none', async () => {
  const m = machine();
  await m.run();
  m.enable();
  m.vcpu.setMsrs(Uint32Array.of(SIMP, SIEFP), BigUint64Array.of(0xffff_ffff_ffff_f001n, 0x8000_0001n));
  assert.equal(m.cpu.hyperV!.postMessage(1, { type: 1, port: 1, payload: new Uint8Array(240) }), false);
  m.cpu.hyperV!.setEventFlag(1, 1);
  assert.deepEqual(m.irqchip.log.slice(2), []);
});

test('EOM leaves the guest, reaches the kernel, and then the ports', async () => {
  const m = machine([
    (vcpu) => {
      const { msr } = KvmExitLayouts;
      vcpu.run.view.setUint32(KVM_RUN_EXIT_OFFSET + msr.at.index, EOM, true);
      vcpu.run.msr.error = true;
      vcpu.run.msr.data = 0n;
      vcpu.calls.length = 0;
      return vcpu.exit(KvmExitReason.X86_WRMSR);
    },
  ]);
  let asked = '';
  const forwarded = (): boolean => m.vcpu.calls.includes('set msrs 40000084');
  m.ports.endOfMessage = () => {
    asked = forwarded() ? 'after the kernel' : 'before the kernel';
  };
  const exits = () => m.vcpu.calls.find((line) => line.startsWith('msr exits'));
  m.at(0, () => assert.match(exits()!, / 40000084$/));
  await m.run();
  assert.equal(asked, 'after the kernel');
  assert.equal(m.vcpu.run.u8[KVM_RUN_EXIT_OFFSET + KvmExitLayouts.msr.at.error], 0);
});

test('MSRs and reference time go through a checkpoint, and reach a vCPU that is there or comes', async () => {
  const source = machine();
  await source.run();
  const values = HYPER_V_MSRS.map((_, i) => BigInt(i) * 0x1_0000_0001n + 1n);
  const indices = Uint32Array.from(HYPER_V_MSRS, ({ index }) => index);
  source.vcpu.setMsrs(indices, BigUint64Array.from(values));
  const saved = {
    ...JSON.parse(JSON.stringify(stateOf(source.root)['cpu.hyperV']!.registers)),
    referenceTime: '30000000',
  };

  const restore = (m: ReturnType<typeof machine>) => {
    m.cpu.stateCells.get('paravirtualClock')!.restore(3_000_000_000);
    m.cpu.hyperV!.stateCells.get('registers')!.restore(saved);
    m.cpu.hyperV!.restored();
    if (m.vcpu.entries.length === 0)
      assert.deepEqual(stateOf(m.root)['cpu.hyperV']!.registers, saved, 'it can be saved again at once');
  };
  const comes = machine();
  restore(comes);
  await comes.run();
  assert.deepEqual([...comes.vcpu.getMsrs(indices)], values);
  assert.ok(
    comes.clockNs.length > 0 && comes.clockNs.every((ns) => ns >= 3_000_000_000n),
    'the clock goes on',
  );
  const isThere = machine();
  await isThere.run();
  assert.ok(isThere.clockNs.every((ns) => ns < 1_000_000_000n));
  restore(isThere);
  assert.deepEqual([...isThere.vcpu.getMsrs(indices)], values);
});

/** A machine that goes on from a reference time of 3 s; what it has of it when it is saved 1 µs later. */
async function referenceTime(tsc: 'simulated' | 'host') {
  const m = machine([], undefined, { tsc });
  const registers = () => JSON.parse(JSON.stringify(stateOf(m.root)['cpu.hyperV']!.registers));
  m.cpu.stateCells.get('paravirtualClock')!.restore(3_000_000_000);
  m.cpu.hyperV!.stateCells.get('registers')!.restore({ ...registers(), referenceTime: '30000000' });
  await m.run();
  await m.simulator.drain();
  // Host time that passes before the state is saved.
  m.vcpu.time.advance(5000);
  m.vcpu.setMsrs(Uint32Array.of(TIME_REF_COUNT), BigUint64Array.of(30_000_060n));
  return { clockNs: m.clockNs, saved: registers().referenceTime };
}

test('a reference time that follows simulated time is saved as the guest has seen it', async () => {
  const { saved } = await referenceTime('simulated');
  assert.equal(saved, '30000010');
});

test('one that follows the host goes on, too, and is saved as KVM has it', async () => {
  const { clockNs, saved } = await referenceTime('host');
  assert.deepEqual(clockNs, [3_000_000_000n]);
  assert.equal(saved, '30000060');
});

test('a value that KVM refuses is named', async () => {
  const m = machine([], (vcpu) => vcpu.refusedMsrs.add(SIMP));
  await assert.rejects(m.run(), /cpu\.hyperV: this KVM refuses Hyper-V's MSR SIMP the value 0x0/);
});
