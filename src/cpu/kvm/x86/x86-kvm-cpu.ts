// X86KvmCpu: the x86 part of the KVM CPU: which registers travel how, what exits mean, and user mode without a kernel
// (syscall emulation). gem5: src/arch/x86/kvm/x86_cpu.cc.

import { dumpAll } from '../../../arch/x86/dump.ts';
import { mxcsrMaskOf } from '../../../arch/x86/fxsave.ts';
import { Cr4, Xcr0 } from '../../../arch/x86/registers.ts';
import { RegClass, X86ThreadContext } from '../../../arch/x86/thread-context.ts';
import { setUserMode } from '../../../arch/x86/user-mode.ts';
import { XSAVE_HELD, XsaveFormat } from '../../../arch/x86/xsave.ts';
import { KvmCap, KvmExitReason } from '../../../host/kvm/abi.ts';
import { decodeExit, describeExit } from '../../../host/kvm/exit.ts';
import type { CpuidEntry, X86Vcpu } from '../../../host/kvm/vcpu.ts';
import type { PhysicalMemory } from '../../../mem/physical-memory.ts';
import { bool, declareParams, type ParamInputs, resolveParams } from '../../../sim/params.ts';
import type { SimObject } from '../../../sim/sim-object.ts';
import { type Ticks, ZERO_TICKS } from '../../../sim/tick.ts';
import { fatal, panic } from '../../../sim/trouble.ts';
import { BaseKvmCpu } from '../base-kvm-cpu.ts';
import type { BaseKvmCpuParams } from '../params.ts';
import type { HostParts } from '../vcpu-parts.ts';
import { X86StateTransfer } from './state-transfer.ts';
import { UserEntry } from './user-entry.ts';
import { UserStub } from './user-stub.ts';

export const X86_KVM_CPU_PARAMS = declareParams({
  useXSave: bool({
    default: true,
    description: 'transfer vector registers by XSAVE; without it only x87 and SSE',
  }),
});

export type X86KvmCpuParams = BaseKvmCpuParams & ParamInputs<typeof X86_KVM_CPU_PARAMS>;

/** What the CPU asks of KVM; `Kvm` is the real one. */
export interface X86KvmFacts {
  capability(cap: number): number;
  readonly supportedCpuid: readonly CpuidEntry[];
  readonly msrIndices: readonly number[];
}

/** What the CPU is wired to. */
export interface X86KvmCpuWiring {
  readonly kvm: X86KvmFacts;
  createVcpu(): X86Vcpu;
  attach(vcpu: X86Vcpu, warn: (message: string) => void): HostParts;
  readonly memory: PhysicalMemory;
  /** Physical address of a region of `STUB_SIZE_BYTES` that belongs to the CPU: for syscall emulation. */
  readonly stubBase: number;
}

const HWCAP2_FSGSBASE = 2;
const CPUID_1_ECX_XSAVE = 0x400_0000;
const CPUID_7_EBX_FSGSBASE = 1;

export class X86KvmCpu extends BaseKvmCpu<X86ThreadContext, X86Vcpu> {
  protected override readonly context = new X86ThreadContext();
  readonly #wiring: X86KvmCpuWiring;
  readonly #useXSave: boolean;
  readonly #stub: UserStub;
  #transfer: X86StateTransfer | undefined;
  #xsaveFormat: XsaveFormat | undefined;
  #user: UserEntry | undefined;

  constructor(parent: SimObject, name: string, wiring: X86KvmCpuWiring, params: X86KvmCpuParams = {}) {
    const { useXSave, ...base } = params;
    const parts = {
      createVcpu: () => wiring.createVcpu(),
      attach: (vcpu: X86Vcpu) => wiring.attach(vcpu, (message) => this.warnOnce(message)),
    };
    super(parent, name, parts, RegClass.all, base);
    this.#wiring = wiring;
    this.#useXSave = resolveParams(this.path, X86_KVM_CPU_PARAMS, { useXSave }).useXSave;
    this.#stub = new UserStub(wiring.memory, wiring.stubBase);
    this.context.powerOn();
    this.state('context', this.context);
  }

  /** Syscall emulation: the processor starts in ring 3, on the operating system's page tables. */
  override initState(): void {
    if (this.os === undefined) return;
    setUserMode(this.context, this.os.pageTableRoot, this.#xcr0(), this.#optionalCr4());
    this.#stub.install();
    this.#stub.mapInto((virtual, physical, flags) => this.os!.mapReserved(virtual, physical, flags));
  }

  protected override setUpVcpu(vcpu: X86Vcpu): void {
    const { kvm } = this.#wiring;
    vcpu.setCpuid2(kvm.supportedCpuid);
    const image = new Uint8Array(vcpu.xsaveSizeBytes);
    vcpu.getXsave(image);
    const cpuid = kvm.supportedCpuid.map((entry) => ({
      ...entry,
      leaf: entry.function,
      subleaf: entry.index,
    }));
    this.#xsaveFormat = XsaveFormat.fromCpuid(cpuid, mxcsrMaskOf(image));
    this.#transfer = new X86StateTransfer(vcpu, this.context, this.stats, {
      syncRegs: kvm.capability(KvmCap.SYNC_REGS),
      xsave: this.#useXSave && kvm.capability(KvmCap.XSAVE) ? this.xsaveFormat : undefined,
      msrIndices: kvm.msrIndices,
    });
    if (this.os === undefined) return;
    this.#user = new UserEntry(this, this.os, this.#stub);
    // User code sees no MSR: all but the stub's stay as KVM made them.
    this.#transfer.load(RegClass.msr);
    this.#stub.setRegisters(this.context);
  }

  /** Where this host's XSAVE keeps the vector registers; there is one from startup on. */
  get xsaveFormat(): XsaveFormat {
    return this.#xsaveFormat ?? panic(this.path, 'used before startup');
  }

  /** AT_HWCAP as Linux gives it: CPUID.1:EDX. */
  get hwcap(): number {
    return this.#cpuid(1)?.edx ?? 0;
  }

  /** AT_HWCAP2 as Linux gives it: bit 1 says that user code may use WRFSBASE and its like. */
  get hwcap2(): number {
    return this.#optionalCr4() & Cr4.FSGSBASE ? HWCAP2_FSGSBASE : 0;
  }

  /** Privilege level in KVM at the last exit: SS.DPL. Hot path. */
  get cplInKvm(): number {
    const transfer = this.#theTransfer();
    return transfer.specialTravels ? transfer.cpl : this.readState(RegClass.special).cpl;
  }

  protected override storeState(classes: number, halfEntry: boolean): void {
    if (this.debug.KvmContext)
      this.trace('KvmContext', `thread context -> KVM, classes 0x${classes.toString(16)}`);
    const user = this.#user;
    const transfer = this.#theTransfer();
    if (user === undefined) transfer.store(classes);
    else if (user.returnsBySysret(classes, halfEntry)) user.storeInStub(transfer, classes);
    else transfer.store(user.leaveStub(classes));
  }

  protected override loadState(classes: number): void {
    if (this.debug.KvmContext)
      this.trace('KvmContext', `KVM -> thread context, classes 0x${classes.toString(16)}`);
    this.#theTransfer().load(classes);
    if (classes & RegClass.special) this.#user?.loadedSpecial(this.context);
  }

  protected override prepareEntry(): boolean {
    // Registers that KVM has changed since are the processor's own: they can be entered.
    return this.#user === undefined || !(this.tcDirty & RegClass.general) || this.#user.prepare();
  }

  protected override entered(bySignal: boolean): void {
    this.#user?.entered(bySignal);
  }

  protected override isArchDrained(): boolean {
    return this.#user?.isSettled ?? true;
  }

  protected override serveExit(reason: number): Ticks {
    if (reason === KvmExitReason.IO) {
      this.stats.numIO.inc();
      const { io } = this.vcpu.run;
      if (this.debug.KvmIO) this.trace('KvmIO', `port 0x${io.port.toString(16)} ${io.isOut ? 'out' : 'in'}`);
      if (this.#user !== undefined) {
        if (!this.#user.serve(io)) this.#readNothing();
        this.served('RunningServiceCompletion');
        return ZERO_TICKS;
      }
    }
    return this.#unserved();
  }

  /** A port where nothing is: reads give ones. */
  #readNothing(): void {
    const { io, u8 } = this.vcpu.run;
    if (!io.isOut) u8.fill(0xff, io.dataOffset, io.dataOffset + io.size * io.count);
  }

  override dump(): string {
    return dumpAll(this.readState(RegClass.all));
  }

  // ---- set-up and trouble ----

  /** State components that this KVM supports and the thread context holds. */
  #xcr0(): number {
    const supported = this.#cpuid(0xd)?.eax ?? Xcr0.X87 | Xcr0.SSE;
    return (supported & XSAVE_HELD) >>> 0;
  }

  /** CR4 bits of features that this KVM supports. SDM vol. 2A "CPUID", leaves 1 and 7. */
  #optionalCr4(): number {
    const xsave = (this.#cpuid(1)?.ecx ?? 0) & CPUID_1_ECX_XSAVE ? Cr4.OSXSAVE : 0;
    const fsgsbase = (this.#cpuid(7)?.ebx ?? 0) & CPUID_7_EBX_FSGSBASE ? Cr4.FSGSBASE : 0;
    return xsave | fsgsbase;
  }

  /** Supported entry of a leaf, sub-leaf 0. */
  #cpuid(leaf: number): CpuidEntry | undefined {
    return this.#wiring.kvm.supportedCpuid.find((entry) => entry.function === leaf && entry.index === 0);
  }

  #theTransfer(): X86StateTransfer {
    return this.#transfer ?? panic(this.path, 'used before startup');
  }

  /** An exit that nothing serves: the state is shown, and the simulation ends. */
  #unserved(): never {
    const exit = describeExit(decodeExit(this.vcpu.run));
    this.root.trouble.warn(this.path, `state of the vCPU:\n${this.dump()}`);
    return fatal(this.path, `KVM exit that cannot be served: ${exit}`);
  }
}
