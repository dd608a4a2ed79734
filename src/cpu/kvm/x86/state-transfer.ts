// Register classes to and from one vCPU. Where KVM_CAP_SYNC_REGS exists, general and special registers and events travel in
// kvm_run at entries and exits, and cost no system call; the other classes take an ioctl each.

import { mxcsrMaskOf } from '../../../arch/x86/fxsave.ts';
import { MSRS } from '../../../arch/x86/msrs.ts';
import { Activity, activityOf, setActivity } from '../../../arch/x86/processor-reset.ts';
import { OFFSET, RegClass, STRIDE, type X86ThreadContext } from '../../../arch/x86/thread-context.ts';
import { XsaveFormat } from '../../../arch/x86/xsave.ts';
import { KvmMpState, KvmMpStateLayout } from '../../../host/kvm/abi.ts';
import {
  KvmDebugregs,
  KvmFpu,
  KvmRegs,
  KvmSegment,
  KvmSregs,
  KvmSyncX86,
  KvmVcpuEvents,
  KvmXcrs,
} from '../../../host/kvm/abi-x86.ts';
import { type CpuidEntry, MsrRefusedError, type X86Vcpu } from '../../../host/kvm/vcpu.ts';
import type { KvmCpuStats } from '../stats.ts';
import {
  debugFromKvm,
  debugToKvm,
  eventsFromKvm,
  eventsToKvm,
  generalFromKvm,
  generalToKvm,
  specialFromKvm,
  specialToKvm,
} from './conversions.ts';
import { named } from './cpuid-names.ts';
import { fpuFromKvm, fpuToKvm } from './legacy-fpu.ts';
import type { NestedState } from './nested-state.ts';

/** What decides how the registers travel. */
export interface TransferOptions {
  /** Value of KVM_CAP_SYNC_REGS: a mask of `KvmSyncX86`. */
  readonly syncRegs: number;
  /** Layout of the XSAVE area; undefined uses the legacy FPU call, which carries x87 and SSE only. */
  readonly xsave: XsaveFormat | undefined;
  /** MSRs that both the thread context and this KVM know. */
  readonly msrIndices: readonly number[];
  /** The activity state travels too: only with an in-kernel irqchip does KVM keep it. */
  readonly mpState?: boolean;
  /** The guest can be a hypervisor: what KVM keeps for that travels with the events. */
  readonly nested?: NestedState | undefined;
  /** Is told the name of an MSR that KVM lists and then refuses. */
  readonly refusedMsr?: (name: string) => void;
}

/** Where this host's XSAVE keeps the vector registers. @param supported KVM_GET_SUPPORTED_CPUID */
export function xsaveFormatOf(vcpu: X86Vcpu, supported: readonly CpuidEntry[]): XsaveFormat {
  const image = new Uint8Array(vcpu.xsaveSizeBytes);
  vcpu.getXsave(image);
  return XsaveFormat.fromCpuid(named(supported), mxcsrMaskOf(image));
}

const MSR_TSC = 0x10;

/** What KVM calls the activity states. */
const MP_STATE_OF_ACTIVITY: Readonly<Record<number, number>> = {
  [Activity.active]: KvmMpState.RUNNABLE,
  [Activity.halted]: KvmMpState.HALTED,
  [Activity.waitForSipi]: KvmMpState.INIT_RECEIVED,
};
const ACTIVITY_OF_MP_STATE: Readonly<Record<number, number>> = {
  [KvmMpState.RUNNABLE]: Activity.active,
  [KvmMpState.UNINITIALIZED]: Activity.waitForSipi,
  [KvmMpState.INIT_RECEIVED]: Activity.waitForSipi,
  [KvmMpState.HALTED]: Activity.halted,
  [KvmMpState.SIPI_RECEIVED]: Activity.waitForSipi,
};

export class X86StateTransfer {
  readonly #vcpu: X86Vcpu;
  readonly #tc: X86ThreadContext;
  readonly #stats: KvmCpuStats;
  readonly #options: TransferOptions;
  readonly #regs: Uint8Array;
  readonly #regsWords: Uint32Array;
  readonly #sregs: Uint8Array;
  readonly #sregsView: DataView;
  readonly #events: Uint8Array;
  readonly #eventsView: DataView;
  readonly #xsave: Uint8Array;
  readonly #fpu = new Uint8Array(KvmFpu.size);
  readonly #xcrs = new DataView(new ArrayBuffer(KvmXcrs.size));
  readonly #debugregs = new DataView(new ArrayBuffer(KvmDebugregs.size));
  readonly #mpState = new Uint32Array(KvmMpStateLayout.size >> 2);
  #msrIndices: Uint32Array;
  #msrSlots: readonly number[];
  /** What KVM holds in each of `#msrIndices`, as far as we know; only differences are written. */
  #msrValues: BigUint64Array | undefined;

  constructor(vcpu: X86Vcpu, tc: X86ThreadContext, stats: KvmCpuStats, options: TransferOptions) {
    this.#vcpu = vcpu;
    this.#tc = tc;
    this.#stats = stats;
    this.#options = options;
    const { syncRegs } = vcpu.run;
    const area = (bit: number, shared: Uint8Array, sizeBytes: number) =>
      options.syncRegs & bit ? shared : new Uint8Array(sizeBytes);
    this.#regs = area(KvmSyncX86.REGS, syncRegs.regs, KvmRegs.size);
    this.#sregs = area(KvmSyncX86.SREGS, syncRegs.sregs, KvmSregs.size);
    this.#events = area(KvmSyncX86.EVENTS, syncRegs.events, KvmVcpuEvents.size);
    this.#regsWords = new Uint32Array(this.#regs.buffer, this.#regs.byteOffset, KvmRegs.size >> 2);
    this.#sregsView = new DataView(this.#sregs.buffer, this.#sregs.byteOffset, KvmSregs.size);
    this.#eventsView = new DataView(this.#events.buffer, this.#events.byteOffset, KvmVcpuEvents.size);
    this.#xsave = new Uint8Array(vcpu.xsaveSizeBytes);
    const known = new Set(options.msrIndices);
    const slots = MSRS.map((msr, slot) => ({ index: msr.index, slot })).filter(({ index }) =>
      known.has(index),
    );
    this.#msrIndices = Uint32Array.from(slots, ({ index }) => index);
    this.#msrSlots = slots.map(({ slot }) => (OFFSET.msr + slot * STRIDE.msr) >> 3);
    // Events change rarely: they are fetched when somebody asks.
    vcpu.run.kvmValidRegs = options.syncRegs & (KvmSyncX86.REGS | KvmSyncX86.SREGS);
  }

  /** Whether the special registers travel in `kvm_run`. */
  get specialTravels(): boolean {
    return this.#travels(KvmSyncX86.SREGS);
  }

  /** Privilege level at the last exit, SS.DPL: where the special registers travel. Hot path. */
  get cpl(): number {
    return this.#sregs[KvmSregs.at.ss + KvmSegment.at.dpl]!;
  }

  /** KVM → thread context. Hot path for the general registers. */
  load(classes: number): void {
    const { syncsFromKvm } = this.#stats;
    if (classes & RegClass.general) {
      syncsFromKvm.general.inc();
      if (!this.#travels(KvmSyncX86.REGS)) this.#vcpu.getRegs(this.#counted(this.#regs));
      generalFromKvm(this.#tc, this.#regsWords);
    }
    if (classes & RegClass.special) {
      syncsFromKvm.special.inc();
      if (!this.#travels(KvmSyncX86.SREGS)) this.#vcpu.getSregs(this.#counted(this.#sregs));
      specialFromKvm(this.#tc, this.#sregsView);
    }
    if ((classes & ~(RegClass.general | RegClass.special)) === 0) return;
    if (classes & RegClass.fpu) {
      syncsFromKvm.fpu.inc();
      this.#loadFpu();
    }
    if (classes & RegClass.xcr) {
      syncsFromKvm.xcr.inc();
      this.#vcpu.getXcrs(this.#counted(bytesOf(this.#xcrs)));
      this.#tc.set(OFFSET.xcr0, this.#xcrs.getBigUint64(KvmXcrs.at.xcrs + 8, true));
    }
    if (classes & RegClass.msr) {
      syncsFromKvm.msr.inc();
      this.#loadMsrs();
    }
    if (classes & RegClass.debug) {
      syncsFromKvm.debug.inc();
      this.#vcpu.getDebugRegs(this.#counted(bytesOf(this.#debugregs)));
      debugFromKvm(this.#tc, this.#debugregs);
    }
    if (classes & RegClass.events) {
      syncsFromKvm.events.inc();
      this.#vcpu.getVcpuEvents(this.#counted(this.#events));
      eventsFromKvm(this.#tc, this.#eventsView);
      if (this.#options.nested !== undefined) {
        this.#stats.numSyncIoctls.inc();
        this.#options.nested.takeFrom(this.#vcpu);
      }
      if (this.#options.mpState) {
        this.#vcpu.getMpState(this.#counted(new Uint8Array(this.#mpState.buffer)));
        setActivity(this.#tc, ACTIVITY_OF_MP_STATE[this.#mpState[0]!] ?? Activity.active);
      }
    }
  }

  /** Thread context → KVM. Special registers go first: XCR0 and XSAVE depend on CR4. */
  store(classes: number): void {
    const { syncsToKvm } = this.#stats;
    if (classes & RegClass.general) {
      syncsToKvm.general.inc();
      generalToKvm(this.#tc, this.#regsWords);
      this.#give(KvmSyncX86.REGS, this.#regs, this.#vcpu.setRegs);
    }
    if (classes & RegClass.special) {
      syncsToKvm.special.inc();
      specialToKvm(this.#tc, this.#sregsView);
      this.#vcpu.run.cr8 = Number(this.#tc.get(OFFSET.cr8));
      this.#vcpu.run.apicBase = Number(this.#tc.get(OFFSET.apicBase));
      // Registers that travel are taken at the next entry; those behind an ioctl below must find CR4 in place.
      const isAwaited = (classes & (RegClass.xcr | RegClass.fpu)) !== 0 || this.#nestedIsOwed;
      if (isAwaited) this.#vcpu.setSregs(this.#counted(this.#sregs));
      else this.#give(KvmSyncX86.SREGS, this.#sregs, this.#vcpu.setSregs);
    }
    if ((classes & ~(RegClass.general | RegClass.special)) === 0) return;
    if (this.#nestedIsOwed) {
      this.#stats.numSyncIoctls.inc();
      this.#options.nested?.giveTo(this.#vcpu);
    }
    if (classes & RegClass.xcr) {
      syncsToKvm.xcr.inc();
      this.#xcrs.setUint32(KvmXcrs.at.nr_xcrs, 1, true);
      this.#xcrs.setBigUint64(KvmXcrs.at.xcrs + 8, this.#tc.get(OFFSET.xcr0), true);
      this.#vcpu.setXcrs(this.#counted(bytesOf(this.#xcrs)));
    }
    if (classes & RegClass.fpu) {
      syncsToKvm.fpu.inc();
      this.#storeFpu();
    }
    if (classes & RegClass.msr) {
      syncsToKvm.msr.inc();
      this.#storeMsrs();
    }
    if (classes & RegClass.debug) {
      syncsToKvm.debug.inc();
      debugToKvm(this.#tc, this.#debugregs);
      this.#vcpu.setDebugRegs(this.#counted(bytesOf(this.#debugregs)));
    }
    if (classes & RegClass.events) {
      syncsToKvm.events.inc();
      eventsToKvm(this.#tc, this.#eventsView);
      this.#give(KvmSyncX86.EVENTS, this.#events, this.#vcpu.setVcpuEvents);
      if (this.#options.mpState) {
        this.#mpState[0] = MP_STATE_OF_ACTIVITY[activityOf(this.#tc)] ?? KvmMpState.RUNNABLE;
        this.#vcpu.setMpState(this.#counted(new Uint8Array(this.#mpState.buffer)));
      }
    }
  }

  get #nestedIsOwed(): boolean {
    return this.#options.nested?.isOwed ?? false;
  }

  #travels(bit: number): boolean {
    return (this.#options.syncRegs & bit) !== 0;
  }

  /** A structure for KVM: in `kvm_run`, marked for the next entry, or by its own call. */
  #give(bit: number, bytes: Uint8Array, set: (this: X86Vcpu, bytes: Uint8Array) => void): void {
    if (this.#travels(bit)) this.#vcpu.run.kvmDirtyRegs |= bit;
    else set.call(this.#vcpu, this.#counted(bytes));
  }

  #counted(bytes: Uint8Array): Uint8Array {
    this.#stats.numSyncIoctls.inc();
    return bytes;
  }

  #loadFpu(): void {
    if (this.#options.xsave === undefined) {
      this.#vcpu.getFpu(this.#counted(this.#fpu));
      fpuFromKvm(this.#tc, this.#fpu);
      return;
    }
    this.#vcpu.getXsave(this.#counted(this.#xsave));
    this.#options.xsave.read(this.#xsave, this.#tc);
  }

  #storeFpu(): void {
    if (this.#options.xsave === undefined) {
      fpuToKvm(this.#tc, this.#fpu);
      this.#vcpu.setFpu(this.#counted(this.#fpu));
      return;
    }
    this.#options.xsave.write(this.#tc, this.#xsave);
    this.#vcpu.setXsave(this.#counted(this.#xsave));
  }

  #loadMsrs(): void {
    const values = this.#vcpu.getMsrs(this.#msrIndices);
    this.#stats.numSyncIoctls.inc();
    this.#msrValues = values;
    for (const [i, slot] of this.#msrSlots.entries()) this.#tc.u64[slot] = values[i]!;
  }

  /** Writes the MSRs that differ from what KVM holds. The TSC is not among them: it runs, and must not go back. */
  #storeMsrs(): void {
    if (this.#msrValues === undefined) {
      this.#msrValues = this.#vcpu.getMsrs(this.#msrIndices);
      this.#stats.numSyncIoctls.inc();
    }
    const held = this.#msrValues;
    const changed = this.#msrSlots
      .map((slot, i) => ({ i, index: this.#msrIndices[i]!, value: this.#tc.u64[slot]! }))
      .filter(({ i, index, value }) => index !== MSR_TSC && value !== held[i]);
    if (changed.length === 0) return;
    const indices = Uint32Array.from(changed, ({ index }) => index);
    const values = BigUint64Array.from(changed, ({ value }) => value);
    this.#stats.numSyncIoctls.inc();
    if (!this.#takesMsrs(indices, values)) {
      this.#storeMsrs();
      return;
    }
    for (const { i, value } of changed) held[i] = value;
  }

  /** False after an MSR was refused: it is left out from now on, and those behind it are still to be written. */
  #takesMsrs(indices: Uint32Array, values: BigUint64Array): boolean {
    try {
      this.#vcpu.setMsrs(indices, values);
      return true;
    } catch (error) {
      if (!(error instanceof MsrRefusedError)) throw error;
      const at = this.#msrIndices.indexOf(error.index);
      if (at < 0) throw error;
      this.#options.refusedMsr?.(MSRS.find(({ index }) => index === error.index)!.name);
      this.#msrIndices = this.#msrIndices.filter((_, i) => i !== at);
      this.#msrSlots = this.#msrSlots.filter((_, i) => i !== at);
      this.#msrValues = undefined;
      return false;
    }
  }
}

function bytesOf(view: DataView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}
