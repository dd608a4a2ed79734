// The virtual machine of the KVM executor: RAM, page tables, one vCPU that runs the guest code of kvm-harness.ts, and the timer
// that ends what does not end by itself.

import { PAGE_SIZE, PagePreset, type PageTable } from '../../src/arch/x86/page-table.ts';
import { Rflags, Seg } from '../../src/arch/x86/registers.ts';
import { SegmentAttribute, SystemType } from '../../src/arch/x86/segments.ts';
import { OFFSET, SEGMENT, X86ThreadContext } from '../../src/arch/x86/thread-context.ts';
import { LinuxSelector } from '../../src/arch/x86/user-mode.ts';
import type { XsaveFormat } from '../../src/arch/x86/xsave.ts';
import { generalToKvm, specialToKvm } from '../../src/cpu/kvm/x86/conversions.ts';
import { xsaveFormatOf } from '../../src/cpu/kvm/x86/state-transfer.ts';
import { userFeatures } from '../../src/cpu/kvm/x86/user-features.ts';
import { CLOCK_THREAD_CPUTIME_ID, HostClock } from '../../src/host/clock.ts';
import { KvmCap, KvmExitReason } from '../../src/host/kvm/abi.ts';
import { KvmRegs, KvmSegment, KvmSregs, KvmXcrs } from '../../src/host/kvm/abi-x86.ts';
import { decodeExit, describeExit } from '../../src/host/kvm/exit.ts';
import { KvmSystem } from '../../src/host/kvm/system.ts';
import type { KvmVcpuFd } from '../../src/host/kvm/vcpu.ts';
import type { KvmVmFd } from '../../src/host/kvm/vm.ts';
import { Advice, MapFlag, madvise, mmap, munmap, Prot, viewOf } from '../../src/host/memory.ts';
import { ControlSignal } from '../../src/host/signals.ts';
import { PosixTimer } from '../../src/host/timer.ts';
import { buildPageTable, END_ADDRESS } from './address-space.ts';
import { buildHarness, type Harness } from './kvm-harness.ts';
import { CONTROL, DOORBELL, HIDDEN, PHYSICAL, RAM_BYTES } from './kvm-layout.ts';
import { enterEnvironment, type UserEnvironment } from './user-state.ts';

const MSR_STAR = 0xc000_0081;
const MSR_LSTAR = 0xc000_0082;
const MSR_FMASK = 0xc000_0084;
/** What SYSCALL clears in RFLAGS: what would trouble ring 0. */
const SYSCALL_MASK = Rflags.TF | Rflags.DF | Rflags.IF | Rflags.NT | Rflags.AC;

/** Pages below 4 GiB that Intel hosts want for themselves. */
const IDENTITY_MAP_ADDRESS = 0xfeff_c000;
const TSS_ADDRESS = 0xfeff_d000;

/** Page tables that the host may keep: far more than the guest has. */
const MMU_PAGES = 1024;

/** A case that takes so many ticks of this thread's processor time has timed out. Time given to others does not count. */
const TICKS_TO_TIMEOUT = 3;
/** The same for a case that is alone: a difference may be one of time only. */
const TICKS_TO_TIMEOUT_ALONE = 30;
/** So many ticks behind a time-out something is wrong with the guest code. */
const TICKS_TO_GIVE_UP = 30;

/** Cases of a batch that ended in a way that the guest code does not know of. */
export interface BatchTroubles {
  timedOut(index: number): void;
  refused(index: number, reason: string): void;
}

/** The guest code does not come back from a case: the machine is of no more use. */
export class GuestLostError extends Error {
  override readonly name = 'GuestLostError';
  /** Place of the case in its batch. */
  readonly index: number;

  constructor(index: number, reason: string) {
    super(`the guest code is lost: ${reason}`);
    this.index = index;
  }
}

export interface MachineOptions {
  /**
   * State components that are told at the end of a case: a mask of `Xcr0`. The others begin each case in their initial
   * state and are lost.
   */
  readonly components: number;
  /** How long the guest runs before the host looks whether it gets on. */
  readonly tickNs: number;
}

export class KvmMachine {
  /** Guest RAM. */
  readonly ram: Uint8Array<ArrayBuffer>;
  readonly environment: UserEnvironment;
  readonly format: XsaveFormat;
  readonly #kvm: KvmSystem;
  readonly #vm: KvmVmFd;
  readonly #vcpu: KvmVcpuFd;
  readonly #hostAddress: bigint;
  readonly #signal = new ControlSignal();
  readonly #timer = new PosixTimer(this.#signal);
  readonly #harness: Harness;
  readonly #tickNs: number;
  readonly #cpuTime = new HostClock(CLOCK_THREAD_CPUTIME_ID);
  readonly #index: Uint32Array;

  /** @throws HostError where KVM cannot be used */
  constructor({ components, tickNs }: MachineOptions) {
    this.#tickNs = tickNs;
    this.#kvm = KvmSystem.open();
    const supported = this.#kvm.supportedCpuid();
    const { xcr0, cr4 } = userFeatures(supported);
    this.#vm = this.#kvm.createVm();
    this.#hostAddress = mmap({
      length: RAM_BYTES,
      prot: Prot.Read | Prot.Write,
      flags: MapFlag.Private | MapFlag.Anonymous | MapFlag.Populate,
    });
    // Pages that the host moves or joins vanish from the guest for a moment: under PVM that shows (see disagreement.ts).
    madvise(this.#hostAddress, RAM_BYTES, Advice.NoHugePage);
    this.ram = viewOf(this.#hostAddress, RAM_BYTES);
    this.#index = new Uint32Array(this.ram.buffer, PHYSICAL.control + CONTROL.index, 1);
    const hostAddress = this.#hostAddress;
    if (this.#kvm.checkExtension(KvmCap.SET_IDENTITY_MAP_ADDR))
      this.#vm.setIdentityMapAddr(IDENTITY_MAP_ADDRESS);
    if (this.#kvm.checkExtension(KvmCap.SET_TSS_ADDR)) this.#vm.setTssAddr(TSS_ADDRESS);
    this.#vm.setUserMemoryRegion({ slot: 0, guestPhysAddr: 0, size: RAM_BYTES, hostAddress });
    // Where the host has to make page tables anew, an instruction may come to its emulator (kvm-excuses.ts).
    this.#vm.setNrMmuPages(MMU_PAGES);
    this.#vcpu = this.#vm.createVcpu(0);
    this.#vcpu.setCpuid2(supported);
    this.#vcpu.setSignalMask(this.#signal.entryMask());
    this.format = xsaveFormatOf(this.#vcpu, supported);
    this.environment = { pageTableRoot: this.#mapPages().root, xcr0, cr4 };
    this.#harness = buildHarness(xcr0, xcr0 & components);
    for (const { at, bytes } of this.#harness.pieces) this.ram.set(bytes, at);
    this.#setVcpu(this.#harness.start, true);
  }

  /**
   * Runs the batch that RAM holds, to its end.
   * @param count cases in it
   * @throws GuestLostError
   */
  runBatch(count: number, troubles: BatchTroubles): void {
    const timeoutTicks = count === 1 ? TICKS_TO_TIMEOUT_ALONE : TICKS_TO_TIMEOUT;
    const lastSeen = { index: -1, atNs: 0 };
    this.#timer.arm(this.#tickNs);
    for (;;) {
      const isExit = this.#vcpu.enter() === 0;
      const index = this.#index[0]!;
      if (isExit && this.#isDoorbell() && index === count) break;
      if (isExit) {
        if (index >= count) throw new GuestLostError(index, this.#describeExit());
        troubles.refused(index, this.#describeExit());
        this.#setVcpu(this.#harness.timeout, false);
        continue;
      }
      this.#signal.discardPending();
      this.#timer.arm(this.#tickNs);
      const now = this.#cpuTime.now();
      if (index !== lastSeen.index) {
        lastSeen.index = index;
        lastSeen.atNs = now;
        continue;
      }
      const ticks = (now - lastSeen.atNs) / this.#tickNs;
      if (ticks >= timeoutTicks + TICKS_TO_GIVE_UP)
        throw new GuestLostError(index, 'it does not return to ring 3');
      if (ticks < timeoutTicks || !this.#isInRing3()) continue;
      troubles.timedOut(index);
      this.#goTo(this.#harness.timeout);
    }
    this.#timer.disarm();
  }

  close(): void {
    this.#timer.close();
    this.#signal.discardPending();
    this.#vcpu.close();
    this.#vm.close();
    this.#kvm.close();
    // The view of the RAM is not used from here on.
    munmap(this.#hostAddress, RAM_BYTES);
  }

  #isDoorbell(): boolean {
    const { run } = this.#vcpu;
    return run.exitReason === KvmExitReason.MMIO && run.mmio.physAddr === DOORBELL;
  }

  #describeExit(): string {
    return describeExit(decodeExit(this.#vcpu.run));
  }

  #isInRing3(): boolean {
    const sregs = new Uint8Array(KvmSregs.size);
    this.#vcpu.getSregs(sregs);
    return sregs[KvmSregs.at.ss + KvmSegment.at.dpl] === 3;
  }

  /** Sends the vCPU, which is in ring 3, elsewhere. */
  #goTo(rip: number): void {
    const regs = new BigUint64Array(KvmRegs.size / 8);
    this.#vcpu.getRegs(new Uint8Array(regs.buffer));
    regs[KvmRegs.at.rip / 8] = BigInt(rip);
    regs[KvmRegs.at.rflags / 8] = BigInt(Rflags.FIXED | Rflags.IF);
    this.#vcpu.setRegs(new Uint8Array(regs.buffer));
  }

  /** Puts the vCPU into ring 3. @param first what is set once: XCR0 and MSRs */
  #setVcpu(rip: number, first: boolean): void {
    const { gdt, idt, tss, syscall } = this.#harness;
    const tc = new X86ThreadContext();
    enterEnvironment(tc, this.environment);
    tc.ripNumber = rip;
    tc.set(OFFSET.gdtr, BigInt(gdt.base));
    tc.u32[(OFFSET.gdtr + SEGMENT.tableLimit) >> 2] = gdt.limit;
    tc.set(OFFSET.idtr, BigInt(idt.base));
    tc.u32[(OFFSET.idtr + SEGMENT.tableLimit) >> 2] = idt.limit;
    tc.setSegment(Seg.TR, {
      selector: LinuxSelector.tss,
      base: BigInt(tss.base),
      limit: tss.limit,
      attributes: SegmentAttribute.P | SystemType.TSS_BUSY,
    });
    const sregs = new Uint8Array(KvmSregs.size);
    specialToKvm(tc, new DataView(sregs.buffer));
    this.#vcpu.setSregs(sregs);
    const regs = new Uint8Array(KvmRegs.size);
    generalToKvm(tc, new Uint32Array(regs.buffer));
    this.#vcpu.setRegs(regs);
    if (!first) return;
    const xcrs = new DataView(new ArrayBuffer(KvmXcrs.size));
    xcrs.setUint32(KvmXcrs.at.nr_xcrs, 1, true);
    xcrs.setBigUint64(KvmXcrs.at.xcrs + 8, tc.get(OFFSET.xcr0), true);
    this.#vcpu.setXcrs(new Uint8Array(xcrs.buffer));
    const star = (BigInt(LinuxSelector.sysretBase) << 48n) | (BigInt(LinuxSelector.kernelCode) << 32n);
    this.#vcpu.setMsrs(
      Uint32Array.of(MSR_STAR, MSR_LSTAR, MSR_FMASK),
      BigUint64Array.of(star, BigInt(syscall), BigInt(SYSCALL_MASK)),
    );
  }

  #mapPages(): PageTable {
    const view = new DataView(this.ram.buffer);
    const memory = {
      readU64: (at: number): bigint => view.getBigUint64(at, true),
      writeU64: (at: number, value: bigint): void => view.setBigUint64(at, value, true),
    };
    let nextTable: number = PHYSICAL.pageTables;
    const allocate = (): number => {
      nextTable += PAGE_SIZE;
      if (nextTable > PHYSICAL.area) throw new Error('too many page tables');
      return nextTable - PAGE_SIZE;
    };
    const table = buildPageTable(memory, allocate, PHYSICAL.area);
    const map = (from: number, to: number, flags: number): void => {
      for (let at = from; at < to; at += PAGE_SIZE) table.map(HIDDEN + at, at, flags);
    };
    map(PHYSICAL.area, PHYSICAL.code, PagePreset.userReadWrite);
    map(PHYSICAL.code, PHYSICAL.gateway, PagePreset.userReadExecute);
    map(PHYSICAL.entries, PHYSICAL.tables, PagePreset.kernelReadExecute);
    map(PHYSICAL.tables, PHYSICAL.stack, PagePreset.kernelReadWrite);
    map(PHYSICAL.stack, RAM_BYTES, PagePreset.userReadWrite);
    map(DOORBELL, DOORBELL + PAGE_SIZE, PagePreset.userReadWrite);
    table.map(END_ADDRESS, PHYSICAL.gateway, PagePreset.userReadExecute);
    return table;
  }
}
