/**
 * Interrupt remapping: from the index in an interrupt request to an entry of the interrupt remapping table, and from that to the
 * message. VT-d specification, chapter "Interrupt Remapping" (§5.1), §9.10 "Interrupt Remapping Table Entry".
 */
import { DeliveryMode, destinationFrom8Bits, type InterruptMessage } from '../../../arch/x86/interrupts.ts';
import { type Fault, FaultReason, loud } from './fault.ts';
import type { GuestTables } from './guest-tables.ts';

/** A write to 0xfeex_xxxx. */
export interface InterruptRequest {
  readonly address: number;
  readonly data: number;
  /** Who makes it; undefined: one whose identity is not verified. */
  readonly sourceId: number | undefined;
}

/** The table as software has set it up. */
export interface InterruptTable {
  readonly address: number;
  readonly entries: number;
  /** Extended interrupt mode: destinations have 32 bits. */
  readonly isExtended: boolean;
}

/** Address of a request, §5.1.2.2. */
const REMAPPABLE = 1 << 4;
const SUBHANDLE_VALID = 1 << 3;

/** Entry, by word. Reserved are 14:12, IM (15: there are no posted interrupts) and 31:24; 127:84. */
const ENTRY_BYTES = 16;
const PRESENT = 1 << 0;
const FAULT_PROCESSING_DISABLE = 1 << 1;
const LOGICAL = 1 << 2;
const REDIRECTION_HINT = 1 << 3;
const LEVEL = 1 << 4;
const RESERVED_0 = 0xff00_f000;
const RESERVED_2 = 0xfff0_0000;
/** Destinations of 8 bits are in 15:8. */
const RESERVED_DESTINATION = 0xffff_00ff;

/** What is compared of a source id, by SQ: all, or without bits of the function. */
const QUALIFIED = [0xffff, 0xfffb, 0xfff9, 0xfff8] as const;
const Validation = { none: 0, source: 1, bus: 2 } as const;

/** Writes of devices to 0xfee0_0000–0xfeef_ffff are interrupt requests. */
export function isInterruptAddress(address: number): boolean {
  return Math.floor(address / 0x10_0000) === 0xfee;
}

/** Whether a request is in the format that names an entry. */
export function isRemappable({ address }: InterruptRequest): boolean {
  return (address & REMAPPABLE) !== 0;
}

/** Handle, and with it the subhandle of a function that has several vectors. */
export function interruptIndex({ address, data }: InterruptRequest): number {
  const handle = ((address >>> 5) & 0x7fff) | ((address & 4) << 13);
  return (address & SUBHANDLE_VALID) === 0 ? handle : handle + (data & 0xffff);
}

/** The message that a remappable request becomes, or why it becomes none. */
export function remapInterrupt(
  tables: GuestTables,
  { address, entries, isExtended }: InterruptTable,
  request: InterruptRequest,
): InterruptMessage | Fault {
  if ((request.address & SUBHANDLE_VALID) !== 0 && request.data >>> 16 !== 0)
    return loud(FaultReason.interruptRequestReserved);
  const index = interruptIndex(request);
  if (index >= entries) return loud(FaultReason.interruptIndex);
  const entry = tables.read(address + ENTRY_BYTES * index, ENTRY_BYTES);
  if (entry === undefined) return loud(FaultReason.interruptTableAccess);
  const low = entry.getUint32(0, true);
  const destination = entry.getUint32(4, true);
  const source = entry.getUint32(8, true);
  const isSilent = (low & FAULT_PROCESSING_DISABLE) !== 0;
  if ((low & PRESENT) === 0) return { reason: FaultReason.interruptEntryNotPresent, isSilent };
  const validation = (source >>> 18) & 3;
  const hasReserved =
    (low & RESERVED_0) !== 0 ||
    (source & RESERVED_2) !== 0 ||
    entry.getUint32(12, true) !== 0 ||
    (!isExtended && (destination & RESERVED_DESTINATION) !== 0) ||
    validation > Validation.bus;
  if (hasReserved) return { reason: FaultReason.interruptEntryReserved, isSilent };
  if (!isFrom(source, request.sourceId)) return { reason: FaultReason.interruptSource, isSilent };
  return messageOf(low, isExtended ? destination : destinationFrom8Bits(destination >>> 8));
}

/** SVT, SQ and SID, §9.10. */
function isFrom(source: number, sourceId: number | undefined): boolean {
  const validation = (source >>> 18) & 3;
  if (sourceId === undefined || validation === Validation.none) return true;
  if (validation === Validation.source) {
    const compared = QUALIFIED[(source >>> 16) & 3]!;
    return (sourceId & compared) === (source & compared);
  }
  const bus = sourceId >>> 8;
  return bus >= ((source >>> 8) & 0xff) && bus <= (source & 0xff);
}

/** A hint lets the message go to the processor of the group that runs at the lowest priority, as in an MSI. */
function messageOf(low: number, destination: number): InterruptMessage {
  const mode = (low >>> 5) & 7;
  const isHinted = (low & REDIRECTION_HINT) !== 0 && mode === DeliveryMode.Fixed;
  return {
    destination,
    isLogical: (low & LOGICAL) !== 0,
    deliveryMode: isHinted ? DeliveryMode.LowestPriority : mode,
    vector: (low >>> 16) & 0xff,
    isLevel: (low & LEVEL) !== 0,
    assert: true,
  };
}
