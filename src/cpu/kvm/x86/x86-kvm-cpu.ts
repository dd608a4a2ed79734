// X86KvmCpu: the x86 part of the KVM CPU: which registers travel how, what exits mean, and user mode without a kernel
// (syscall emulation). gem5: src/arch/x86/kvm/x86_cpu.cc.

import { dumpAll } from '../../../arch/x86/dump.ts';
import { describeVector } from '../../../arch/x86/exceptions.ts';
import { mxcsrMaskOf } from '../../../arch/x86/fxsave.ts';
import { Xcr0 } from '../../../arch/x86/registers.ts';
import { OFFSET, RegClass, X86ThreadContext } from '../../../arch/x86/thread-context.ts';
import { setUserMode, setUserSegments } from '../../../arch/x86/user-mode.ts';
import { XSAVE_HELD, XsaveFormat } from '../../../arch/x86/xsave.ts';
import { KvmCap, KvmExitReason } from '../../../host/kvm/abi.ts';
import { decodeExit, describeExit } from '../../../host/kvm/exit.ts';
import type { CpuidEntry, X86Vcpu } from '../../../host/kvm/vcpu.ts';
import type { PhysicalMemory } from '../../../mem/physical-memory.ts';
import { bool, declareParams, type ParamInputs, resolveParams } from '../../../sim/params.ts';
import type { SimObject } from '../../../sim/sim-object.ts';
import { type Ticks, ZERO_TICKS } from '../../../sim/tick.ts';
import { fatal, panic } from '../../../sim/trouble.ts';
import type { UserException } from '../../user-mode-os.ts';
import { BaseKvmCpu, type BaseKvmCpuParams } from '../base-kvm-cpu.ts';
import type { HostParts } from '../vcpu-parts.ts';
import { X86StateTransfer } from './state-transfer.ts';
import { StubExit, UserStub } from './user-stub.ts';

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

const RING_3 = 3;
/** RIP and RSP of user code are below this; anything else is not canonical, or not the program's. */
const USER_END = 0x8000_0000_0000n;

export class X86KvmCpu extends BaseKvmCpu<X86ThreadContext, X86Vcpu> {
  protected override readonly context = new X86ThreadContext();
  readonly #wiring: X86KvmCpuWiring;
  readonly #useXSave: boolean;
  readonly #stub: UserStub;
  #transfer: X86StateTransfer | undefined;
  #xsaveFormat: XsaveFormat | undefined;
  /**
   * The vCPU stands in ring 0 of the stub, behind SYSCALL: SYSRETQ brings it back by itself if the thread context
   * still returns to where RCX and R11 say. RIP and RFLAGS in the stub are kept here.
   */
  #inSyscallStub = false;
  readonly #stubRip = new Uint32Array(4);
  readonly #exception: UserException = { vector: 0, errorCode: 0, address: 0n };

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
    setUserMode(this.context, this.os.pageTableRoot, this.#xcr0());
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
    // User code sees no MSR: all but the stub's stay as KVM made them.
    this.#transfer.load(RegClass.msr);
    this.#stub.setRegisters(this.context);
  }

  /** Where this host's XSAVE keeps the vector registers; there is one from startup on. */
  get xsaveFormat(): XsaveFormat {
    return this.#xsaveFormat ?? panic(this.path, 'used before startup');
  }

  /** CPUID.1:EDX, which Linux hands to programs as AT_HWCAP. */
  get featureBits(): number {
    return this.#wiring.kvm.supportedCpuid.find((entry) => entry.function === 1)?.edx ?? 0;
  }

  protected override storeState(classes: number): void {
    if (this.debug.KvmContext)
      this.trace('KvmContext', `thread context -> KVM, classes 0x${classes.toString(16)}`);
    if (this.#inSyscallStub) {
      this.#inSyscallStub = false;
      if (this.#returnsBySysret(classes)) {
        this.#storeForSysret(classes);
        return;
      }
      // The stub's CS and SS are those of ring 0: give KVM the user's.
      this.modifyState(RegClass.special);
      classes |= RegClass.special;
    }
    this.#theTransfer().store(classes);
  }

  protected override loadState(classes: number): void {
    if (this.debug.KvmContext)
      this.trace('KvmContext', `KVM -> thread context, classes 0x${classes.toString(16)}`);
    this.#theTransfer().load(classes);
    if (classes & RegClass.special && this.#inSyscallStub) setUserSegments(this.context);
  }

  protected override serveExit(reason: number): Ticks {
    const { run } = this.vcpu;
    switch (reason) {
      case KvmExitReason.IO:
        this.stats.numIO.inc();
        if (this.debug.KvmIO)
          this.trace('KvmIO', `port 0x${run.io.port.toString(16)} ${run.io.isOut ? 'out' : 'in'}`);
        if (this.os !== undefined && run.io.isOut) return this.#serveUser(this.#stub.classify(run.io.port));
        return this.#unserved();
      case KvmExitReason.SHUTDOWN:
        this.root.exitSimLoop('guest shut down by a triple fault', 1);
        this.haltContext();
        return ZERO_TICKS;
      default:
        return this.#unserved();
    }
  }

  override dump(): string {
    return dumpAll(this.readState(RegClass.all));
  }

  // ---- user mode without a kernel ----

  #serveUser(what: number): Ticks {
    if (what === StubExit.Syscall) this.#serveSyscall();
    else if (what === StubExit.None) return this.#unserved();
    else this.#serveException(what);
    this.os!.afterService(this);
    this.served('RunningServiceCompletion');
    return ZERO_TICKS;
  }

  /** Behind SYSCALL: RCX is the return address, R11 the flags (SDM vol. 2B "SYSCALL"). Hot path. */
  #serveSyscall(): void {
    this.stats.numUserSyscalls.inc();
    const tc = this.modifyState(RegClass.general);
    const words = tc.u32;
    const rip = OFFSET.rip >> 2;
    this.#inSyscallStub = this.#cplInKvm() !== RING_3;
    if (this.#inSyscallStub) for (let i = 0; i < 4; i++) this.#stubRip[i] = words[rip + i]!;
    words[rip] = words[RCX]!;
    words[rip + 1] = words[RCX + 1]!;
    words[rip + 2] = words[R11]!;
    words[rip + 3] = 0;
    this.os!.syscall(this);
  }

  /** In an exception entry of the stub: the interrupted state is in the frame. */
  #serveException(vector: number): void {
    this.stats.numUserExceptions.inc();
    const tc = this.modifyState(RegClass.general | RegClass.special);
    const frame = this.#stub.readFrame(vector);
    tc.rip = frame.rip;
    tc.rflags = frame.rflags;
    tc.setGpr(RSP_INDEX, frame.rsp);
    if ((frame.cs & 3) !== RING_3) {
      panic(this.path, `${describeVector(vector)} in the supervisor stub at 0x${frame.rip.toString(16)}`);
    }
    setUserSegments(tc);
    const exception = this.#exception;
    exception.vector = vector;
    exception.errorCode = frame.errorCode;
    exception.address = vector === PAGE_FAULT ? tc.get(OFFSET.cr2) : 0n;
    if (this.debug.Faults) {
      const at = vector === PAGE_FAULT ? ` on 0x${exception.address.toString(16)}` : '';
      this.trace(
        'Faults',
        `${describeVector(vector)} at 0x${frame.rip.toString(16)}${at}, error code ${frame.errorCode}`,
      );
    }
    this.os!.exception(this, exception);
  }

  /** Whether SYSRETQ in the stub leads to the state that the thread context wants. */
  #returnsBySysret(classes: number): boolean {
    const words = this.context.u32;
    const rip = OFFSET.rip >> 2;
    return (
      (classes & RegClass.special) === 0 &&
      words[rip] === words[RCX] &&
      words[rip + 1] === words[RCX + 1] &&
      words[rip + 2] === words[R11] &&
      // SYSRET to an address that is not canonical faults in ring 0 on some processors.
      this.context.rip < USER_END
    );
  }

  /** Leaves the vCPU where it is, in front of SYSRETQ. */
  #storeForSysret(classes: number): void {
    const words = this.context.u32;
    const rip = OFFSET.rip >> 2;
    const [lo, hi, flags] = [words[rip]!, words[rip + 1]!, words[rip + 2]!];
    for (let i = 0; i < 4; i++) words[rip + i] = this.#stubRip[i]!;
    this.#theTransfer().store(classes);
    words[rip] = lo;
    words[rip + 1] = hi;
    words[rip + 2] = flags;
    words[rip + 3] = 0;
  }

  /** Current privilege level in KVM at the last exit: SS.DPL. */
  #cplInKvm(): number {
    const transfer = this.#theTransfer();
    return transfer.specialTravels ? transfer.cpl : this.readState(RegClass.special).cpl;
  }

  // ---- set-up and trouble ----

  /** State components that this KVM supports and the thread context holds. */
  #xcr0(): number {
    const leaf = this.#wiring.kvm.supportedCpuid.find((entry) => entry.function === 0xd && entry.index === 0);
    return ((leaf?.eax ?? Xcr0.X87 | Xcr0.SSE) & XSAVE_HELD) >>> 0;
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

const RCX = (OFFSET.gpr >> 2) + 2 * 1;
const R11 = (OFFSET.gpr >> 2) + 2 * 11;
const RSP_INDEX = 4;
const PAGE_FAULT = 14;
