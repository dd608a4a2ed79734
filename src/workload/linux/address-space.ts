/**
 * The memory calls of a process: mmap, munmap, mprotect, mremap, madvise, msync, mincore and brk, with the
 * checks, their order and the errno values of Linux (mm/mmap.c, mprotect.c, mremap.c, madvise.c, msync.c).
 * All take addresses and lengths as unsigned Numbers and return −errno on failure.
 */

import { DemandPaging } from './demand-paging.ts';
import { Errno } from './errno.ts';
import { type FileIdentity, type FileSource, fileKey } from './file-source.ts';
import { Advice, MapFlag, MremapFlag, MsyncFlag, Prot } from './memory-flags.ts';
import { isSharedFile, type SharedFileArea } from './resident-pages.ts';
import { clip, PAGE_SIZE, pageCeil, pageFloor, type Vma } from './vma.ts';

export type {
  AddressSpaceOptions,
  FaultAccess,
  FaultResult,
  FaultSignal,
  MemoryLimits,
  MemoryUsage,
  UserLayout,
} from './demand-paging.ts';
export { userLayout } from './demand-paging.ts';

export interface MmapRequest {
  /** Hint, or the place itself with MAP_FIXED. */
  readonly address: number;
  readonly length: number;
  /** `Prot` bits. */
  readonly prot: number;
  /** `MapFlag` bits. */
  readonly flags: number;
  /**
   * Undefined with MAP_ANONYMOUS. Taken over, also on failure. That the descriptor may be read (EACCES) is
   * for the caller to check.
   */
  readonly source?: FileSource | undefined;
  readonly offset?: number;
  /** Shown by /proc/self/maps for an anonymous area. */
  readonly name?: string;
}

const PROT_ALL = Prot.read | Prot.write | Prot.exec;
const KNOWN_ADVICE: ReadonlySet<number> = new Set(Object.values(Advice));
/** Where MAP_32BIT looks. Linux moves the start by up to 32 MiB at random. */
const BELOW_2GIB = { start: 0x4000_0000, end: 0x8000_0000 } as const;
/** vm.max_map_count */
const MAX_AREAS = 65_530;
const ANONYMOUS = { shared: false, growsDown: false, source: undefined, offset: 0 } as const;

export class AddressSpace extends DemandPaging {
  /** The heap is `[heapStart, heapEnd)`; its last page may be only partly inside. */
  heapStart = 0;
  heapEnd = 0;
  /** Sources that stay open although nothing is mapped from them at the moment. */
  readonly #held = new Set<FileSource>();

  mmap(request: MmapRequest): number {
    const { source } = request;
    const result =
      source === undefined || this.#held.has(source)
        ? this.#map(request)
        : this.whileHeld(source, () => this.#map(request));
    const wantsPages = (request.flags & (MapFlag.populate | MapFlag.locked)) !== 0;
    if (result >= 0 && wantsPages) this.populate(result, request.length);
    return result;
  }

  munmap(va: number, length: number): number {
    const end = pageCeil(va + length);
    if (va % PAGE_SIZE !== 0 || length === 0 || end > this.layout.top) return -Errno.EINVAL;
    this.#unmap(va, end);
    return 0;
  }

  mprotect(va: number, length: number, prot: number): number {
    const rights = prot & ~Prot.growsDown;
    if (va % PAGE_SIZE !== 0 || rights & ~PROT_ALL) return -Errno.EINVAL;
    if (length === 0) return 0;
    const end = pageCeil(va + length);
    let start = va;
    if (prot & Prot.growsDown) {
      const area = this.areaAt(va);
      if (area === undefined) return -Errno.ENOMEM;
      if (!area.growsDown) return -Errno.EINVAL;
      start = area.start;
    }
    return this.#protect(start, end, rights);
  }

  mremap(va: number, oldLength: number, newLength: number, flags: number, newAddress: number): number {
    const { mayMove, fixed, dontUnmap } = MremapFlag;
    const oldSize = pageCeil(oldLength);
    const newSize = pageCeil(newLength);
    if (flags & ~(mayMove | fixed | dontUnmap) || va % PAGE_SIZE !== 0 || newSize === 0) return -Errno.EINVAL;
    if (flags & (fixed | dontUnmap) && !(flags & mayMove)) return -Errno.EINVAL;
    if (flags & dontUnmap && oldSize !== newSize) return -Errno.EINVAL;
    // A zero old size would duplicate a shared mapping.
    if (oldSize === 0) return -Errno.EINVAL;
    const area = this.areaAt(va);
    if (area === undefined || area.end < va + oldSize) return -Errno.EFAULT;
    if (flags & dontUnmap && (area.shared || area.source !== undefined)) return -Errno.EINVAL;
    if (flags & fixed) {
      if (newAddress % PAGE_SIZE !== 0 || newAddress + newSize > this.layout.top) return -Errno.EINVAL;
      if (newAddress < va + oldSize && va < newAddress + newSize) return -Errno.EINVAL;
      if (newAddress < this.layout.lowest) return -Errno.EPERM;
    }
    if (newSize > oldSize && !this.#admits(newSize - oldSize, area)) return -Errno.ENOMEM;
    if (!(flags & (fixed | dontUnmap))) {
      if (newSize <= oldSize) {
        if (newSize < oldSize) this.#unmap(va + newSize, va + oldSize);
        return va;
      }
      if (area.end === va + oldSize && this.#isPlaceable(area.end, va + newSize)) {
        this.areas.insert(continuation(area, area.end, va + newSize));
        return va;
      }
    }
    return flags & mayMove
      ? this.#move(clip(area, va, va + oldSize), newSize, flags, newAddress)
      : -Errno.ENOMEM;
  }

  madvise(va: number, length: number, advice: number): number {
    if (va % PAGE_SIZE !== 0 || !KNOWN_ADVICE.has(advice)) return -Errno.EINVAL;
    const end = pageCeil(va + length);
    for (const part of this.areas.within(va, end)) {
      const result = this.#advise(part, advice);
      if (result < 0) return result;
    }
    return this.areas.covers(va, end) ? 0 : -Errno.ENOMEM;
  }

  msync(va: number, length: number, flags: number): number {
    const { async, invalidate, sync } = MsyncFlag;
    if (flags & ~(async | invalidate | sync) || va % PAGE_SIZE !== 0) return -Errno.EINVAL;
    if (flags & async && flags & sync) return -Errno.EINVAL;
    const end = pageCeil(va + length);
    for (const part of this.areas.within(va, end)) {
      const result = isSharedFile(part) ? this.#writeBack(part) : 0;
      if (result < 0) return result;
    }
    return this.areas.covers(va, end) ? 0 : -Errno.ENOMEM;
  }

  /** One byte per page, 1 = present; or −errno. */
  mincore(va: number, length: number): Uint8Array | number {
    if (va % PAGE_SIZE !== 0) return -Errno.EINVAL;
    const end = pageCeil(va + length);
    if (!this.areas.covers(va, end)) return -Errno.ENOMEM;
    const present = new Uint8Array((end - va) / PAGE_SIZE);
    for (let i = 0; i < present.length; i++)
      present[i] = this.pages.flagsAt(va + i * PAGE_SIZE) === 0 ? 0 : 1;
    return present;
  }

  /** Fixes where the heap begins: above the executable's last segment. */
  startHeap(va: number): void {
    this.heapStart = this.heapEnd = va;
  }

  /** Moves the end of the heap. Returns where it is now, which is where it was if it cannot be moved. */
  brk(va: number): number {
    const oldEnd = pageCeil(this.heapEnd);
    const newEnd = pageCeil(va);
    if (va < this.heapStart || newEnd > this.layout.top) return this.heapEnd;
    if (va - this.heapStart > this.limits.dataBytes) return this.heapEnd;
    if (newEnd < oldEnd) this.#unmap(newEnd, oldEnd);
    if (newEnd > oldEnd) {
      const heap = { ...ANONYMOUS, start: oldEnd, end: newEnd, prot: Prot.read | Prot.write, name: '[heap]' };
      if (!this.#isPlaceable(oldEnd, newEnd) || !this.#admits(newEnd - oldEnd, heap)) return this.heapEnd;
      this.areas.insert(heap);
      this.populateEagerly(heap);
    }
    this.heapEnd = va;
    return va;
  }

  /** Whether a page of any file is shared with it: only then do the two calls below matter. Hot path. */
  get hasSharedFiles(): boolean {
    return this.pages.hasSharedFiles;
  }

  /**
   * Before a file is read, written or truncated through a descriptor: writes back what shared mappings
   * changed in `[offset, offset + length)` of it. 0 or −errno.
   */
  flushSharedFile(file: FileIdentity, offset: number, length: number): number {
    let result = 0;
    for (const area of this.#sharedAreasOf(file)) {
      const start = Math.max(area.start, area.start + pageFloor(offset) - area.offset);
      const end = Math.min(area.end, area.start + pageCeil(offset + length) - area.offset);
      if (start < end) result ||= this.#writeBack(clip(area, start, end) as SharedFileArea);
    }
    return result;
  }

  /** After a file was written or truncated through a descriptor: shared mappings of it show that. */
  refreshSharedFile(file: FileIdentity, offset: number, length: number): void {
    this.pages.reread(file, offset, length, this.#sharedAreasOf(file));
  }

  /**
   * Runs `body`, which maps parts of a file one by one, and then closes the source unless something is
   * mapped.
   */
  whileHeld<T>(source: FileSource, body: () => T): T {
    this.#held.add(source);
    try {
      return body();
    } finally {
      this.#held.delete(source);
      this.#closeIfUnmapped(source);
    }
  }

  /** Whether nothing is mapped in `[start, end)`. */
  isFree(start: number, end: number): boolean {
    return this.areas.within(start, end).length === 0;
  }

  /**
   * The highest free place for `length` bytes where mmap looks, a multiple of `align`; undefined if there is
   * none.
   */
  findFree(length: number, align: number = PAGE_SIZE): number | undefined {
    const { lowest, mmapTop, top } = this.layout;
    const room = length + align - PAGE_SIZE;
    const gap = this.areas.findGap(room, lowest, mmapTop) ?? this.areas.findGap(room, lowest, top);
    return gap === undefined ? undefined : Math.floor((gap + room - length) / align) * align;
  }

  /** Unmaps everything; what shared mappings changed is written back. For the end of the process. */
  close(): void {
    this.#unmap(0, this.layout.top);
  }

  #map(request: MmapRequest): number {
    const { flags, source, offset = 0 } = request;
    const size = pageCeil(request.length);
    const isFixed = (flags & (MapFlag.fixed | MapFlag.fixedNoReplace)) !== 0;
    const type = flags & MapFlag.sharedValidate;
    if (size === 0 || type === 0 || offset % PAGE_SIZE !== 0) return -Errno.EINVAL;
    const shared = type !== MapFlag.private;
    const growsDown = (flags & MapFlag.growsDown) !== 0;
    if (growsDown && (shared || source !== undefined)) return -Errno.EINVAL;
    if (size > this.layout.top || flags & MapFlag.hugeTlb) return -Errno.ENOMEM;
    if (offset + size > Number.MAX_SAFE_INTEGER) return -Errno.EOVERFLOW;
    const prot = request.prot & PROT_ALL;
    if (shared && prot & Prot.write && source !== undefined && !source.isWritable) return -Errno.EACCES;
    const start = isFixed
      ? this.#fixedPlace(request.address, size, flags)
      : flags & MapFlag.below2GiB
        ? this.#placeBelow2GiB(request.address, size)
        : this.#place(request.address, size);
    if (start < 0) return start;
    const area: Vma = {
      start,
      end: start + size,
      prot,
      shared,
      growsDown,
      source,
      offset: source === undefined ? 0 : offset,
      name: source === undefined ? (request.name ?? '') : '',
    };
    const replaced = isFixed ? this.#mappedBytes(start, area.end) : 0;
    if (!this.#admits(size - replaced, area, (flags & MapFlag.noReserve) !== 0)) return -Errno.ENOMEM;
    if (isFixed) this.#unmap(start, area.end);
    this.areas.insert(area);
    if (!(flags & MapFlag.noReserve)) this.populateEagerly(area);
    return start;
  }

  #fixedPlace(address: number, size: number, flags: number): number {
    if (address % PAGE_SIZE !== 0) return -Errno.EINVAL;
    if (address + size > this.layout.top) return -Errno.ENOMEM;
    if (address < this.layout.lowest) return -Errno.EPERM;
    if (flags & MapFlag.fixedNoReplace && !this.isFree(address, address + size)) return -Errno.EEXIST;
    return address;
  }

  #place(hint: number, size: number): number {
    const wanted = pageCeil(hint);
    if (wanted >= this.layout.lowest && this.#isPlaceable(wanted, wanted + size)) return wanted;
    return this.findFree(size) ?? -Errno.ENOMEM;
  }

  /** MAP_32BIT: where asked for, if that is below the end, else from the bottom up. arch/x86/kernel/sys_x86_64.c. */
  #placeBelow2GiB(hint: number, size: number): number {
    const wanted = pageCeil(hint);
    const isAbove = wanted + size > BELOW_2GIB.end || wanted < this.layout.lowest;
    if (!isAbove && this.#isPlaceable(wanted, wanted + size)) return wanted;
    return this.areas.findLowestGap(size, BELOW_2GIB.start, BELOW_2GIB.end) ?? -Errno.ENOMEM;
  }

  /** Whether a new area may lie at `[start, end)`: free, and not in the guard gap of a stack above it. */
  #isPlaceable(start: number, end: number): boolean {
    return end <= this.layout.top && this.areas.findGap(end - start, start, end) === start;
  }

  /** Whether the limits and the size of guest RAM allow `bytes` more of what `area` is. */
  #admits(bytes: number, area: Vma, noReserve = false): boolean {
    if (this.areas.length >= MAX_AREAS) return false;
    const { addressSpaceBytes, dataBytes } = this.limits;
    const isAccounted = (area.prot & Prot.write) !== 0 && !isSharedFile(area);
    // Linux's heuristic overcommit: only a single request that cannot possibly succeed is refused.
    if (isAccounted && !noReserve && bytes > this.frames.totalFrames * PAGE_SIZE) return false;
    if (addressSpaceBytes === Number.POSITIVE_INFINITY && dataBytes === Number.POSITIVE_INFINITY) return true;
    const usage = this.usage();
    if (usage.mappedPages * PAGE_SIZE + bytes > addressSpaceBytes) return false;
    return !isAccounted || area.growsDown || usage.dataPages * PAGE_SIZE + bytes <= dataBytes;
  }

  #mappedBytes(start: number, end: number): number {
    return this.areas.within(start, end).reduce((sum, part) => sum + part.end - part.start, 0);
  }

  #unmap(start: number, end: number): void {
    const parts = this.areas.cut(start, end);
    if (parts.length === 0) return;
    for (const part of parts) this.#release(part);
    const sources = new Set(parts.map((part) => part.source));
    for (const source of sources) {
      if (source === undefined) continue;
      if (this.#sharedAreasOf(source.identity).length === 0) this.pages.forgetSharedFile(source.identity);
      this.#closeIfUnmapped(source);
    }
  }

  #closeIfUnmapped(source: FileSource): void {
    if (this.#held.has(source)) return;
    for (const area of this.areas) if (area.source === source) return;
    source.close();
  }

  #protect(start: number, end: number, prot: number): number {
    let at = start;
    for (const part of this.areas.within(start, end)) {
      if (part.start !== at) return -Errno.ENOMEM;
      at = part.end;
      if (part.prot === prot) continue;
      if (isSharedFile(part) && prot & Prot.write && !part.source.isWritable) return -Errno.EACCES;
      this.areas.cut(part.start, part.end);
      this.pages.protect(part, prot);
      const changed = { ...part, prot };
      this.areas.insert(changed);
      if (!part.shared) this.populateEagerly(changed);
    }
    return at === end ? 0 : -Errno.ENOMEM;
  }

  /** Moves `part`, a piece of one area, with the pages it has; it gets `newSize` bytes. */
  #move(part: Vma, newSize: number, flags: number, newAddress: number): number {
    const size = Math.min(part.end - part.start, newSize);
    const tables = Math.ceil(size / 2 ** 21) + 8;
    if (!this.pages.makeRoom(this.areas, tables)) return -Errno.ENOMEM;
    const isFixed = (flags & MremapFlag.fixed) !== 0;
    const to = isFixed ? newAddress : this.#place(flags & MremapFlag.dontUnmap ? newAddress : 0, newSize);
    if (to < 0) return to;
    if (isFixed) this.#unmap(to, to + newSize);
    if (!(flags & MremapFlag.dontUnmap)) this.areas.cut(part.start, part.end);
    this.areas.insert({ ...part, start: to, end: to + newSize, name: '' });
    this.pages.move(clip(part, part.start, part.start + size), to);
    this.#release(clip(part, part.start + size, part.end));
    return to;
  }

  #advise(part: Vma, advice: number): number {
    switch (advice) {
      case Advice.dontNeed:
        // Shared memory keeps its contents: whether its pages stay present makes no difference to the
        // program.
        if (!part.shared) this.#release(part);
        return 0;
      case Advice.free:
        if (part.shared || part.source !== undefined) return -Errno.EINVAL;
        this.pages.markUnused(part);
        return 0;
      case Advice.remove:
        if (!part.shared) return -Errno.EINVAL;
        if (part.source !== undefined) return -Errno.EOPNOTSUPP;
        this.#release(part);
        return 0;
      case Advice.populateRead:
      case Advice.populateWrite: {
        const result = this.populate(part.start, part.end - part.start);
        return result === 'resolved' ? 0 : -Errno.EFAULT;
      }
      default:
        return 0;
    }
  }

  #release(part: Vma): void {
    if (isSharedFile(part)) this.#writeBack(part);
    this.pages.release(part);
  }

  #writeBack(area: SharedFileArea): number {
    const result = this.pages.writeBack(area);
    if (result < 0)
      this.warn(`cannot write the shared mapping of ${area.source.identity.path} back to the file`);
    return result;
  }

  #sharedAreasOf(file: FileIdentity): SharedFileArea[] {
    const key = fileKey(file);
    return [...this.areas].filter(isSharedFile).filter((area) => fileKey(area.source.identity) === key);
  }
}

/** The area that follows `area` when it is made longer. */
function continuation(area: Vma, start: number, end: number): Vma {
  return { ...area, start, end, offset: area.source === undefined ? 0 : area.offset + (start - area.start) };
}
