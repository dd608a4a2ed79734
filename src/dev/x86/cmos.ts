/**
 * CMOS RAM of a PC: what firmware and operating systems agree to find where (Ralf Brown's interrupt list, CMOS.LST;
 * QEMU and SeaBIOS use the same places).
 */

export const CMOS_SIZE = 128;

/** Offsets of what is read or written here. Words are little-endian. */
export const Cmos = {
  /** Why the processor is reset: where firmware goes on afterwards. */
  shutdownStatus: 0x0f,
  equipment: 0x14,
  /** KiB below 640 KiB. */
  baseMemory: 0x15,
  /** KiB from 1 MiB on, at most 63 MiB; twice. */
  extendedMemory: 0x17,
  extendedMemoryToo: 0x30,
  century: 0x32,
  /** Units of 64 KiB from 16 MiB to 4 GiB. */
  highMemory: 0x34,
  /** Units of 64 KiB from 4 GiB on; three bytes. */
  memoryAbove4GiB: 0x5b,
} as const;

const KIB = 1024;
const MIB = 1024 * KIB;
/** A numeric coprocessor. */
const EQUIPMENT = 0x02;

/** Fills in the sizes of memory and what else a power-on self test leaves behind. */
export function describeMemory(ram: Uint8Array, below4GiB: number, above4GiB: number): void {
  const extendedKib = Math.min(Math.floor(Math.max(0, below4GiB - MIB) / KIB), 0xffff);
  const high = Math.min(Math.floor(Math.max(0, below4GiB - 16 * MIB) / (64 * KIB)), 0xffff);
  ram[Cmos.equipment] = EQUIPMENT;
  putLittleEndian(ram, Cmos.baseMemory, 2, 640);
  putLittleEndian(ram, Cmos.extendedMemory, 2, extendedKib);
  putLittleEndian(ram, Cmos.extendedMemoryToo, 2, extendedKib);
  putLittleEndian(ram, Cmos.highMemory, 2, high);
  putLittleEndian(ram, Cmos.memoryAbove4GiB, 3, Math.floor(above4GiB / (64 * KIB)));
}

function putLittleEndian(ram: Uint8Array, at: number, sizeBytes: number, value: number): void {
  for (let i = 0; i < sizeBytes; i++) ram[at + i] = value >>> (8 * i);
}
