/*
 * The KVM ABI of x86-64, as data: structures, constants and ioctl numbers.
 * Source: Linux, arch/x86/include/uapi/asm/kvm.h and include/uapi/linux/kvm.h; registers in the manual's
 * sense (SDM vol. 3). Checked by the same test as abi.ts.
 */
import { struct, u8, u16, u32, u64 } from '../layout.ts';
import { KvmClockData, kvmIoctlNumbers } from './abi.ts';

const { io, ior, iow, iowr } = kvmIoctlNumbers;

// biome-ignore format: a table
export const KvmRegs = struct('kvm_regs', {
  rax: u64, rbx: u64, rcx: u64, rdx: u64, rsi: u64, rdi: u64, rsp: u64, rbp: u64,
  r8: u64, r9: u64, r10: u64, r11: u64, r12: u64, r13: u64, r14: u64, r15: u64,
  rip: u64, rflags: u64,
});

export const KvmSegment = struct('kvm_segment', {
  base: u64,
  limit: u32,
  selector: u16,
  type: u8,
  present: u8,
  dpl: u8,
  db: u8,
  s: u8,
  l: u8,
  g: u8,
  avl: u8,
  unusable: u8,
  padding: u8,
});

export const KvmDtable = struct('kvm_dtable', { base: u64, limit: u16, padding: [u16, 3] });

// biome-ignore format: a table
export const KvmSregs = struct('kvm_sregs', {
  cs: KvmSegment, ds: KvmSegment, es: KvmSegment, fs: KvmSegment, gs: KvmSegment, ss: KvmSegment,
  tr: KvmSegment, ldt: KvmSegment,
  gdt: KvmDtable, idt: KvmDtable,
  cr0: u64, cr2: u64, cr3: u64, cr4: u64, cr8: u64,
  efer: u64,
  apic_base: u64,
  interrupt_bitmap: [u64, 4],
});

export const KvmFpu = struct('kvm_fpu', {
  fpr: [u8, 128],
  fcw: u16,
  fsw: u16,
  ftwx: u8,
  pad1: u8,
  last_opcode: u16,
  last_ip: u64,
  last_dp: u64,
  xmm: [u8, 256],
  mxcsr: u32,
  pad2: u32,
});

/** Legacy size; with `KVM_CAP_XSAVE2` the capability's value says how many bytes the kernel transfers. */
export const KvmXsave = struct('kvm_xsave', { region: [u32, 1024] });

export const KvmXcr = struct('kvm_xcr', { xcr: u32, reserved: u32, value: u64 });
export const KvmXcrs = struct('kvm_xcrs', {
  nr_xcrs: u32,
  flags: u32,
  xcrs: [KvmXcr, 16],
  padding: [u64, 16],
});

export const KvmDebugregs = struct('kvm_debugregs', {
  db: [u64, 4],
  dr6: u64,
  dr7: u64,
  flags: u64,
  reserved: [u64, 9],
});

const ExceptionEvent = struct('exception', {
  injected: u8,
  nr: u8,
  has_error_code: u8,
  pending: u8,
  error_code: u32,
});
const InterruptEvent = struct('interrupt', { injected: u8, nr: u8, soft: u8, shadow: u8 });
const NmiEvent = struct('nmi', { injected: u8, pending: u8, masked: u8, pad: u8 });
const SmiEvent = struct('smi', { smm: u8, pending: u8, smm_inside_nmi: u8, latched_init: u8 });

/** Members of the nested structures of {@link KvmVcpuEvents}. */
export const KvmVcpuEventParts = {
  exception: ExceptionEvent,
  interrupt: InterruptEvent,
  nmi: NmiEvent,
  smi: SmiEvent,
} as const;

export const KvmVcpuEvents = struct('kvm_vcpu_events', {
  exception: ExceptionEvent,
  interrupt: InterruptEvent,
  nmi: NmiEvent,
  sipi_vector: u32,
  flags: u32,
  smi: SmiEvent,
  triple_fault: u8,
  reserved: [u8, 26],
  exception_has_payload: u8,
  exception_payload: u64,
});

/** `KVM_VCPUEVENT_VALID_*`: which optional members of the events are given. */
export const KvmVcpuEventValid = {
  NMI_PENDING: 0x01,
  SIPI_VECTOR: 0x02,
  SHADOW: 0x04,
  SMM: 0x08,
  PAYLOAD: 0x10,
  TRIPLE_FAULT: 0x20,
} as const;

/** `KVM_X86_SHADOW_INT_*`: interrupt shadows. */
export const KvmX86ShadowInt = { MOV_SS: 1, STI: 2 } as const;

/** `KVM_SYNC_X86_*`: register classes that travel in `kvm_run`. */
export const KvmSyncX86 = { REGS: 1, SREGS: 2, EVENTS: 4 } as const;

export const KvmSyncRegs = struct('kvm_sync_regs', { regs: KvmRegs, sregs: KvmSregs, events: KvmVcpuEvents });

/** Head of a list of MSR values; entries follow. */
export const KvmMsrs = struct('kvm_msrs', { nmsrs: u32, pad: u32 });
export const KvmMsrEntry = struct('kvm_msr_entry', { index: u32, reserved: u32, data: u64 });
/** Head of a list of MSR indices; 32-bit indices follow. */
export const KvmMsrList = struct('kvm_msr_list', { nmsrs: u32 });

/** Head of a list of CPUID entries; entries follow. */
export const KvmCpuid2 = struct('kvm_cpuid2', { nent: u32, padding: u32 });
export const KvmCpuidEntry2 = struct('kvm_cpuid_entry2', {
  function: u32,
  index: u32,
  flags: u32,
  eax: u32,
  ebx: u32,
  ecx: u32,
  edx: u32,
  padding: [u32, 3],
});

/** `KVM_CPUID_FLAG_*`. */
export const KvmCpuidFlag = { SIGNIFCANT_INDEX: 1, STATEFUL_FUNC: 2, STATE_READ_NEXT: 4 } as const;

export const KvmGuestDebug = struct('kvm_guest_debug', { control: u32, pad: u32, arch: [u64, 8] });
/** The union member `debug.arch` of `kvm_run`. */
export const KvmDebugExitArch = struct('kvm_debug_exit_arch', {
  exception: u32,
  pad: u32,
  pc: u64,
  dr6: u64,
  dr7: u64,
});
/** `KVM_GUESTDBG_*` of x86. */
export const KvmX86GuestDbg = {
  USE_SW_BP: 0x1_0000,
  USE_HW_BP: 0x2_0000,
  INJECT_DB: 0x4_0000,
  INJECT_BP: 0x8_0000,
  BLOCKIRQ: 0x10_0000,
} as const;

/** Head of what a vCPU keeps for a guest that is a hypervisor; `size` bytes in all, as far as the format needs them. */
export const KvmNestedState = struct('kvm_nested_state', {
  flags: u16,
  format: u16,
  size: u32,
  hdr: [u64, 15],
});
/** `KVM_STATE_NESTED_FORMAT_*`. */
export const KvmNestedFormat = { VMX: 0, SVM: 1 } as const;

export const KvmLapicState = struct('kvm_lapic_state', { regs: [u8, 1024] });
export const KvmIrqchip = struct('kvm_irqchip', { chip_id: u32, pad: u32, chip: [u64, 64] });
/** `KVM_IRQCHIP_*`: values of `chip_id`. */
export const KvmIrqchipId = { PIC_MASTER: 0, PIC_SLAVE: 1, IOAPIC: 2 } as const;
/** Contents of `chip` for the I/O APIC; those of an 8259 are one byte per field, see arch/x86/interrupt-state.ts. */
export const KvmIoapicState = struct('kvm_ioapic_state', {
  base_address: u64,
  ioregsel: u32,
  id: u32,
  irr: u32,
  pad: u32,
  redirtbl: [u64, 24],
});
export const KvmPitConfig = struct('kvm_pit_config', { flags: u32, pad: [u32, 15] });

/** Head of a table of interrupt routes; entries follow. */
export const KvmIrqRouting = struct('kvm_irq_routing', { nr: u32, flags: u32 });
/** `u` holds two u32: the controller (`KvmIrqchipId`) and its pin, or for HV_SINT a vCPU's VP index and its SINT. */
export const KvmIrqRoutingEntry = struct('kvm_irq_routing_entry', {
  gsi: u32,
  type: u32,
  flags: u32,
  pad: u32,
  u: [u32, 8],
});
/** `KVM_IRQ_ROUTING_*`. */
export const KvmIrqRoutingType = { IRQCHIP: 1, HV_SINT: 4 } as const;

/** A range of MSRs in a filter; a bit of the bitmap allows the access to one MSR. */
export const KvmMsrFilterRange = struct('kvm_msr_filter_range', {
  flags: u32,
  nmsrs: u32,
  base: u32,
  bitmap: u64,
});
export const KvmMsrFilter = struct('kvm_msr_filter', { flags: u32, ranges: [KvmMsrFilterRange, 16] });
/** `KVM_MSR_FILTER_*`: what a range is about. */
export const KvmMsrFilterFlag = { READ: 1, WRITE: 2 } as const;

/** `KVM_MSR_EXIT_REASON_*`: bits of the capability X86_USER_SPACE_MSR and reasons of its exits. */
export const KvmMsrExitReason = { INVAL: 1, UNKNOWN: 2, FILTER: 4 } as const;

/** `kvm_run.flags` of x86. */
export const KvmRunX86 = { SMM: 1, BUS_LOCK: 2 } as const;

/** Page of the vCPU mapping that holds the data of port accesses. */
export const KVM_PIO_PAGE_OFFSET = 1;
/**
 * Page of the vCPU mapping that holds the ring of coalesced accesses, unless the capability says otherwise.
 */
export const KVM_COALESCED_MMIO_PAGE_OFFSET = 2;

/** Device-attribute group and attribute of a vCPU's TSC offset. */
export const KvmVcpuTscCtrl = { GROUP: 0, OFFSET: 0 } as const;

/** ioctl numbers of x86. */
export const KvmX86Ioctl = {
  GET_MSR_INDEX_LIST: iowr(0x02, KvmMsrList),
  GET_SUPPORTED_CPUID: iowr(0x05, KvmCpuid2),
  SET_NR_MMU_PAGES: io(0x44),
  SET_TSS_ADDR: io(0x47),
  SET_IDENTITY_MAP_ADDR: iow(0x48, u64),
  GET_IRQCHIP: iowr(0x62, KvmIrqchip),
  SET_IRQCHIP: ior(0x63, KvmIrqchip),
  SET_GSI_ROUTING: iow(0x6a, KvmIrqRouting),
  CREATE_PIT2: iow(0x77, KvmPitConfig),
  SET_CLOCK: iow(0x7b, KvmClockData),
  GET_CLOCK: ior(0x7c, KvmClockData),
  GET_REGS: ior(0x81, KvmRegs),
  SET_REGS: iow(0x82, KvmRegs),
  GET_SREGS: ior(0x83, KvmSregs),
  SET_SREGS: iow(0x84, KvmSregs),
  GET_MSRS: iowr(0x88, KvmMsrs),
  SET_MSRS: iow(0x89, KvmMsrs),
  GET_FPU: ior(0x8c, KvmFpu),
  SET_FPU: iow(0x8d, KvmFpu),
  GET_LAPIC: ior(0x8e, KvmLapicState),
  SET_LAPIC: iow(0x8f, KvmLapicState),
  SET_CPUID2: iow(0x90, KvmCpuid2),
  GET_CPUID2: iowr(0x91, KvmCpuid2),
  SET_GUEST_DEBUG: iow(0x9b, KvmGuestDebug),
  GET_VCPU_EVENTS: ior(0x9f, KvmVcpuEvents),
  SET_VCPU_EVENTS: iow(0xa0, KvmVcpuEvents),
  GET_DEBUGREGS: ior(0xa1, KvmDebugregs),
  SET_DEBUGREGS: iow(0xa2, KvmDebugregs),
  SET_TSC_KHZ: io(0xa2),
  GET_TSC_KHZ: io(0xa3),
  GET_XSAVE: ior(0xa4, KvmXsave),
  SET_XSAVE: iow(0xa5, KvmXsave),
  GET_XCRS: ior(0xa6, KvmXcrs),
  SET_XCRS: iow(0xa7, KvmXcrs),
  GET_NESTED_STATE: iowr(0xbe, KvmNestedState),
  SET_NESTED_STATE: iow(0xbf, KvmNestedState),
  GET_SUPPORTED_HV_CPUID: iowr(0xc1, KvmCpuid2),
  X86_SET_MSR_FILTER: iow(0xc6, KvmMsrFilter),
  GET_XSAVE2: ior(0xcf, KvmXsave),
} as const;
