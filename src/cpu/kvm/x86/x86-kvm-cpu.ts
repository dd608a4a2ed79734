// X86KvmCpu: the x86 part of the KVM CPU: which registers travel how, what exits mean, and the two ways to use it: a whole
// machine with interrupt controllers, or user mode without a kernel (syscall emulation). gem5: src/arch/x86/kvm/x86_cpu.cc.

import { portAddress } from '../../../arch/x86/address-spaces.ts';
import { dumpAll } from '../../../arch/x86/dump.ts';
import { legalizeSegments } from '../../../arch/x86/guest-state-segments.ts';
import { apicOffset, type InterruptedCpu } from '../../../arch/x86/interrupts.ts';
import { MsrIndex } from '../../../arch/x86/msrs.ts';
import { Activity, activityOf, setActivity } from '../../../arch/x86/processor-reset.ts';
import { ApicBase, Rflags } from '../../../arch/x86/registers.ts';
import { RegClass, X86ThreadContext } from '../../../arch/x86/thread-context.ts';
import { setUserMode } from '../../../arch/x86/user-mode.ts';
import type { XsaveFormat } from '../../../arch/x86/xsave.ts';
import { KvmCap, KvmExitReason } from '../../../host/kvm/abi.ts';
import { decodeExit } from '../../../host/kvm/exit.ts';
import { KVM_RUN_HYPERCALL_RET_OFFSET } from '../../../host/kvm/run.ts';
import type { X86Vcpu } from '../../../host/kvm/vcpu.ts';
import type { PhysAddr } from '../../../mem/addr.ts';
import type { ParamValues } from '../../../sim/params.ts';
import type { DrainAnswer, SimObject } from '../../../sim/sim-object.ts';
import { clockPeriodTicks, TICKS_PER_NS, type Ticks, ZERO_TICKS } from '../../../sim/tick.ts';
import { fatal, panic } from '../../../sim/trouble.ts';
import type { BaseCpu } from '../../base-cpu.ts';
import { BaseKvmCpu } from '../base-kvm-cpu.ts';
import type { HostWants } from '../vcpu-parts.ts';
import { reportExit, stateReport, systemEventCause, violatedRules } from './exit-reports.ts';
import { GuestCpuid } from './guest-cpuid.ts';
import { GuestTsc, type TscPolicy } from './guest-tsc.ts';
import { type HyperV, makeHyperV } from './hyper-v.ts';
import { InterruptDelivery, isHalfDelivered } from './interrupt-delivery.ts';
import { giveLocalApic } from './kernel-apic.ts';
import { type AccessPort, serveLegacyIo } from './legacy-io.ts';
import { exitedMsrs, hasMsrExits, MsrExits, reachesApicMsrs } from './msr-exits.ts';
import { NestedState } from './nested-state.ts';
import { clockCell, makeParavirtualClock, type ParavirtualClock } from './paravirtual-clock.ts';
import { X86StateTransfer, xsaveFormatOf } from './state-transfer.ts';
import { UserEntry } from './user-entry.ts';
import { takeRegisters, UserStub } from './user-stub.ts';
import {
  splitParams,
  X86_KVM_CPU_PARAMS,
  type X86KvmCpuParams,
  type X86KvmCpuWiring,
} from './x86-kvm-params.ts';

export type { X86KvmCpuParams, X86KvmCpuWiring, X86KvmFacts } from './x86-kvm-params.ts';

const NS_PER_MS = 1e6;
/** KVM_ENOSYS, what a hypercall that nobody serves returns. Linux include/uapi/linux/kvm_para.h. */
const HYPERCALL_UNKNOWN = -1000n;

export class X86KvmCpu extends BaseKvmCpu<X86ThreadContext, X86Vcpu> implements InterruptedCpu {
  protected override readonly context = new X86ThreadContext();
  readonly x86Params: ParamValues<typeof X86_KVM_CPU_PARAMS>;
  /** Hyper-V's interface, if the guest is offered it. */
  readonly hyperV: HyperV | undefined;
  readonly #wiring: X86KvmCpuWiring;
  readonly #guestCpuid: GuestCpuid;
  readonly #stub: UserStub | undefined;
  readonly #nested = new NestedState();
  readonly #msrExits: MsrExits;
  #transfer: X86StateTransfer | undefined;
  #xsaveFormat: XsaveFormat | undefined;
  #user: UserEntry | undefined;
  #delivery: InterruptDelivery | undefined;
  #tsc: GuestTsc | undefined;
  readonly #clock: ParavirtualClock | undefined;
  readonly #accessPort: AccessPort = (address, data, at, sizeBytes, isWrite) =>
    this.access(address, data, at, sizeBytes, isWrite);

  constructor(parent: SimObject, name: string, wiring: X86KvmCpuWiring, params: X86KvmCpuParams = {}) {
    const [own, base] = splitParams(params);
    const parts = {
      createVcpu: () => this.#createVcpu(),
      attach: (vcpu: X86Vcpu, wants: HostWants) =>
        wiring.attach(vcpu, (message) => this.warnOnce(message), wants),
      ...(wiring.memoryMode === undefined ? {} : { memoryMode: wiring.memoryMode }),
    };
    super(parent, name, parts, RegClass.all, base);
    this.#wiring = wiring;
    this.x86Params = this.resolveParams(X86_KVM_CPU_PARAMS, own);
    this.#clock = makeParavirtualClock(wiring, {
      isWanted: this.x86Params.kvmClock || this.x86Params.hyperV,
      tsc: this.#tscPolicy,
      hostFactor: this.params.hostFactor,
    });
    this.hyperV = makeHyperV(this, wiring, this.x86Params, this.#clock);
    this.#guestCpuid = GuestCpuid.of(this.path, wiring, this.x86Params, {
      kvmClock: this.x86Params.kvmClock && this.#clock !== undefined,
      hyperV: this.hyperV && wiring.kvm.supportedHyperVCpuid,
      invariantTsc: this.#tscPolicy === 'simulated',
    });
    if (wiring.interrupts !== undefined) wiring.interrupts.msrsReachable = reachesApicMsrs(wiring);
    this.#msrExits = new MsrExits(
      wiring.interrupts,
      () => this.#theTsc(),
      this.#clock,
      this.hyperV,
      (text) => this.trace('KvmIO', text),
    );
    this.#stub = wiring.stubBase === undefined ? undefined : new UserStub(wiring.memory, wiring.stubBase);
    this.context.powerOn();
    this.state('context', this.context);
    this.state('cpuid', this.#guestCpuid);
    this.state('nested', this.#nested);
    this.state('paravirtualClock', clockCell(this.#clock));
  }

  /** Syscall emulation: the processor starts in ring 3, on the operating system's page tables. */
  override initState(): void {
    const { os } = this;
    if (os === undefined) return;
    const { xcr0, cr4 } = this.#guestCpuid.userFeatures;
    setUserMode(this.context, os.pageTableRoot, xcr0, cr4);
    const stub = this.#theStub();
    stub.install();
    stub.mapInto((virtual, physical, flags) => os.mapReserved(virtual, physical, flags));
  }

  #createVcpu(): X86Vcpu {
    const wiring = this.#wiring;
    if (this.os === undefined && hasMsrExits(wiring.kvm))
      wiring.exitOnMsrs?.(exitedMsrs(wiring, this.#tscPolicy, this.#clock, this.hyperV));
    if (this.params.useCoalescedMMIO) wiring.coalesce?.();
    return wiring.createVcpu();
  }

  protected override setUpVcpu(vcpu: X86Vcpu): void {
    const { kvm, irqchip, interrupts } = this.#wiring;
    const tscKhz = this.#guestCpuid.giveTo(vcpu, {
      tscFactor: this.#tscPolicy === 'simulated' ? this.params.hostFactor : 1,
      scalesTsc: kvm.capability(KvmCap.TSC_CONTROL) > 0,
      // User code reads the processor's own where KVM ignores the list, and nobody can change that.
      checks: this.os === undefined,
      warn: (message) => this.warnOnce(message),
    });
    this.#xsaveFormat = xsaveFormatOf(vcpu, kvm.supportedCpuid);
    const transfer = new X86StateTransfer(vcpu, this.context, this.stats, {
      syncRegs: kvm.capability(KvmCap.SYNC_REGS),
      xsave: this.x86Params.useXSave && kvm.capability(KvmCap.XSAVE) ? this.xsaveFormat : undefined,
      msrIndices: kvm.msrIndices,
      mpState: irqchip !== undefined,
      nested: this.#guestCpuid.shows('svm') ? this.#nested : undefined,
      refusedMsr: (name) => this.warnOnce(`this KVM does not take MSR ${name}: its value is lost`),
    });
    this.#transfer = transfer;
    // Before the TSC, which sets the clock: reference time is never before what was saved.
    this.hyperV?.setUp(vcpu);
    this.#tsc = this.#makeTsc(vcpu, tscKhz);
    irqchip?.vcpuCreated(this.x86Params.apicId, vcpu);
    if (this.os === undefined) {
      const { signature } = this.#guestCpuid;
      const store = (classes: number): void => transfer.store(classes);
      if (interrupts !== undefined)
        this.#delivery = new InterruptDelivery(this, vcpu, interrupts, signature, store);
      return;
    }
    const stub = this.#theStub();
    this.#user = new UserEntry(this, this.os, stub);
    // User code sees no MSR: all but the stub's stay as KVM made them.
    this.loadState(RegClass.msr);
    stub.setRegisters(this.context);
  }

  // ---- the local APIC's CPU ----

  /** What is pending ends HLT only if the processor takes it, and the wait for STARTUP only if it is one. */
  override wakeup(): void {
    if (this.#isStopped && !(this.#delivery?.endsHalt ?? false)) return;
    super.wakeup();
  }

  /** The TSC as the guest would read it now. */
  readTsc(): bigint {
    return this.#tsc?.read() ?? this.context.msr(MsrIndex.TSC)!;
  }

  /** Frequency of the TSC in simulated time; known from startup on. */
  get tscHz(): number {
    return this.#theTsc().hz;
  }

  /** Whether the thread executes nothing although it is not told to stop: HLT, or the wait for STARTUP. */
  get #isStopped(): boolean {
    if (this.#wiring.interrupts === undefined || this.thread.status !== 'suspended') return false;
    return activityOf(this.context) !== Activity.active;
  }

  /**
   * HLT with interrupts off, or INIT on the only processor, which nobody can send STARTUP. Devices that are wired to send an NMI
   * are not thought of.
   */
  get isHaltedForGood(): boolean {
    if (!this.#isStopped) return false;
    if (activityOf(this.context) === Activity.waitForSipi)
      return this.x86Params.cpuCount === 1 && !(this.#wiring.interrupts?.hasStartup ?? true);
    return (this.readState(RegClass.general).rflags & Rflags.IF) === 0;
  }

  override activateContext(): void {
    if (activityOf(this.context) === Activity.halted) setActivity(this.context, Activity.active);
    super.activateContext();
  }

  override suspendContext(): void {
    const isHlt = this.kvmState === 'RunningService' && this.vcpu.run.exitReason === KvmExitReason.HLT;
    if (isHlt) setActivity(this.context, Activity.halted);
    super.suspendContext();
  }

  protected override isWakeupPending(): boolean {
    return this.#delivery?.endsHalt ?? false;
  }

  protected override deliverInterrupts(nowNs: number): void {
    this.#delivery?.beforeEntry(this.isDraining, this.kvmState === 'RunningServiceCompletion');
    this.#tsc?.beforeEntry(nowNs);
  }

  // ---- drain, switch ----

  override drain(): DrainAnswer {
    const answer = super.drain();
    const isOurs = !this.isSwitchedOut && !(this.tcDirty & RegClass.msr);
    // The counter has run on since the registers were read.
    if (answer === 'drained' && isOurs && this.#tsc !== undefined)
      this.context.setMsr(MsrIndex.TSC, this.#tsc.show());
    return answer;
  }

  override drainResume(): void {
    super.drainResume();
    // What came while nobody could be woken: during the drain, or before a restored system had a vCPU.
    if (!this.isSwitchedOut && this.#isStopped) this.wakeup();
  }

  override takeOverFrom(old: BaseCpu<X86ThreadContext>): void {
    const stub = this.os === undefined ? undefined : this.#theStub();
    takeRegisters(this.context, old.readState(RegClass.all), stub, this.#guestCpuid.userFeatures.cr4);
    if (this.#clock !== undefined && old instanceof X86KvmCpu) this.#clock.seenNs = old.#clock?.seenNs ?? 0;
    super.takeOverFrom(old);
  }

  protected override isArchDrained(): boolean {
    return this.#user?.isSettled ?? !isHalfDelivered(this.readState(RegClass.events));
  }

  // ---- registers ----

  /** Where this host's XSAVE keeps the vector registers; there is one from startup on. */
  get xsaveFormat(): XsaveFormat {
    return this.#xsaveFormat ?? panic(this.path, 'used before startup');
  }

  /** AT_HWCAP as Linux gives it: CPUID.1:EDX. */
  get hwcap(): number {
    return this.#guestCpuid.userFeatures.hwcap;
  }

  /** AT_HWCAP2 as Linux gives it: bit 1 says that user code may use WRFSBASE and its like. */
  get hwcap2(): number {
    return this.#guestCpuid.userFeatures.hwcap2;
  }

  /** Privilege level in KVM at the last exit: SS.DPL. Hot path. */
  get cplInKvm(): number {
    const transfer = this.#theTransfer();
    return transfer.specialTravels ? transfer.cpl : this.readState(RegClass.special).cpl;
  }

  protected override storeState(classes: number, halfEntry: boolean): void {
    if (this.debug.KvmContext) this.#traceStore(classes);
    const user = this.#user;
    const transfer = this.#theTransfer();
    if (classes & RegClass.msr) this.#theTsc().take(this.context.msr(MsrIndex.TSC)!);
    if (user === undefined) {
      if (classes & RegClass.special) {
        legalizeSegments(this.context);
        this.#delivery?.showIn(this.context);
      }
      transfer.store(classes);
      this.#delivery?.registersWritten(classes);
      const { irqchip } = this.#wiring;
      if (irqchip !== undefined) giveLocalApic(irqchip, this.x86Params.apicId, this.vcpu, this.context);
    } else if (user.returnsBySysret(classes, halfEntry)) user.storeInStub(transfer, classes);
    else transfer.store(user.leaveStub(classes));
  }

  protected override loadState(classes: number): void {
    if (this.debug.KvmContext)
      this.trace('KvmContext', `KVM -> thread context, classes 0x${classes.toString(16)}`);
    this.#theTransfer().load(classes);
    if (classes & RegClass.special) {
      this.#user?.loadedSpecial(this.context);
      this.#delivery?.showIn(this.context);
    }
    if (classes & RegClass.msr) this.context.setMsr(MsrIndex.TSC, this.#theTsc().show());
  }

  protected override prepareEntry(): boolean {
    // Registers that KVM has changed since are the processor's own: they can be entered.
    return this.#user === undefined || !(this.tcDirty & RegClass.general) || this.#user.prepare();
  }

  protected override entered(bySignal: boolean, nowNs: number): void {
    this.#tsc?.afterEntry(nowNs);
    this.#delivery?.afterEntry();
    this.#user?.entered(bySignal);
  }

  override dump(): string {
    return dumpAll(this.readState(RegClass.all));
  }

  // ---- exits ----

  /** The local APIC's page, wherever the guest has put it, is this processor's own. */
  override translateAccess(address: PhysAddr): PhysAddr {
    const { interrupts, localApic = ApicBase.DEFAULT_ADDRESS } = this.#wiring;
    if (interrupts === undefined) return address;
    const offset = apicOffset(address, interrupts.apicBase);
    return offset < 0 ? address : ((localApic + offset) as PhysAddr);
  }

  override translatePort(port: number): PhysAddr {
    return portAddress(port);
  }

  protected override serveExit(reason: number): Ticks {
    switch (reason) {
      case KvmExitReason.IO:
        return this.#serveIo();
      case KvmExitReason.X86_RDMSR:
      case KvmExitReason.X86_WRMSR:
        return this.#serveMsr(reason === KvmExitReason.X86_WRMSR);
      case KvmExitReason.HYPERCALL:
        return this.#serveHypercall();
      case KvmExitReason.HYPERV:
        return this.#serveHyperV();
      case KvmExitReason.DEBUG:
        this.root.exitSimLoop('debug exit');
        this.served('Running');
        return ZERO_TICKS;
      case KvmExitReason.SHUTDOWN:
        return this.#user === undefined ? this.#end('triple fault') : this.#unserved();
      case KvmExitReason.SYSTEM_EVENT:
        return this.#end(systemEventCause(decodeExit(this.vcpu.run)));
      default:
        return this.#unserved();
    }
  }

  #serveIo(): Ticks {
    this.stats.numIO.inc();
    const { io, u8 } = this.vcpu.run;
    if (this.debug.KvmIO) this.trace('KvmIO', `port 0x${io.port.toString(16)} ${io.isOut ? 'out' : 'in'}`);
    let delay = ZERO_TICKS;
    if (this.#user === undefined) {
      delay = serveLegacyIo(io, u8, this.#accessPort);
    } else if (!this.#user.serve(io) && !io.isOut) {
      // A port where nothing is.
      u8.fill(0xff, io.dataOffset, io.dataOffset + io.size * io.count);
    }
    this.served('RunningServiceCompletion');
    return delay;
  }

  #serveMsr(isWrite: boolean): Ticks {
    const { msr } = this.vcpu.run;
    if (this.debug.KvmIO) this.trace('KvmIO', `${isWrite ? 'WRMSR' : 'RDMSR'} 0x${msr.index.toString(16)}`);
    this.#msrExits.serve(msr, isWrite);
    this.served('RunningServiceCompletion');
    return clockPeriodTicks(this.params.clock);
  }

  #serveHypercall(): Ticks {
    this.stats.numHypercalls.inc();
    this.vcpu.run.view.setBigInt64(KVM_RUN_HYPERCALL_RET_OFFSET, HYPERCALL_UNKNOWN, true);
    this.served('RunningServiceCompletion');
    return ZERO_TICKS;
  }

  #serveHyperV(): Ticks {
    const next = this.hyperV?.serve(this.vcpu.run.hyperv) ?? this.#unserved();
    if (next === 'RunningServiceCompletion') this.stats.numHypercalls.inc();
    this.served(next);
    return ZERO_TICKS;
  }

  /** The machine has stopped: a cause for run(), not an error. */
  #end(cause: string): Ticks {
    if (this.debug.Kvm) this.trace('Kvm', stateReport(this.readState(RegClass.all)));
    const { linearPc } = this.readState(RegClass.general | RegClass.special);
    this.root.trouble.warn(this.path, `${cause} at 0x${linearPc.toString(16)}`);
    this.haltContext();
    this.root.exitSimLoop(cause);
    return ZERO_TICKS;
  }

  /** An exit that nothing serves ends the simulation. */
  #unserved(): never {
    const exit = decodeExit(this.vcpu.run);
    const tc = this.readState(RegClass.all);
    if (this.debug.Kvm) this.trace('Kvm', stateReport(tc));
    return fatal(
      this.path,
      reportExit(exit, tc, this.vcpu, this.#wiring.memory, this.#guestCpuid.stateOptions),
    );
  }

  // ---- set-up ----

  #makeTsc(vcpu: X86Vcpu, tscKhz: number): GuestTsc {
    return new GuestTsc({
      vcpu,
      policy: this.#tscPolicy,
      hz: tscKhz * 1000,
      hostHz: vcpu.getTscKhz() * 1000,
      queue: this.eventQueue,
      now: () => this.root.hostClock() * NS_PER_MS,
      driftNs: this.x86Params.tscDrift / TICKS_PER_NS,
      warn: (message) => this.warnOnce(message),
      clock: this.#clock,
    });
  }

  get #tscPolicy(): TscPolicy {
    return this.x86Params.tsc ?? (this.os === undefined ? 'simulated' : 'host');
  }

  #traceStore(classes: number): void {
    this.trace('KvmContext', `thread context -> KVM, classes 0x${classes.toString(16)}`);
    const rules =
      classes & RegClass.special ? violatedRules(this.context, this.#guestCpuid.stateOptions) : '';
    if (rules !== '') this.trace('KvmContext', `the state breaks: ${rules}`);
  }

  #theTransfer(): X86StateTransfer {
    return this.#transfer ?? panic(this.path, 'used before startup');
  }

  #theTsc(): GuestTsc {
    return this.#tsc ?? panic(this.path, 'used before startup');
  }

  #theStub(): UserStub {
    return this.#stub ?? panic(this.path, 'syscall emulation without a stub: give stubBase');
  }
}
