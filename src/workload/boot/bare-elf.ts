/**
 * ELF headers of bare-metal images and kernels for x86: 32-bit and 64-bit, loaded at their physical addresses (p_paddr),
 * which need not be aligned to pages. System V gABI chapters 4 and 5. Programs for Linux are elf.ts's subject.
 */
import { hex } from '../../mem/addr.ts';
import { machineName } from '../elf.ts';
import type { ImageBytes } from './image-bytes.ts';

export interface BareSegment {
  readonly address: number;
  readonly bytes: Uint8Array;
  /** Bytes in memory: the file's, then zeros. */
  readonly memorySize: number;
}

export interface BareElf {
  readonly bits: 32 | 64;
  /** Physical address of the first instruction. */
  readonly entry: number;
  readonly segments: readonly BareSegment[];
  /** Whether its notes say that it is a Linux kernel. */
  readonly isLinux: boolean;
}

/** Offsets that differ between the classes; pointers are of the class's width. gABI figures 4-3 and 5-1. */
interface ClassLayout {
  readonly bits: 32 | 64;
  readonly machine: number;
  readonly programHeaders: number;
  readonly programHeaderSize: number;
  readonly programHeaderCount: number;
  readonly programHeaderBytes: number;
  readonly segment: { readonly offset: number; readonly virtual: number; readonly physical: number };
  readonly sizes: { readonly file: number; readonly memory: number };
}

const ELF32: ClassLayout = {
  bits: 32,
  machine: 3,
  programHeaders: 28,
  programHeaderSize: 42,
  programHeaderCount: 44,
  programHeaderBytes: 32,
  segment: { offset: 4, virtual: 8, physical: 12 },
  sizes: { file: 16, memory: 20 },
};
const ELF64: ClassLayout = {
  bits: 64,
  machine: 62,
  programHeaders: 32,
  programHeaderSize: 54,
  programHeaderCount: 56,
  programHeaderBytes: 56,
  segment: { offset: 8, virtual: 16, physical: 24 },
  sizes: { file: 32, memory: 40 },
};

const ENTRY = 24;
const LITTLE_ENDIAN = 1;
const TypeName: Readonly<Record<number, string>> = { 1: 'an object file: link it first', 4: 'a core dump' };
const EXECUTABLE = 2;
const SHARED = 3;
const SegmentType = { load: 1, dynamic: 2, note: 4 } as const;
const MAX_PROGRAM_HEADERS = 1024;

/** A program header, in the terms of both classes. */
interface ProgramHeader {
  readonly type: number;
  readonly offset: number;
  /** A BigInt: kernels live at the top of the address space, where a Number is not exact. */
  readonly virtualAddress: bigint;
  readonly physicalAddress: number;
  readonly fileSize: number;
  readonly memorySize: number;
}

export function isElf(image: ImageBytes): boolean {
  return image.startsWith('\x7fELF');
}

/** Reads and checks the headers. Throws ExecError with one line that says what is wrong. */
export function parseBareElf(image: ImageBytes): BareElf {
  const layout = readClass(image);
  const headers = readProgramHeaders(image, layout);
  const type = image.u16(16);
  if (type === SHARED && headers.some((header) => header.type === SegmentType.dynamic)) {
    throw image.error('is position-independent: link it for a fixed address (-no-pie)');
  }
  if (type !== EXECUTABLE && type !== SHARED) {
    throw image.error(`is no executable but ${TypeName[type] ?? `of ELF type ${type}`}`);
  }
  const loads = headers.filter((header) => header.type === SegmentType.load && header.memorySize > 0);
  if (loads.length === 0) throw image.error('has no loadable segments');
  return {
    bits: layout.bits,
    entry: physicalEntry(image, loads, readVirtual(image, layout, ENTRY)),
    segments: loads.map((header) => loadSegment(image, header)),
    isLinux: headers.some((header) => header.type === SegmentType.note && hasLinuxNote(image, header)),
  };
}

function readClass(image: ImageBytes): ClassLayout {
  const isLittle = image.u8(5) === LITTLE_ENDIAN;
  const machine = isLittle ? image.u16(18) : (image.u8(18) << 8) | image.u8(19);
  if (machine !== ELF32.machine && machine !== ELF64.machine) {
    throw image.error(`is for ${machineName(machine)}, not for x86`);
  }
  const layout = image.u8(4) === 2 ? ELF64 : ELF32;
  if (!isLittle || image.u8(4) !== (layout === ELF64 ? 2 : 1) || layout.machine !== machine) {
    throw image.error('damaged ELF file: its class and its byte order do not fit its machine');
  }
  return layout;
}

function readPointer(image: ImageBytes, layout: ClassLayout, at: number): number {
  return layout.bits === 64 ? image.u64(at) : image.u32(at);
}

function readVirtual(image: ImageBytes, layout: ClassLayout, at: number): bigint {
  const low = BigInt(image.u32(at));
  return layout.bits === 64 ? (BigInt(image.u32(at + 4)) << 32n) | low : low;
}

function readProgramHeaders(image: ImageBytes, layout: ClassLayout): ProgramHeader[] {
  const table = readPointer(image, layout, layout.programHeaders);
  const size = image.u16(layout.programHeaderSize);
  const count = image.u16(layout.programHeaderCount);
  if (count === 0) throw image.error('has no program headers: an object file that was not linked?');
  if (size !== layout.programHeaderBytes || count > MAX_PROGRAM_HEADERS) {
    throw image.error(`damaged ELF file: ${count} program headers of ${size} bytes`);
  }
  if (!image.has(table, count * size)) {
    throw image.error('truncated: the program headers lie outside the file');
  }
  return Array.from({ length: count }, (_, i) => {
    const at = table + i * size;
    return {
      type: image.u32(at),
      offset: readPointer(image, layout, at + layout.segment.offset),
      virtualAddress: readVirtual(image, layout, at + layout.segment.virtual),
      physicalAddress: readPointer(image, layout, at + layout.segment.physical),
      fileSize: readPointer(image, layout, at + layout.sizes.file),
      memorySize: readPointer(image, layout, at + layout.sizes.memory),
    };
  });
}

function loadSegment(image: ImageBytes, header: ProgramHeader): BareSegment {
  const { physicalAddress: address, memorySize } = header;
  const what = `the segment at ${hex(address)}`;
  if (header.fileSize > memorySize) {
    throw image.error(`damaged ELF file: ${what} is larger in the file than in memory`);
  }
  if (!Number.isSafeInteger(address + memorySize)) {
    throw image.error(`${what} is beyond any physical address: link it for physical addresses (p_paddr)`);
  }
  return { address, bytes: image.slice(header.offset, header.fileSize, what), memorySize };
}

/**
 * Kernels that run in high virtual memory give their entry point either as a virtual address of a segment, which then
 * is translated, or already as a physical one.
 */
function physicalEntry(image: ImageBytes, loads: readonly ProgramHeader[], entry: bigint): number {
  const within = (start: bigint, size: number) => entry >= start && entry < start + BigInt(size);
  const segment = loads.find((load) => within(load.virtualAddress, load.memorySize));
  if (segment !== undefined) return segment.physicalAddress + Number(entry - segment.virtualAddress);
  if (loads.some((load) => within(BigInt(load.physicalAddress), load.memorySize))) return Number(entry);
  throw image.error(`the entry point 0x${entry.toString(16)} is in none of its segments`);
}

/** Notes are: name size, descriptor size, type, name, descriptor, each padded to 4 bytes. gABI figure 5-3. */
function hasLinuxNote(image: ImageBytes, header: ProgramHeader): boolean {
  if (!image.has(header.offset, header.fileSize)) return false;
  const end = header.offset + header.fileSize;
  for (let at = header.offset; at + 12 <= end; ) {
    const nameSize = image.u32(at);
    if (nameSize === 6 && image.startsWith('Linux\0', at + 12)) return true;
    at += 12 + align4(nameSize) + align4(image.u32(at + 4));
  }
  return false;
}

function align4(size: number): number {
  return Math.ceil(size / 4) * 4;
}
