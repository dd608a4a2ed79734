/*
 * Exits as values, for dumps, error messages and rare exits. The run loop reads `KvmRun` instead.
 * Source: Documentation/virt/kvm/api.rst, section 5, "The kvm_run structure".
 */
import {
  KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES,
  KVM_RUN_EXIT_OFFSET,
  KvmExitLayouts,
  KvmExitReason,
  KvmInternalError,
  KvmSystemEvent,
} from './abi.ts';
import { KvmDebugExitArch } from './abi-x86.ts';
import type { KvmRun } from './run.ts';

/** One return from `KVM_RUN`. */
export type KvmExit =
  | { readonly kind: 'unknown'; readonly hardwareReason: bigint }
  | { readonly kind: 'exception'; readonly vector: number; readonly errorCode: number }
  | {
      readonly kind: 'io';
      readonly isOut: boolean;
      readonly size: number;
      readonly port: number;
      readonly count: number;
      /** A copy of the `count` elements. */
      readonly data: Uint8Array;
    }
  | {
      readonly kind: 'mmio';
      readonly physAddr: number;
      readonly isWrite: boolean;
      readonly len: number;
      /** A copy of the `len` bytes. */
      readonly data: Uint8Array;
    }
  | {
      readonly kind: 'hypercall';
      readonly nr: bigint;
      readonly args: readonly bigint[];
      readonly longMode: boolean;
    }
  | {
      readonly kind: 'debug';
      readonly vector: number;
      readonly pc: bigint;
      readonly dr6: bigint;
      readonly dr7: bigint;
    }
  | { readonly kind: 'hlt' | 'irqWindowOpen' | 'shutdown' | 'intr' | 'setTpr' | 'nmi' | 'watchdog' }
  | { readonly kind: 'failEntry'; readonly hardwareReason: bigint; readonly cpu: number }
  | { readonly kind: 'tprAccess'; readonly rip: bigint; readonly isWrite: boolean }
  | {
      readonly kind: 'internalError';
      readonly suberror: number;
      readonly data: readonly bigint[];
      /** Bytes of the instruction that could not be emulated; empty if the kernel does not tell. */
      readonly instruction: Uint8Array;
    }
  | { readonly kind: 'systemEvent'; readonly type: number; readonly data: readonly bigint[] }
  | { readonly kind: 'ioapicEoi'; readonly vector: number }
  | {
      readonly kind: 'rdmsr' | 'wrmsr';
      readonly index: number;
      readonly reason: number;
      /** The value written; 0 for `rdmsr`. */
      readonly data: bigint;
    }
  | { readonly kind: 'notify'; readonly flags: number }
  | { readonly kind: 'hyperv'; readonly type: number }
  | { readonly kind: 'unlisted'; readonly reason: number };

const AT = KVM_RUN_EXIT_OFFSET;

/** The exit that `run` shows, as a value that stays valid. */
export function decodeExit(run: KvmRun): KvmExit {
  const decode = decoders[run.exitReason];
  return decode === undefined ? { kind: 'unlisted', reason: run.exitReason } : decode(run);
}

const { hw, ex, hypercall, fail_entry, tpr_access, internal, emulation_failure, system_event, eoi, notify } =
  KvmExitLayouts;

const decoders: Readonly<Record<number, (run: KvmRun) => KvmExit>> = {
  [KvmExitReason.UNKNOWN]: (run) => ({
    kind: 'unknown',
    hardwareReason: u64(run, hw.at.hardware_exit_reason),
  }),
  [KvmExitReason.EXCEPTION]: (run) => ({
    kind: 'exception',
    vector: u32(run, ex.at.exception),
    errorCode: u32(run, ex.at.error_code),
  }),
  [KvmExitReason.IO]: ({ io, u8 }) => ({
    kind: 'io',
    isOut: io.isOut,
    size: io.size,
    port: io.port,
    count: io.count,
    data: u8.slice(io.dataOffset, io.dataOffset + io.size * io.count),
  }),
  [KvmExitReason.MMIO]: ({ mmio }) => ({
    kind: 'mmio',
    physAddr: mmio.physAddr,
    isWrite: mmio.isWrite,
    len: mmio.len,
    data: mmio.data.slice(0, mmio.len),
  }),
  [KvmExitReason.HYPERCALL]: (run) => ({
    kind: 'hypercall',
    nr: u64(run, hypercall.at.nr),
    args: u64s(run, hypercall.at.args, 6),
    longMode: u32(run, hypercall.at.longmode) !== 0,
  }),
  [KvmExitReason.DEBUG]: (run) => ({
    kind: 'debug',
    vector: u32(run, KvmDebugExitArch.at.exception),
    pc: u64(run, KvmDebugExitArch.at.pc),
    dr6: u64(run, KvmDebugExitArch.at.dr6),
    dr7: u64(run, KvmDebugExitArch.at.dr7),
  }),
  [KvmExitReason.HLT]: () => ({ kind: 'hlt' }),
  [KvmExitReason.IRQ_WINDOW_OPEN]: () => ({ kind: 'irqWindowOpen' }),
  [KvmExitReason.SHUTDOWN]: () => ({ kind: 'shutdown' }),
  [KvmExitReason.FAIL_ENTRY]: (run) => ({
    kind: 'failEntry',
    hardwareReason: u64(run, fail_entry.at.hardware_entry_failure_reason),
    cpu: u32(run, fail_entry.at.cpu),
  }),
  [KvmExitReason.INTR]: () => ({ kind: 'intr' }),
  [KvmExitReason.SET_TPR]: () => ({ kind: 'setTpr' }),
  [KvmExitReason.TPR_ACCESS]: (run) => ({
    kind: 'tprAccess',
    rip: u64(run, tpr_access.at.rip),
    isWrite: u32(run, tpr_access.at.is_write) !== 0,
  }),
  [KvmExitReason.NMI]: () => ({ kind: 'nmi' }),
  [KvmExitReason.INTERNAL_ERROR]: (run) => ({
    kind: 'internalError',
    suberror: u32(run, internal.at.suberror),
    data: u64s(run, internal.at.data, Math.min(u32(run, internal.at.ndata), 16)),
    instruction: failedInstruction(run),
  }),
  [KvmExitReason.WATCHDOG]: () => ({ kind: 'watchdog' }),
  [KvmExitReason.SYSTEM_EVENT]: (run) => ({
    kind: 'systemEvent',
    type: u32(run, system_event.at.type),
    data: u64s(run, system_event.at.data, Math.min(u32(run, system_event.at.ndata), 16)),
  }),
  [KvmExitReason.IOAPIC_EOI]: (run) => ({ kind: 'ioapicEoi', vector: run.u8[AT + eoi.at.vector]! }),
  [KvmExitReason.X86_RDMSR]: ({ msr }) => ({ kind: 'rdmsr', index: msr.index, reason: msr.reason, data: 0n }),
  [KvmExitReason.X86_WRMSR]: ({ msr }) => ({
    kind: 'wrmsr',
    index: msr.index,
    reason: msr.reason,
    data: msr.data,
  }),
  [KvmExitReason.HYPERV]: ({ hyperv }) => ({ kind: 'hyperv', type: hyperv.type }),
  [KvmExitReason.NOTIFY]: (run) => ({ kind: 'notify', flags: u32(run, notify.at.flags) }),
};

/** The kernel's name of an exit reason: `MMIO`. */
export function exitReasonName(reason: number): string {
  return nameOf(KvmExitReason, reason);
}

/** One line that says all there is to say about an exit. */
export function describeExit(exit: KvmExit): string {
  switch (exit.kind) {
    case 'internalError': {
      const bytes = exit.instruction.length === 0 ? '' : `, instruction bytes ${hexBytes(exit.instruction)}`;
      return `internal error ${nameOf(KvmInternalError, exit.suberror)}${bytes}`;
    }
    case 'systemEvent':
      return `system event ${nameOf(KvmSystemEvent, exit.type)}`;
    case 'failEntry':
      return `entry failed, hardware reason 0x${exit.hardwareReason.toString(16)} on host CPU ${exit.cpu}`;
    case 'unknown':
      return `unknown exit, hardware reason 0x${exit.hardwareReason.toString(16)}`;
    case 'unlisted':
      return `exit reason ${exit.reason}`;
    default:
      return Object.entries(exit)
        .map(([field, value]) => (field === 'kind' ? String(value) : `${field} ${show(value)}`))
        .join(', ');
  }
}

function failedInstruction(run: KvmRun): Uint8Array {
  const at = emulation_failure.at;
  const isEmulation = u32(run, at.suberror) === KvmInternalError.EMULATION;
  const flags = isEmulation && u32(run, at.ndata) > 0 ? u32(run, at.flags) : 0;
  if ((flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES) === 0) return new Uint8Array(0);
  const size = Math.min(run.u8[AT + at.insn_size]!, 15);
  return run.u8.slice(AT + at.insn_bytes, AT + at.insn_bytes + size);
}

function show(value: unknown): string {
  if (value instanceof Uint8Array) return hexBytes(value);
  if (typeof value === 'number' || typeof value === 'bigint') return `0x${value.toString(16)}`;
  if (Array.isArray(value)) return `[${value.map(show).join(' ')}]`;
  return String(value);
}

function hexBytes(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(' ');
}

function nameOf(names: Readonly<Record<string, number>>, value: number): string {
  for (const [name, number] of Object.entries(names)) if (number === value) return name;
  return String(value);
}

function u32(run: KvmRun, at: number): number {
  return run.view.getUint32(AT + at, true);
}

function u64(run: KvmRun, at: number): bigint {
  return run.view.getBigUint64(AT + at, true);
}

function u64s(run: KvmRun, at: number, count: number): bigint[] {
  return Array.from({ length: count }, (_, i) => u64(run, at + 8 * i));
}
