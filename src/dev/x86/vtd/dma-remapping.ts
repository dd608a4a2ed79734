/**
 * DMA remapping in legacy mode: from the requester by root and context entry to a second-level page table, and through it.
 * VT-d specification, chapter "DMA Remapping" (§3.4, §3.7) and chapter "Translation Structure Formats" (§9.1, §9.3, §9.8).
 * Nothing is cached: every request sees the tables as they are.
 */
import type { PhysAddr } from '../../../mem/addr.ts';
import { type Fault, FaultReason, loud } from './fault.ts';
import type { GuestTables } from './guest-tables.ts';
import { isInterruptAddress } from './interrupt-remapping.ts';
import { ADDRESS_BITS, PAGE_TABLE_LEVELS } from './registers.ts';

export interface DmaRequest {
  /** Bus in bits 15:8, device and function in 7:0. */
  readonly sourceId: number;
  /** An exact Number. */
  readonly address: number;
  readonly isRead: boolean;
  readonly isWrite: boolean;
}

const PAGE_BITS = 12;
/** Bits of an address that a level of the page table translates. */
const LEVEL_BITS = 9;
const ENTRY_BYTES = 16;
const PRESENT = 1;
/** Bits of the high word of an address that no memory has. */
const NO_ADDRESS = 0xffff_ffff - (2 ** (ADDRESS_BITS - 32) - 1);

/** Context entry, low word. */
const FAULT_PROCESSING_DISABLE = 1 << 1;
const TranslationType = { untranslatedOnly: 0, passThrough: 2 } as const;
/** Bits that are reserved in root entries (11:1, and the whole second half) and context entries. */
const ROOT_RESERVED = 0xffe;
const CONTEXT_RESERVED = [0xff0, NO_ADDRESS, 0xff00_0080, 0xffff_ffff] as const;

/** Second-level page-table entry. TM (62) needs device TLBs; 61:52, as bit 63, are software's. */
const READ = 1 << 0;
const WRITE = 1 << 1;
const LARGE_PAGE = 1 << 7;
const TRANSIENT_MAPPING = 0x4000_0000;
const ENTRY_RESERVED_HIGH = (NO_ADDRESS & 0x000f_ffff) | TRANSIENT_MAPPING;
/** Highest level whose entries can be pages: of 1 GiB. */
const HIGHEST_LEAF = 3;

/** What the context entry says of a requester. */
interface Context {
  readonly isSilent: boolean;
  readonly isPassThrough: boolean;
  readonly levels: number;
  readonly pageTable: number;
}

export class DmaRemapping {
  readonly #tables: GuestTables;

  constructor(tables: GuestTables) {
    this.#tables = tables;
  }

  /** Where in memory a request goes that stays within a page, or why it goes nowhere. */
  translate(rootTable: number, request: DmaRequest): PhysAddr | Fault {
    const context = this.#context(rootTable, request.sourceId);
    if ('reason' in context) return context;
    const { address } = request;
    const width = context.isPassThrough ? ADDRESS_BITS : PAGE_BITS + LEVEL_BITS * context.levels;
    if (address >= 2 ** width) return { reason: FaultReason.addressTooWide, isSilent: context.isSilent };
    return context.isPassThrough ? (address as PhysAddr) : this.#walk(context, request);
  }

  /** Root entry of the bus, then context entry of device and function. */
  #context(rootTable: number, sourceId: number): Context | Fault {
    const root = this.#tables.read(rootTable + (sourceId >>> 8) * ENTRY_BYTES, ENTRY_BYTES);
    if (root === undefined) return loud(FaultReason.rootTableAccess);
    const [low, high] = [root.getUint32(0, true), root.getUint32(4, true)];
    if ((low & PRESENT) === 0) return loud(FaultReason.rootEntryNotPresent);
    const rest = root.getUint32(8, true) | root.getUint32(12, true);
    if ((low & ROOT_RESERVED) !== 0 || (high & NO_ADDRESS) !== 0 || rest !== 0)
      return loud(FaultReason.rootEntryReserved);
    const entry = this.#tables.read(tableAddress(low, high) + (sourceId & 0xff) * ENTRY_BYTES, ENTRY_BYTES);
    return entry === undefined ? loud(FaultReason.contextTableAccess) : contextOf(entry);
  }

  /** Permissions are those of all levels together. The low word's address bits below a large page are reserved. */
  #walk(
    { levels, pageTable, isSilent }: Context,
    { address, isRead, isWrite }: DmaRequest,
  ): PhysAddr | Fault {
    let table = pageTable;
    for (let level = levels; ; level--) {
      const shift = PAGE_BITS + LEVEL_BITS * (level - 1);
      const index = Math.floor(address / 2 ** shift) % 2 ** LEVEL_BITS;
      const entry = this.#tables.read(table + 8 * index, 8);
      if (entry === undefined) return { reason: FaultReason.pageTableAccess, isSilent };
      const [low, high] = [entry.getUint32(0, true), entry.getUint32(4, true)];
      if (isWrite && (low & WRITE) === 0) return { reason: FaultReason.noWritePermission, isSilent };
      if (isRead && (low & READ) === 0) return { reason: FaultReason.noReadPermission, isSilent };
      const isLarge = level > 1 && (low & LARGE_PAGE) !== 0;
      const base = tableAddress(low, high);
      const pageBytes = 2 ** shift;
      if ((high & ENTRY_RESERVED_HIGH) !== 0 || (isLarge && (level > HIGHEST_LEAF || base % pageBytes !== 0)))
        return { reason: FaultReason.pageTableReserved, isSilent };
      if (isLarge || level === 1) return reached(base + (address % pageBytes), isSilent);
      table = base;
    }
  }
}

/** A page table is no way to interrupt: §3.14. */
function reached(address: number, isSilent: boolean): PhysAddr | Fault {
  return isInterruptAddress(address)
    ? { reason: FaultReason.interruptRange, isSilent }
    : (address as PhysAddr);
}

/** §9.3. FPD counts whether or not the entry is present. */
function contextOf(entry: DataView): Context | Fault {
  const words = [0, 4, 8, 12].map((at) => entry.getUint32(at, true));
  const [low = 0, high = 0, width = 0] = words;
  const isSilent = (low & FAULT_PROCESSING_DISABLE) !== 0;
  if ((low & PRESENT) === 0) return { reason: FaultReason.contextEntryNotPresent, isSilent };
  if (words.some((word, i) => (word & CONTEXT_RESERVED[i]!) !== 0))
    return { reason: FaultReason.contextEntryReserved, isSilent };
  const type = (low >>> 2) & 3;
  const isPassThrough = type === TranslationType.passThrough;
  if (!isPassThrough && type !== TranslationType.untranslatedOnly)
    return { reason: FaultReason.translationType, isSilent };
  const levels = PAGE_TABLE_LEVELS.find((count) => count === (width & 7) + 2);
  if (levels === undefined) return { reason: FaultReason.contextEntryInvalid, isSilent };
  return { isSilent, isPassThrough, levels, pageTable: tableAddress(low, high) };
}

/** The address in bits 51:12 of an entry, without those that no memory has. */
function tableAddress(low: number, high: number): number {
  return (high & ~NO_ADDRESS) * 2 ** 32 + ((low & 0xffff_f000) >>> 0);
}
