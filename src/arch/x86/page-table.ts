/**
 * Four-level page tables: builder and walker over physical memory. Intel SDM vol. 3 §4.5, tables 4-15 to
 * 4-20. Tables are never freed, moved or used for something else: a shadow-paging KVM may watch them, and a
 * stale shadow of a recycled table would be read as a mapping.
 */

/** Physical memory as the tables need it; addresses are multiples of 8. */
export interface PageTableMemory {
  readU64(physicalAddress: number): bigint;
  writeU64(physicalAddress: number, value: bigint): void;
}

/** Flags of a mapping: the entry's low bits as they are, and NX (bit 63 of the entry) as bit 12. */
export const PageFlag = {
  P: 0x001,
  W: 0x002,
  U: 0x004,
  PWT: 0x008,
  PCD: 0x010,
  A: 0x020,
  D: 0x040,
  PS: 0x080,
  G: 0x100,
  NX: 0x1000,
} as const;

const F = PageFlag;
/** Accessed and dirty are set beforehand, so that hardware and emulators never write to the tables. */
const USER = F.P | F.U | F.A | F.D;
const KERNEL = F.P | F.A | F.D;

/** Flag presets. x86-64 has no "write only" and no "execute only": both read too. */
export const PagePreset = {
  userRead: USER | F.NX,
  userReadWrite: USER | F.W | F.NX,
  userReadExecute: USER,
  userReadWriteExecute: USER | F.W,
  kernelRead: KERNEL | F.NX,
  kernelReadWrite: KERNEL | F.W | F.NX,
  kernelReadExecute: KERNEL,
} as const;

export const PAGE_SIZE = 4096;

/** Entries above the leaf grant everything; the leaf decides. */
const TABLE_FLAGS = F.P | F.W | F.U | F.A;
const ADDRESS_MASK = 0x000f_ffff_ffff_f000n;
const NX_BIT = 1n << 63n;
const LOW_FLAGS = 0xfffn;

/** A leaf entry. `physicalAddress` is that of the page, also within a large page. */
export type Mapping = { readonly physicalAddress: number; readonly flags: number };

/** A translation of `walk`: the byte's physical address and the rights of all levels together. */
export type Translation = {
  readonly physicalAddress: number;
  readonly flags: number;
  readonly pageSizeBytes: number;
};

function encode(physicalAddress: number, flags: number): bigint {
  return BigInt(physicalAddress) | BigInt(flags & 0xfff) | (flags & F.NX ? NX_BIT : 0n);
}

function flagsOf(entry: bigint): number {
  return Number(entry & LOW_FLAGS) | (entry & NX_BIT ? F.NX : 0);
}

function addressOf(entry: bigint): number {
  return Number(entry & ADDRESS_MASK);
}

/**
 * Translates a virtual address as the processor would, without setting accessed or dirty bits: for debuggers
 * and dumps. Large pages of 2 MiB and 1 GiB included.
 * @param root physical address of the top-level table (CR3 without flags)
 * @param virtualAddress canonical or not; only its low 48 bits are used
 */
export function walk(
  memory: Pick<PageTableMemory, 'readU64'>,
  root: number,
  virtualAddress: bigint,
): Translation | undefined {
  let table = root;
  let rights = F.W | F.U;
  let noExecute = 0;
  for (let shift = 39; ; shift -= 9) {
    const entry = memory.readU64(table + 8 * Number((virtualAddress >> BigInt(shift)) & 511n));
    if (!(entry & 1n)) return undefined;
    const flags = flagsOf(entry);
    rights &= flags;
    noExecute |= flags & F.NX;
    // Bit 7 of a last-level entry is PAT; in a top-level one it is reserved and faults.
    const isLarge = shift > 12 && (flags & F.PS) !== 0;
    if (isLarge && shift === 39) return undefined;
    if (shift === 12 || isLarge) {
      const offsetMask = (1n << BigInt(shift)) - 1n;
      return {
        physicalAddress: Number((entry & ADDRESS_MASK & ~offsetMask) | (virtualAddress & offsetMask)),
        flags: (flags & ~(F.W | F.U | F.NX)) | rights | noExecute,
        pageSizeBytes: 2 ** shift,
      };
    }
    table = addressOf(entry);
  }
}

/**
 * The tables of one address space, lower half (virtual addresses below 2^47, as Numbers), 4 KiB pages.
 *
 * Making an absent page present needs nothing else. Whoever changes or removes a present one must flush what
 * caches translations: every such method returns the frame that was mapped.
 */
export class PageTable {
  /** Physical address of the top-level table: what CR3 gets. */
  readonly root: number;
  readonly #memory: PageTableMemory;
  readonly #allocateTable: () => number;
  /** The 2 MiB region looked up last and its last-level table; tables never move, so this stays true. */
  #cachedRegion = -1;
  #cachedTable = 0;

  /** @param allocateTable gives the physical address of a fresh page of zeroes for a table; may throw */
  constructor(memory: PageTableMemory, allocateTable: () => number) {
    this.#memory = memory;
    this.#allocateTable = allocateTable;
    this.root = allocateTable();
  }

  /**
   * Maps the page at `virtualAddress` to the frame at `physicalAddress`, replacing what was there.
   * @returns physical address of the frame that was mapped before, or −1
   */
  map(virtualAddress: number, physicalAddress: number, flags: number): number {
    checkPage(virtualAddress);
    const at = this.#entryAddress(virtualAddress, true);
    const old = this.#memory.readU64(at);
    this.#memory.writeU64(at, encode(physicalAddress, flags));
    return old & 1n ? addressOf(old) : -1;
  }

  /**
   * Removes a page's mapping.
   * @returns physical address of the frame that was mapped, or −1
   */
  unmap(virtualAddress: number): number {
    checkPage(virtualAddress);
    const at = this.#entryAddress(virtualAddress, false);
    if (at < 0) return -1;
    const old = this.#memory.readU64(at);
    if (!(old & 1n)) return -1;
    this.#memory.writeU64(at, 0n);
    return addressOf(old);
  }

  /**
   * Gives a present page other flags (without P it becomes absent); an absent one is left alone.
   * @returns physical address of its frame if the entry changed, or −1
   */
  protect(virtualAddress: number, flags: number): number {
    checkPage(virtualAddress);
    const at = this.#entryAddress(virtualAddress, false);
    if (at < 0) return -1;
    const old = this.#memory.readU64(at);
    if (!(old & 1n)) return -1;
    const frame = addressOf(old);
    const entry = flags & F.P ? encode(frame, flags) : 0n;
    if (entry === old) return -1;
    this.#memory.writeU64(at, entry);
    return frame;
  }

  /** The mapping of the page that holds `virtualAddress`, or undefined if absent. */
  lookup(virtualAddress: number): Mapping | undefined {
    const entry = this.#entry(virtualAddress);
    return entry & 1n ? { physicalAddress: addressOf(entry), flags: flagsOf(entry) } : undefined;
  }

  /** Physical address of the frame that `virtualAddress` lies in, or −1 if absent. */
  frameOf(virtualAddress: number): number {
    const entry = this.#entry(virtualAddress);
    return entry & 1n ? addressOf(entry) : -1;
  }

  /** Flags of the page that holds `virtualAddress`, or 0 if absent. */
  flagsOf(virtualAddress: number): number {
    const entry = this.#entry(virtualAddress);
    return entry & 1n ? flagsOf(entry) : 0;
  }

  /**
   * Visits the present pages of a range in ascending order; holes of whole tables cost one step each. The
   * visitor may map, unmap and protect the page it is given.
   */
  forEachPresent(
    virtualAddress: number,
    sizeBytes: number,
    visit: (virtualAddress: number, physicalAddress: number, flags: number) => void,
  ): void {
    const end = Math.min(virtualAddress + sizeBytes, LOWER_HALF_END);
    for (let page = virtualAddress - (virtualAddress % PAGE_SIZE); page < end; ) {
      const span = this.#absentSpan(page);
      if (span > PAGE_SIZE) {
        page = page - (page % span) + span;
        continue;
      }
      const entry = this.#entry(page);
      if (entry & 1n) visit(page, addressOf(entry), flagsOf(entry));
      page += PAGE_SIZE;
    }
  }

  /** Size of the aligned region around `page` that has no table at all, or PAGE_SIZE where a table exists. */
  #absentSpan(page: number): number {
    if (Math.floor(page / REGION_SIZES[2]!) === this.#cachedRegion) return PAGE_SIZE;
    let table = this.root;
    for (const size of REGION_SIZES) {
      const entry = this.#memory.readU64(table + 8 * (Math.floor(page / size) & 511));
      if (!(entry & 1n)) return size;
      table = addressOf(entry);
    }
    return PAGE_SIZE;
  }

  #entry(virtualAddress: number): bigint {
    if (!(virtualAddress >= 0 && virtualAddress < LOWER_HALF_END)) return 0n;
    const at = this.#entryAddress(virtualAddress, false);
    return at < 0 ? 0n : this.#memory.readU64(at);
  }

  /**
   * Physical address of the last-level entry for a page, or −1 if its tables do not exist and may not be
   * made.
   */
  #entryAddress(virtualAddress: number, create: boolean): number {
    const region = Math.floor(virtualAddress / REGION_SIZES[2]!);
    if (region !== this.#cachedRegion) {
      let table = this.root;
      for (const size of REGION_SIZES) {
        const at = table + 8 * (Math.floor(virtualAddress / size) & 511);
        const entry = this.#memory.readU64(at);
        if (entry & 1n) {
          table = addressOf(entry);
          continue;
        }
        if (!create) return -1;
        table = this.#allocateTable();
        this.#memory.writeU64(at, encode(table, TABLE_FLAGS));
      }
      this.#cachedRegion = region;
      this.#cachedTable = table;
    }
    return this.#cachedTable + 8 * (Math.floor(virtualAddress / PAGE_SIZE) & 511);
  }
}

const LOWER_HALF_END = 2 ** 47;

/** Bytes covered by one entry of the three upper levels: 512 GiB, 1 GiB, 2 MiB. */
const REGION_SIZES: readonly number[] = [2 ** 39, 2 ** 30, 2 ** 21];

function checkPage(virtualAddress: number): void {
  if (virtualAddress % PAGE_SIZE !== 0 || virtualAddress < 0 || virtualAddress >= LOWER_HALF_END) {
    throw new RangeError(`virtual address 0x${virtualAddress.toString(16)} is not a page of the lower half`);
  }
}
