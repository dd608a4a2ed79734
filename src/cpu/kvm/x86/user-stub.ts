// How user code leaves the guest when no kernel runs there. SYSCALL and every exception reach a few instructions that do
// nothing but OUT to a port of our own: the exit to the simulator, which plays the kernel.
//
//   reserved physical region, mapped at STUB_VIRTUAL, above the program's addresses:
//     page 0     LSTAR: OUT 0xe0, AL ; SYSRETQ          ring 3 may read and execute it (see below)
//     page 1     32 exception entries of 16 bytes: OUT 0xc0 + vector, AL ; HLT
//     page 2     GDT, IDT
//     page 3–5   TSS with its I/O permission bitmap
//     page 6     the stack that exceptions switch to
//
// On hardware (VT-x, SVM) SYSCALL enters ring 0 and SYSRETQ leaves it: nothing but registers is written. Under PVM, SYSCALL
// arrives at LSTAR still in ring 3, and the simulator completes the call by setting RIP: therefore page 0 is a user page
// and the permission bitmap opens port 0xe0, on every flavour alike. User code that jumps there makes a system call, in an
// odd way, with RCX and R11 of its own, which are checked like any value of a program; an access to the port from elsewhere
// does nothing. Exceptions run the ring 0 entries everywhere; their frame tells the rest. user-entry.ts is the other side.
// The exit must be a write: RIP may then be changed before the next entry (KVM would overwrite it after a read).

import { buildTss64, GdtBuilder, IdtBuilder } from '../../../arch/x86/descriptors.ts';
import { pushesErrorCode } from '../../../arch/x86/exceptions.ts';
import { MsrIndex } from '../../../arch/x86/msrs.ts';
import { PAGE_SIZE, PagePreset } from '../../../arch/x86/page-table.ts';
import { Rflags, Seg } from '../../../arch/x86/registers.ts';
import { SegmentAttribute as A, SegmentPreset, SystemType } from '../../../arch/x86/segments.ts';
import { OFFSET, RegClass, SEGMENT, type X86ThreadContext } from '../../../arch/x86/thread-context.ts';
import { LinuxSelector, setOptionalCr4, USER_CODE_32 } from '../../../arch/x86/user-mode.ts';
import type { PhysAddr } from '../../../mem/addr.ts';
import type { PhysicalMemory } from '../../../mem/physical-memory.ts';

const PAGES = 7;
/** Size of the physical region that the stub needs. */
export const STUB_SIZE_BYTES = PAGES * PAGE_SIZE;
/** Where the region is mapped: 2 MiB below the end of the lower half. */
export const STUB_VIRTUAL = 0x7fff_ffe0_0000;

const SYSCALL_PORT = 0xe0;
const EXCEPTION_PORTS = 0xc0;
const EXCEPTIONS = 32;
const ENTRY_BYTES = 16;

const PAGE = { syscall: 0, entries: 1, tables: 2, tss: 3, stack: 6 } as const;
const IDT_OFFSET = 0x800;
const STACK_TOP = PAGES * PAGE_SIZE;

const OUT_IMM8_AL = 0xe6;
const OUT_BYTES = 2;
const SYSRETQ = [0x48, 0x0f, 0x07] as const;
const HLT = 0xf4;

const MSR_STAR = 0xc000_0081;
const MSR_LSTAR = 0xc000_0082;
const MSR_FMASK = 0xc000_0084;
/** What SYSCALL clears in RFLAGS, as Linux has it: no trap, direction, alignment check or interrupt in ring 0. */
const SYSCALL_MASK = Rflags.TF | Rflags.DF | Rflags.IF | Rflags.IOPL | Rflags.AC | Rflags.NT;

/** What an exit through the stub means: a vector of 0 to 31, or one of these. */
export const StubExit = { Syscall: -1, None: -2 } as const;

/** The registers that the processor pushed when it delivered an exception (SDM vol. 3 figure 6-9). */
export interface ExceptionFrame {
  readonly errorCode: number;
  readonly rip: bigint;
  readonly cs: number;
  readonly rflags: number;
  readonly rsp: bigint;
}

export class UserStub {
  readonly #memory: PhysicalMemory;
  readonly #base: number;

  /** @param base physical address of the reserved region, page-aligned, {@link STUB_SIZE_BYTES} long */
  constructor(memory: PhysicalMemory, base: number) {
    this.#memory = memory;
    this.#base = base;
  }

  /** Writes code and tables into the region. */
  install(): void {
    const bytes = new Uint8Array(STUB_SIZE_BYTES);
    bytes.set([OUT_IMM8_AL, SYSCALL_PORT, ...SYSRETQ], PAGE.syscall * PAGE_SIZE);
    for (let vector = 0; vector < EXCEPTIONS; vector++) {
      bytes.set(
        [OUT_IMM8_AL, EXCEPTION_PORTS + vector, HLT],
        PAGE.entries * PAGE_SIZE + vector * ENTRY_BYTES,
      );
    }
    bytes.set(gdt().bytes, PAGE.tables * PAGE_SIZE);
    bytes.set(idt().bytes, PAGE.tables * PAGE_SIZE + IDT_OFFSET);
    const stack = BigInt(STUB_VIRTUAL + STACK_TOP);
    bytes.set(buildTss64({ rsp: [stack, 0n, 0n], ist: [], openPorts: [SYSCALL_PORT] }), PAGE.tss * PAGE_SIZE);
    this.#memory.write(this.#base as PhysAddr, bytes);
  }

  /** Maps the region: only its first page is for ring 3. */
  mapInto(map: (virtualAddress: number, physicalAddress: number, flags: number) => void): void {
    for (let page = 0; page < PAGES; page++) {
      let flags: number = PagePreset.kernelReadWrite;
      if (page === PAGE.syscall) flags = PagePreset.userReadExecute;
      if (page === PAGE.entries) flags = PagePreset.kernelReadExecute;
      map(STUB_VIRTUAL + page * PAGE_SIZE, this.#base + page * PAGE_SIZE, flags);
    }
  }

  /** Points the processor's tables and SYSCALL at the region. */
  setRegisters(tc: X86ThreadContext): void {
    const tables = STUB_VIRTUAL + PAGE.tables * PAGE_SIZE;
    tc.set(OFFSET.gdtr, BigInt(tables));
    tc.u32[(OFFSET.gdtr + SEGMENT.tableLimit) >> 2] = gdt().limit;
    tc.set(OFFSET.idtr, BigInt(tables + IDT_OFFSET));
    tc.u32[(OFFSET.idtr + SEGMENT.tableLimit) >> 2] = idt().limit;
    tc.setSegment(Seg.TR, tssSegment(SystemType.TSS_BUSY));
    const star = (BigInt(LinuxSelector.sysretBase) << 48n) | (BigInt(LinuxSelector.kernelCode) << 32n);
    tc.setMsr(MSR_STAR, star);
    tc.setMsr(MSR_LSTAR, BigInt(STUB_VIRTUAL + PAGE.syscall * PAGE_SIZE));
    tc.setMsr(MSR_FMASK, BigInt(SYSCALL_MASK));
  }

  /** Whether the processor's tables are the region's. Hot path. */
  isIn({ u32 }: X86ThreadContext): boolean {
    return u32[OFFSET.gdtr >> 2] === (STUB_VIRTUAL + PAGE.tables * PAGE_SIZE) >>> 0;
  }

  /** What an OUT of one byte to `port` stands for: a vector, or one of {@link StubExit}. Hot path. */
  classify(port: number): number {
    if (port === SYSCALL_PORT) return StubExit.Syscall;
    const vector = port - EXCEPTION_PORTS;
    return vector >= 0 && vector < EXCEPTIONS ? vector : StubExit.None;
  }

  /** Where SYSRETQ is: offset of RIP behind the OUT of a system call. */
  readonly sysretOffset = OUT_BYTES;

  /** Offset of RIP in the code of the system-call stub; −1 if it is elsewhere. */
  offsetOf(tc: X86ThreadContext): number {
    const offset = tc.ripNumber - (STUB_VIRTUAL + PAGE.syscall * PAGE_SIZE);
    return offset >= 0 && offset < PAGE_SIZE ? offset : -1;
  }

  /** The frame of the exception that has just been delivered: always at the top of the stub's stack. */
  readFrame(vector: number): ExceptionFrame {
    const top = this.#base + STACK_TOP;
    const word = (fromTop: number): bigint => this.#memory.readU64((top - 8 * fromTop) as PhysAddr);
    return {
      errorCode: pushesErrorCode(vector) ? Number(word(6) & 0xffff_ffffn) : 0,
      rip: word(5),
      cs: Number(word(4) & 0xffffn),
      rflags: Number(word(3) & 0xffff_ffffn),
      rsp: word(2),
    };
  }
}

function tssSegment(type: number) {
  const base = BigInt(STUB_VIRTUAL + PAGE.tss * PAGE_SIZE);
  const limit = buildTss64({ rsp: [0n, 0n, 0n], ist: [], openPorts: [] }).length - 1;
  return { selector: LinuxSelector.tss, base, limit, attributes: A.P | type };
}

function gdt(): GdtBuilder {
  const table = new GdtBuilder((LinuxSelector.tss >>> 3) + 2);
  table.set({ ...SegmentPreset.kernelCode64, selector: LinuxSelector.kernelCode });
  table.set({ ...SegmentPreset.kernelData, selector: LinuxSelector.kernelData });
  table.set({ ...SegmentPreset.userData, selector: LinuxSelector.userData });
  table.set({ ...SegmentPreset.userCode64, selector: LinuxSelector.userCode });
  table.set({ ...USER_CODE_32, selector: LinuxSelector.sysretBase });
  table.set(tssSegment(SystemType.TSS_AVAILABLE));
  return table;
}

/** INT3 and INTO are for user code too; any other INT n raises #GP, as under Linux. */
function idt(): IdtBuilder {
  const table = new IdtBuilder(EXCEPTIONS);
  const entries = STUB_VIRTUAL + PAGE.entries * PAGE_SIZE;
  for (let vector = 0; vector < EXCEPTIONS; vector++) {
    table.set({
      vector,
      selector: LinuxSelector.kernelCode,
      offset: BigInt(entries + vector * ENTRY_BYTES),
      type: SystemType.INTERRUPT_GATE,
      dpl: vector === 3 || vector === 4 ? 3 : 0,
      ist: 0,
    });
  }
  return table;
}

/**
 * A CPU goes on with the registers of another. Where it executes user code on a stub, its MSRs, which user code does not see,
 * stay those that it started with.
 */
export function takeRegisters(
  tc: X86ThreadContext,
  theirs: X86ThreadContext,
  stub: UserStub | undefined,
  optionalCr4: number,
): void {
  tc.copyFrom(theirs, stub === undefined ? RegClass.all : RegClass.all & ~RegClass.msr);
  tc.setMsr(MsrIndex.TSC, theirs.msr(MsrIndex.TSC)!);
  if (stub === undefined) return;
  stub.setRegisters(tc);
  setOptionalCr4(tc, optionalCr4);
}
