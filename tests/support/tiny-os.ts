// A few dozen lines in place of an operating system: page tables, a log of what user code did, and a hook for each kind.

import { PAGE_SIZE, PageTable } from '../../src/arch/x86/page-table.ts';
import { Gpr } from '../../src/arch/x86/registers.ts';
import { RegClass, type X86ThreadContext } from '../../src/arch/x86/thread-context.ts';
import type { BaseCpu } from '../../src/cpu/base-cpu.ts';
import type { UserException, UserModeOs } from '../../src/cpu/user-mode-os.ts';
import type { PhysAddr } from '../../src/mem/addr.ts';
import type { PhysicalMemory } from '../../src/mem/physical-memory.ts';

/** Page frames are taken from here upwards. */
const FIRST_FRAME = 1 << 20;

export class TinyOs implements UserModeOs {
  readonly #memory: PhysicalMemory;
  readonly #table: PageTable;
  translationGeneration = 0;
  #next = FIRST_FRAME;
  /** Calls and faults, in order. */
  readonly log: string[] = [];
  onSyscall: (tc: X86ThreadContext, cpu: BaseCpu) => void = (_tc, cpu) => cpu.root.exitSimLoop('exit', 0);
  onException: (e: UserException, cpu: BaseCpu) => void = (_e, cpu) => cpu.root.exitSimLoop('fault', 0);

  constructor(memory: PhysicalMemory) {
    this.#memory = memory;
    this.#table = new PageTable(
      {
        readU64: (pa) => memory.readU64(pa as PhysAddr),
        writeU64: (pa, value) => memory.writeU64(pa as PhysAddr, value),
      },
      () => this.frame(),
    );
  }

  /** A fresh page frame. */
  frame(): number {
    this.#next += PAGE_SIZE;
    return this.#next - PAGE_SIZE;
  }

  get pageTableRoot(): number {
    return this.#table.root;
  }

  mapReserved(virtualAddress: number, physicalAddress: number, flags: number): void {
    this.#table.map(virtualAddress, physicalAddress, flags);
  }

  /** The same where another page was: a CPU may hold the old translation, and so may KVM. */
  remapReserved(cpu: BaseCpu, virtualAddress: number, physicalAddress: number, flags: number): void {
    this.#memory.dropSecondaryMappings(this.#table.frameOf(virtualAddress) as PhysAddr, PAGE_SIZE);
    this.mapReserved(virtualAddress, physicalAddress, flags);
    this.translationGeneration++;
    cpu.translationsChanged(virtualAddress, PAGE_SIZE);
  }

  isWritable(): boolean {
    return true;
  }

  syscall(cpu: BaseCpu): void {
    const tc = cpu.modifyState(RegClass.general);
    this.log.push(`syscall ${tc.gprNumber(Gpr.RAX)} at 0x${tc.ripNumber.toString(16)}`);
    this.onSyscall(tc, cpu);
  }

  exception(cpu: BaseCpu, exception: UserException): void {
    const tc = cpu.readState(RegClass.general);
    this.log.push(`exception ${exception.vector} at 0x${tc.ripNumber.toString(16)}`);
    this.onException(exception, cpu);
  }

  afterService(): void {}

  cpuChanged(): void {}
}
