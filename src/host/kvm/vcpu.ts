/*
 * One virtual CPU: the interface that the CPU model runs on (a scripted fake implements it too), and its
 * implementation on a file descriptor. Source: Documentation/virt/kvm/api.rst, section 4.
 */
import { Errno, errnoName, HostError, type Remedies } from '../errors.ts';
import { addressOf, type Pointer, type PointerArgument } from '../ffi.ts';
import { closeFd, ioctl } from '../ioctl.ts';
import { MapFlag, mmap, Prot, viewOf } from '../memory.ts';
import { KvmDeviceAttr, KvmInterrupt, KvmIoctl, KvmTranslation } from './abi.ts';
import {
  KvmGuestDebug,
  KvmMsrEntry,
  KvmMsrs,
  KvmNestedState,
  KvmVcpuTscCtrl,
  KvmX86Ioctl,
} from './abi-x86.ts';
import { type CpuidEntry, cpuidFromKvm, cpuidToKvm } from './cpuid-list.ts';
import { enableCap } from './enable-cap.ts';
import { type EnterFunction, enterFunction } from './enter.ts';
import { KvmRun } from './run.ts';
import type { VmFacts } from './vm.ts';

export type { CpuidEntry } from './cpuid-list.ts';

/** What the guest's page tables say about an address. */
export interface Translation {
  readonly physicalAddress: bigint;
  readonly valid: boolean;
  readonly writeable: boolean;
  readonly usermode: boolean;
}

/**
 * An x86 vCPU. Register structures travel whole, in the layout of abi-x86.ts, in the caller's buffer. All
 * calls are made on the thread that runs the vCPU. Failures are HostErrors.
 */
export interface X86Vcpu {
  readonly id: number;
  readonly run: KvmRun;
  /** Size of the area that {@link getXsave} and {@link setXsave} transfer. */
  readonly xsaveSizeBytes: number;

  /**
   * Enters the guest (`KVM_RUN`).
   * @returns 0 after an exit that `run.exitReason` names; EINTR if a signal or `run.immediateExit` ended
   *   the run, EAGAIN if the vCPU is not runnable yet. With EINTR `run.exitReason` is stale: do not read it.
   */
  enter(): number;
  /** The 8-byte signal set that is blocked inside {@link enter}, in place of the thread's own mask. */
  setSignalMask(sigset: Uint8Array): void;

  /** `kvm_regs` */
  getRegs(buffer: Uint8Array): void;
  setRegs(buffer: Uint8Array): void;
  /** `kvm_sregs`; its interrupt bitmap is given empty. */
  getSregs(buffer: Uint8Array): void;
  setSregs(buffer: Uint8Array): void;
  /** `kvm_fpu` */
  getFpu(buffer: Uint8Array): void;
  setFpu(buffer: Uint8Array): void;
  /** An XSAVE area in standard format, {@link xsaveSizeBytes} long. */
  getXsave(buffer: Uint8Array): void;
  setXsave(buffer: Uint8Array): void;
  /** `kvm_xcrs` */
  getXcrs(buffer: Uint8Array): void;
  setXcrs(buffer: Uint8Array): void;
  /** `kvm_debugregs` */
  getDebugRegs(buffer: Uint8Array): void;
  setDebugRegs(buffer: Uint8Array): void;
  /** `kvm_vcpu_events` */
  getVcpuEvents(buffer: Uint8Array): void;
  setVcpuEvents(buffer: Uint8Array): void;
  /** `kvm_mp_state` */
  getMpState(buffer: Uint8Array): void;
  setMpState(buffer: Uint8Array): void;
  /** `kvm_lapic_state`; needs an in-kernel irqchip. */
  getLapic(buffer: Uint8Array): void;
  setLapic(buffer: Uint8Array): void;

  /** `kvm_nested_state` and what follows it; needs KVM_CAP_NESTED_STATE. */
  getNestedState(): Uint8Array;
  setNestedState(bytes: Uint8Array): void;

  /** Reads MSRs. @throws MsrRefusedError naming the first one that KVM does not give */
  getMsrs(indices: Uint32Array): BigUint64Array;
  /**
   * Writes MSRs in order. @throws MsrRefusedError naming the first one not taken; those before it are written
   */
  setMsrs(indices: Uint32Array, values: BigUint64Array): void;
  setCpuid2(entries: readonly CpuidEntry[]): void;
  /** Switches a capability (one of `KvmCap`) on that is a vCPU's. */
  enableCap(cap: number, ...args: readonly bigint[]): void;
  getCpuid2(): CpuidEntry[];

  /** Walks the guest's page tables for a linear address. */
  translate(linearAddress: bigint): Translation;
  /** Queues an external interrupt; only when the guest can take it, and without an in-kernel irqchip. */
  interrupt(vector: number): void;
  /** Queues a non-maskable interrupt. */
  nmi(): void;
  /** @param control `KvmGuestDbg` bits  @param debugRegisters DR0 to DR7, for hardware breakpoints */
  setGuestDebug(control: number, debugRegisters?: BigUint64Array): void;
  getTscKhz(): number;
  setTscKhz(khz: number): void;
  /** Guest's TSC − host's TSC. @throws HostError ENXIO where the kernel has no such attribute */
  getTscOffset(): bigint;
  setTscOffset(offset: bigint): void;

  close(): void;
}

/** KVM refused an MSR. */
export class MsrRefusedError extends HostError {
  override readonly name = 'MsrRefusedError';
  /** The MSR. */
  readonly index: number;

  constructor(call: string, index: number) {
    super(
      `${call}(0x${index.toString(16)})`,
      Errno.EINVAL,
      'this KVM does not have the MSR, or not this value',
    );
    this.index = index;
  }
}

/** What a vCPU needs to know of its VM. */
export interface VcpuFacts extends VmFacts {
  readonly xsaveSizeBytes: number;
  readonly hasXsave2: boolean;
}

const RUN_REMEDIES: Remedies = {
  EIO: 'a vCPU can be used only in the process that made its VM: it does not survive a fork',
  EFAULT: 'the guest touched memory that the simulator has unmapped or protected',
  ENOMEM: 'not enough host memory for the guest',
  EBADF: 'the vCPU is closed',
  EINVAL:
    'the registers given with the entry are not a legal combination (--debug-flags KvmContext names the rule)',
  ENOEXEC: 'the vCPU has not been initialized',
};

const INTERRUPT_REMEDIES: Remedies = {
  EEXIST: 'an interrupt is queued already',
  ENXIO: 'the VM has an in-kernel irqchip: use its lines',
};

/** The longest nested state: VMX's, its header and two pages. */
const NESTED_STATE_BYTES = KvmNestedState.size + 2 * 4096;

/** A vCPU's file descriptor and its shared pages. */
export class KvmVcpuFd implements X86Vcpu {
  readonly id: number;
  readonly run: KvmRun;
  readonly xsaveSizeBytes: number;
  readonly #fd: number;
  readonly #mapping: Pointer;
  readonly #mappingBytes: number;
  readonly #getXsave: number;
  readonly #enter: EnterFunction;
  readonly #interruptArgument = new Uint32Array(KvmInterrupt.size >> 2);
  readonly #interruptAddress: Pointer = addressOf(this.#interruptArgument);
  #isOpen = true;

  constructor(fd: number, id: number, facts: VcpuFacts) {
    this.id = id;
    this.#fd = fd;
    this.#mappingBytes = facts.vcpuMmapSizeBytes;
    // Safe: the pages stay mapped as long as this process lives; close() puts anonymous memory in their
    // place.
    this.#mapping = mmap({
      length: this.#mappingBytes,
      prot: Prot.Read | Prot.Write,
      flags: MapFlag.Shared,
      fd,
    });
    this.run = new KvmRun(viewOf(this.#mapping, this.#mappingBytes), facts.coalescedPage);
    this.xsaveSizeBytes = facts.xsaveSizeBytes;
    this.#getXsave = facts.hasXsave2 ? KvmX86Ioctl.GET_XSAVE2 : KvmX86Ioctl.GET_XSAVE;
    this.#enter = enterFunction();
  }

  /** The descriptor, for counters and tests. */
  get fd(): number {
    return this.#fd;
  }

  // Hot path: one native call, no allocation.
  enter(): number {
    this.#mustBeOpen('KVM_RUN');
    const error = -this.#enter(this.#fd);
    if (error === 0) return 0;
    if (error === Errno.EINTR || error === Errno.EAGAIN) return error;
    const remedies = RUN_REMEDIES as Readonly<Record<string, string>>;
    throw new HostError('ioctl(KVM_RUN)', error, remedies[errnoName(error)]);
  }

  setSignalMask(sigset: Uint8Array): void {
    // struct kvm_signal_mask { __u32 len; __u8 sigset[]; }: the set lies directly behind the length.
    const argument = new Uint8Array(4 + sigset.length);
    new DataView(argument.buffer).setUint32(0, sigset.length, true);
    argument.set(sigset, 4);
    this.#call(KvmIoctl.SET_SIGNAL_MASK, argument, 'KVM_SET_SIGNAL_MASK');
  }

  getRegs(buffer: Uint8Array): void {
    this.#call(KvmX86Ioctl.GET_REGS, buffer, 'KVM_GET_REGS');
  }
  setRegs(buffer: Uint8Array): void {
    this.#call(KvmX86Ioctl.SET_REGS, buffer, 'KVM_SET_REGS');
  }
  getSregs(buffer: Uint8Array): void {
    this.#call(KvmX86Ioctl.GET_SREGS, buffer, 'KVM_GET_SREGS');
  }
  setSregs(buffer: Uint8Array): void {
    this.#call(KvmX86Ioctl.SET_SREGS, buffer, 'KVM_SET_SREGS', {
      EINVAL: 'the segments or control registers are not a legal combination',
    });
  }
  getFpu(buffer: Uint8Array): void {
    this.#call(KvmX86Ioctl.GET_FPU, buffer, 'KVM_GET_FPU');
  }
  setFpu(buffer: Uint8Array): void {
    this.#call(KvmX86Ioctl.SET_FPU, buffer, 'KVM_SET_FPU');
  }
  getXsave(buffer: Uint8Array): void {
    this.#call(this.#getXsave, buffer, 'KVM_GET_XSAVE');
  }
  setXsave(buffer: Uint8Array): void {
    this.#call(KvmX86Ioctl.SET_XSAVE, buffer, 'KVM_SET_XSAVE', {
      EINVAL: 'the state has components that this host does not support, or reserved MXCSR bits',
    });
  }
  getXcrs(buffer: Uint8Array): void {
    this.#call(KvmX86Ioctl.GET_XCRS, buffer, 'KVM_GET_XCRS');
  }
  setXcrs(buffer: Uint8Array): void {
    this.#call(KvmX86Ioctl.SET_XCRS, buffer, 'KVM_SET_XCRS', {
      EINVAL: 'XCR0 has bits that the CPUID of this vCPU does not offer',
    });
  }
  getDebugRegs(buffer: Uint8Array): void {
    this.#call(KvmX86Ioctl.GET_DEBUGREGS, buffer, 'KVM_GET_DEBUGREGS');
  }
  setDebugRegs(buffer: Uint8Array): void {
    this.#call(KvmX86Ioctl.SET_DEBUGREGS, buffer, 'KVM_SET_DEBUGREGS');
  }
  getVcpuEvents(buffer: Uint8Array): void {
    this.#call(KvmX86Ioctl.GET_VCPU_EVENTS, buffer, 'KVM_GET_VCPU_EVENTS');
  }
  setVcpuEvents(buffer: Uint8Array): void {
    this.#call(KvmX86Ioctl.SET_VCPU_EVENTS, buffer, 'KVM_SET_VCPU_EVENTS');
  }
  getMpState(buffer: Uint8Array): void {
    this.#call(KvmIoctl.GET_MP_STATE, buffer, 'KVM_GET_MP_STATE');
  }
  setMpState(buffer: Uint8Array): void {
    this.#call(KvmIoctl.SET_MP_STATE, buffer, 'KVM_SET_MP_STATE', {
      EINVAL: 'without an in-kernel irqchip a vCPU is always runnable',
    });
  }
  getLapic(buffer: Uint8Array): void {
    this.#call(KvmX86Ioctl.GET_LAPIC, buffer, 'KVM_GET_LAPIC');
  }
  setLapic(buffer: Uint8Array): void {
    this.#call(KvmX86Ioctl.SET_LAPIC, buffer, 'KVM_SET_LAPIC');
  }

  getNestedState(): Uint8Array {
    const { at } = KvmNestedState;
    const argument = new DataView(new ArrayBuffer(NESTED_STATE_BYTES));
    argument.setUint32(at.size, NESTED_STATE_BYTES, true);
    this.#call(KvmX86Ioctl.GET_NESTED_STATE, argument, 'KVM_GET_NESTED_STATE');
    return new Uint8Array(argument.buffer).slice(0, argument.getUint32(at.size, true));
  }
  setNestedState(bytes: Uint8Array): void {
    this.#call(KvmX86Ioctl.SET_NESTED_STATE, bytes, 'KVM_SET_NESTED_STATE', {
      EINVAL: 'this KVM cannot go on with a guest that was saved while it executed a guest of its own',
    });
  }

  getMsrs(indices: Uint32Array): BigUint64Array {
    const list = msrList(indices);
    const done = this.#call(KvmX86Ioctl.GET_MSRS, list, 'KVM_GET_MSRS');
    if (done < indices.length) throw new MsrRefusedError('KVM_GET_MSRS', indices[done]!);
    return BigUint64Array.from(indices, (_, i) =>
      list.getBigUint64(msrEntryAt(i) + KvmMsrEntry.at.data, true),
    );
  }

  setMsrs(indices: Uint32Array, values: BigUint64Array): void {
    const list = msrList(indices);
    for (const [i, value] of values.entries()) {
      list.setBigUint64(msrEntryAt(i) + KvmMsrEntry.at.data, value, true);
    }
    const done = this.#call(KvmX86Ioctl.SET_MSRS, list, 'KVM_SET_MSRS');
    if (done < indices.length) throw new MsrRefusedError('KVM_SET_MSRS', indices[done]!);
  }

  setCpuid2(entries: readonly CpuidEntry[]): void {
    this.#call(KvmX86Ioctl.SET_CPUID2, cpuidToKvm(entries), 'KVM_SET_CPUID2', {
      EINVAL: 'KVM refuses this CPUID: it cannot change after the vCPU has run, and must be consistent',
    });
  }

  enableCap(cap: number, ...args: readonly bigint[]): void {
    this.#mustBeOpen('KVM_ENABLE_CAP');
    enableCap(this.#fd, cap, args);
  }

  getCpuid2(): CpuidEntry[] {
    return cpuidFromKvm(this.#fd, KvmX86Ioctl.GET_CPUID2, 'KVM_GET_CPUID2');
  }

  translate(linearAddress: bigint): Translation {
    const { at, size } = KvmTranslation;
    const argument = new DataView(new ArrayBuffer(size));
    argument.setBigUint64(at.linear_address, linearAddress, true);
    this.#call(KvmIoctl.TRANSLATE, argument, 'KVM_TRANSLATE');
    return {
      physicalAddress: argument.getBigUint64(at.physical_address, true),
      valid: argument.getUint8(at.valid) !== 0,
      writeable: argument.getUint8(at.writeable) !== 0,
      usermode: argument.getUint8(at.usermode) !== 0,
    };
  }

  // Hot path: no allocation.
  interrupt(vector: number): void {
    this.#interruptArgument[KvmInterrupt.at.irq >> 2] = vector;
    this.#call(KvmIoctl.INTERRUPT, this.#interruptAddress, 'KVM_INTERRUPT', INTERRUPT_REMEDIES);
  }

  nmi(): void {
    this.#call(KvmIoctl.NMI, 0n, 'KVM_NMI');
  }

  setGuestDebug(control: number, debugRegisters?: BigUint64Array): void {
    const { at, size } = KvmGuestDebug;
    const argument = new DataView(new ArrayBuffer(size));
    argument.setUint32(at.control, control, true);
    for (const [i, value] of (debugRegisters ?? []).entries())
      argument.setBigUint64(at.arch + 8 * i, value, true);
    this.#call(KvmX86Ioctl.SET_GUEST_DEBUG, argument, 'KVM_SET_GUEST_DEBUG');
  }

  getTscKhz(): number {
    return this.#call(KvmX86Ioctl.GET_TSC_KHZ, 0n, 'KVM_GET_TSC_KHZ');
  }

  setTscKhz(khz: number): void {
    this.#call(KvmX86Ioctl.SET_TSC_KHZ, BigInt(khz), 'KVM_SET_TSC_KHZ', {
      EINVAL: 'this host cannot scale the TSC to that frequency',
    });
  }

  getTscOffset(): bigint {
    const value = new BigInt64Array(1);
    this.#tscOffset(KvmIoctl.GET_DEVICE_ATTR, value, 'KVM_GET_DEVICE_ATTR(TSC offset)');
    return value[0]!;
  }

  setTscOffset(offset: bigint): void {
    const value = new BigInt64Array([offset]);
    this.#tscOffset(KvmIoctl.SET_DEVICE_ATTR, value, 'KVM_SET_DEVICE_ATTR(TSC offset)');
  }

  #tscOffset(request: number, value: BigInt64Array, name: string): void {
    const { at, size } = KvmDeviceAttr;
    const argument = new DataView(new ArrayBuffer(size));
    argument.setUint32(at.group, KvmVcpuTscCtrl.GROUP, true);
    argument.setBigUint64(at.attr, BigInt(KvmVcpuTscCtrl.OFFSET), true);
    argument.setBigUint64(at.addr, addressOf(value), true);
    this.#call(request, argument, name, { ENXIO: 'the attribute needs Linux 5.16 or later' });
  }

  /**
   * Closes the vCPU. Its pages are replaced by zeros, not unmapped: whoever still holds `run` reads zeros
   * instead of ending the process.
   */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    mmap({
      address: this.#mapping,
      length: this.#mappingBytes,
      prot: Prot.Read | Prot.Write,
      flags: MapFlag.Fixed | MapFlag.Private | MapFlag.Anonymous,
    });
    closeFd(this.#fd);
  }

  #call(request: number, argument: PointerArgument, name: string, remedies?: Remedies): number {
    this.#mustBeOpen(name);
    return ioctl(this.#fd, request, argument, name, remedies);
  }

  /** A closed descriptor's number may belong to another file by now. */
  #mustBeOpen(name: string): void {
    if (!this.#isOpen) throw new HostError(`ioctl(${name})`, Errno.EBADF, 'the vCPU is closed');
  }
}

function msrEntryAt(i: number): number {
  return KvmMsrs.size + i * KvmMsrEntry.size;
}

function msrList(indices: Uint32Array): DataView<ArrayBuffer> {
  const list = new DataView(new ArrayBuffer(msrEntryAt(indices.length)));
  list.setUint32(KvmMsrs.at.nmsrs, indices.length, true);
  for (const [i, index] of indices.entries())
    list.setUint32(msrEntryAt(i) + KvmMsrEntry.at.index, index, true);
  return list;
}
