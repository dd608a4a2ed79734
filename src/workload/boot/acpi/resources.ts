/**
 * Resource descriptors: what a _CRS says about ports, interrupts and memory. ACPI specification 6.5 §6.4.2 (small
 * descriptors) and §6.4.3 (large ones).
 */
import { type Aml, buffer, bytes, littleEndian } from './aml.ts';

export type Resource = Uint8Array;

/** ResourceTemplate() { resources }: a buffer that ends in an end tag whose checksum is not used. */
export function resourceTemplate(...resources: readonly Resource[]): Aml {
  return buffer(bytes(...resources, [0x79, 0x00]));
}

/** I/O ports at a fixed place, all 16 address bits decoded. §6.4.2.5 */
export function ioPorts(port: number, count: number): Resource {
  return bytes([0x47, 0x01], littleEndian(port, 2), littleEndian(port, 2), [0x01, count]);
}

/** An ISA interrupt: edge-triggered, active high, not shared. §6.4.2.1 */
export function isaInterrupt(irq: number): Resource {
  return bytes([0x22], littleEndian(1 << irq, 2));
}

/** Memory at a fixed place. §6.4.3.4 */
export function fixedMemory(address: number, sizeBytes: number): Resource {
  return bytes([0x86], littleEndian(9, 2), [0x01], littleEndian(address, 4), littleEndian(sizeBytes, 4));
}

/** General flags of windows: the bridge forwards them, minimum and maximum are fixed, positive decode. */
const WINDOW = 0x0c;
const Kind = { memory: 0, io: 1, bus: 2 } as const;
/** Type-specific flags: memory that is read-write and not cached; ports of ISA and other addresses alike. */
const UNCACHED_READ_WRITE = 0x01;
const ENTIRE_IO_RANGE = 0x03;

/** The bus numbers behind a bridge. */
export function busWindow(first: number, count: number): Resource {
  return wordWindow(Kind.bus, 0, first, count);
}

/** Ports that a bridge forwards. */
export function ioWindow(first: number, count: number): Resource {
  return wordWindow(Kind.io, ENTIRE_IO_RANGE, first, count);
}

/** Memory below 4 GiB that a bridge forwards. */
export function memoryWindow(first: number, sizeBytes: number): Resource {
  return window(0x87, 4, Kind.memory, UNCACHED_READ_WRITE, first, sizeBytes);
}

function wordWindow(kind: number, flags: number, first: number, count: number): Resource {
  return window(0x88, 2, kind, flags, first, count);
}

/** Granularity, minimum, maximum, translation and length, each of `width` bytes. §6.4.3.5 */
function window(
  tag: number,
  width: number,
  kind: number,
  flags: number,
  first: number,
  count: number,
): Resource {
  const fields = [0, first, first + count - 1, 0, count].flatMap((value) => littleEndian(value, width));
  return bytes([tag], littleEndian(3 + fields.length, 2), [kind, WINDOW, flags], fields);
}
