// Hyper-V's synthetic interrupt controller on a real vCPU: messages and event flags reach the guest's handler, the end of a
// message reaches the ports, and all of it survives a checkpoint into a new machine.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { after, describe, test } from 'node:test';
import { HyperVMsr, type HyperVPorts, HyperVStatus } from '../../src/arch/x86/hyper-v.ts';
import { ApicBase } from '../../src/arch/x86/registers.ts';
import { OFFSET, RegClass } from '../../src/arch/x86/thread-context.ts';
import { Kvm } from '../../src/cpu/kvm/kvm.ts';
import { lackingForHyperV } from '../../src/cpu/kvm/x86/hyper-v.ts';
import type { PhysAddr } from '../../src/mem/addr.ts';
import type { Root } from '../../src/sim/root.ts';
import { bareMachine, CODE } from '../support/bare-machine.ts';
import { hypertick, kvmIsMissing, scratchDirectory } from '../support/hypertick.ts';
import { stateOf } from '../support/state-of.ts';

const MS = 1e9;
/** Far beyond what the slowest host needs. */
const LIMIT = 20_000 * MS;
const READY = 'w 0x84 00';
const HANDLED = 'w 0x80 aa';
const HANDLER = 0x2000;
const MESSAGES = 0x5000;
const FLAGS = 0x6000;
const SINT = 2;
const VECTOR = 0x40;
const AUTO_EOI = 1 << 17;
const MESSAGE = { type: 0x1234, port: 7, payload: Uint8Array.of(0xfe) };

const dword = (value: number) => [...new Uint8Array(Uint32Array.of(value).buffer)];
const out = (port: number, value: number) => [0xb0, value, 0xe6, port];
/** mov ecx, index; mov eax, value; xor edx, edx; wrmsr */
const wrmsr = (index: number, value: number) => [
  ...[0x66, 0xb9, ...dword(index), 0x66, 0xb8, ...dword(value)],
  ...[0x66, 0x31, 0xd2, 0x0f, 0x30],
];

/** Enables its SynIC, then halts with interrupts on for ever. */
const PROGRAM = [
  ...wrmsr(0x4000_0090 + SINT, VECTOR | AUTO_EOI),
  ...wrmsr(HyperVMsr.SIMP, MESSAGES | 1),
  ...wrmsr(HyperVMsr.SIEFP, FLAGS | 1),
  ...wrmsr(HyperVMsr.SCONTROL, 1),
  ...out(0x84, 0), // ready
  0xfb, // sti
  0xf4, // hlt
  ...[0xeb, 0xfd], // jmp to the hlt
];
/** Tells, makes the slot free, says so, and returns. */
const HANDLING = [
  ...out(0x80, 0xaa),
  ...[0x66, 0xc7, 0x06, 0x00, 0x52, ...dword(0)], // mov dword [0x5200], 0
  ...wrmsr(HyperVMsr.EOM, 0),
  0xcf, // iret
];

function machine(hyperV = true) {
  const m = bareMachine(after, PROGRAM, { inKernel: true, hasClock: true, params: { hyperV } });
  // SINTs are interrupts of the local APIC.
  const { BSP, DEFAULT_ADDRESS, ENABLE } = ApicBase;
  m.cpu.modifyState(RegClass.special).set(OFFSET.apicBase, BigInt(DEFAULT_ADDRESS + ENABLE + BSP));
  m.memory.write(HANDLER as PhysAddr, Uint8Array.from(HANDLING));
  m.memory.writeU32((4 * VECTOR) as PhysAddr, HANDLER);
  let endsOfMessages = 0;
  const ports: HyperVPorts = {
    postMessage: () => HyperVStatus.INVALID_CONNECTION_ID,
    signalEvent: () => HyperVStatus.INVALID_CONNECTION_ID,
    endOfMessage: () => {
      endsOfMessages++;
    },
  };
  m.cpu.hyperV?.connect(ports);
  /** Simulates until the guest has written this. Until then it may sleep in the kernel, in host time. */
  const runUntil = async (wanted: string): Promise<void> => {
    m.device.onAccess = (seen) => {
      if (seen === wanted) m.simulator.requestExit(wanted);
    };
    assert.equal((await m.run(LIMIT)).cause, wanted);
  };
  const afterwards = (callback: () => void): void => m.at(Number(m.root.curTick) + 20 * MS, callback);
  return { ...m, runUntil, afterwards, endsOfMessages: () => endsOfMessages };
}

interface SavedRegisters {
  readonly msrs: Readonly<Record<string, string>>;
  readonly referenceTime: string;
}

const registersOf = (root: Root) => stateOf(root)['cpu.hyperV']!.registers as unknown as SavedRegisters;

function whyNot(): string | false {
  const missing = kvmIsMissing();
  if (missing !== false) return missing;
  const kvm = Kvm.open();
  const lacking = lackingForHyperV(kvm);
  kvm.close();
  return lacking.length > 0 && `this KVM lacks ${lacking.join(', ')}`;
}

const skip = whyNot();

describe('the SynIC', () => {
  test('messages interrupt the halted guest one by one; what waits comes at the end of the message before', {
    skip,
  }, async () => {
    const m = machine();
    await m.runUntil(READY);
    const posted: boolean[] = [];
    const post = (): void => {
      posted.push(m.cpu.hyperV!.postMessage(SINT, MESSAGE));
    };
    m.afterwards(() => {
      post();
      post();
    });
    await m.runUntil(HANDLED);
    assert.deepEqual(posted, [true, false], 'the slot is occupied');
    m.afterwards(post);
    await m.runUntil(HANDLED);
    assert.deepEqual(posted, [true, false, true]);
    assert.ok(m.endsOfMessages() >= 1);
    assert.deepEqual(m.device.log, [READY, HANDLED, HANDLED]);
    assert.equal(m.memory.readU8((MESSAGES + SINT * 256 + 16) as PhysAddr), 0xfe);
  });

  test('an event flag interrupts it when it is set, and not again', { skip }, async () => {
    const m = machine();
    await m.runUntil(READY);
    m.afterwards(() => m.cpu.hyperV!.setEventFlag(SINT, 10));
    await m.runUntil(HANDLED);
    assert.equal(m.memory.readU8((FLAGS + SINT * 256 + 1) as PhysAddr), 4);
    m.cpu.hyperV!.setEventFlag(SINT, 10);
    await m.run(Number(m.root.curTick) + 40 * MS);
    assert.deepEqual(m.device.log, [READY, HANDLED]);
  });

  test('a checkpoint goes on in a new machine with its SynIC, and is refused by one without', {
    skip,
  }, async (t) => {
    const directory = scratchDirectory(t);
    const source = machine();
    await source.runUntil(READY);
    await source.simulator.drain();
    const saved = registersOf(source.root);
    await source.simulator.checkpoint(`${directory}/cpt`);

    const target = machine();
    target.memory.writeU32(CODE as PhysAddr, 0);
    target.simulator.restore(`${directory}/cpt`);
    target.afterwards(() => target.cpu.hyperV!.postMessage(SINT, MESSAGE));
    await target.runUntil(HANDLED);
    assert.deepEqual(target.device.log, [HANDLED]);
    await target.simulator.drain();
    const { VP_RUNTIME: before, ...held } = saved.msrs;
    const restored = registersOf(target.root);
    const { VP_RUNTIME: now, ...holds } = restored.msrs;
    assert.deepEqual(holds, held);
    assert.equal(holds.SIMP, String(MESSAGES | 1));
    assert.ok(BigInt(now!) >= BigInt(before!), 'the processor’s own run time goes on');
    assert.ok(
      BigInt(restored.referenceTime) >= BigInt(saved.referenceTime),
      'and so does the reference time',
    );

    assert.throws(() => machine(false).simulator.restore(`${directory}/cpt`), /cpu\.hyperV.*no such object/);
  });
});

describe('a guest that tells its hypervisor', () => {
  // In protected mode: mov ecx, index; mov eax, low; mov edx, high; wrmsr; hlt
  const image = (index: number, low: number, high: number) =>
    Uint8Array.from([
      ...[0xb9, ...dword(index), 0xb8, ...dword(low), 0xba, ...dword(high)],
      ...[0x0f, 0x30, 0xf4],
    ]);
  for (const [what, guest, message] of [
    ['to reset it', image(0x4000_0003, 1, 0), /the guest reset the machine/],
    ['that it crashed', image(0x4000_0105, 0, 0x8000_0000), /tells its hypervisor that it crashed/],
  ] as const)
    test(`${what} ends the machine: 122`, { skip }, (t) => {
      const directory = scratchDirectory(t);
      writeFileSync(`${directory}/guest`, guest);
      const options = ['--cpu', 'kvm', '--irqchip', 'kernel', '--param', 'board.cpu.hyperV=true'];
      const { status, stderr } = hypertick(
        ['boot', ...options, '--outdir', `${directory}/out`, `${directory}/guest`],
        { input: '' },
      );
      assert.equal(status, 122, stderr);
      assert.match(stderr, message);
    });
});
