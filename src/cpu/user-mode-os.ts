// What a CPU model calls when user code leaves user mode in syscall-emulation mode, where no guest
// kernel runs: the emulated operating system (workload/linux) implements it. gem5's counterpart is SEWorkload.

import type { X86ThreadContext } from '../arch/x86/thread-context.ts';
import type { BaseCpu } from './base-cpu.ts';

/** An exception that user code raised (SDM vol. 3A, chapter 6). */
export interface UserException {
  /** Vector, 0 to 31. */
  vector: number;
  /** Error code as the processor pushed it; 0 for vectors without one. */
  errorCode: number;
  /** CR2 for a page fault (#PF), else 0. */
  address: bigint;
}

/**
 * First virtual address that belongs to the CPU model, not to the program: some models need a few pages of their own
 * in the program's page tables. They end at the end of the lower half, 2^47 − 4096.
 */
export const CPU_RESERVED_START = 0x7fff_ff00_0000;

/** The operating system that the simulator plays for user code. All calls come between guest runs. */
export interface UserModeOs {
  /** Physical address of the top-level page table: CR3. */
  readonly pageTableRoot: number;
  /** Changes whenever a translation that was present is changed or removed. */
  readonly translationGeneration: number;
  /**
   * Maps one page at or above {@link CPU_RESERVED_START}.
   * @param flags of arch/x86/page-table.ts (`PagePreset`)
   */
  mapReserved(virtualAddress: number, physicalAddress: number, flags: number): void;
  /**
   * Whether user code can write the present page at this address, at this address or another. A page that it can write from
   * some time on is marked as written then, in the page-version map of memory.
   */
  isWritable(virtualAddress: number): boolean;
  /**
   * User code executed SYSCALL. RIP is the return address; RCX and R11 are as the hardware left them
   * (RIP and RFLAGS); RAX holds the number. Whatever the registers hold afterwards is what runs next.
   */
  syscall(cpu: BaseCpu<X86ThreadContext>): void;
  /** User code faulted: RIP is the faulting instruction's address, for traps (INT3, #DB) the next one's. */
  exception(cpu: BaseCpu<X86ThreadContext>, exception: UserException): void;
  /** Called at the safe point after each service: the place to switch threads and to deliver signals. */
  afterService(cpu: BaseCpu<X86ThreadContext>): void;
  /** Another CPU goes on with the thread. */
  cpuChanged(cpu: BaseCpu<X86ThreadContext>): void;
}
