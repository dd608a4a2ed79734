// Small ELF64 executables made in place, right ones and damaged ones. Layout: System V gABI, chapters 4 and 5.

import { chmodSync, writeFileSync } from 'node:fs';

export const CODE_ADDRESS = 0x40_0000;
const HEADER_BYTES = 64;
const SEGMENT_BYTES = 56;
const PAGE = 0x1000;

/** A program header of type PT_LOAD, or of another type. */
export interface Segment {
  type?: number;
  flags: number;
  offset: number;
  address: number | bigint;
  fileSize: number | bigint;
  memorySize: number | bigint;
  align?: number;
}

/** What can be said in the headers; the default is a right static executable. */
export interface ElfOptions {
  magic?: string;
  elfClass?: number;
  type?: number;
  machine?: number;
  entry?: number | bigint;
  headerOffset?: number | bigint;
  headerSize?: number;
  headerCount?: number;
  segments?: readonly Segment[];
}

export const ElfType = { REL: 1, EXEC: 2, DYN: 3 } as const;
export const SegmentType = { LOAD: 1, INTERP: 3 } as const;
const READ_EXECUTE = 5;

/** An executable whose one segment holds the headers and, from the next page on, the code. */
export function elf(code: readonly number[], options: ElfOptions = {}): Buffer {
  const size = PAGE + code.length;
  const whole = { flags: READ_EXECUTE, offset: 0, address: CODE_ADDRESS, fileSize: size, memorySize: size };
  const segments = options.segments ?? [whole];
  const bytes = Buffer.alloc(size);
  bytes.write(options.magic ?? '\x7fELF', 0, 'latin1');
  bytes.set([options.elfClass ?? 2, 1, 1], 4);
  bytes.writeUInt16LE(options.type ?? ElfType.EXEC, 16);
  bytes.writeUInt16LE(options.machine ?? 62, 18);
  bytes.writeUInt32LE(1, 20);
  bytes.writeBigUInt64LE(BigInt(options.entry ?? CODE_ADDRESS + PAGE), 24);
  bytes.writeBigUInt64LE(BigInt(options.headerOffset ?? HEADER_BYTES), 32);
  bytes.writeUInt16LE(HEADER_BYTES, 52);
  bytes.writeUInt16LE(options.headerSize ?? SEGMENT_BYTES, 54);
  bytes.writeUInt16LE(options.headerCount ?? segments.length, 56);
  for (const [i, segment] of segments.entries())
    writeSegment(bytes, HEADER_BYTES + i * SEGMENT_BYTES, segment);
  bytes.set(code, PAGE);
  return bytes;
}

function writeSegment(bytes: Buffer, at: number, segment: Segment): void {
  bytes.writeUInt32LE(segment.type ?? SegmentType.LOAD, at);
  bytes.writeUInt32LE(segment.flags, at + 4);
  bytes.writeBigUInt64LE(BigInt(segment.offset), at + 8);
  bytes.writeBigUInt64LE(BigInt(segment.address), at + 16);
  bytes.writeBigUInt64LE(BigInt(segment.address), at + 24);
  bytes.writeBigUInt64LE(BigInt(segment.fileSize), at + 32);
  bytes.writeBigUInt64LE(BigInt(segment.memorySize), at + 40);
  bytes.writeBigUInt64LE(BigInt(segment.align ?? PAGE), at + 48);
}

/** Writes an executable file. */
export function writeProgram(path: string, bytes: Buffer | string): string {
  writeFileSync(path, bytes);
  chmodSync(path, 0o755);
  return path;
}

/** Machine code for tests, by what it does. */
export const Code = {
  /** mov eax, 60; mov edi, status; syscall */
  exit: (status: number): number[] => [0xb8, 60, 0, 0, 0, 0xbf, status, 0, 0, 0, 0x0f, 0x05],
  /** Writes eight bytes of getrandom(2) to standard output. */
  random: [
    ...[0xb8, 0x3e, 1, 0, 0, 0x48, 0x89, 0xe7, 0xbe, 8, 0, 0, 0, 0x31, 0xd2, 0x0f, 0x05],
    ...[0xb8, 1, 0, 0, 0, 0xbf, 1, 0, 0, 0, 0x48, 0x89, 0xe6, 0xba, 8, 0, 0, 0, 0x0f, 0x05],
    ...[0xb8, 60, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05],
  ],
  /** jmp . */
  spin: [0xeb, 0xfe],
  /** xor edx, edx; xor eax, eax; div edx */
  divideByZero: [0x31, 0xd2, 0x31, 0xc0, 0xf7, 0xf2],
} as const;
