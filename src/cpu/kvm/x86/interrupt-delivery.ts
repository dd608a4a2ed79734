// InterruptDelivery: from the simulated local APIC into the guest, at the last moment before an entry. At most one event
// is injected per entry; what cannot be injected yet asks KVM for an exit as soon as it can. gem5: X86KvmCPU::kvmRun and
// deliverInterrupts. SDM vol. 3 §6.7 to §6.9 (NMI, masking, priorities), §8.4 (INIT, STARTUP).
//
//   pending external interrupt ── guest can take it ──▶ KVM_INTERRUPT
//                              └─ it cannot ──▶ request_interrupt_window ──▶ exit IRQ_WINDOW_OPEN, next entry injects

import type { InterruptController } from '../../../arch/x86/interrupts.ts';
import { Activity, activityOf, initProcessor, startProcessor } from '../../../arch/x86/processor-reset.ts';
import { Rflags } from '../../../arch/x86/registers.ts';
import { EVENT, OFFSET, RegClass, type X86ThreadContext } from '../../../arch/x86/thread-context.ts';
import { KvmSyncX86 } from '../../../host/kvm/abi-x86.ts';
import type { X86Vcpu } from '../../../host/kvm/vcpu.ts';
import type { DebugFlag, DebugFlags } from '../../../sim/debug-flags.ts';
import type { KvmCpuStats } from '../stats.ts';

/** What delivery needs of its CPU. */
export interface DeliveryCpu {
  readonly debug: DebugFlags;
  readonly stats: KvmCpuStats;
  readState(classes: number): X86ThreadContext;
  modifyState(classes: number): X86ThreadContext;
  suspendContext(): void;
  trace(flag: DebugFlag, text: string): void;
}

/** Events that KVM delivers before the next instruction: until then the thread context is not the whole truth. */
const UNDELIVERED = [
  EVENT.exceptionInjected,
  EVENT.exceptionPending,
  EVENT.interruptInjected,
  EVENT.nmiInjected,
].map((event) => OFFSET.events + event);
const SHADOW = OFFSET.events + EVENT.interruptShadow;
const NMI_PENDING = OFFSET.events + EVENT.nmiPending;
const NMI_MASKED = OFFSET.events + EVENT.nmiMasked;

/** Register classes that decide whether an interrupt gets in. */
const DECISIVE = RegClass.general | RegClass.special | RegClass.events;

/** Whether an exception, interrupt or NMI is on its way into the guest. An NMI that waits for its mask is not. */
export function isHalfDelivered({ u8 }: X86ThreadContext): boolean {
  if (u8[NMI_PENDING] !== 0 && u8[NMI_MASKED] === 0) return true;
  return UNDELIVERED.some((at) => u8[at] !== 0);
}

/** Whether the processor would take an external interrupt in front of the next instruction. */
export function acceptsInterrupt(tc: X86ThreadContext): boolean {
  return (tc.rflags & Rflags.IF) !== 0 && tc.u8[SHADOW] === 0 && !isHalfDelivered(tc);
}

export class InterruptDelivery {
  readonly #cpu: DeliveryCpu;
  readonly #vcpu: X86Vcpu;
  readonly #controller: InterruptController;
  /** Thread context → KVM, before the entry that is being prepared. */
  readonly #store: (classes: number) => void;
  readonly #signature: number;
  /** What KVM said at the last exit holds no longer: registers have been written since, or there was no exit yet. */
  #isReadinessStale = true;
  /** The controller's revision at which nothing was pending, with KVM told everything; −1: that is to be looked at. */
  #quietRevision = -1;
  #cr8InKvm = 0;
  #apicBaseInKvm = -1;

  /**
   * @param signature CPUID.1:EAX, for INIT
   * @param store writes register classes of the thread context to KVM, at once or with the entry
   */
  constructor(
    cpu: DeliveryCpu,
    vcpu: X86Vcpu,
    controller: InterruptController,
    signature: number,
    store: (classes: number) => void,
  ) {
    this.#cpu = cpu;
    this.#vcpu = vcpu;
    this.#controller = controller;
    this.#signature = signature;
    this.#store = store;
  }

  /** Register classes have been written to KVM since the last exit. */
  registersWritten(classes: number): void {
    this.#quietRevision = -1;
    if (classes & DECISIVE) this.#isReadinessStale = true;
  }

  /** Whether what is pending ends the activity state that the thread is in: HLT, or the wait for STARTUP. */
  get endsHalt(): boolean {
    const controller = this.#controller;
    if (!controller.isPending) return false;
    const tc = this.#cpu.readState(RegClass.general);
    if (activityOf(tc) === Activity.waitForSipi) return controller.hasStartup;
    if (controller.hasInit) return true;
    if (controller.hasNmi && this.#cpu.readState(RegClass.events).u8[NMI_MASKED] === 0) return true;
    return controller.hasExternal && (tc.rflags & Rflags.IF) !== 0;
  }

  /**
   * Right before an entry. May suspend the thread, which cancels the entry. Hot path.
   * @param isDraining nothing new gets in: what is half delivered shall reach an instruction boundary
   * @param owesCompletion KVM is in the middle of an instruction that has made an exit
   */
  beforeEntry(isDraining: boolean, owesCompletion = false): void {
    const controller = this.#controller;
    if (controller.revision === this.#quietRevision && !isDraining) return;
    this.#quietRevision = -1;
    const { run } = this.#vcpu;
    this.#cr8InKvm = controller.cr8;
    run.cr8 = this.#cr8InKvm;
    this.#apicBaseInKvm = controller.apicBase;
    run.apicBase = this.#apicBaseInKvm;
    if (isDraining) {
      // The window opens behind whatever is being delivered; without it KVM would run on to the timer.
      run.requestInterruptWindow = isHalfDelivered(this.#cpu.readState(RegClass.events));
      return;
    }
    run.requestInterruptWindow = false;
    if (this.#isParked()) return;
    if (!controller.isPending) {
      this.#quietRevision = controller.revision;
      return;
    }
    if (controller.hasInit) {
      // KVM would complete the instruction in the registers behind INIT: that comes first, in an entry of its own.
      if (owesCompletion) run.setImmediateExit(true);
      else this.#init();
    } else if (controller.hasNmi) this.#nmi();
    else if (controller.hasExternal) this.#external();
    // STARTUP to a processor that does not wait for it is lost (SDM vol. 3 §8.4.4.1).
    else if (controller.hasStartup) controller.takeStartup();
  }

  /** The guest has come back: the guest's own changes of CR8 and of the APIC's base become the controller's. Hot path. */
  afterEntry(): void {
    this.#isReadinessStale = false;
    const { run } = this.#vcpu;
    if (run.cr8 !== this.#cr8InKvm) {
      this.#cr8InKvm = run.cr8;
      this.#controller.cr8 = run.cr8;
    }
    if (run.apicBase !== this.#apicBaseInKvm) {
      this.#apicBaseInKvm = run.apicBase;
      this.#controller.apicBase = run.apicBase;
    }
  }

  /** The controller owns CR8 and the APIC's base: the thread context shows what it says. */
  showIn(tc: X86ThreadContext): void {
    tc.set(OFFSET.cr8, BigInt(this.#controller.cr8));
    tc.set(OFFSET.apicBase, BigInt(this.#controller.apicBase));
  }

  /** A processor that waits for STARTUP executes nothing; it starts if the message is there. */
  #isParked(): boolean {
    const tc = this.#cpu.readState(RegClass.none);
    if (activityOf(tc) !== Activity.waitForSipi) return false;
    if (this.#controller.hasInit) this.#init();
    else if (this.#controller.hasStartup) this.#startUp();
    else this.#cpu.suspendContext();
    return true;
  }

  #init(): void {
    this.#controller.takeInit();
    this.#trace('INIT');
    const tc = this.#cpu.readState(RegClass.all);
    initProcessor(tc, this.#signature);
    this.showIn(tc);
    if (this.#controller.hasStartup) {
      this.#store(RegClass.all);
      this.#startUp();
      return;
    }
    this.#cpu.modifyState(RegClass.all);
    this.#cpu.suspendContext();
  }

  #startUp(): void {
    const vector = this.#controller.takeStartup();
    this.#trace(`STARTUP at 0x${(vector << 12).toString(16)}`);
    const written = RegClass.general | RegClass.special;
    startProcessor(this.#cpu.readState(written), vector);
    this.#store(written);
    this.#isReadinessStale = true;
  }

  #nmi(): void {
    this.#controller.takeNmi();
    this.#trace('NMI');
    this.#flushEvents();
    this.#vcpu.nmi();
    this.#cpu.stats.numInterrupts.inc();
    if (this.#controller.hasExternal) this.#vcpu.run.requestInterruptWindow = true;
  }

  #external(): void {
    if (!this.#accepts()) {
      this.#vcpu.run.requestInterruptWindow = true;
      if (this.#cpu.debug.KvmInt) this.#trace('an interrupt waits for its window');
      return;
    }
    const vector = this.#controller.takeExternal();
    if (vector === undefined) return;
    if (this.#cpu.debug.KvmInt) this.#trace(`interrupt 0x${vector.toString(16)}`);
    this.#flushEvents();
    this.#vcpu.interrupt(vector);
    this.#cpu.stats.numInterrupts.inc();
    // The next one comes in when the guest takes interrupts again.
    if (this.#controller.hasExternal) this.#vcpu.run.requestInterruptWindow = true;
  }

  /** KVM's word is of the last exit: where registers were written since, the thread context decides. */
  #accepts(): boolean {
    if (!this.#isReadinessStale) {
      const { run } = this.#vcpu;
      return run.readyForInterruptInjection && run.ifFlag;
    }
    return acceptsInterrupt(this.#cpu.readState(RegClass.general | RegClass.events));
  }

  /** Events that travel with the entry would overwrite what is injected now: they go first. */
  #flushEvents(): void {
    const { run } = this.#vcpu;
    if ((run.kvmDirtyRegs & KvmSyncX86.EVENTS) === 0) return;
    this.#vcpu.setVcpuEvents(run.syncRegs.events);
    run.kvmDirtyRegs &= ~KvmSyncX86.EVENTS;
    this.#cpu.stats.numSyncIoctls.inc();
  }

  #trace(text: string): void {
    if (this.#cpu.debug.KvmInt) this.#cpu.trace('KvmInt', text);
  }
}
