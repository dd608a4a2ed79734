// A machine for the tests of the host layer: 64 KiB of RAM at 0 and one vCPU in real mode, whose data
// segment lies beyond RAM, so that plain moves become MMIO.

import type { TestContext } from 'node:test';
import { KvmRegs, KvmSegment, KvmSregs, KvmSyncX86 } from '../../src/host/kvm/abi-x86.ts';
import { KvmSystem } from '../../src/host/kvm/system.ts';
import type { KvmVcpuFd } from '../../src/host/kvm/vcpu.ts';
import type { KvmVmFd } from '../../src/host/kvm/vm.ts';
import { MapFlag, mmap, munmap, Prot, viewOf } from '../../src/host/memory.ts';
import { ControlSignal } from '../../src/host/signals.ts';
import { PosixTimer } from '../../src/host/timer.ts';

const RAM_BYTES = 0x1_0000;
export const CODE_AT = 0x1000;
/** Where the data segment begins. */
export const DEVICE_AT = 0x2_0000;

export type Register = keyof typeof KvmRegs.at;

export class RealModeMachine {
  readonly kvm = KvmSystem.open();
  readonly vm: KvmVmFd = this.kvm.createVm();
  readonly signal = new ControlSignal();
  readonly timer = new PosixTimer(this.signal);
  readonly vcpu: KvmVcpuFd;

  /** @param code machine code to start with */
  constructor(t: TestContext, code: readonly number[]) {
    const hostAddress = mmap({
      length: RAM_BYTES,
      prot: Prot.Read | Prot.Write,
      flags: MapFlag.Private | MapFlag.Anonymous,
    });
    viewOf(hostAddress, RAM_BYTES).set(code, CODE_AT);
    this.vm.setIdentityMapAddr(0xfffb_c000);
    this.vm.setTssAddr(0xfffb_d000);
    this.vm.setUserMemoryRegion({ slot: 0, guestPhysAddr: 0, size: RAM_BYTES, hostAddress });
    this.vcpu = this.vm.createVcpu(0);
    this.vcpu.setSignalMask(this.signal.entryMask());
    this.#enterRealMode();
    t.after(() => {
      this.timer.close();
      this.signal.discardPending();
      this.vcpu.close();
      this.vm.close();
      this.kvm.close();
      munmap(hostAddress, RAM_BYTES);
    });
  }

  #enterRealMode(): void {
    const sregs = new DataView(new ArrayBuffer(KvmSregs.size));
    const bytes = new Uint8Array(sregs.buffer);
    this.vcpu.getSregs(bytes);
    const setBase = (segment: 'cs' | 'ds', base: number): void => {
      sregs.setBigUint64(KvmSregs.at[segment] + KvmSegment.at.base, BigInt(base), true);
      sregs.setUint16(KvmSregs.at[segment] + KvmSegment.at.selector, base >> 4, true);
    };
    setBase('cs', 0);
    setBase('ds', DEVICE_AT);
    this.vcpu.setSregs(bytes);
    const regs = new BigUint64Array(KvmRegs.size / 8);
    regs[KvmRegs.at.rip / 8] = BigInt(CODE_AT);
    regs[KvmRegs.at.rflags / 8] = 2n;
    this.vcpu.setRegs(new Uint8Array(regs.buffer));
    this.vcpu.run.kvmValidRegs = KvmSyncX86.REGS;
  }

  /** A register by ioctl. */
  register(name: Register): number {
    const regs = new BigUint64Array(KvmRegs.size / 8);
    this.vcpu.getRegs(new Uint8Array(regs.buffer));
    return Number(regs[KvmRegs.at[name] / 8]);
  }

  /** A register as the kernel left it in the shared page. */
  syncedRegister(name: Register): number {
    const { regs } = this.vcpu.run.syncRegs;
    return Number(new DataView(regs.buffer, regs.byteOffset).getBigUint64(KvmRegs.at[name], true));
  }

  /** Sets a register through the shared page, at the next entry. */
  setSyncedRegister(name: Register, value: number): void {
    const { regs } = this.vcpu.run.syncRegs;
    new DataView(regs.buffer, regs.byteOffset).setBigUint64(KvmRegs.at[name], BigInt(value), true);
    this.vcpu.run.kvmDirtyRegs = KvmSyncX86.REGS;
  }
}
