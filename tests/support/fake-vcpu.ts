// A scripted vCPU: each entry takes the next step of a script, which plays what KVM would do, and is recorded. With it
// come a control signal, a timer and a clock that tests own.

import type { ControlSignal, RunTimer } from '../../src/cpu/kvm/runner.ts';
import { Errno, HostError } from '../../src/host/errors.ts';
import {
  KVM_RUN_EXIT_OFFSET,
  KvmCoalescedMmio,
  KvmCoalescedMmioRing,
  KvmExitLayouts,
  KvmExitReason,
  KvmIo,
  KvmRunLayout,
} from '../../src/host/kvm/abi.ts';
import { KvmRegs, KvmSegment, KvmSregs, KvmSyncX86 } from '../../src/host/kvm/abi-x86.ts';
import { KvmRun } from '../../src/host/kvm/run.ts';
import { type CpuidEntry, MsrRefusedError, type Translation, type X86Vcpu } from '../../src/host/kvm/vcpu.ts';

export const EINTR = 4;

/** What one KVM_RUN does: changes `run` (exit reason, registers) and returns 0 or EINTR. */
export type Step = (vcpu: FakeVcpu) => number;

/** One entry, as KVM saw it. */
export interface Entry {
  readonly immediateExit: boolean;
  readonly dirtyRegs: number;
  readonly rip: number;
  readonly rflags: number;
  readonly rax: number;
  /** Selector of CS and privilege level of SS. */
  readonly cs: number;
  readonly cpl: number;
}

/** The control signal of one imaginary thread. */
export class FakeSignal implements ControlSignal {
  pending = false;
  raised = 0;
  discardPending(): boolean {
    const was = this.pending;
    this.pending = false;
    return was;
  }
  raise(): void {
    this.pending = true;
    this.raised++;
  }
}

/** A clock in nanoseconds and a timer on it; advancing the clock fires the timer. */
export class FakeTime implements RunTimer {
  readonly onlyInGuest = false;
  ns = 0;
  armedFor = Number.POSITIVE_INFINITY;
  readonly armed: number[] = [];
  readonly #signal: FakeSignal;
  readonly resolutionNs: number;
  constructor(signal: FakeSignal, resolutionNs = 1) {
    this.#signal = signal;
    this.resolutionNs = resolutionNs;
  }
  readonly now = (): number => this.ns;
  arm(ns: number): void {
    this.armed.push(ns);
    this.armedFor = this.ns + ns;
  }
  disarm(): void {
    this.armedFor = Number.POSITIVE_INFINITY;
  }
  advance(ns: number): void {
    this.ns += ns;
    if (this.armedFor > this.ns) return;
    this.armedFor = Number.POSITIVE_INFINITY;
    this.#signal.raise();
  }
}

const TSC = 0x10;
const HOST_TSC = 7_000_000_000_000n;

const refuse = (what: string) => (): never => {
  throw new Error(`the scripted vCPU has no ${what}`);
};

export class FakeVcpu implements X86Vcpu {
  readonly id = 0;
  readonly xsaveSizeBytes = 4096;
  readonly run = new KvmRun(new Uint8Array(3 * 4096), 2);
  readonly entries: Entry[] = [];
  readonly signal: FakeSignal;
  readonly time: FakeTime;
  readonly script: Step[] = [];
  /** What entries do behind the end of the script; undefined: there must be none. */
  atEnd: Step | undefined;
  /** What half entries do, before those that only complete an instruction. */
  readonly halfScript: Step[] = [];
  /** Structures that KVM holds, by ioctl name: set ones are returned by get. */
  readonly stored = new Map<string, Uint8Array>();
  readonly calls: string[] = [];
  readonly #msrs = new Map<number, bigint>();
  /** MSRs that KVM lists and does not take. */
  readonly refusedMsrs = new Set<number>();
  /** Whether KVM_SET_MSRS moves the TSC, where there is no offset. */
  tscMovesByMsr = true;
  #tscOffsetByMsr = 0n;
  closed = false;

  /** @param thread that runs this vCPU too; undefined: its own */
  constructor(resolutionNs = 1, thread?: Pick<FakeVcpu, 'signal' | 'time'>) {
    this.signal = thread?.signal ?? new FakeSignal();
    this.time = thread?.time ?? new FakeTime(this.signal, resolutionNs);
  }

  // ---- for scripts ----

  get regs(): DataView {
    const { regs } = this.run.syncRegs;
    return new DataView(regs.buffer, regs.byteOffset, regs.byteLength);
  }
  setReg(name: keyof typeof KvmRegs.at, value: number): void {
    this.regs.setBigUint64(KvmRegs.at[name], BigInt(value), true);
  }
  reg(name: keyof typeof KvmRegs.at): number {
    return Number(this.regs.getBigUint64(KvmRegs.at[name], true));
  }
  /** Ring that the guest is in at the exit: SS.DPL. */
  setCpl(cpl: number): void {
    this.run.syncRegs.sregs[KvmSregs.at.ss + KvmSegment.at.dpl] = cpl;
  }
  exit(reason: number): number {
    this.run.view.setUint32(KvmRunLayout.at.exit_reason, reason, true);
    return 0;
  }
  portOut(port: number): number {
    return this.portAccess(port, KvmIo.OUT);
  }
  /** Data of a read goes to the second page. */
  portIn(port: number): number {
    return this.portAccess(port, KvmIo.IN);
  }
  /** `count` elements of a byte lie one behind the other in the second page. */
  portAccess(port: number, direction: number, count = 1): number {
    const { io } = KvmExitLayouts;
    this.run.u8[KVM_RUN_EXIT_OFFSET + io.at.direction] = direction;
    this.run.view.setBigUint64(KVM_RUN_EXIT_OFFSET + io.at.data_offset, 4096n, true);
    this.run.u8[KVM_RUN_EXIT_OFFSET + io.at.size] = 1;
    this.run.view.setUint16(KVM_RUN_EXIT_OFFSET + io.at.port, port, true);
    this.run.view.setUint32(KVM_RUN_EXIT_OFFSET + io.at.count, count, true);
    return this.exit(KvmExitReason.IO);
  }
  /** An access to memory-mapped I/O; what is read is found in `run.mmio.data` afterwards. */
  mmio(physAddr: number, len: number, written?: readonly number[]): number {
    const { at } = KvmExitLayouts.mmio;
    this.run.view.setBigUint64(KVM_RUN_EXIT_OFFSET + at.phys_addr, BigInt(physAddr), true);
    this.run.view.setUint32(KVM_RUN_EXIT_OFFSET + at.len, len, true);
    this.run.u8[KVM_RUN_EXIT_OFFSET + at.is_write] = written === undefined ? 0 : 1;
    if (written !== undefined) this.run.mmio.data.set(written);
    return this.exit(KvmExitReason.MMIO);
  }
  /** The kernel queues a write to a coalesced zone. */
  coalesce(physAddr: number, bytes: readonly number[], isPort = false): void {
    const page = this.run.u8.subarray(2 * 4096);
    const view = new DataView(page.buffer, page.byteOffset, page.byteLength);
    const { at, size } = KvmCoalescedMmio;
    const last = view.getUint32(KvmCoalescedMmioRing.at.last, true);
    const entry = KvmCoalescedMmioRing.size + last * size;
    view.setBigUint64(entry + at.phys_addr, BigInt(physAddr), true);
    view.setUint32(entry + at.len, bytes.length, true);
    view.setUint32(entry + at.pio, isPort ? 1 : 0, true);
    page.set(bytes, entry + at.data);
    view.setUint32(KvmCoalescedMmioRing.at.last, last + 1, true);
  }
  /** The guest computes until the control signal comes. */
  static readonly spin: Step = (vcpu) => {
    if (!vcpu.signal.pending) vcpu.time.advance(Math.max(0, vcpu.time.armedFor - vcpu.time.ns));
    return EINTR;
  };

  // ---- X86Vcpu ----

  enter(): number {
    this.entries.push({
      immediateExit: this.run.immediateExit,
      dirtyRegs: this.run.kvmDirtyRegs,
      rip: this.reg('rip'),
      rflags: this.reg('rflags'),
      rax: this.reg('rax'),
      cs: this.run.syncRegs.sregs[KvmSregs.at.cs + KvmSegment.at.selector]!,
      cpl: this.run.syncRegs.sregs[KvmSregs.at.ss + KvmSegment.at.dpl]!,
    });
    this.run.kvmDirtyRegs = 0;
    if (this.run.immediateExit) return this.halfScript.shift()?.(this) ?? EINTR;
    if (this.signal.pending) return EINTR;
    const step = this.script.shift() ?? this.atEnd;
    if (step === undefined) throw new Error(`entry ${this.entries.length} has no step in the script`);
    return step(this);
  }
  setSignalMask(): void {
    this.calls.push('setSignalMask');
  }
  #get(name: string, buffer: Uint8Array): void {
    this.calls.push(`get ${name}`);
    const held = this.stored.get(name);
    if (held !== undefined) buffer.set(held.subarray(0, buffer.length));
  }
  #set(name: string, buffer: Uint8Array): void {
    this.calls.push(`set ${name}`);
    this.stored.set(name, buffer.slice());
  }
  getRegs(b: Uint8Array): void {
    this.#get('regs', b);
  }
  setRegs(b: Uint8Array): void {
    this.#set('regs', b);
  }
  getSregs(b: Uint8Array): void {
    this.#get('sregs', b);
  }
  setSregs(b: Uint8Array): void {
    this.#set('sregs', b);
  }
  getFpu(b: Uint8Array): void {
    this.#get('fpu', b);
  }
  setFpu(b: Uint8Array): void {
    this.#set('fpu', b);
  }
  getXsave(b: Uint8Array): void {
    this.#get('xsave', b);
  }
  setXsave(b: Uint8Array): void {
    this.#set('xsave', b);
  }
  getXcrs(b: Uint8Array): void {
    this.#get('xcrs', b);
  }
  setXcrs(b: Uint8Array): void {
    this.#set('xcrs', b);
  }
  getDebugRegs(b: Uint8Array): void {
    this.#get('debugregs', b);
  }
  setDebugRegs(b: Uint8Array): void {
    this.#set('debugregs', b);
  }
  getVcpuEvents(b: Uint8Array): void {
    this.#get('events', b);
  }
  setVcpuEvents(b: Uint8Array): void {
    this.#set('events', b);
  }
  getMpState(b: Uint8Array): void {
    this.#get('mpstate', b);
  }
  setMpState(b: Uint8Array): void {
    this.#set('mpstate', b);
  }
  getNestedState(): Uint8Array {
    this.calls.push('get nested');
    return this.stored.get('nested') ?? Uint8Array.of(0, 0, 1, 0, 128, 0, 0, 0, ...new Uint8Array(120));
  }
  setNestedState(b: Uint8Array): void {
    this.#set('nested', b);
  }
  getLapic(b: Uint8Array): void {
    this.#get('lapic', b);
  }
  setLapic(b: Uint8Array): void {
    this.#set('lapic', b);
  }
  getMsrs(indices: Uint32Array): BigUint64Array {
    this.calls.push('get msrs');
    return BigUint64Array.from(indices, (index) =>
      index === TSC ? this.tsc : (this.#msrs.get(index) ?? 0n),
    );
  }
  /** The guest's TSC: a cycle per nanosecond of the host, from {@link HOST_TSC} on. */
  get tsc(): bigint {
    return HOST_TSC + BigInt(Math.floor(this.time.ns)) + (this.tscOffset ?? this.#tscOffsetByMsr);
  }
  /** As Linux does: a value that is off by less than a second is taken for the old one. */
  #writeTsc(value: bigint): void {
    const moved = value - this.tsc;
    const isSmall = moved < 1_000_000_000n && moved > -1_000_000_000n;
    if (this.tscMovesByMsr && !isSmall) this.#tscOffsetByMsr += moved;
  }
  setMsrs(indices: Uint32Array, values: BigUint64Array): void {
    this.calls.push(`set msrs ${[...indices].map((index) => index.toString(16)).join(' ')}`);
    for (const [i, index] of indices.entries()) {
      if (index === TSC) this.#writeTsc(values[i]!);
      else if (this.refusedMsrs.has(index)) throw new MsrRefusedError('KVM_SET_MSRS', index);
      else this.#msrs.set(index, values[i]!);
    }
  }
  /** What the guest sees; a flavour of KVM may show something else than it was given. */
  cpuid: readonly CpuidEntry[] = [];
  setCpuid2(entries: readonly CpuidEntry[]): void {
    this.calls.push('set cpuid');
    this.cpuid = entries;
  }
  enableCap(cap: number, ...args: readonly bigint[]): void {
    this.calls.push(`enable cap ${[cap, ...args].join(' ')}`);
  }
  getCpuid2(): CpuidEntry[] {
    return [...this.cpuid];
  }
  getTscKhz(): number {
    return 1_000_000;
  }
  close(): void {
    this.closed = true;
  }
  setTscKhz = refuse('TSC scaling');
  /** Undefined: this KVM has no such attribute. */
  tscOffset: bigint | undefined;
  getTscOffset(): bigint {
    if (this.tscOffset === undefined) throw new HostError('KVM_GET_DEVICE_ATTR', Errno.ENXIO);
    return this.tscOffset;
  }
  setTscOffset(offset: bigint): void {
    if (this.tscOffset === undefined) throw new HostError('KVM_SET_DEVICE_ATTR', Errno.ENXIO);
    this.calls.push(`set tsc offset ${offset}`);
    this.tscOffset = offset;
  }
  /** Without paging. */
  translate(linearAddress: bigint): Translation {
    return { physicalAddress: linearAddress, valid: true, writeable: true, usermode: true };
  }
  interrupt(vector: number): void {
    this.calls.push(`interrupt ${vector}`);
  }
  nmi(): void {
    this.calls.push('nmi');
  }
  setGuestDebug = refuse('debugging');
}

/** KVM as the scripted vCPU needs it: register classes travel in kvm_run. */
export const FAKE_KVM = {
  capability: (): number => KvmSyncX86.REGS | KvmSyncX86.SREGS | KvmSyncX86.EVENTS,
  supportedCpuid: [] as CpuidEntry[],
  supportedHyperVCpuid: [] as CpuidEntry[],
  msrIndices: [0x10, 0xc000_0081, 0xc000_0082, 0xc000_0084],
};
