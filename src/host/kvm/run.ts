/*
 * The page that a vCPU shares with the kernel (`struct kvm_run`), with the port-data page and the
 * coalesced ring behind it. All reading is by fields and without allocation: this is what the simulator
 * looks at on every exit. Source: Documentation/virt/kvm/api.rst, section 5.
 */
import {
  KVM_RUN_EXIT_OFFSET,
  KvmCoalescedMmio,
  KvmCoalescedMmioRing,
  KvmExitLayouts,
  KvmIo,
  KvmRunLayout,
} from './abi.ts';
import { KvmSyncRegs } from './abi-x86.ts';

/** Size of the pages that the mapping consists of. */
export const KVM_RUN_PAGE_BYTES = 4096;

const RUN = KvmRunLayout.at;
const MMIO = KvmExitLayouts.mmio.at;
const IO = KvmExitLayouts.io.at;
const MSR = KvmExitLayouts.msr.at;
const HYPERCALL = KvmExitLayouts.hypercall.at;
const HYPERV = KvmExitLayouts.hyperv.at;
const TWO_32 = 0x1_0000_0000;

/** A view of one vCPU's shared pages. Works over any buffer, so that a fake vCPU can have one. */
export class KvmRun {
  /** The whole mapping. */
  readonly u8: Uint8Array;
  readonly u32: Uint32Array;
  readonly view: DataView;
  readonly mmio: MmioFields;
  readonly io: IoFields;
  readonly msr: MsrFields;
  readonly hyperv: HypervFields;
  readonly syncRegs: SyncRegsAreas;
  /** The ring of coalesced accesses; undefined where the kernel has none. */
  readonly coalesced: CoalescedRing | undefined;

  /**
   * @param mapping the shared pages, at an address that is a multiple of 8
   * @param coalescedPage number of the page that holds the coalesced ring (value of
   *   `KVM_CAP_COALESCED_MMIO`); 0 if there is none
   */
  constructor(mapping: Uint8Array, coalescedPage = 0) {
    const { buffer, byteOffset, byteLength } = mapping;
    this.u8 = mapping;
    this.u32 = new Uint32Array(buffer, byteOffset, byteLength >> 2);
    this.view = new DataView(buffer, byteOffset, byteLength);
    this.mmio = new MmioFields(this);
    this.io = new IoFields(this);
    this.msr = new MsrFields(this);
    this.hyperv = new HypervFields(this);
    this.syncRegs = new SyncRegsAreas(mapping);
    this.coalesced =
      coalescedPage === 0
        ? undefined
        : new CoalescedRing(
            mapping.subarray(coalescedPage * KVM_RUN_PAGE_BYTES, (coalescedPage + 1) * KVM_RUN_PAGE_BYTES),
          );
  }

  /** A `KvmExitReason`. */
  get exitReason(): number {
    return this.u32[RUN.exit_reason >> 2]!;
  }

  /** Makes `KVM_RUN` return EINTR before the guest executes anything new. Stays set until it is cleared. */
  setImmediateExit(on: boolean): void {
    this.u8[RUN.immediate_exit] = on ? 1 : 0;
  }
  get immediateExit(): boolean {
    return this.u8[RUN.immediate_exit] !== 0;
  }

  /** Ask for an exit as soon as the guest can take an external interrupt. */
  get requestInterruptWindow(): boolean {
    return this.u8[RUN.request_interrupt_window] !== 0;
  }
  set requestInterruptWindow(value: boolean) {
    this.u8[RUN.request_interrupt_window] = value ? 1 : 0;
  }

  /** Whether the guest could take an external interrupt at the exit. May lie right after a flags update. */
  get readyForInterruptInjection(): boolean {
    return this.u8[RUN.ready_for_interrupt_injection] !== 0;
  }

  /** RFLAGS.IF at the exit. */
  get ifFlag(): boolean {
    return this.u8[RUN.if_flag] !== 0;
  }

  /** `KVM_RUN_X86_*`. */
  get flags(): number {
    return this.view.getUint16(RUN.flags, true);
  }

  /** CR8, read by the kernel at each entry and written at each exit (4 bits). */
  get cr8(): number {
    return this.u32[RUN.cr8 >> 2]!;
  }
  set cr8(value: number) {
    this.u32[RUN.cr8 >> 2] = value;
    this.u32[(RUN.cr8 >> 2) + 1] = 0;
  }

  /** IA32_APIC_BASE, travels like CR8. Exact below 2^53. */
  get apicBase(): number {
    return this.u32[RUN.apic_base >> 2]! + this.u32[(RUN.apic_base >> 2) + 1]! * TWO_32;
  }
  set apicBase(value: number) {
    this.u32[RUN.apic_base >> 2] = value >>> 0;
    this.u32[(RUN.apic_base >> 2) + 1] = Math.floor(value / TWO_32);
  }

  /** Register classes (`KvmSyncX86`) that the kernel copies into {@link syncRegs} at each exit. */
  get kvmValidRegs(): number {
    return this.u32[RUN.kvm_valid_regs >> 2]!;
  }
  set kvmValidRegs(classes: number) {
    this.u32[RUN.kvm_valid_regs >> 2] = classes;
  }

  /**
   * Register classes that the kernel takes out of {@link syncRegs} at the next entry, and then clears here.
   */
  get kvmDirtyRegs(): number {
    return this.u32[RUN.kvm_dirty_regs >> 2]!;
  }
  set kvmDirtyRegs(classes: number) {
    this.u32[RUN.kvm_dirty_regs >> 2] = classes;
  }
}

/** `kvm_run.mmio`. For reads the data goes into {@link data} before the next entry. */
export class MmioFields {
  readonly #u32: Uint32Array;
  readonly #u8: Uint8Array;
  /** The eight data bytes, little-endian; the first {@link len} count. */
  readonly data: Uint8Array;

  constructor(run: { readonly u8: Uint8Array; readonly u32: Uint32Array }) {
    this.#u8 = run.u8;
    this.#u32 = run.u32;
    this.data = run.u8.subarray(KVM_RUN_EXIT_OFFSET + MMIO.data, KVM_RUN_EXIT_OFFSET + MMIO.data + 8);
  }

  /** Guest-physical address; exact, since physical addresses have at most 52 bits. */
  get physAddr(): number {
    const word = (KVM_RUN_EXIT_OFFSET + MMIO.phys_addr) >> 2;
    return this.#u32[word]! + this.#u32[word + 1]! * TWO_32;
  }
  /** Size of the access, 1 to 8 bytes. */
  get len(): number {
    return this.#u32[(KVM_RUN_EXIT_OFFSET + MMIO.len) >> 2]!;
  }
  get isWrite(): boolean {
    return this.#u8[KVM_RUN_EXIT_OFFSET + MMIO.is_write] !== 0;
  }
}

/**
 * `kvm_run.io`: port access of `count` elements. For input the data goes into the mapping before the next
 * entry.
 */
export class IoFields {
  readonly #u32: Uint32Array;
  readonly #u8: Uint8Array;

  constructor(run: { readonly u8: Uint8Array; readonly u32: Uint32Array }) {
    this.#u8 = run.u8;
    this.#u32 = run.u32;
  }

  get isOut(): boolean {
    return this.#u8[KVM_RUN_EXIT_OFFSET + IO.direction] === KvmIo.OUT;
  }
  /** Size of one element: 1, 2 or 4 bytes. */
  get size(): number {
    return this.#u8[KVM_RUN_EXIT_OFFSET + IO.size]!;
  }
  get port(): number {
    return this.#u32[(KVM_RUN_EXIT_OFFSET + IO.direction) >> 2]! >>> 16;
  }
  /** Number of elements; more than one for string instructions. */
  get count(): number {
    return this.#u32[(KVM_RUN_EXIT_OFFSET + IO.count) >> 2]!;
  }
  /** Where in `KvmRun.u8` the data begins. */
  get dataOffset(): number {
    return this.#u32[(KVM_RUN_EXIT_OFFSET + IO.data_offset) >> 2]!;
  }
}

/** `kvm_run.msr`: RDMSR or WRMSR handed to user space. */
export class MsrFields {
  readonly #view: DataView;

  constructor(run: { readonly view: DataView }) {
    this.#view = run.view;
  }

  get index(): number {
    return this.#view.getUint32(KVM_RUN_EXIT_OFFSET + MSR.index, true);
  }
  /** A `KvmMsrExitReason` bit. */
  get reason(): number {
    return this.#view.getUint32(KVM_RUN_EXIT_OFFSET + MSR.reason, true);
  }
  get data(): bigint {
    return this.#view.getBigUint64(KVM_RUN_EXIT_OFFSET + MSR.data, true);
  }
  set data(value: bigint) {
    this.#view.setBigUint64(KVM_RUN_EXIT_OFFSET + MSR.data, value, true);
  }
  /** Set before the next entry to make the guest's instruction fault (#GP). */
  set error(value: boolean) {
    this.#view.setUint8(KVM_RUN_EXIT_OFFSET + MSR.error, value ? 1 : 0);
  }
}

/** `kvm_run.hyperv`: something of Hyper-V's interface that the kernel does not serve alone. */
export class HypervFields {
  readonly #view: DataView;

  constructor(run: { readonly view: DataView }) {
    this.#view = run.view;
  }

  /** A `KvmExitHyperv`. The other fields are those of a hypercall. */
  get type(): number {
    return this.#view.getUint32(KVM_RUN_EXIT_OFFSET + HYPERV.type, true);
  }
  /** The hypercall input value: call code, flags, repetitions. */
  get input(): bigint {
    return this.#view.getBigUint64(KVM_RUN_EXIT_OFFSET + HYPERV['u.hcall.input'], true);
  }
  /** Address of the input parameters, or a fast call's first parameter. */
  get inputParameter(): bigint {
    return this.#view.getBigUint64(KVM_RUN_EXIT_OFFSET + HYPERV['u.hcall.params'], true);
  }
  /** The hypercall result value, to be set before the next entry. */
  set result(value: bigint) {
    this.#view.setBigUint64(KVM_RUN_EXIT_OFFSET + HYPERV['u.hcall.result'], value, true);
  }
}

/** The synchronized registers of x86, each in the layout of its ioctl. */
export class SyncRegsAreas {
  /** Offsets in the mapping of the areas below. */
  static readonly offsets = {
    regs: RUN.s + KvmSyncRegs.at.regs,
    sregs: RUN.s + KvmSyncRegs.at.sregs,
    events: RUN.s + KvmSyncRegs.at.events,
  } as const;
  /** `kvm_regs` */
  readonly regs: Uint8Array;
  /** `kvm_sregs` */
  readonly sregs: Uint8Array;
  /** `kvm_vcpu_events` */
  readonly events: Uint8Array;

  constructor(mapping: Uint8Array) {
    const { regs, sregs, events } = SyncRegsAreas.offsets;
    this.regs = mapping.subarray(regs, sregs);
    this.sregs = mapping.subarray(sregs, events);
    this.events = mapping.subarray(events, RUN.s + KvmSyncRegs.size);
  }
}

/** The return value of a hypercall goes here before the next entry. */
export const KVM_RUN_HYPERCALL_RET_OFFSET = KVM_RUN_EXIT_OFFSET + HYPERCALL.ret;

/**
 * The ring in which the kernel queues writes to coalesced zones. It belongs to the VM (every vCPU maps the
 * same page): one thread empties it. An entry is copied before its slot is released to the kernel.
 */
export class CoalescedRing {
  readonly #u8: Uint8Array;
  readonly #u32: Uint32Array;
  readonly #capacity: number;
  /** The oldest write, as {@link shift} copied it. */
  readonly data = new Uint8Array(8);
  physAddr = 0;
  len = 0;
  isPort = false;

  constructor(page: Uint8Array) {
    this.#u8 = page;
    this.#u32 = new Uint32Array(page.buffer, page.byteOffset, page.byteLength >> 2);
    this.#capacity = Math.floor((page.byteLength - KvmCoalescedMmioRing.size) / KvmCoalescedMmio.size);
  }

  get isEmpty(): boolean {
    return this.#u32[0] === this.#u32[1];
  }

  /** Copies the oldest write into this object's fields and releases its slot; false if the ring is empty. */
  shift(): boolean {
    const first = this.#u32[0]!;
    // Acquire: the entry is read only after the index that publishes it.
    if (first === Atomics.load(this.#u32, 1)) return false;
    const at = KvmCoalescedMmioRing.size + first * KvmCoalescedMmio.size;
    const word = at >> 2;
    this.physAddr = this.#u32[word]! + this.#u32[word + 1]! * TWO_32;
    this.len = this.#u32[word + 2]!;
    this.isPort = this.#u32[word + 3] !== 0;
    const dataAt = at + KvmCoalescedMmio.at.data;
    for (let i = 0; i < 8; i++) this.data[i] = this.#u8[dataAt + i]!;
    // Release: the slot is free only after it has been copied.
    Atomics.store(this.#u32, 0, (first + 1) % this.#capacity);
    return true;
  }
}
