// A real vCPU: exits and their data, synchronized registers, half entries, the coalesced ring, register
// structures. Expected values follow from the guest's few bytes of real-mode code (SDM vol. 2) and KVM's
// api.rst.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Errno, HostError } from '../../src/host/errors.ts';
import { KvmExitReason } from '../../src/host/kvm/abi.ts';
import {
  KvmDebugregs,
  KvmFpu,
  KvmRegs,
  KvmSregs,
  KvmSyncX86,
  KvmVcpuEvents,
  KvmXcrs,
} from '../../src/host/kvm/abi-x86.ts';
import { decodeExit } from '../../src/host/kvm/exit.ts';
import { MsrRefusedError } from '../../src/host/kvm/vcpu.ts';
import { kvmIsMissing } from '../support/hypertick.ts';
import { CODE_AT, DEVICE_AT, RealModeMachine } from './host-machine.ts';

const MOV_DX_3F8 = [0xba, 0xf8, 0x03];
const MOV_AX_1234 = [0xb8, 0x34, 0x12];
const OUT_DX_AX = [0xef];
const IN_AL_DX = [0xec];
const INC_CX = [0x41];
const HLT = [0xf4];
/** mov [0x10], al */
const STORE_AL = [0xa2, 0x10, 0x00];
/** mov [0x10], ax */
const STORE_AX = [0xa3, 0x10, 0x00];
/** mov ax, [0x10] */
const LOAD_AX = [0xa1, 0x10, 0x00];

const MSR_EFER = 0xc000_0080;
const MSR_LSTAR = 0xc000_0082;

describe('a vCPU', { skip: kvmIsMissing() }, () => {
  test('shows a port write with port, size and data', (t) => {
    const { vcpu } = new RealModeMachine(t, [...MOV_DX_3F8, ...MOV_AX_1234, ...OUT_DX_AX]);
    assert.equal(vcpu.enter(), 0);
    assert.equal(vcpu.run.exitReason, KvmExitReason.IO);
    assert.deepEqual(decodeExit(vcpu.run), {
      kind: 'io',
      isOut: true,
      size: 2,
      port: 0x3f8,
      count: 1,
      data: Uint8Array.of(0x34, 0x12),
    });
  });

  test('takes the data of a port read from the shared pages', (t) => {
    const machine = new RealModeMachine(t, [...MOV_DX_3F8, ...IN_AL_DX, ...HLT]);
    const { vcpu } = machine;
    assert.equal(vcpu.enter(), 0);
    const { io } = vcpu.run;
    assert.equal(io.isOut, false);
    assert.equal(io.size, 1);
    vcpu.run.u8[io.dataOffset] = 0x5a;
    assert.equal(vcpu.enter(), 0);
    assert.equal(vcpu.run.exitReason, KvmExitReason.HLT);
    assert.equal(machine.register('rax') & 0xff, 0x5a);
  });

  test('shows a store beyond RAM as MMIO', (t) => {
    const { vcpu } = new RealModeMachine(t, [...MOV_AX_1234, ...STORE_AX]);
    assert.equal(vcpu.enter(), 0);
    const { mmio } = vcpu.run;
    assert.equal(vcpu.run.exitReason, KvmExitReason.MMIO);
    assert.equal(mmio.physAddr, DEVICE_AT + 0x10);
    assert.equal(mmio.isWrite, true);
    assert.equal(mmio.len, 2);
    assert.deepEqual([...mmio.data.subarray(0, 2)], [0x34, 0x12]);
  });

  test('gives registers in the shared page at an exit, and takes changed ones at the next entry', (t) => {
    const machine = new RealModeMachine(t, [...MOV_AX_1234, ...STORE_AX, ...INC_CX, ...HLT]);
    const { vcpu } = machine;
    vcpu.enter();
    assert.equal(machine.syncedRegister('rax'), 0x1234);
    machine.setSyncedRegister('rcx', 0x41);
    assert.equal(vcpu.enter(), 0);
    assert.equal(vcpu.run.exitReason, KvmExitReason.HLT);
    assert.equal(vcpu.run.kvmDirtyRegs, 0, 'KVM has taken them');
    assert.equal(machine.syncedRegister('rcx'), 0x42);
    assert.equal(machine.register('rcx'), 0x42);
  });

  test('syncs system registers as the ioctl gives them', (t) => {
    const { vcpu } = new RealModeMachine(t, [...HLT]);
    vcpu.run.kvmValidRegs = KvmSyncX86.REGS | KvmSyncX86.SREGS | KvmSyncX86.EVENTS;
    vcpu.enter();
    const sregs = new Uint8Array(KvmSregs.size);
    vcpu.getSregs(sregs);
    assert.deepEqual([...vcpu.run.syncRegs.sregs], [...sregs]);
  });

  test('a half entry completes the load that is pending and executes nothing more', (t) => {
    const machine = new RealModeMachine(t, [...LOAD_AX, ...INC_CX, ...HLT]);
    const { vcpu } = machine;
    assert.equal(vcpu.enter(), 0);
    assert.equal(vcpu.run.mmio.isWrite, false);
    vcpu.run.mmio.data.set([0xcd, 0xab]);
    vcpu.run.setImmediateExit(true);
    assert.equal(vcpu.enter(), Errno.EINTR);
    assert.equal(machine.register('rax'), 0xabcd);
    assert.equal(machine.register('rip'), CODE_AT + LOAD_AX.length);
    assert.equal(vcpu.enter(), Errno.EINTR, 'it stays set');
    assert.equal(machine.register('rcx'), 0);
    vcpu.run.setImmediateExit(false);
    assert.equal(vcpu.enter(), 0);
    assert.equal(machine.register('rcx'), 1);
  });

  test('writes to a coalesced zone are queued in order and cost no exit', (t) => {
    const code = [...STORE_AL, 0xfe, 0xc0, ...STORE_AL, 0xfe, 0xc0, ...STORE_AL, ...HLT];
    const { vm, vcpu } = new RealModeMachine(t, code);
    vm.registerCoalescedMmio({ addr: DEVICE_AT, size: 0x20 });
    assert.equal(vcpu.enter(), 0);
    assert.equal(vcpu.run.exitReason, KvmExitReason.HLT);
    const ring = vcpu.run.coalesced!;
    for (const value of [0, 1, 2]) {
      assert.ok(ring.shift());
      assert.equal(ring.physAddr, DEVICE_AT + 0x10);
      assert.equal(ring.len, 1);
      assert.equal(ring.isPort, false);
      assert.equal(ring.data[0], value);
    }
    assert.ok(ring.isEmpty);
    assert.equal(ring.shift(), false);
  });

  test('gives back every register structure that it was given', (t) => {
    const { vcpu } = new RealModeMachine(t, HLT);
    const structures = [
      [KvmRegs.size, vcpu.getRegs, vcpu.setRegs, KvmRegs.at.r9],
      [KvmSregs.size, vcpu.getSregs, vcpu.setSregs, KvmSregs.at.cr2],
      [KvmFpu.size, vcpu.getFpu, vcpu.setFpu, KvmFpu.at.xmm + 5],
      [KvmDebugregs.size, vcpu.getDebugRegs, vcpu.setDebugRegs, KvmDebugregs.at.db],
      [KvmVcpuEvents.size, vcpu.getVcpuEvents, vcpu.setVcpuEvents, undefined],
      [KvmXcrs.size, vcpu.getXcrs, vcpu.setXcrs, undefined],
      [vcpu.xsaveSizeBytes, vcpu.getXsave, vcpu.setXsave, undefined],
      [4, vcpu.getMpState, vcpu.setMpState, undefined],
    ] as const;
    for (const [size, get, set, changedByte] of structures) {
      const given = new Uint8Array(size);
      get.call(vcpu, given);
      if (changedByte !== undefined) given[changedByte] = given[changedByte]! ^ 0x5a;
      set.call(vcpu, given);
      const taken = new Uint8Array(size);
      get.call(vcpu, taken);
      assert.deepEqual(taken, given, get.name);
    }
  });

  test('reads and writes MSRs, and names the one it refuses', (t) => {
    const { vcpu } = new RealModeMachine(t, HLT);
    const indices = Uint32Array.of(MSR_EFER, MSR_LSTAR);
    vcpu.setMsrs(indices, BigUint64Array.of(0n, 0xffff_8000_1234_5678n));
    assert.deepEqual(vcpu.getMsrs(indices), BigUint64Array.of(0n, 0xffff_8000_1234_5678n));
    const isRefusal = (error: unknown) => error instanceof MsrRefusedError && error.index === 0x4fff_ffff;
    assert.throws(() => vcpu.getMsrs(Uint32Array.of(MSR_EFER, 0x4fff_ffff)), isRefusal);
    assert.throws(() => vcpu.setMsrs(Uint32Array.of(0x4fff_ffff), BigUint64Array.of(1n)), isRefusal);
  });

  test('gives back the CPUID entries that it was given', (t) => {
    const { kvm, vcpu } = new RealModeMachine(t, HLT);
    const given = kvm.supportedCpuid().find(({ function: leaf }) => leaf === 0)!;
    vcpu.setCpuid2([{ ...given, eax: 1 }]);
    // A flavour may add entries of its own, and say in its own way that the sub-leaf does not matter.
    const taken = vcpu.getCpuid2().filter(({ function: leaf }) => leaf === 0);
    assert.deepEqual(
      taken.map(({ eax, ebx, ecx, edx }) => [eax, ebx, ecx, edx]),
      [[1, given.ebx, given.ecx, given.edx]],
    );
  });

  test('translates a linear address by the guest page tables, which real mode has not', (t) => {
    const { vcpu } = new RealModeMachine(t, HLT);
    const { valid, physicalAddress } = vcpu.translate(0x1234n);
    assert.deepEqual({ valid, physicalAddress }, { valid: true, physicalAddress: 0x1234n });
  });

  test('tells the frequency of its TSC', (t) => {
    assert.ok(new RealModeMachine(t, HLT).vcpu.getTscKhz() > 0);
  });

  test('once closed, its shared pages read as zeros and every use is refused', (t) => {
    const { vcpu } = new RealModeMachine(t, HLT);
    vcpu.enter();
    assert.equal(vcpu.run.exitReason, KvmExitReason.HLT);
    vcpu.close();
    vcpu.close();
    assert.equal(vcpu.run.exitReason, 0);
    const isClosed = (error: unknown) => error instanceof HostError && error.code === 'EBADF';
    assert.throws(() => vcpu.enter(), isClosed);
    assert.throws(() => vcpu.getTscKhz(), isClosed);
  });
});
