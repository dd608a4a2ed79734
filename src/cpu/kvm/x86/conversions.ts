// Pure conversions between KVM's register structures (host/kvm/abi-x86.ts) and the thread context. Values move as
// 32-bit halves or bytes: no BigInt. Sources: Linux Documentation/virt/kvm/api.rst, the manual for the contents.

import { Seg } from '../../../arch/x86/registers.ts';
import { SegmentAttribute as A } from '../../../arch/x86/segments.ts';
import { EVENT, OFFSET, SEGMENT, STRIDE, type X86ThreadContext } from '../../../arch/x86/thread-context.ts';
import {
  KvmDebugregs,
  KvmDtable,
  KvmRegs,
  KvmSegment,
  KvmSregs,
  KvmVcpuEventParts,
  KvmVcpuEvents,
  KvmVcpuEventValid,
  KvmX86ShadowInt,
} from '../../../host/kvm/abi-x86.ts';

/** kvm_regs lists the first eight general registers alphabetically; the thread context in encoding order. */
const KVM_REGISTER_ORDER = ['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi'] as const;

/** Word (32-bit) index in the thread context for each 64-bit register of kvm_regs, in kvm_regs' order. */
const GENERAL_WORDS: readonly (readonly [kvm: number, tc: number])[] = [
  ...KVM_REGISTER_ORDER.map((name, i): [number, number] => [
    KvmRegs.at[name] >> 2,
    (OFFSET.gpr + 8 * i) >> 2,
  ]),
  ...Array.from({ length: 8 }, (_, i): [number, number] => [
    (KvmRegs.at.r8 + 8 * i) >> 2,
    (OFFSET.gpr + 8 * (8 + i)) >> 2,
  ]),
  [KvmRegs.at.rip >> 2, OFFSET.rip >> 2],
  [KvmRegs.at.rflags >> 2, OFFSET.rflags >> 2],
];
const GENERAL_KVM = Uint8Array.from(GENERAL_WORDS, ([kvm]) => kvm);
const GENERAL_TC = Uint8Array.from(GENERAL_WORDS, ([, tc]) => tc);

/** kvm_regs → thread context. `regs` is the structure as 32-bit words. Hot path. */
export function generalFromKvm(tc: X86ThreadContext, regs: Uint32Array): void {
  const words = tc.u32;
  for (let i = 0; i < GENERAL_KVM.length; i++) {
    const from = GENERAL_KVM[i]!;
    const to = GENERAL_TC[i]!;
    words[to] = regs[from]!;
    words[to + 1] = regs[from + 1]!;
  }
}

/** Thread context → kvm_regs. Hot path. */
export function generalToKvm(tc: X86ThreadContext, regs: Uint32Array): void {
  const words = tc.u32;
  for (let i = 0; i < GENERAL_KVM.length; i++) {
    const to = GENERAL_KVM[i]!;
    const from = GENERAL_TC[i]!;
    regs[to] = words[from]!;
    regs[to + 1] = words[from + 1]!;
  }
}

const SEGMENT_PLACES: readonly (readonly [kvm: number, segment: number])[] = [
  [KvmSregs.at.es, Seg.ES],
  [KvmSregs.at.cs, Seg.CS],
  [KvmSregs.at.ss, Seg.SS],
  [KvmSregs.at.ds, Seg.DS],
  [KvmSregs.at.fs, Seg.FS],
  [KvmSregs.at.gs, Seg.GS],
  [KvmSregs.at.ldt, Seg.LDTR],
  [KvmSregs.at.tr, Seg.TR],
];

/** 64-bit registers that both structures hold as they are. */
const SPECIAL_PLACES: readonly (readonly [kvm: number, tc: number])[] = [
  [KvmSregs.at.cr0, OFFSET.cr0],
  [KvmSregs.at.cr2, OFFSET.cr2],
  [KvmSregs.at.cr3, OFFSET.cr3],
  [KvmSregs.at.cr4, OFFSET.cr4],
  [KvmSregs.at.cr8, OFFSET.cr8],
  [KvmSregs.at.efer, OFFSET.efer],
  [KvmSregs.at.apic_base, OFFSET.apicBase],
];

const TABLE_PLACES: readonly (readonly [kvm: number, tc: number])[] = [
  [KvmSregs.at.gdt, OFFSET.gdtr],
  [KvmSregs.at.idt, OFFSET.idtr],
];

/** kvm_segment's flag bytes and the attribute bit of each. */
const SEGMENT_FLAGS: readonly (readonly [kvm: number, bit: number])[] = [
  [KvmSegment.at.s, A.S],
  [KvmSegment.at.present, A.P],
  [KvmSegment.at.avl, A.AVL],
  [KvmSegment.at.l, A.L],
  [KvmSegment.at.db, A.DB],
  [KvmSegment.at.g, A.G],
  [KvmSegment.at.unusable, A.UNUSABLE],
];

function copy64(to: DataView, toAt: number, from: DataView, fromAt: number): void {
  to.setUint32(toAt, from.getUint32(fromAt, true), true);
  to.setUint32(toAt + 4, from.getUint32(fromAt + 4, true), true);
}

function segmentFromKvm(tc: DataView, tcAt: number, kvm: DataView, kvmAt: number): void {
  let attributes = kvm.getUint8(kvmAt + KvmSegment.at.type) & A.TYPE;
  attributes |= (kvm.getUint8(kvmAt + KvmSegment.at.dpl) & 3) << A.DPL_SHIFT;
  for (const [at, bit] of SEGMENT_FLAGS) if (kvm.getUint8(kvmAt + at) !== 0) attributes |= bit;
  copy64(tc, tcAt + SEGMENT.base, kvm, kvmAt + KvmSegment.at.base);
  tc.setUint32(tcAt + SEGMENT.limit, kvm.getUint32(kvmAt + KvmSegment.at.limit, true), true);
  tc.setUint32(tcAt + SEGMENT.attributes, attributes, true);
  tc.setUint32(tcAt + SEGMENT.selector, kvm.getUint16(kvmAt + KvmSegment.at.selector, true), true);
}

function segmentToKvm(tc: DataView, tcAt: number, kvm: DataView, kvmAt: number): void {
  const attributes = tc.getUint32(tcAt + SEGMENT.attributes, true);
  copy64(kvm, kvmAt + KvmSegment.at.base, tc, tcAt + SEGMENT.base);
  kvm.setUint32(kvmAt + KvmSegment.at.limit, tc.getUint32(tcAt + SEGMENT.limit, true), true);
  kvm.setUint16(kvmAt + KvmSegment.at.selector, tc.getUint32(tcAt + SEGMENT.selector, true), true);
  kvm.setUint8(kvmAt + KvmSegment.at.type, attributes & A.TYPE);
  kvm.setUint8(kvmAt + KvmSegment.at.dpl, (attributes & A.DPL) >>> A.DPL_SHIFT);
  for (const [at, bit] of SEGMENT_FLAGS) kvm.setUint8(kvmAt + at, attributes & bit ? 1 : 0);
}

/** kvm_sregs → thread context. */
export function specialFromKvm(tc: X86ThreadContext, sregs: DataView): void {
  for (const [kvm, segment] of SEGMENT_PLACES) {
    segmentFromKvm(tc.dataView, OFFSET.segments + segment * STRIDE.segment, sregs, kvm);
  }
  for (const [kvm, at] of TABLE_PLACES) {
    copy64(tc.dataView, at + SEGMENT.base, sregs, kvm + KvmDtable.at.base);
    tc.dataView.setUint32(at + SEGMENT.tableLimit, sregs.getUint16(kvm + KvmDtable.at.limit, true), true);
  }
  for (const [kvm, at] of SPECIAL_PLACES) copy64(tc.dataView, at, sregs, kvm);
}

/**
 * Thread context → kvm_sregs, with an empty interrupt bitmap: a pending interrupt travels with the events, and
 * here it would be injected twice.
 */
export function specialToKvm(tc: X86ThreadContext, sregs: DataView): void {
  for (const [kvm, segment] of SEGMENT_PLACES) {
    segmentToKvm(tc.dataView, OFFSET.segments + segment * STRIDE.segment, sregs, kvm);
  }
  for (const [kvm, at] of TABLE_PLACES) {
    copy64(sregs, kvm + KvmDtable.at.base, tc.dataView, at + SEGMENT.base);
    sregs.setUint16(kvm + KvmDtable.at.limit, tc.dataView.getUint32(at + SEGMENT.tableLimit, true), true);
  }
  for (const [kvm, at] of SPECIAL_PLACES) copy64(sregs, kvm, tc.dataView, at);
  for (let i = 0; i < 8; i++) sregs.setUint32(KvmSregs.at.interrupt_bitmap + 4 * i, 0, true);
}

/** DR0–DR3, DR6, DR7. */
const DEBUG_PLACES: readonly (readonly [kvm: number, tc: number])[] = [
  [KvmDebugregs.at.db, OFFSET.dr0],
  [KvmDebugregs.at.db + 8, OFFSET.dr1],
  [KvmDebugregs.at.db + 16, OFFSET.dr2],
  [KvmDebugregs.at.db + 24, OFFSET.dr3],
  [KvmDebugregs.at.dr6, OFFSET.dr6],
  [KvmDebugregs.at.dr7, OFFSET.dr7],
];

/** kvm_debugregs → thread context. */
export function debugFromKvm(tc: X86ThreadContext, debugregs: DataView): void {
  for (const [kvm, at] of DEBUG_PLACES) copy64(tc.dataView, at, debugregs, kvm);
}

/** Thread context → kvm_debugregs. */
export function debugToKvm(tc: X86ThreadContext, debugregs: DataView): void {
  for (const [kvm, at] of DEBUG_PLACES) copy64(debugregs, kvm, tc.dataView, at);
}

const EVENTS = KvmVcpuEvents.at;
const { exception: EXCEPTION, interrupt: INTERRUPT, nmi: NMI, smi: SMI } = KvmVcpuEventParts;

/** Byte members of kvm_vcpu_events that the thread context holds as they are. */
const EVENT_BYTES: readonly (readonly [kvm: number, tc: number])[] = [
  [EVENTS.exception + EXCEPTION.at.injected, EVENT.exceptionInjected],
  [EVENTS.exception + EXCEPTION.at.pending, EVENT.exceptionPending],
  [EVENTS.exception + EXCEPTION.at.nr, EVENT.exceptionVector],
  [EVENTS.exception + EXCEPTION.at.has_error_code, EVENT.exceptionHasErrorCode],
  [EVENTS.exception_has_payload, EVENT.exceptionHasPayload],
  [EVENTS.interrupt + INTERRUPT.at.injected, EVENT.interruptInjected],
  [EVENTS.interrupt + INTERRUPT.at.nr, EVENT.interruptVector],
  [EVENTS.interrupt + INTERRUPT.at.soft, EVENT.interruptSoft],
  [EVENTS.nmi + NMI.at.injected, EVENT.nmiInjected],
  [EVENTS.nmi + NMI.at.pending, EVENT.nmiPending],
  [EVENTS.nmi + NMI.at.masked, EVENT.nmiMasked],
  [EVENTS.smi + SMI.at.smm, EVENT.smiInSmm],
  [EVENTS.smi + SMI.at.pending, EVENT.smiPending],
  [EVENTS.smi + SMI.at.smm_inside_nmi, EVENT.smiInsideNmi],
  [EVENTS.smi + SMI.at.latched_init, EVENT.initLatched],
  [EVENTS.triple_fault, EVENT.tripleFaultPending],
];

/** Bits of the interrupt shadow: the thread context's (SDM vol. 3 §25.4.2: STI is bit 0) and KVM's. */
const SHADOWS = [
  [0x1, KvmX86ShadowInt.STI],
  [0x2, KvmX86ShadowInt.MOV_SS],
] as const;

/** kvm_vcpu_events → thread context. */
export function eventsFromKvm(tc: X86ThreadContext, events: DataView): void {
  const view = tc.dataView;
  for (const [kvm, at] of EVENT_BYTES) view.setUint8(OFFSET.events + at, events.getUint8(kvm));
  view.setUint32(
    OFFSET.events + EVENT.exceptionErrorCode,
    events.getUint32(EVENTS.exception + EXCEPTION.at.error_code, true),
    true,
  );
  copy64(view, OFFSET.events + EVENT.exceptionPayload, events, EVENTS.exception_payload);
  view.setUint32(OFFSET.events + EVENT.sipiVector, events.getUint32(EVENTS.sipi_vector, true), true);
  const shadow = events.getUint8(EVENTS.interrupt + INTERRUPT.at.shadow);
  let bits = 0;
  for (const [bit, kvm] of SHADOWS) if (shadow & kvm) bits |= bit;
  view.setUint8(OFFSET.events + EVENT.interruptShadow, bits);
}

/**
 * Thread context → kvm_vcpu_events. Without KVM_CAP_EXCEPTION_PAYLOAD, which is not asked for, KVM knows one kind of
 * exception on its way and shows it as injected and pending both: it is given back as injected. The SIPI vector and the
 * state of system management mode are given only if they are set.
 */
export function eventsToKvm(tc: X86ThreadContext, events: DataView): void {
  const view = tc.dataView;
  const at = (field: number): number => OFFSET.events + field;
  for (const [kvm, field] of EVENT_BYTES) events.setUint8(kvm, view.getUint8(at(field)));
  events.setUint32(
    EVENTS.exception + EXCEPTION.at.error_code,
    view.getUint32(at(EVENT.exceptionErrorCode), true),
    true,
  );
  if (view.getUint8(at(EVENT.exceptionPending))) events.setUint8(EVENTS.exception + EXCEPTION.at.injected, 1);
  events.setUint8(EVENTS.exception + EXCEPTION.at.pending, 0);
  events.setUint8(EVENTS.exception_has_payload, 0);
  events.setUint32(EVENTS.sipi_vector, view.getUint32(at(EVENT.sipiVector), true), true);
  const bits = view.getUint8(at(EVENT.interruptShadow));
  let shadow = 0;
  for (const [bit, kvm] of SHADOWS) if (bits & bit) shadow |= kvm;
  events.setUint8(EVENTS.interrupt + INTERRUPT.at.shadow, shadow);
  const valid = KvmVcpuEventValid;
  let flags: number = valid.NMI_PENDING | valid.SHADOW;
  if (view.getUint32(at(EVENT.sipiVector), true) !== 0) flags |= valid.SIPI_VECTOR;
  if (view.getUint8(at(EVENT.smiInSmm)) || view.getUint8(at(EVENT.smiPending))) flags |= valid.SMM;
  events.setUint32(EVENTS.flags, flags, true);
}
