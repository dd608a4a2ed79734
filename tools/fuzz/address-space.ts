// The address space of the fuzzer's cases, the same in every executor, so that addresses mean the same everywhere:
//
//   0x41_4000  code, 2 pages: read, write, execute. What is not the case's code is INT3. The same again each SLOT_BYTES: a
//              case may have its code in any of CODE_SLOTS slots, so that an executor can keep code of several cases.
//   0x50_0000  data, 2 pages: read, write
//   0x50_2000  data, 1 page: read only
//   0x50_4000  data, 1 page: read, write, between two unmapped ones
//   END_ADDRESS  where a case ends. Nothing is mapped there as far as a case is concerned; an executor may have something
//              of its own on that page, and far above, where no case points by chance.
//
// The pages are kept one behind the other ("the area"): an executor gives them that order in its RAM.

import { PAGE_SIZE, PagePreset, PageTable, type PageTableMemory } from '../../src/arch/x86/page-table.ts';
import { codeBytes, type MemoryBytes, type Sequence } from './sequence.ts';

export const CODE_ADDRESS = 0x41_4000;
export const CODE_PAGES = 2;
export const CODE_BYTES = CODE_PAGES * PAGE_SIZE;
/** Behind the last code page of a slot nothing is mapped. */
export const CODE_END = CODE_ADDRESS + CODE_BYTES;
/** From one slot to the next: so far, and so odd, that no case gets from one slot to another by chance. */
export const SLOT_BYTES = 0x198_2000;
export const CODE_SLOTS = 64;
export const DATA_ADDRESS = 0x50_0000;
/** Read-only data, directly behind data that can be written. */
export const READ_ONLY_ADDRESS = 0x50_2000;
/** A page of data between unmapped ones. */
export const ISLAND_ADDRESS = 0x50_4000;
/** RIP at the end of a case; within reach of a JMP from the code. Off the ways of likely pointers. */
export const END_ADDRESS = 0x6b39_1000;

interface AreaPage {
  readonly virtualAddress: number;
  readonly flags: number;
}

/** The pages of the area in order. */
const PAGES: readonly AreaPage[] = [
  { virtualAddress: CODE_ADDRESS, flags: PagePreset.userReadWriteExecute },
  { virtualAddress: CODE_ADDRESS + PAGE_SIZE, flags: PagePreset.userReadWriteExecute },
  { virtualAddress: DATA_ADDRESS, flags: PagePreset.userReadWrite },
  { virtualAddress: DATA_ADDRESS + PAGE_SIZE, flags: PagePreset.userReadWrite },
  { virtualAddress: READ_ONLY_ADDRESS, flags: PagePreset.userRead },
  { virtualAddress: ISLAND_ADDRESS, flags: PagePreset.userReadWrite },
];

/** Size of the area. */
export const AREA_BYTES = PAGES.length * PAGE_SIZE;

export const INT3 = 0xcc;
const JMP_REL32 = 0xe9;
const JMP_BYTES = 5;

/**
 * Builds the page tables of cases over an area at physical address `areaBase`.
 * @param codeBase where the code pages of a slot are; without it, all slots show those of the area
 */
export function buildPageTable(
  memory: PageTableMemory,
  allocateTable: () => number,
  areaBase: number,
  codeBase: (slot: number) => number | undefined = () => areaBase,
): PageTable {
  const table = new PageTable(memory, allocateTable);
  for (const [i, { virtualAddress, flags }] of PAGES.entries()) {
    if (i >= CODE_PAGES) table.map(virtualAddress, areaBase + i * PAGE_SIZE, flags);
    else
      for (let slot = 0; slot < CODE_SLOTS; slot++) {
        const base = codeBase(slot);
        if (base !== undefined) table.map(virtualAddress + slot * SLOT_BYTES, base + i * PAGE_SIZE, flags);
      }
  }
  return table;
}

/** The slot of an address, if it lies in one. */
export function slotOf(address: number): number {
  return Math.floor((address - CODE_ADDRESS) / SLOT_BYTES);
}

/** Where the code pages of an address's slot begin. */
export function slotAddress(address: number): number {
  return CODE_ADDRESS + slotOf(address) * SLOT_BYTES;
}

/** Offset in the area of a virtual address, or −1. */
export function areaOffset(virtualAddress: number): number {
  const slot = slotOf(virtualAddress);
  const address = slot > 0 && slot < CODE_SLOTS ? virtualAddress - slot * SLOT_BYTES : virtualAddress;
  for (let i = 0; i < PAGES.length; i++) {
    const offset = address - PAGES[i]!.virtualAddress;
    if (offset >= 0 && offset < PAGE_SIZE) return i * PAGE_SIZE + offset;
  }
  return -1;
}

/** Virtual address of an offset in the area. @param code where the slot of the case's code begins */
export function areaAddress(offset: number, code = CODE_ADDRESS): number {
  if (offset < CODE_BYTES) return code + offset;
  return PAGES[Math.floor(offset / PAGE_SIZE)]!.virtualAddress + (offset % PAGE_SIZE);
}

/** What the area holds before code and data of a case: INT3, and bytes that depend on `fill` alone. */
export function areaBackground(fill: number): Uint8Array<ArrayBuffer> {
  const area = new Uint8Array(AREA_BYTES).fill(INT3, 0, CODE_BYTES);
  if (fill === 0) return area;
  // xorshift32 (Marsaglia 2003): bytes of no meaning that every executor can make.
  let state = fill >>> 0;
  for (let at = CODE_BYTES; at < AREA_BYTES; at++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    area[at] = state >>> 24;
  }
  return area;
}

/**
 * What a case puts over the background: its data, its code, and behind that a jump to END_ADDRESS, cut off where the code
 * pages end.
 * @throws RangeError for what lies outside the area
 */
export function areaPatches(sequence: Sequence): MemoryBytes[] {
  const code = codeBytes(sequence);
  const end = sequence.codeAddress + code.length;
  const slotEnd = slotAddress(sequence.codeAddress) + CODE_BYTES;
  const slot = slotOf(sequence.codeAddress);
  if (slot < 0 || slot >= CODE_SLOTS || end > slotEnd)
    throw new RangeError(`code at 0x${sequence.codeAddress.toString(16)} is not in the code pages`);
  const jumpBytes = Math.min(JMP_BYTES, slotEnd - end);
  const bytes = new Uint8Array(code.length + jumpBytes);
  bytes.set(code);
  const distance = END_ADDRESS - (end + JMP_BYTES);
  for (let i = 0; i < jumpBytes; i++)
    bytes[code.length + i] = i === 0 ? JMP_REL32 : distance >>> (8 * (i - 1));
  for (const { address, bytes: data } of sequence.data) {
    const offset = areaOffset(address);
    if (offset < 0 || areaOffset(address + data.length - 1) !== offset + data.length - 1)
      throw new RangeError(
        `${data.length} bytes at 0x${address.toString(16)} are not in one piece of the pages`,
      );
  }
  return [...sequence.data, { address: sequence.codeAddress, bytes }];
}

/** Gives an area what a case begins with. @param background what {@link areaBackground} says, for many cases the same */
export function fillArea(area: Uint8Array, background: Uint8Array, sequence: Sequence): void {
  area.set(background);
  for (const { address, bytes } of areaPatches(sequence)) area.set(bytes, areaOffset(address));
}

/**
 * What differs between two areas, as {@link Outcome.memory} tells it. Hot path: most pages are the same.
 * @param code where the slot of the case's code begins
 */
export function areaChanges(before: Uint8Array, after: Uint8Array, code = CODE_ADDRESS): MemoryBytes[] {
  if (Buffer.compare(before, after) === 0) return [];
  const changes: MemoryBytes[] = [];
  for (let page = 0; page < AREA_BYTES; page += PAGE_SIZE) {
    const end = page + PAGE_SIZE;
    if (Buffer.compare(before.subarray(page, end), after.subarray(page, end)) === 0) continue;
    for (let at = page; at < end; at++) {
      if (before[at] === after[at]) continue;
      const start = at;
      do at++;
      while (at < end && before[at] !== after[at]);
      addChange(changes, areaAddress(start, code), after.slice(start, at));
    }
  }
  return changes;
}

/** Appends a change, or extends the last one if it ends there. */
function addChange(changes: MemoryBytes[], address: number, bytes: Uint8Array): void {
  const last = changes.at(-1);
  if (last === undefined || last.address + last.bytes.length !== address) {
    changes.push({ address, bytes });
    return;
  }
  const joined = new Uint8Array(last.bytes.length + bytes.length);
  joined.set(last.bytes);
  joined.set(bytes, last.bytes.length);
  changes[changes.length - 1] = { address: last.address, bytes: joined };
}
