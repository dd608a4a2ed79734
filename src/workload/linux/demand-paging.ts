/**
 * Page faults of user code, and the accesses that system calls make for it: looks the area up, decides
 * between a page and a signal, and makes pages present. Follows Linux's arch/x86/mm/fault.c and mm/memory.c
 * in what it decides.
 */
import { PageFlag } from '../../arch/x86/page-table.ts';
import { CPU_RESERVED_START } from '../../cpu/user-mode-os.ts';
import type { PhysAddr } from '../../mem/addr.ts';
import type { PhysicalMemory } from '../../mem/physical-memory.ts';
import { FaultWindows, type WindowSize } from './fault-window.ts';
import type { FrameAllocator } from './frame-allocator.ts';
import { Prot } from './memory-flags.ts';
import { ResidentPages } from './resident-pages.ts';
import { PAGE_SIZE, pageCeil, pageFloor, STACK_GUARD_GAP, type Vma, VmaList } from './vma.ts';

/** Where things go in the 47-bit user half; all values are page-aligned addresses. */
export interface UserLayout {
  /** Lowest address that can be mapped (vm.mmap_min_addr). */
  readonly lowest: number;
  /** Base of a position-independent executable. */
  readonly pieBase: number;
  /** mmap searches downwards from here. */
  readonly mmapTop: number;
  /** End of the initial stack. */
  readonly stackTop: number;
  /** Nothing of the program's is at or above this address: the simulator keeps its own pages there. */
  readonly top: number;
}

/** Limits as setrlimit(2) knows them, in bytes; Infinity = unlimited. Asked at each use. */
export interface MemoryLimits {
  readonly stackBytes: number;
  readonly dataBytes: number;
  readonly addressSpaceBytes: number;
}

export interface AddressSpaceOptions {
  readonly memory: PhysicalMemory;
  readonly frames: FrameAllocator;
  readonly limits: MemoryLimits;
  /** Told when an access fails for lack of guest RAM, or a file cannot be read or written back: one line. */
  readonly warn: (line: string) => void;
  /** Default: `userLayout` of the stack limit. */
  readonly layout?: UserLayout;
  /** Translations of this span changed or went away: simulated CPUs flush their TLBs. */
  readonly onMappingChanged?: (va: number, sizeBytes: number) => void;
}

/** How user code touched memory. */
export interface FaultAccess {
  readonly write: boolean;
  readonly fetch: boolean;
  /**
   * Whether the access was made at CPL 3. It makes no difference here: nothing else runs in this address
   * space.
   */
  readonly user?: boolean;
}

/** Why an access cannot be made good: the signal the thread gets. SIGKILL: guest RAM is used up. */
export interface FaultSignal {
  readonly signal: 'SIGSEGV' | 'SIGBUS' | 'SIGKILL';
  readonly code: 'SEGV_MAPERR' | 'SEGV_ACCERR' | 'BUS_ADRERR' | 'SI_KERNEL';
  readonly address: number;
}

export type FaultResult = 'resolved' | FaultSignal;

/** Sizes for getrusage, /proc/self/stat and status, in pages. */
export interface MemoryUsage {
  readonly mappedPages: number;
  /** Present pages, those that were mapped ahead of their use included. */
  readonly residentPages: number;
  readonly stackPages: number;
  /** Private writable pages without the stack. */
  readonly dataPages: number;
  readonly codePages: number;
  readonly tablePages: number;
}

const MIN_STACK_GAP = 128 * 2 ** 20;

/** Linux's layout without randomization: mmap_base() of arch/x86/mm/mmap.c, ELF_ET_DYN_BASE of asm/elf.h. */
export function userLayout(stackLimitBytes: number): UserLayout {
  const gap = Math.max(stackLimitBytes + STACK_GUARD_GAP, MIN_STACK_GAP);
  const mmapTop = pageFloor(CPU_RESERVED_START - Math.min(gap, (CPU_RESERVED_START / 6) * 5));
  return {
    lowest: 0x1_0000,
    pieBase: 0x5555_5555_4000,
    mmapTop,
    stackTop: CPU_RESERVED_START,
    top: CPU_RESERVED_START,
  };
}

/** Zero-filled pages cost a page-table entry, pages of a file also the reading. In pages. */
const ANONYMOUS_WINDOW: WindowSize = { initial: 64, max: 1024 };
const FILE_WINDOW: WindowSize = { initial: 32, max: 256 };
/** A window takes at most this part of the free frames. */
const WINDOW_SHARE = 16;
/**
 * Anonymous memory up to this size is made present by the call that maps it, which costs no exit of its own.
 */
const EAGER_BYTES = 1 << 20;
/** The stack grows by at least this much at a time. */
const STACK_STEP = 32 * PAGE_SIZE;

export class DemandPaging {
  readonly layout: UserLayout;
  readonly areas = new VmaList();
  /** Faults that were made good without and with reading a file, as getrusage(2) counts them. */
  minorFaults = 0;
  majorFaults = 0;
  protected readonly pages: ResidentPages;
  protected readonly frames: FrameAllocator;
  protected readonly limits: MemoryLimits;
  protected readonly warn: (line: string) => void;
  readonly #windows = new FaultWindows();

  constructor(options: AddressSpaceOptions) {
    this.layout = options.layout ?? userLayout(options.limits.stackBytes);
    this.limits = options.limits;
    this.frames = options.frames;
    this.warn = options.warn;
    this.pages = new ResidentPages(options.memory, options.frames, options.onMappingChanged ?? (() => {}));
  }

  /** Physical address of the top-level table: CR3. */
  get pageTableRoot(): PhysAddr {
    return this.pages.root;
  }

  /** Changes whenever a present translation is changed or removed: who caches translations compares it. */
  get generation(): number {
    return this.pages.generation;
  }

  /** Soft RLIMIT_STACK. */
  get stackLimitBytes(): number {
    return this.limits.stackBytes;
  }

  /** See `UserModeOs.isWritable`: frames of private areas have one address. */
  isWritable(va: number): boolean {
    return (this.pages.flagsAt(va) & PageFlag.W) !== 0 || (this.areaAt(va)?.shared ?? true);
  }

  areaAt(va: number): Vma | undefined {
    return this.areas.find(va);
  }

  /** Makes the page at `va` accessible, or says which signal the access deserves. */
  handleFault(va: number, access: FaultAccess): FaultResult {
    if (!(va >= 0 && va < this.layout.top)) return { signal: 'SIGSEGV', code: 'SEGV_MAPERR', address: va };
    const area = this.areas.find(va) ?? this.#growStack(va);
    if (area === undefined) return { signal: 'SIGSEGV', code: 'SEGV_MAPERR', address: va };
    const needed = access.write ? Prot.write : access.fetch ? Prot.exec : Prot.read | Prot.write | Prot.exec;
    if (!(area.prot & needed)) return { signal: 'SIGSEGV', code: 'SEGV_ACCERR', address: va };
    const page = pageFloor(va);
    const flags = this.pages.flagsAt(page);
    if (flags === 0) return this.#makePresent(area, va, access.write);
    // Nothing wrong with the entry: what the processor uses is out of date.
    if (ResidentPages.permits(flags, access.write, access.fetch)) this.pages.dropStale(page);
    this.pages.touch(area, page, access.write);
    return 'resolved';
  }

  /**
   * Physical address of the byte at `va`, made present if need be and marked used (and, for `write`,
   * changed); or the signal that the access would raise.
   */
  resolve(va: number, write: boolean): PhysAddr | FaultSignal {
    const page = pageFloor(va);
    const area = this.areas.find(va);
    if (area === undefined || !ResidentPages.permits(this.pages.flagsAt(page), write, false)) {
      const result = this.handleFault(va, { write, fetch: false });
      if (result !== 'resolved') return result;
    } else {
      this.pages.touch(area, page, write);
    }
    return (this.pages.frameAt(page) + (va - page)) as PhysAddr;
  }

  /**
   * Makes what it can of `[va, va + length)` present: MAP_POPULATE, MADV_POPULATE_READ, mlock. 0 or a signal.
   */
  populate(va: number, length: number): FaultResult {
    for (const area of this.areas.within(pageFloor(va), pageCeil(va + length))) {
      const write = (area.prot & Prot.write) !== 0 && !area.shared;
      for (let page = area.start; page < area.end; page += PAGE_SIZE) {
        if (this.pages.flagsAt(page) !== 0) continue;
        const result = this.handleFault(page, { write, fetch: area.prot === Prot.exec });
        if (result !== 'resolved') return result;
      }
    }
    return 'resolved';
  }

  /**
   * Maps a page of the simulator's own at or above `layout.top`, where the program has none.
   * @param flags of arch/x86/page-table.ts (`PagePreset`)
   */
  mapReserved(va: number, physicalAddress: number, flags: number): void {
    if (va < this.layout.top) throw new RangeError(`0x${va.toString(16)} belongs to the program`);
    this.pages.mapReserved(va, physicalAddress, flags);
  }

  usage(): MemoryUsage {
    const sum = { mapped: 0, stack: 0, data: 0, code: 0 };
    for (const area of this.areas) {
      const pages = (area.end - area.start) / PAGE_SIZE;
      sum.mapped += pages;
      if (area.growsDown) sum.stack += pages;
      else if (area.prot & Prot.write && !area.shared) sum.data += pages;
      if (area.prot & Prot.exec && !(area.prot & Prot.write)) sum.code += pages;
    }
    return {
      mappedPages: sum.mapped,
      residentPages: this.pages.residentPages,
      stackPages: sum.stack,
      dataPages: sum.data,
      codePages: sum.code,
      tablePages: this.pages.tablePages,
    };
  }

  /** Makes small, writable, anonymous memory present at once: it is about to be used. */
  protected populateEagerly(area: Vma): void {
    const bytes = area.end - area.start;
    if (area.source !== undefined || !(area.prot & Prot.write) || bytes > EAGER_BYTES) return;
    if ((bytes / PAGE_SIZE) * WINDOW_SHARE > this.frames.freeFrames) return;
    this.pages.populate(area, area.start, area.end);
  }

  #makePresent(area: Vma, va: number, write: boolean): FaultResult {
    const page = pageFloor(va);
    const end = presentableEnd(area);
    if (page >= end) return { signal: 'SIGBUS', code: 'BUS_ADRERR', address: va };
    if (!this.pages.makeRoom(this.areas)) {
      const mebibytes = Math.floor((this.frames.totalFrames * PAGE_SIZE) / 2 ** 20);
      this.warn(`out of guest memory: all ${mebibytes} MiB are in use, give the program more with --memory`);
      return { signal: 'SIGKILL', code: 'SI_KERNEL', address: va };
    }
    const size = area.source === undefined ? ANONYMOUS_WINDOW : FILE_WINDOW;
    const allowance = this.#windowAllowance();
    const window = this.#windows.next(page, area.start, end, {
      initial: Math.min(size.initial, allowance),
      max: Math.min(size.max, allowance),
    });
    const filled =
      this.pages.populate(area, window.start, window.end) ||
      this.pages.frameAt(page) >= 0 ||
      this.pages.populate(area, page, page + PAGE_SIZE);
    if (!filled) {
      this.warn(`cannot read ${area.source?.identity.path}, which is mapped at 0x${page.toString(16)}`);
      return { signal: 'SIGBUS', code: 'BUS_ADRERR', address: va };
    }
    this.pages.touch(area, page, write);
    if (area.source === undefined) this.minorFaults++;
    else this.majorFaults++;
    return 'resolved';
  }

  /**
   * How many pages a window may have now: a power of two. Less than a sixteenth leaves room for the tables.
   */
  #windowAllowance(): number {
    return 2 ** Math.floor(Math.log2(Math.max(1, this.frames.freeFrames / WINDOW_SHARE)));
  }

  /**
   * Extends the area that grows down and lies next above `va`, if the stack limit and the guard gap allow it.
   */
  #growStack(va: number): Vma | undefined {
    const stack = this.areas.findOrNext(va);
    if (stack === undefined || !stack.growsDown) return undefined;
    const page = pageFloor(va);
    const below = this.areas.before(stack.start);
    const floor = Math.max(
      this.layout.lowest,
      pageCeil(stack.end - Math.min(this.limits.stackBytes, stack.end)),
      below === undefined || below.prot === Prot.none ? (below?.end ?? 0) : below.end + STACK_GUARD_GAP,
    );
    if (page < floor) return undefined;
    const start = Math.max(floor, Math.min(page, stack.start - STACK_STEP));
    this.areas.insert({ ...stack, start, end: stack.start });
    return this.areas.find(va);
  }
}

/** End of the part of `area` that can be present: a page wholly beyond the end of a file cannot. */
function presentableEnd(area: Vma): number {
  if (area.source === undefined) return area.end;
  return Math.min(area.end, area.start + Math.max(0, pageCeil(area.source.size() - area.offset)));
}
