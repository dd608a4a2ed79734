// A whole machine on a real vCPU, in real mode: port and MMIO exits, interrupts through the window protocol, NMI, INIT and
// STARTUP, halts, MSR exits and the ends of a machine. Expected values follow from the code's bytes (SDM vol. 2) and the
// manual's rules for interrupts (SDM vol. 3 §6).

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { Cr0, Gpr, Rflags, Seg } from '../../src/arch/x86/registers.ts';
import { SegmentAttribute, SegmentPreset } from '../../src/arch/x86/segments.ts';
import {
  EVENT,
  OFFSET,
  RegClass,
  SEGMENT,
  type X86ThreadContext,
} from '../../src/arch/x86/thread-context.ts';
import type { PhysAddr } from '../../src/mem/addr.ts';
import { FatalError } from '../../src/sim/trouble.ts';
import { bareMachine, CODE } from '../support/bare-machine.ts';
import { kvmIsMissing } from '../support/hypertick.ts';

const MS = 1e9;
const HLT = [0xf4];
const STI = [0xfb];
const CLI = [0xfa];
const IRET = [0xcf];
/** jmp to itself */
const SPIN = [0xeb, 0xfe];
/** out imm8, al */
const out = (port: number) => [0xe6, port];
/** mov al, imm8 */
const movAl = (value: number) => [0xb0, value];
/** Where handlers are put. */
const HANDLER = 0x2000;
const VECTOR = 0x40;

/** A machine whose vector {@link VECTOR} and NMI lead to a handler that writes to port 0x80 and returns. */
function machine(code: readonly number[], debugFlags = '') {
  const m = bareMachine(after, code, { debugFlags });
  const put = (address: number, bytes: readonly number[]) =>
    m.memory.write(address as PhysAddr, Uint8Array.from(bytes));
  put(HANDLER, [...movAl(0xee), ...out(0x80), ...IRET]);
  put(HANDLER + 0x100, [...movAl(0xdd), ...out(0x81), ...IRET]);
  for (const [vector, handler] of [
    [VECTOR, HANDLER],
    [VECTOR + 1, HANDLER],
    [2, HANDLER + 0x100],
  ] as const)
    m.memory.writeU32((vector * 4) as PhysAddr, handler);
  return { ...m, put };
}

/** Protected mode with flat segments and an empty IDT. */
function protectedMode(tc: X86ThreadContext): void {
  tc.set(OFFSET.cr0, BigInt(Cr0.PE | Cr0.ET));
  const kernelCode32 = SegmentPreset.kernelData.attributes | SegmentAttribute.CODE;
  tc.setSegment(Seg.CS, { ...SegmentPreset.kernelData, attributes: kernelCode32, selector: 8 });
  for (const segment of [Seg.SS, Seg.DS, Seg.ES])
    tc.setSegment(segment, { ...SegmentPreset.kernelData, selector: 16 });
  tc.u32[(OFFSET.idtr + SEGMENT.tableLimit) >> 2] = 0;
}

describe('a whole machine', { skip: kvmIsMissing() }, () => {
  test('port accesses reach the device at their port’s address, and what is read comes back', async () => {
    const m = machine([0xba, 0xf8, 3, ...movAl(0x41), 0xee, 0xec, ...out(0x80), ...HLT]);
    m.device.answers.push(0x5a);
    await m.run(100 * MS);
    assert.deepEqual(m.device.log, ['w 0x3f8 41', 'r 0x3f8 5a', 'w 0x80 5a']);
    assert.equal(m.cpu.stats.numIO.value, 3);
  });

  test('string output of five bytes is one exit and five writes', async () => {
    // mov si, 0x3000; mov cx, 5; mov dx, 0x80; rep outsb
    const m = machine([0xbe, 0, 0x30, 0xb9, 5, 0, 0xba, 0x80, 0, 0xf3, 0x6e, ...HLT]);
    m.put(0x3000, [1, 2, 3, 4, 5]);
    await m.run(100 * MS);
    assert.deepEqual(
      m.device.log,
      [1, 2, 3, 4, 5].map((value) => `w 0x80 0${value}`),
    );
    assert.equal(m.cpu.readState(RegClass.general).gprNumber(Gpr.RCX), 0);
  });

  test('HLT with interrupts off stops the machine for good, and says so', async () => {
    const m = machine([...CLI, ...HLT]);
    await m.run(300 * MS);
    assert.equal(m.cpu.isHaltedForGood, true);
    m.apic.vectors.push(VECTOR);
    m.cpu.wakeup();
    await m.run(400 * MS);
    assert.equal(m.cpu.kvmState, 'Idle', 'an interrupt that the processor does not take wakes nobody');
  });

  test('an interrupt ends HLT, runs its handler, and the code goes on behind HLT', async () => {
    const m = machine([...STI, ...HLT, ...movAl(1), ...out(0x82), ...CLI, ...HLT]);
    m.at(500 * MS, () => {
      m.apic.vectors.push(VECTOR);
      m.cpu.wakeup();
    });
    await m.run(900 * MS);
    assert.deepEqual(m.device.log, ['w 0x80 ee', 'w 0x82 01']);
    assert.equal(m.cpu.stats.numInterrupts.value, 1);
    assert.equal(m.cpu.stats.numHalt.value, 2);
  });

  test('an interrupt that is pending when the processor halts ends the halt', async () => {
    const m = machine([...movAl(0), ...out(0x83), ...STI, ...HLT, ...out(0x82), ...CLI, ...HLT]);
    // In the shadow of STI the interrupt comes behind HLT.
    m.device.onAccess = (line) => {
      if (line.startsWith('w 0x83')) m.apic.vectors.push(VECTOR);
    };
    await m.run(900 * MS);
    assert.deepEqual(m.device.log, ['w 0x83 00', 'w 0x80 ee', 'w 0x82 ee']);
  });

  test('an interrupt waits until the guest enables interrupts', async () => {
    // Where ring 0 is emulated, KVM looks once in thousands of instructions: the window is open for 60,000.
    const window = [...STI, 0xb9, 0x60, 0xea, 0xe2, 0xfe, ...CLI];
    const code = [...CLI, ...movAl(0), ...out(0x83), ...out(0x84), ...window, ...out(0x85), ...HLT];
    const m = machine(code);
    m.device.onAccess = (line) => {
      if (line.startsWith('w 0x83')) m.apic.vectors.push(VECTOR);
    };
    await m.run(900 * MS);
    assert.deepEqual(m.device.log, ['w 0x83 00', 'w 0x84 00', 'w 0x80 ee', 'w 0x85 ee']);
  });

  test('two interrupts come one after the other', async () => {
    const m = machine([...STI, ...HLT, ...SPIN]);
    m.apic.vectors.push(VECTOR, VECTOR + 1);
    await m.run(900 * MS);
    assert.deepEqual(m.apic.log, [`external ${VECTOR}`, `external ${VECTOR + 1}`]);
    assert.deepEqual(m.device.log, ['w 0x80 ee', 'w 0x80 ee']);
  });

  test('an NMI gets in with interrupts off', async () => {
    const m = machine([...CLI, ...SPIN]);
    m.at(500 * MS, () => {
      m.apic.nmi = true;
      m.cpu.wakeup();
    });
    // Where KVM emulates ring 0 on a busy host, it may take long to look for it.
    let until = 900;
    for (; until < 9000 && m.device.log.length === 0; until += 300) await m.run(until * MS);
    await m.run((until + 300) * MS);
    assert.deepEqual(m.device.log, ['w 0x81 dd']);
    assert.equal(m.cpu.readState(RegClass.general).rip, BigInt(CODE + 1), 'and returns to the loop');
  });

  test('INIT parks the processor until STARTUP gives it a page to start at', async () => {
    const m = machine([...STI, ...SPIN]);
    m.put(0x5000, [0x8c, 0xc8, ...out(0x86), ...HLT]); // mov ax, cs
    m.at(300 * MS, () => {
      m.apic.init = true;
      m.cpu.wakeup();
    });
    await m.run(500 * MS);
    assert.equal(m.cpu.kvmState, 'Idle');
    m.apic.nmi = true;
    m.cpu.wakeup();
    await m.run(600 * MS);
    assert.equal(m.cpu.kvmState, 'Idle', 'an NMI does not start it');
    m.apic.nmi = false;
    m.apic.startup = 5;
    m.cpu.wakeup();
    await m.run(900 * MS);
    assert.deepEqual(m.apic.log, ['init', 'startup 5']);
    assert.deepEqual(m.device.log, ['w 0x86 00']);
    assert.equal(m.cpu.readState(RegClass.general).rflags & Rflags.IF, 0);
    assert.equal(m.cpu.readState(RegClass.special).segment(1).selector, 0x500);
  });

  test('CR8 is the controller’s: the guest reads it, and writes it', async () => {
    // mov eax, cr8 exists in 64-bit mode only: the value is given and taken through kvm_run.
    const m = machine([...SPIN]);
    m.apic.cr8 = 5;
    await m.run(10 * MS);
    assert.equal(m.cpu.readState(RegClass.special).get(OFFSET.cr8), 5n);
    assert.equal(m.apic.cr8, 5);
  });

  test('MSRs of the local APIC are served by the controller; unknown ones raise #GP', async (t) => {
    // mov ecx, 0x6e0; rdmsr; out 0x87, al; mov ecx, 0x4fffffff; rdmsr
    const code = [
      0x66,
      0xb9,
      0xe0,
      6,
      0,
      0,
      0x0f,
      0x32,
      ...out(0x87),
      0x66,
      0xb9,
      0xff,
      0xff,
      0xff,
      0x4f,
      0x0f,
      0x32,
    ];
    const m = machine([...code, ...HLT]);
    m.put(0x2200, [...out(0x88), ...HLT]);
    m.memory.writeU32((13 * 4) as PhysAddr, 0x2200);
    m.apic.msrs.set(0x6e0, 0x42n);
    await m.run(900 * MS);
    if (!m.apic.msrsReachable) t.diagnostic('this KVM has no MSR exits');
    assert.deepEqual(m.apic.log, m.apic.msrsReachable ? ['rdmsr 0x6e0'] : []);
    assert.deepEqual(m.device.log, [m.apic.msrsReachable ? 'w 0x87 42' : 'w 0x87 00', 'w 0x88 42']);
  });

  test('a triple fault ends the simulation with a cause, not with an error', async () => {
    // ud2 in protected mode with an empty IDT
    const m = machine([0x0f, 0x0b]);
    protectedMode(m.cpu.modifyState(RegClass.special));
    const exit = await m.run(900 * MS);
    assert.equal(exit.cause, 'triple fault');
    assert.equal(m.cpu.kvmState, 'Idle');
  });

  test('an instruction that KVM cannot emulate is named with its place and bytes', async (t) => {
    const m = machine([0x90, 0x66, 0x0f, 0x58, 0xc1, ...HLT]); // addpd xmm0, xmm1
    try {
      await m.run(900 * MS);
      t.diagnostic('this KVM executes it');
    } catch (error) {
      assert.ok(error instanceof FatalError);
      assert.match(error.message, /cannot execute the instruction at 0x1001, bytes 66 0f 58 c1 f4/);
    }
  });

  test('draining delivers an interrupt that was injected, and the registers are the whole truth', async () => {
    const m = machine([...STI, ...SPIN]);
    m.apic.vectors.push(VECTOR);
    m.at(300 * MS, () => m.cpu.wakeup());
    await m.run(300 * MS);
    await m.simulator.drain();
    const tc = m.cpu.readState(RegClass.all);
    assert.equal(tc.u8[OFFSET.events + EVENT.interruptInjected], 0);
    await m.run(900 * MS);
    assert.deepEqual(m.device.log, ['w 0x80 ee']);
  });

  test('a thread context with an injected interrupt goes on with its handler', async () => {
    const m = machine([...SPIN]);
    const tc = m.cpu.modifyState(RegClass.all);
    tc.rflags = Rflags.FIXED | Rflags.IF;
    tc.u8[OFFSET.events + EVENT.interruptInjected] = 1;
    tc.u8[OFFSET.events + EVENT.interruptVector] = VECTOR;
    m.apic.vectors.push(VECTOR + 1);
    await m.run(900 * MS);
    assert.deepEqual(m.device.log, ['w 0x80 ee', 'w 0x80 ee']);
  });
});
