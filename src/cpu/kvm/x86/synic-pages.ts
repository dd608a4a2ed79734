// The pages in guest memory by which a synthetic interrupt controller hands over messages and event flags. TLFS,
// "Inter-Partition Communication". The guest is stopped meanwhile, so that the order of the writes does not matter.

import {
  EVENT_FLAGS_BYTES,
  MESSAGE_PENDING,
  MESSAGE_SLOT,
  SYNIC_ENABLE,
  type SynicMessage,
} from '../../../arch/x86/hyper-v.ts';
import type { PhysAddr } from '../../../mem/addr.ts';
import type { PhysicalMemory } from '../../../mem/physical-memory.ts';

const PAGE = 4096;

/**
 * The page that SIMP or SIEFP names.
 * @returns undefined while the controller or the page is off, or where the guest has put it outside RAM
 */
export function synicPage(memory: PhysicalMemory, control: bigint, register: bigint): PhysAddr | undefined {
  if ((control & register & SYNIC_ENABLE) === 0n) return undefined;
  const page = Number((register / BigInt(PAGE)) * BigInt(PAGE)) as PhysAddr;
  return memory.contains(page, PAGE) ? page : undefined;
}

/** Fills the SINT's slot. @returns false if it is occupied: the message then counts as pending */
export function fillSlot(
  memory: PhysicalMemory,
  page: PhysAddr,
  sint: number,
  message: SynicMessage,
): boolean {
  const slot = page + sint * MESSAGE_SLOT.sizeBytes;
  const at = (offset: number): PhysAddr => (slot + offset) as PhysAddr;
  const flags = at(MESSAGE_SLOT.flags);
  if (memory.readU32(at(MESSAGE_SLOT.type)) !== 0) {
    memory.writeU8(flags, memory.readU8(flags) | MESSAGE_PENDING);
    return false;
  }
  memory.writeU32(at(MESSAGE_SLOT.type), message.type);
  memory.writeU8(at(MESSAGE_SLOT.payloadSize), message.payload.length);
  memory.writeU8(flags, 0);
  memory.writeU16(at(MESSAGE_SLOT.flags + 1), 0);
  memory.writeU64(at(MESSAGE_SLOT.port), BigInt(message.port));
  memory.write(at(MESSAGE_SLOT.payload), message.payload);
  return true;
}

/** Sets an event flag of the SINT. @returns whether it was clear */
export function setFlag(memory: PhysicalMemory, page: PhysAddr, sint: number, flag: number): boolean {
  const at = (page + sint * EVENT_FLAGS_BYTES + (flag >> 3)) as PhysAddr;
  const [was, mask] = [memory.readU8(at), 1 << (flag & 7)];
  memory.writeU8(at, was | mask);
  return (was & mask) === 0;
}
