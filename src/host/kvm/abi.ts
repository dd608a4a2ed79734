/*
 * The KVM ABI that all architectures share, as data: capabilities, exit reasons, structures, ioctl numbers.
 * Names are the kernel's without their prefix. Source: Linux, include/uapi/linux/kvm.h and
 * Documentation/virt/kvm/api.rst. A test compiles C to compare every number with the installed headers.
 */
import { ioctlNumbers } from '../ioctl.ts';
import { struct, u8, u16, u32, u64 } from '../layout.ts';

/** The API version that all kernels since 2.6.22 report; any other is refused. */
export const KVM_API_VERSION = 12;

/** `KVM_CAP_*`: what `KVM_CHECK_EXTENSION` can be asked about. */
// biome-ignore format: a table
export const KvmCap = {
  IRQCHIP: 0, HLT: 1, USER_MEMORY: 3, SET_TSS_ADDR: 4, EXT_CPUID: 7, NR_VCPUS: 9, NR_MEMSLOTS: 10, PIT: 11,
  MP_STATE: 14, COALESCED_MMIO: 15, SYNC_MMU: 16, DESTROY_MEMORY_REGION_WORKS: 21, USER_NMI: 22,
  SET_GUEST_DEBUG: 23, JOIN_MEMORY_REGIONS_WORKS: 30, IRQFD: 32, PIT2: 33, PIT_STATE2: 35, IOEVENTFD: 36,
  SET_IDENTITY_MAP_ADDR: 37, ADJUST_CLOCK: 39, INTERNAL_ERROR_DATA: 40, VCPU_EVENTS: 41, HYPERV: 44, INTR_SHADOW: 49,
  DEBUGREGS: 50, X86_ROBUST_SINGLESTEP: 51, ENABLE_CAP: 54, XSAVE: 55, XCRS: 56, TSC_CONTROL: 60,
  GET_TSC_KHZ: 61, MAX_VCPUS: 66, ONE_REG: 70, TSC_DEADLINE_TIMER: 72, SYNC_REGS: 74, KVMCLOCK_CTRL: 76,
  SIGNAL_MSI: 77, READONLY_MEM: 81, DEVICE_CTRL: 89, ARM_EL1_32BIT: 93, EXT_EMUL_CPUID: 95, ENABLE_CAP_VM: 98,
  VM_ATTRIBUTES: 101, ARM_PSCI_0_2: 102, CHECK_EXTENSION_VM: 105, X86_SMM: 117, GUEST_DEBUG_HW_BPS: 119,
  GUEST_DEBUG_HW_WPS: 120, SPLIT_IRQCHIP: 121, HYPERV_SYNIC: 123, VCPU_ATTRIBUTES: 127, MAX_VCPU_ID: 128,
  IMMEDIATE_EXIT: 136, X86_DISABLE_EXITS: 143, GET_MSR_FEATURES: 153, NESTED_STATE: 157, COALESCED_PIO: 162,
  EXCEPTION_PAYLOAD: 164,
  ARM_VM_IPA_SIZE: 165, MANUAL_DIRTY_LOG_PROTECT2: 168, ARM_SVE: 170, ARM_IRQ_LINE_LAYOUT_2: 174,
  X86_USER_SPACE_MSR: 188, X86_MSR_FILTER: 189, SYS_HYPERV_CPUID: 191, SREGS2: 200, EXIT_HYPERCALL: 201,
  EXIT_ON_EMULATION_FAILURE: 204, VM_GPA_BITS: 207, XSAVE2: 208, SYSTEM_EVENT_DATA: 215,
  X86_TRIPLE_FAULT_EVENT: 218, X86_NOTIFY_VMEXIT: 219,
} as const;

/** `KVM_EXIT_*`: why `KVM_RUN` returned. */
// biome-ignore format: a table
export const KvmExitReason = {
  UNKNOWN: 0, EXCEPTION: 1, IO: 2, HYPERCALL: 3, DEBUG: 4, HLT: 5, MMIO: 6, IRQ_WINDOW_OPEN: 7, SHUTDOWN: 8,
  FAIL_ENTRY: 9, INTR: 10, SET_TPR: 11, TPR_ACCESS: 12, NMI: 16, INTERNAL_ERROR: 17, WATCHDOG: 21,
  SYSTEM_EVENT: 24, IOAPIC_EOI: 26, HYPERV: 27, ARM_NISV: 28, X86_RDMSR: 29, X86_WRMSR: 30,
  DIRTY_RING_FULL: 31, AP_RESET_HOLD: 32, X86_BUS_LOCK: 33, XEN: 34, NOTIFY: 37,
} as const;

/** `KVM_INTERNAL_ERROR_*`: sub-reasons of an internal error. */
export const KvmInternalError = {
  EMULATION: 1,
  SIMUL_EX: 2,
  DELIVERY_EV: 3,
  UNEXPECTED_EXIT_REASON: 4,
} as const;

/** `KVM_SYSTEM_EVENT_*`. */
export const KvmSystemEvent = {
  SHUTDOWN: 1,
  RESET: 2,
  CRASH: 3,
  WAKEUP: 4,
  SUSPEND: 5,
  SEV_TERM: 6,
} as const;

/** `KVM_EXIT_HYPERV_*`: what an exit for Hyper-V's interface is about. */
export const KvmExitHyperv = { SYNIC: 1, HCALL: 2, SYNDBG: 3 } as const;

/** `KVM_MEM_*`: flags of a memory slot. */
export const KvmMem = { LOG_DIRTY_PAGES: 1, READONLY: 2 } as const;

/** `KVM_MP_STATE_*`. */
export const KvmMpState = {
  RUNNABLE: 0,
  UNINITIALIZED: 1,
  INIT_RECEIVED: 2,
  HALTED: 3,
  SIPI_RECEIVED: 4,
} as const;

/** `KVM_EXIT_IO_*`: direction of a port access. */
export const KvmIo = { IN: 0, OUT: 1 } as const;

/** `KVM_GUESTDBG_*` that all architectures share. */
export const KvmGuestDbg = { ENABLE: 1, SINGLESTEP: 2 } as const;

/** The shared page of a vCPU. The union of exits and the synchronized registers are laid out below. */
export const KvmRunLayout = struct('kvm_run', {
  request_interrupt_window: u8,
  immediate_exit: u8,
  padding1: [u8, 6],
  exit_reason: u32,
  ready_for_interrupt_injection: u8,
  if_flag: u8,
  flags: u16,
  cr8: u64,
  apic_base: u64,
  padding: [u8, 256],
  kvm_valid_regs: u64,
  kvm_dirty_regs: u64,
  s: [u8, 2048],
});

/** Where in `kvm_run` the union of exits begins. */
export const KVM_RUN_EXIT_OFFSET = KvmRunLayout.at.padding;

/** Members of the union of exits, by their names in it; offsets count from {@link KVM_RUN_EXIT_OFFSET}. */
export const KvmExitLayouts = {
  hw: struct('hw', { hardware_exit_reason: u64 }),
  fail_entry: struct('fail_entry', { hardware_entry_failure_reason: u64, cpu: u32 }),
  ex: struct('ex', { exception: u32, error_code: u32 }),
  io: struct('io', { direction: u8, size: u8, port: u16, count: u32, data_offset: u64 }),
  mmio: struct('mmio', { phys_addr: u64, data: [u8, 8], len: u32, is_write: u8 }),
  hypercall: struct('hypercall', { nr: u64, args: [u64, 6], ret: u64, longmode: u32, pad: u32 }),
  tpr_access: struct('tpr_access', { rip: u64, is_write: u32, pad: u32 }),
  internal: struct('internal', { suberror: u32, ndata: u32, data: [u64, 16] }),
  emulation_failure: struct('emulation_failure', {
    suberror: u32,
    ndata: u32,
    flags: u64,
    insn_size: u8,
    insn_bytes: [u8, 15],
  }),
  system_event: struct('system_event', { type: u32, ndata: u32, data: [u64, 16] }),
  eoi: struct('eoi', { vector: u8 }),
  msr: struct('msr', { error: u8, pad: [u8, 7], reason: u32, index: u32, data: u64 }),
  notify: struct('notify', { flags: u32 }),
  hyperv: struct('hyperv', {
    type: u32,
    pad1: u32,
    'u.hcall.input': u64,
    'u.hcall.result': u64,
    'u.hcall.params': [u64, 2],
  }),
} as const;

/** Flag of `emulation_failure`: `insn_size` and `insn_bytes` are valid. */
export const KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES = 1;

export const KvmUserspaceMemoryRegion = struct('kvm_userspace_memory_region', {
  slot: u32,
  flags: u32,
  guest_phys_addr: u64,
  memory_size: u64,
  userspace_addr: u64,
});
export const KvmDirtyLog = struct('kvm_dirty_log', { slot: u32, padding1: u32, dirty_bitmap: u64 });
export const KvmCoalescedMmioZone = struct('kvm_coalesced_mmio_zone', { addr: u64, size: u32, pio: u32 });
export const KvmCoalescedMmio = struct('kvm_coalesced_mmio', {
  phys_addr: u64,
  len: u32,
  pio: u32,
  data: [u8, 8],
});
/** Head of the ring; an array of {@link KvmCoalescedMmio} fills the rest of its page. */
export const KvmCoalescedMmioRing = struct('kvm_coalesced_mmio_ring', { first: u32, last: u32 });
export const KvmEnableCap = struct('kvm_enable_cap', { cap: u32, flags: u32, args: [u64, 4], pad: [u8, 64] });
export const KvmIrqLevel = struct('kvm_irq_level', { irq: u32, level: u32 });
export const KvmInterrupt = struct('kvm_interrupt', { irq: u32 });
export const KvmTranslation = struct('kvm_translation', {
  linear_address: u64,
  physical_address: u64,
  valid: u8,
  writeable: u8,
  usermode: u8,
  pad: [u8, 5],
});
export const KvmMpStateLayout = struct('kvm_mp_state', { mp_state: u32 });
/** Head of a signal mask; the kernel's signal set of 8 bytes follows. */
export const KvmSignalMask = struct('kvm_signal_mask', { len: u32 });
export const KvmDeviceAttr = struct('kvm_device_attr', { flags: u32, group: u32, attr: u64, addr: u64 });
export const KvmClockData = struct('kvm_clock_data', {
  clock: u64,
  flags: u32,
  pad0: u32,
  realtime: u64,
  host_tsc: u64,
  pad: [u32, 4],
});

/** Makers of KVM's ioctl numbers; their type letter is KVMIO. */
export const kvmIoctlNumbers = ioctlNumbers(0xae);

const { io, ior, iow, iowr } = kvmIoctlNumbers;

/** ioctl numbers that all architectures share. */
export const KvmIoctl = {
  GET_API_VERSION: io(0x00),
  CREATE_VM: io(0x01),
  CHECK_EXTENSION: io(0x03),
  GET_VCPU_MMAP_SIZE: io(0x04),
  CREATE_VCPU: io(0x41),
  GET_DIRTY_LOG: iow(0x42, KvmDirtyLog),
  SET_USER_MEMORY_REGION: iow(0x46, KvmUserspaceMemoryRegion),
  CREATE_IRQCHIP: io(0x60),
  IRQ_LINE: iow(0x61, KvmIrqLevel),
  REGISTER_COALESCED_MMIO: iow(0x67, KvmCoalescedMmioZone),
  UNREGISTER_COALESCED_MMIO: iow(0x68, KvmCoalescedMmioZone),
  RUN: io(0x80),
  TRANSLATE: iowr(0x85, KvmTranslation),
  INTERRUPT: iow(0x86, KvmInterrupt),
  SET_SIGNAL_MASK: iow(0x8b, KvmSignalMask),
  GET_MP_STATE: ior(0x98, KvmMpStateLayout),
  SET_MP_STATE: iow(0x99, KvmMpStateLayout),
  NMI: io(0x9a),
  ENABLE_CAP: iow(0xa3, KvmEnableCap),
  SET_DEVICE_ATTR: iow(0xe1, KvmDeviceAttr),
  GET_DEVICE_ATTR: iow(0xe2, KvmDeviceAttr),
  HAS_DEVICE_ATTR: iow(0xe3, KvmDeviceAttr),
} as const;
