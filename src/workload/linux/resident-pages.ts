/**
 * The pages of an address space that are in guest RAM: where their frames come from, their page-table
 * entries, and how both go away again. See the SDM vol. 3A chapter 4 for the entries.
 *
 * Making an absent entry present needs nothing else. After any other change of an entry, stale translations
 * must go: a TLB may hold one, and so may a KVM that shadows the tables and does not see our stores to them.
 * Every such change therefore ends in `dropSecondaryMappings` or `discard` of the frames concerned, batched
 * over runs of frames.
 *
 * Bits A and D of an entry are bookkeeping here. A is clear until the page is first used, so that pages which
 * were mapped only because a neighbour faulted can be taken back. D is set at once for anonymous memory; for
 * pages of files it means "differs from the file".
 */
import { PageFlag, PageTable } from '../../arch/x86/page-table.ts';
import type { PhysAddr } from '../../mem/addr.ts';
import type { PhysicalMemory } from '../../mem/physical-memory.ts';
import { panic } from '../../sim/trouble.ts';
import { type FileIdentity, type FileSource, fileKey } from './file-source.ts';
import type { FrameAllocator } from './frame-allocator.ts';
import { Prot } from './memory-flags.ts';
import { fileOffset, PAGE_SIZE, type Vma } from './vma.ts';

const { P, W, U, A, D, NX } = PageFlag;

/** A page may need this many frames: itself and a table on each of the three lower levels. */
const FRAMES_OF_A_PAGE = 4;
/** When less than this part of RAM is free, pages that nobody uses are taken back before it is too late. */
const LOW_SHARE = 16;

/** Area of a shared file mapping: its frames belong to the file and not to the area. */
export type SharedFileArea = Vma & { readonly shared: true; readonly source: FileSource };

export function isSharedFile(area: Vma): area is SharedFileArea {
  return area.shared && area.source !== undefined;
}

/**
 * Entry bits that follow from the protection. A page without any rights stays present, but the supervisor's:
 * user code faults on it as if it were absent, and the entry keeps the frame.
 */
function protectionFlags(prot: number): number {
  if (prot === Prot.none) return P | NX;
  return P | U | (prot & Prot.write ? W : 0) | (prot & Prot.exec ? 0 : NX);
}

/**
 * Whether going from flags `old` to `now` takes a right away, or a bit that the processor would have to set
 * again.
 */
function takesAway(old: number, now: number): boolean {
  return (old & ~now & (P | W | U | A | D)) !== 0 || (now & ~old & NX) !== 0;
}

function givesWriting(old: number, now: number): boolean {
  return (now & ~old & W) !== 0;
}

/** Collects pages and hands them on as runs of consecutive frames. */
class FrameBatch {
  readonly #emit: (start: PhysAddr, sizeBytes: number) => void;
  #start = 0;
  #end = 0;

  constructor(emit: (start: PhysAddr, sizeBytes: number) => void) {
    this.#emit = emit;
  }

  add(physicalAddress: number): void {
    if (physicalAddress !== this.#end) {
      this.finish();
      this.#start = physicalAddress;
    }
    this.#end = physicalAddress + PAGE_SIZE;
  }

  finish(): void {
    if (this.#end > this.#start) this.#emit(this.#start as PhysAddr, this.#end - this.#start);
    this.#start = this.#end = 0;
  }
}

export class ResidentPages {
  readonly #memory: PhysicalMemory;
  readonly #frames: FrameAllocator;
  readonly #onChanged: (va: number, sizeBytes: number) => void;
  readonly #table: PageTable;
  /**
   * For each file that is mapped shared: the physical address of each page read so far, by offset in the
   * file.
   */
  readonly #sharedFiles = new Map<string, Map<number, number>>();
  /** Pages mapped since unused ones were last looked for: how worthwhile it is to look again. */
  #mappedSinceTakeBack = 0;
  /** Present entries. */
  residentPages = 0;
  /** Frames that hold page tables. */
  tablePages = 0;
  /** Changes with every change of a present entry that takes something away. */
  generation = 0;

  /** @param onChanged told of each span where present entries were changed or removed */
  constructor(
    memory: PhysicalMemory,
    frames: FrameAllocator,
    onChanged: (va: number, sizeBytes: number) => void,
  ) {
    this.#onChanged = onChanged;
    this.#memory = memory;
    this.#frames = frames;
    this.#table = new PageTable(memory, () => {
      this.tablePages++;
      return this.#takeFrames(1).first * PAGE_SIZE;
    });
  }

  /** Whether a frame of any file is shared with it. */
  get hasSharedFiles(): boolean {
    return this.#sharedFiles.size > 0;
  }

  /** Physical address of the top-level table. */
  get root(): PhysAddr {
    return this.#table.root as PhysAddr;
  }

  /** Flags of the entry for the page that holds `va`; 0 if absent. */
  flagsAt(va: number): number {
    return this.#table.flagsOf(va);
  }

  /** Physical address of the frame under `va`, or −1. */
  frameAt(va: number): number {
    return this.#table.frameOf(va);
  }

  /** Whether user code may access the page that has these flags. */
  static permits(flags: number, write: boolean, fetch: boolean): boolean {
    const needed = P | U | (write ? W : 0);
    return (flags & needed) === needed && !(fetch && flags & NX);
  }

  /** Maps a page that no area has and whose frame is not ours. */
  mapReserved(va: number, physicalAddress: number, flags: number): void {
    const old = this.#table.map(va, physicalAddress, flags);
    if (old >= 0 && old !== physicalAddress) this.#memory.dropSecondaryMappings(old as PhysAddr, PAGE_SIZE);
  }

  /**
   * Makes sure that this many frames are free, by default what one page needs; takes pages back if need be.
   * False: guest RAM is used up.
   */
  makeRoom(areas: Iterable<Vma>, frames = FRAMES_OF_A_PAGE): boolean {
    const { totalFrames } = this.#frames;
    const isShort = this.#frames.freeFrames < totalFrames / LOW_SHARE;
    if (isShort && this.#mappedSinceTakeBack > totalFrames / LOW_SHARE) this.#takeBackUntouched(areas);
    if (this.#frames.freeFrames >= frames) return true;
    this.#takeBackUntouched(areas);
    if (this.#frames.freeFrames >= frames) return true;
    this.#evictFiles(areas);
    return this.#frames.freeFrames >= frames;
  }

  /**
   * Makes the absent pages of `[start, end)`, a part of `area`, present; false if a file could not be read.
   * The frames must be there (`makeRoom`), and the part must not reach beyond the end of the file.
   */
  populate(area: Vma, start: number, end: number): boolean {
    for (let page = start; page < end; ) {
      if (this.#table.frameOf(page) >= 0) {
        page += PAGE_SIZE;
        continue;
      }
      let runEnd = page + PAGE_SIZE;
      while (runEnd < end && this.#table.frameOf(runEnd) < 0) runEnd += PAGE_SIZE;
      if (!this.#fill(area, page, runEnd)) return false;
      page = runEnd;
    }
    return true;
  }

  /** Gives the present page `page` the rights of its area and marks it used, as the processor would. */
  touch(area: Vma, page: number, write: boolean): void {
    const old = this.#table.flagsOf(page);
    const now = protectionFlags(area.prot) | (old & (A | D)) | A | (write ? D : 0);
    if (now === old) return;
    this.#table.protect(page, now);
    if (givesWriting(old, now)) this.#mayBeWritten(this.#table.frameOf(page));
  }

  /** Drops translations of one page that something caches although the entry says otherwise. */
  dropStale(page: number): void {
    this.#memory.dropSecondaryMappings(this.#table.frameOf(page) as PhysAddr, PAGE_SIZE);
  }

  /** Makes the pages of `area` absent. What differs from a shared file must have been written back. */
  release(area: Vma): void {
    this.#unmapWhere(area, () => true);
  }

  /** Gives the present pages of `area` the rights `prot`. */
  protect(area: Vma, prot: number): void {
    const wanted = protectionFlags(prot);
    this.#reflag(area, (old) => wanted | (old & (A | D)));
  }

  /** Lets the pages be taken back when RAM runs short, unless they are used again before (MADV_FREE). */
  markUnused(area: Vma): void {
    this.#reflag(area, (old) => old & ~A);
  }

  /**
   * Moves the present pages of `area` to `to`, where nothing is present. The frames for tables must be there.
   */
  move(area: Vma, to: number): void {
    const batch = this.#dropping();
    this.#table.forEachPresent(area.start, area.end - area.start, (va, frame, flags) => {
      this.#table.unmap(va);
      this.#table.map(to + (va - area.start), frame, flags);
      batch.add(frame);
    });
    batch.finish();
    this.#changed(area);
  }

  /** Writes the changed pages of a shared file mapping back: 0, or −errno of the first failure. */
  writeBack(area: SharedFileArea): number {
    let result = 0;
    const fileSize = area.source.size();
    const clean = this.#dropping();
    this.#table.forEachPresent(area.start, area.end - area.start, (va, frame, flags) => {
      if (!(flags & D)) return;
      const offset = fileOffset(area, va);
      const length = Math.min(PAGE_SIZE, fileSize - offset);
      if (length > 0) {
        const pointer = this.#memory.pointer(frame as PhysAddr, length, 'read');
        const written = area.source.writeBack(offset, pointer, length);
        if (written < 0) {
          result ||= written;
          return;
        }
      }
      this.#table.protect(va, flags & ~D);
      clean.add(frame);
    });
    clean.finish();
    this.#changed(area);
    return result;
  }

  /**
   * Reads the pages of a shared file in `[offset, offset + length)` anew; those beyond its end become absent.
   */
  reread(file: FileIdentity, offset: number, length: number, areas: readonly SharedFileArea[]): void {
    const frames = this.#sharedFiles.get(fileKey(file));
    const source = areas[0]?.source;
    if (frames === undefined || source === undefined) return;
    const fileSize = source.size();
    for (const [at, frame] of frames) {
      if (at >= fileSize) this.#forgetSharedPage(frames, at, areas);
      else if (at + PAGE_SIZE > offset && at < offset + length) {
        const valid = Math.min(PAGE_SIZE, fileSize - at);
        source.read(at, this.#memory.pointer(frame as PhysAddr, valid, 'write'), valid);
        if (valid < PAGE_SIZE) this.#memory.fill((frame + valid) as PhysAddr, PAGE_SIZE - valid, 0);
      }
    }
  }

  /** Frees the frames of a file that is no longer mapped shared anywhere. */
  forgetSharedFile(file: FileIdentity): void {
    const key = fileKey(file);
    const batch = this.#freeing();
    for (const frame of this.#sharedFiles.get(key)?.values() ?? []) batch.add(frame);
    batch.finish();
    this.#sharedFiles.delete(key);
  }

  /** Makes pages present that are known to be absent. */
  #fill(area: Vma, start: number, end: number): boolean {
    const known = isSharedFile(area) ? this.#framesOf(area.source) : undefined;
    for (let at = start; at < end; ) {
      const frame = known?.get(fileOffset(area, at));
      if (frame !== undefined) {
        this.#map(area, at, frame);
        at += PAGE_SIZE;
        continue;
      }
      let runEnd = at + PAGE_SIZE;
      while (runEnd < end && !known?.has(fileOffset(area, runEnd))) runEnd += PAGE_SIZE;
      const run = this.#takeFrames((runEnd - at) / PAGE_SIZE);
      const physical = run.first * PAGE_SIZE;
      if (area.source !== undefined && !this.#load(area.source, fileOffset(area, at), physical, run.count))
        return false;
      for (let i = 0; i < run.count * PAGE_SIZE; i += PAGE_SIZE) {
        known?.set(fileOffset(area, at + i), physical + i);
        this.#map(area, at + i, physical + i);
      }
      at += run.count * PAGE_SIZE;
    }
    return true;
  }

  /**
   * Reads pages of a file into fresh frames. What lies beyond its end stays zero. Pages that shared mappings have are
   * copied from there: they may differ from the file.
   */
  #load(source: FileSource, offset: number, physical: number, count: number): boolean {
    const bytes = count * PAGE_SIZE;
    const got = source.read(offset, this.#memory.pointer(physical as PhysAddr, bytes, 'write'), bytes);
    if (got < 0) {
      this.#free(physical as PhysAddr, bytes);
      return false;
    }
    const shared = this.hasSharedFiles ? this.#sharedFiles.get(fileKey(source.identity)) : undefined;
    for (let at = 0; shared !== undefined && at < bytes; at += PAGE_SIZE) {
      const frame = shared.get(offset + at);
      if (frame === undefined) continue;
      this.#memory.copy((physical + at) as PhysAddr, frame as PhysAddr, PAGE_SIZE);
    }
    return true;
  }

  #map(area: Vma, va: number, frame: number): void {
    const bookkeeping = area.source === undefined ? D : 0;
    this.#table.map(va, frame, protectionFlags(area.prot) | bookkeeping);
    this.residentPages++;
    this.#mappedSinceTakeBack++;
  }

  /** Changes the flags of the present pages of `area`. */
  #reflag(area: Vma, change: (old: number) => number): void {
    const batch = this.#dropping();
    this.#table.forEachPresent(area.start, area.end - area.start, (va, frame, old) => {
      const now = change(old);
      if (now === old) return;
      this.#table.protect(va, now);
      if (givesWriting(old, now)) this.#mayBeWritten(frame);
      if (!takesAway(old, now)) return;
      batch.add(frame);
    });
    batch.finish();
    this.#changed(area);
  }

  /** A processor that marks nothing may write the frame from now on: whoever has made something of its bytes is told. */
  #mayBeWritten(frame: number): void {
    this.#memory.versions.mark(this.#memory.linear(frame as PhysAddr, PAGE_SIZE), PAGE_SIZE);
  }

  /** Makes those pages absent whose flags `isVictim`. Private frames become free. */
  #unmapWhere(area: Vma, isVictim: (flags: number) => boolean): void {
    const batch = isSharedFile(area) ? this.#dropping() : this.#freeing();
    this.#table.forEachPresent(area.start, area.end - area.start, (va, frame, flags) => {
      if (!isVictim(flags)) return;
      this.#table.unmap(va);
      batch.add(frame);
      this.residentPages--;
    });
    batch.finish();
    this.#changed(area);
  }

  /** First resort: pages that came with a neighbour's fault and were never used, or are marked unused. */
  #takeBackUntouched(areas: Iterable<Vma>): void {
    this.#mappedSinceTakeBack = 0;
    for (const area of areas) {
      if (!isSharedFile(area)) this.#unmapWhere(area, (flags) => !(flags & A));
    }
  }

  /** Last resort: whatever can be read from its file again. */
  #evictFiles(areas: Iterable<Vma>): void {
    const kept = new Set<string>();
    for (const area of areas) {
      if (isSharedFile(area)) {
        if (this.writeBack(area) < 0) kept.add(fileKey(area.source.identity));
      } else if (area.source !== undefined) this.#unmapWhere(area, (flags) => !(flags & D));
    }
    for (const area of areas) {
      if (!isSharedFile(area) || kept.has(fileKey(area.source.identity))) continue;
      this.#unmapWhere(area, () => true);
    }
    for (const area of areas) {
      if (isSharedFile(area) && !kept.has(fileKey(area.source.identity)))
        this.forgetSharedFile(area.source.identity);
    }
  }

  /** The page at `offset` lies beyond the end of the file: nobody sees it any more. */
  #forgetSharedPage(frames: Map<number, number>, offset: number, areas: readonly SharedFileArea[]): void {
    for (const area of areas) {
      const va = area.start + (offset - area.offset);
      if (va < area.start || va >= area.end || this.#table.unmap(va) < 0) continue;
      this.residentPages--;
      this.#changed({ start: va, end: va + PAGE_SIZE });
    }
    this.#free(frames.get(offset) as PhysAddr, PAGE_SIZE);
    frames.delete(offset);
  }

  #changed(span: { readonly start: number; readonly end: number }): void {
    this.generation++;
    this.#onChanged(span.start, span.end - span.start);
  }

  #framesOf(source: FileSource): Map<number, number> {
    const key = fileKey(source.identity);
    let frames = this.#sharedFiles.get(key);
    if (frames === undefined) {
      frames = new Map();
      this.#sharedFiles.set(key, frames);
    }
    return frames;
  }

  #takeFrames(maxFrames: number): { readonly first: number; readonly count: number } {
    return this.#frames.allocate(maxFrames) ?? panic('ResidentPages', 'frames were not made room for');
  }

  #dropping(): FrameBatch {
    return new FrameBatch((start, sizeBytes) => this.#memory.dropSecondaryMappings(start, sizeBytes));
  }

  #freeing(): FrameBatch {
    return new FrameBatch((start, sizeBytes) => this.#free(start, sizeBytes));
  }

  #free(start: PhysAddr, sizeBytes: number): void {
    this.#memory.discard(start, sizeBytes);
    this.#frames.free(start / PAGE_SIZE, sizeBytes / PAGE_SIZE);
  }
}
