/**
 * ELF64 headers of x86-64 executables and shared objects: read, checked, and turned into plain records.
 * Source: System V gABI chapters 4 and 5, x86-64 psABI chapter 4; limits as in Linux's fs/binfmt_elf.c.
 */
import { ExitStatus, FatalError } from '../sim/trouble.ts';

/** Why a program cannot be started, as execve(2) names it. */
export type ExecErrno = 'ENOENT' | 'EACCES' | 'EISDIR' | 'ENOEXEC' | 'ELIBBAD' | 'ENOMEM' | 'E2BIG' | 'EIO';

/** A program that cannot be started: one line, and the exit status a shell uses (126, or 127 for ENOENT). */
export class ExecError extends FatalError {
  readonly errno: ExecErrno;

  constructor(path: string, problem: string, errno: ExecErrno = 'ENOEXEC') {
    super(`${path}: ${problem}`, {
      exitStatus: errno === 'ENOENT' ? ExitStatus.notFound : ExitStatus.notExecutable,
    });
    this.name = 'ExecError';
    this.errno = errno;
  }
}

/** Bytes of a file by offset. */
export interface ImageReader {
  size(): number;
  /** Fills `bytes` from `offset`; returns the bytes read, fewer only at the end of the file, or −errno. */
  readInto(offset: number, bytes: Uint8Array): number;
}

/** A PT_LOAD header, checked. Addresses are relative to the load bias. */
export interface ElfSegment {
  readonly virtualAddress: number;
  readonly memorySize: number;
  readonly fileOffset: number;
  readonly fileSize: number;
  readonly readable: boolean;
  readonly writable: boolean;
  readonly executable: boolean;
}

export interface ElfImage {
  readonly path: string;
  readonly kind: 'executable' | 'positionIndependent';
  readonly entry: number;
  /** By rising address; at least one. */
  readonly segments: readonly ElfSegment[];
  /** Alignment of the load bias: a power of two, at least 4096. */
  readonly align: number;
  /** Path of the program's own loader (PT_INTERP). */
  readonly interpreter: string | undefined;
  /**
   * Where the program headers are in memory, relative to the load bias; undefined if no segment holds them.
   */
  readonly programHeadersAddress: number | undefined;
  readonly programHeaderCount: number;
  /** PT_GNU_STACK asks for a stack that can be executed. */
  readonly executableStack: boolean;
}

export const ELF_HEADER_SIZE = 64;
export const PROGRAM_HEADER_SIZE = 56;
/** Linux reads at most one page of program headers times sixteen. */
const MAX_PROGRAM_HEADERS = Math.floor(65_536 / PROGRAM_HEADER_SIZE);
const PAGE_SIZE = 4096;
/** End of user space with four-level paging. */
const USER_END = 2 ** 47;
/** Alignments beyond this are not honoured: no linker asks for more than a gigabyte page. */
const MAX_ALIGN = 2 ** 30;
const MAX_INTERPRETER_PATH = 4096;
/** Linux's BINPRM_BUF_SIZE: how far the first line of a script is looked at. */
const SCRIPT_LINE_BYTES = 256;

const ELF_MAGIC = [0x7f, 0x45, 0x4c, 0x46];
const Type = { relocatable: 1, executable: 2, dynamic: 3, core: 4 } as const;
const SegmentType = { load: 1, interp: 3, gnuStack: 0x6474_e551 } as const;
const SegmentFlag = { execute: 1, write: 2, read: 4 } as const;
const MACHINE_X86_64 = 62;

/** e_machine values that people meet. */
const MACHINES: Readonly<Record<number, string>> = {
  3: 'i386',
  8: 'MIPS',
  20: '32-bit PowerPC',
  21: '64-bit PowerPC',
  22: 'IBM S/390',
  40: '32-bit Arm',
  183: 'AArch64',
  243: 'RISC-V',
  258: 'LoongArch',
};

/** What people call the machine that `e_machine` names. */
export function machineName(machine: number): string {
  return MACHINES[machine] ?? `machine type ${machine}`;
}

/** Reads and checks the headers. Throws ExecError with one line that says what is wrong. */
export function parseElf(reader: ImageReader, path: string): ElfImage {
  const header = readHeader(reader, path);
  const kind = header.getUint16(16, true) === Type.executable ? 'executable' : 'positionIndependent';
  const entry = u64(header, 24);
  if (entry >= USER_END) throw new ExecError(path, `the entry point ${hex(entry)} is not a user address`);
  const headersOffset = u64(header, 32);
  const headerSize = header.getUint16(54, true);
  const count = header.getUint16(56, true);
  if (headerSize !== PROGRAM_HEADER_SIZE) {
    throw new ExecError(path, `damaged ELF file: program headers of ${headerSize} bytes instead of 56`);
  }
  if (count === 0) throw new ExecError(path, 'has no program headers: an object file that was not linked?');
  if (count > MAX_PROGRAM_HEADERS) throw new ExecError(path, `damaged ELF file: ${count} program headers`);
  const table = readTable(reader, path, headersOffset, count);
  const segments = readSegments(table, count, reader.size(), path);
  return {
    path,
    kind,
    entry,
    segments,
    align: largestAlign(table, count),
    interpreter: readInterpreter(reader, table, count, path),
    programHeadersAddress: addressOfHeaders(segments, headersOffset, count),
    programHeaderCount: count,
    executableStack: asksForExecutableStack(table, count),
  };
}

/** The ELF header, once it says that this is a program for our machine. */
function readHeader(reader: ImageReader, path: string): DataView {
  const bytes = new Uint8Array(SCRIPT_LINE_BYTES);
  const length = readAll(reader, 0, bytes, path);
  if (length === 0) throw new ExecError(path, 'is empty');
  if (bytes[0] === 0x23 && bytes[1] === 0x21) throw scriptError(bytes.subarray(2, length), path);
  if (ELF_MAGIC.some((byte, i) => bytes[i] !== byte)) throw new ExecError(path, 'is not an ELF program');
  if (length < ELF_HEADER_SIZE) throw new ExecError(path, `truncated: ${length} bytes are no ELF header`);
  const header = new DataView(bytes.buffer, 0, ELF_HEADER_SIZE);
  const elfClass = bytes[4];
  const machine = header.getUint16(18, bytes[5] !== 2);
  if (machine !== MACHINE_X86_64) throw new ExecError(path, `is for ${machineName(machine)}, not for x86-64`);
  if (elfClass !== 2) throw new ExecError(path, 'is a 32-bit program: only 64-bit ones can be run');
  if (bytes[5] !== 1) throw new ExecError(path, 'damaged ELF file: x86-64 is little-endian');
  if (bytes[6] !== 1 || header.getUint32(20, true) !== 1) throw new ExecError(path, 'unknown version of ELF');
  const type = header.getUint16(16, true);
  if (type === Type.relocatable) throw new ExecError(path, 'is an object file: link it into a program first');
  if (type === Type.core) throw new ExecError(path, 'is a core dump, not a program');
  if (type !== Type.executable && type !== Type.dynamic)
    throw new ExecError(path, `has unknown ELF type ${type}`);
  return header;
}

function scriptError(line: Uint8Array, path: string): ExecError {
  const end = line.findIndex((byte) => byte === 0x0a || byte === 0);
  const text = Buffer.from(end < 0 ? line : line.subarray(0, end)).toString('utf8');
  const interpreter = text.replaceAll(/[^\x20-\x7e]/g, '?').trim();
  if (interpreter === '') return new ExecError(path, 'is a script that names no interpreter');
  return new ExecError(
    path,
    `is a script: run its interpreter, as in 'hypertick run ${interpreter} ${path}'`,
  );
}

function readTable(reader: ImageReader, path: string, offset: number, count: number): DataView {
  const bytes = new Uint8Array(count * PROGRAM_HEADER_SIZE);
  const isInside = offset + bytes.length <= reader.size();
  if (!isInside || readAll(reader, offset, bytes, path) < bytes.length) {
    throw new ExecError(path, 'truncated: the program headers lie outside the file');
  }
  return new DataView(bytes.buffer);
}

function readSegments(table: DataView, count: number, fileSize: number, path: string): ElfSegment[] {
  const segments: ElfSegment[] = [];
  for (let at = 0; at < count * PROGRAM_HEADER_SIZE; at += PROGRAM_HEADER_SIZE) {
    if (table.getUint32(at, true) !== SegmentType.load) continue;
    const segment = readSegment(table, at);
    checkSegment(segment, fileSize, path);
    if (segment.memorySize > 0) segments.push(segment);
  }
  if (segments.length === 0) throw new ExecError(path, 'has no loadable segments');
  segments.sort((a, b) => a.virtualAddress - b.virtualAddress);
  for (const [i, segment] of segments.entries()) {
    const next = segments[i + 1];
    if (next === undefined || next.virtualAddress >= segment.virtualAddress + segment.memorySize) continue;
    const where = `${hex(segment.virtualAddress)} and ${hex(next.virtualAddress)}`;
    throw new ExecError(path, `damaged ELF file: the segments at ${where} overlap`);
  }
  return segments;
}

function readSegment(table: DataView, at: number): ElfSegment {
  const flags = table.getUint32(at + 4, true);
  return {
    virtualAddress: u64(table, at + 16),
    memorySize: u64(table, at + 40),
    fileOffset: u64(table, at + 8),
    fileSize: u64(table, at + 32),
    readable: (flags & SegmentFlag.read) !== 0,
    writable: (flags & SegmentFlag.write) !== 0,
    executable: (flags & SegmentFlag.execute) !== 0,
  };
}

function checkSegment(segment: ElfSegment, fileSize: number, path: string): void {
  const { virtualAddress, memorySize, fileOffset, fileSize: bytes } = segment;
  const damaged = (problem: string, kind = 'damaged ELF file') => {
    return new ExecError(path, `${kind}: the segment at ${hex(virtualAddress)} ${problem}`);
  };
  if (virtualAddress >= USER_END || virtualAddress + memorySize > USER_END) {
    throw damaged('reaches beyond user addresses');
  }
  if (bytes > memorySize) throw damaged('is larger in the file than in memory');
  if (fileOffset + bytes > fileSize) throw damaged('ends outside the file', 'truncated');
  if (bytes > 0 && fileOffset % PAGE_SIZE !== virtualAddress % PAGE_SIZE) {
    throw damaged(`cannot be mapped from file offset ${hex(fileOffset)}: they differ modulo 4096`);
  }
}

/** The path in PT_INTERP; Linux takes the first if there are several. */
function readInterpreter(
  reader: ImageReader,
  table: DataView,
  count: number,
  path: string,
): string | undefined {
  for (let at = 0; at < count * PROGRAM_HEADER_SIZE; at += PROGRAM_HEADER_SIZE) {
    if (table.getUint32(at, true) !== SegmentType.interp) continue;
    const offset = u64(table, at + 8);
    const size = u64(table, at + 32);
    if (size < 2 || size > MAX_INTERPRETER_PATH) {
      throw new ExecError(path, `damaged ELF file: the loader's path has ${size} bytes`);
    }
    const bytes = new Uint8Array(size);
    if (offset + size > reader.size() || readAll(reader, offset, bytes, path) < size) {
      throw new ExecError(path, "truncated: the loader's path lies outside the file");
    }
    const end = bytes.indexOf(0);
    if (end < 0) throw new ExecError(path, "damaged ELF file: the loader's path has no end");
    if (end === 0) throw new ExecError(path, "damaged ELF file: the loader's path is empty");
    return Buffer.from(bytes.subarray(0, end)).toString('utf8');
  }
  return undefined;
}

/** AT_PHDR: through the segment whose file part holds the headers. */
function addressOfHeaders(
  segments: readonly ElfSegment[],
  offset: number,
  count: number,
): number | undefined {
  const end = offset + count * PROGRAM_HEADER_SIZE;
  const segment = segments.find((s) => s.fileOffset <= offset && end <= s.fileOffset + s.fileSize);
  return segment && segment.virtualAddress + (offset - segment.fileOffset);
}

/** Largest p_align of a PT_LOAD; values that are no power of two are ignored, as Linux does. */
function largestAlign(table: DataView, count: number): number {
  let largest = PAGE_SIZE;
  for (let at = 0; at < count * PROGRAM_HEADER_SIZE; at += PROGRAM_HEADER_SIZE) {
    if (table.getUint32(at, true) !== SegmentType.load) continue;
    const align = u64(table, at + 48);
    if (align <= MAX_ALIGN && Number.isInteger(Math.log2(align))) largest = Math.max(largest, align);
  }
  return largest;
}

/** Without a PT_GNU_STACK header the stack of an x86-64 program is not executable. */
function asksForExecutableStack(table: DataView, count: number): boolean {
  for (let at = 0; at < count * PROGRAM_HEADER_SIZE; at += PROGRAM_HEADER_SIZE) {
    if (table.getUint32(at, true) !== SegmentType.gnuStack) continue;
    return (table.getUint32(at + 4, true) & SegmentFlag.execute) !== 0;
  }
  return false;
}

function readAll(reader: ImageReader, offset: number, bytes: Uint8Array, path: string): number {
  const length = reader.readInto(offset, bytes);
  if (length < 0) throw new ExecError(path, `cannot be read (error ${-length})`, 'EIO');
  return length;
}

/** Exact below 2^53; larger values stay larger than any limit they are compared with. */
function u64(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
}

function hex(n: number): string {
  return `0x${n.toString(16)}`;
}
