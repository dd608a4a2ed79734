/*
 * Machine code of our own as a native function: the smallest shared object that the dynamic linker takes, made in memory.
 * For the few places where what the C library puts around a system call is felt.
 *
 *   ELF header, program headers, symbol hash table, symbols, names, code     read, execute
 *   dynamic section, in which the linker writes: mapped once more, a page on  read, write
 *
 * Source: System V ABI, chapters 4 and 5; AMD64 supplement, chapter 5.
 */
import { closeSync, writeSync } from 'node:fs';
import { Errno, HostError } from './errors.ts';
import {
  type ArgumentType,
  bind,
  lastError,
  type NativeFunction,
  type ResultType,
  resolveIn,
} from './ffi.ts';

const MFD_CLOEXEC = 1;
const PAGE = 0x1000;
const HEADER_BYTES = 64;
const PROGRAM_HEADER_BYTES = 56;
const SYMBOL_BYTES = 24;
const DYNAMIC_ENTRY_BYTES = 16;
const ET_DYN = 3;
const EM_X86_64 = 62;
const Segment = { LOAD: 1, DYNAMIC: 2, GNU_STACK: 0x6474_e551 } as const;
const Access = { X: 1, W: 2, R: 4 } as const;
const Dynamic = { HASH: 4, STRTAB: 5, SYMTAB: 6, STRSZ: 10, SYMENT: 11 } as const;
const GLOBAL_FUNCTION = 0x12;

/** The host does not let this process have code of its own making. */
export class MachineCodeRefusedError extends Error {
  override readonly name = 'MachineCodeRefusedError';
}

/**
 * Makes position-independent x86-64 code callable.
 * @param name of the function, for the linker
 * @throws MachineCodeRefusedError by a policy (SELinux's execmod), a limit on the size of files, a lack of descriptors
 */
export function machineCode<const A extends readonly ArgumentType[], R extends ResultType>(
  name: string,
  code: Uint8Array,
  args: A,
  result: R,
): NativeFunction<A, R> {
  const create = bind('memfd_create', ['pointer', 'uint32'], 'int32');
  const image = sharedObject(name, code);
  const fd = create(name, MFD_CLOEXEC);
  if (fd < 0) throw refused(name, lastError('memfd_create'));
  try {
    // What is mapped and not there would end the process.
    if (writeSync(fd, image) < image.length) throw new HostError('write(memfd)', Errno.EFBIG);
    // It stays open: by the path, with its number, the linker knows the object from others.
    return resolveIn(`/proc/self/fd/${fd}`, name, args, result);
  } catch (error) {
    closeSync(fd);
    throw refused(name, error);
  }
}

/** What the host said becomes a refusal; anything else is our own mistake. */
function refused(name: string, error: unknown): unknown {
  const isOfHost = error instanceof HostError || typeof (error as NodeJS.ErrnoException).code === 'string';
  return isOfHost ? new MachineCodeRefusedError(`no machine code for ${name}`, { cause: error }) : error;
}

/** An ELF shared object with one function; `code` fits into what the tables leave of a page. */
export function sharedObject(name: string, code: Uint8Array): Uint8Array {
  const names = new TextEncoder().encode(`\0${name}\0`);
  const headersEnd = HEADER_BYTES + 4 * PROGRAM_HEADER_BYTES;
  const hashAt = headersEnd;
  const symbolsAt = hashAt + 24;
  const namesAt = symbolsAt + 2 * SYMBOL_BYTES;
  const codeAt = Math.ceil((namesAt + names.length) / 16) * 16;
  const dynamicAt = Math.ceil((codeAt + code.length) / 16) * 16;
  const dynamicAddress = PAGE + dynamicAt;
  if (dynamicAt > PAGE - 6 * DYNAMIC_ENTRY_BYTES) throw new RangeError(`${name}: more than a page of code`);
  const dynamic = [
    [Dynamic.HASH, hashAt],
    [Dynamic.STRTAB, namesAt],
    [Dynamic.SYMTAB, symbolsAt],
    [Dynamic.STRSZ, names.length],
    [Dynamic.SYMENT, SYMBOL_BYTES],
    [0, 0],
  ] as const;
  const dynamicBytes = dynamic.length * DYNAMIC_ENTRY_BYTES;
  const image = new Uint8Array(dynamicAt + dynamicBytes);
  const view = new DataView(image.buffer);
  const u16 = (at: number, value: number): void => view.setUint16(at, value, true);
  const u32 = (at: number, value: number): void => view.setUint32(at, value, true);
  const u64 = (at: number, value: number): void => view.setBigUint64(at, BigInt(value), true);

  // 64-bit, little-endian, version 1.
  image.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  u16(16, ET_DYN);
  u16(18, EM_X86_64);
  u32(20, 1);
  u64(32, HEADER_BYTES);
  u16(52, HEADER_BYTES);
  u16(54, PROGRAM_HEADER_BYTES);
  u16(56, 4);

  const segments = [
    [Segment.LOAD, Access.R | Access.X, 0, 0, codeAt + code.length],
    [Segment.LOAD, Access.R | Access.W, dynamicAt, dynamicAddress, dynamicBytes],
    [Segment.DYNAMIC, Access.R | Access.W, dynamicAt, dynamicAddress, dynamicBytes],
    // Says that the stack need not be executable.
    [Segment.GNU_STACK, Access.R | Access.W, 0, 0, 0],
  ] as const;
  for (const [i, [type, access, at, address, sizeBytes]] of segments.entries()) {
    const header = HEADER_BYTES + i * PROGRAM_HEADER_BYTES;
    u32(header, type);
    u32(header + 4, access);
    u64(header + 8, at);
    for (const field of [16, 24]) u64(header + field, address);
    for (const field of [32, 40]) u64(header + field, sizeBytes);
    u64(header + 48, type === Segment.LOAD ? PAGE : 8);
  }

  // One bucket, a chain of one symbol.
  for (const [i, word] of [1, 2, 1, 0, 0].entries()) u32(hashAt + 4 * i, word);
  const symbol = symbolsAt + SYMBOL_BYTES;
  u32(symbol, 1);
  image[symbol + 4] = GLOBAL_FUNCTION;
  u16(symbol + 6, 1);
  u64(symbol + 8, codeAt);
  u64(symbol + 16, code.length);
  image.set(names, namesAt);
  image.set(code, codeAt);
  for (const [i, [tag, value]] of dynamic.entries()) {
    u64(dynamicAt + i * DYNAMIC_ENTRY_BYTES, tag);
    u64(dynamicAt + i * DYNAMIC_ENTRY_BYTES + 8, value);
  }
  return image;
}
