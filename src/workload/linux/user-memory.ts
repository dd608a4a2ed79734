/**
 * The process's memory as system calls see it (the kernel's copy_from_user and copy_to_user): addresses are
 * Numbers, faults on demand are resolved here, and a bad address is a GuestFault, which a system call answers
 * with EFAULT.
 */
import type { PhysAddr } from '../../mem/addr.ts';
import type { PhysicalMemory } from '../../mem/physical-memory.ts';
import type { AddressSpace, FaultSignal } from './address-space.ts';
import { PAGE_SIZE } from './vma.ts';

/** An access to user memory that the process could not have made either. */
export class GuestFault extends Error {
  override readonly name = 'GuestFault';
  readonly fault: FaultSignal;

  constructor(fault: FaultSignal) {
    super(`${fault.signal} (${fault.code}) at 0x${fault.address.toString(16)}`);
    this.fault = fault;
  }
}

/** A piece of user memory that is contiguous on the host. */
export interface HostSpan {
  readonly pointer: bigint;
  readonly length: number;
}

const TWO_32 = 0x1_0000_0000;
/** PATH_MAX */
const MAX_PATH = 4096;
/** From this size on a copy is made only after looking whether the span exists at all. */
const LARGE = 2 ** 20;
/** Translations remembered, by page number modulo this; readable pages and writable ones apart. */
const CACHE_SIZE = 256;
/** Making a page present can evict pages made present just before, but hardly again and again. */
const MAX_ATTEMPTS = 4;

export class UserMemory {
  readonly #space: AddressSpace;
  readonly #memory: PhysicalMemory;
  /**
   * Slots `[0, CACHE_SIZE)` hold pages to read, the rest pages to write: virtual page and its frame's
   * address. Empty ones hold NaN, which no page number equals: not even that of an address below zero.
   */
  readonly #pages = new Float64Array(2 * CACHE_SIZE).fill(Number.NaN);
  readonly #frames = new Float64Array(2 * CACHE_SIZE);
  #generation = -1;

  constructor(space: AddressSpace, memory: PhysicalMemory) {
    this.#space = space;
    this.#memory = memory;
  }

  /** A copy of `length` bytes. Throws GuestFault, like everything here. */
  read(va: number, length: number): Uint8Array {
    if (length > LARGE) this.#checkAccessible(va, length);
    const bytes = new Uint8Array(length);
    this.readInto(va, bytes);
    return bytes;
  }

  readInto(va: number, bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; ) {
      const length = pieceOf(va + done, bytes.length - done);
      const pa = this.#translate(va + done, false);
      this.#memory.read(pa, bytes.subarray(done, done + length));
      done += length;
    }
  }

  /** Nothing is written beyond the first bad address; what lies before it may be. */
  write(va: number, bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; ) {
      const length = pieceOf(va + done, bytes.length - done);
      const pa = this.#translate(va + done, true);
      this.#memory.write(pa, bytes.subarray(done, done + length));
      done += length;
    }
  }

  fill(va: number, length: number, byte: number): void {
    for (let done = 0; done < length; ) {
      const piece = pieceOf(va + done, length - done);
      this.#memory.fill(this.#translate(va + done, true), piece, byte);
      done += piece;
    }
  }

  readU8(va: number): number {
    return this.#memory.readU8(this.#translate(va, false));
  }

  readU16(va: number): number {
    if (!isWithinPage(va, 2)) return this.readU8(va) + this.readU8(va + 1) * 0x100;
    return this.#memory.readU16(this.#translate(va, false));
  }

  readU32(va: number): number {
    if (!isWithinPage(va, 4)) return this.readU16(va) + this.readU16(va + 2) * 0x1_0000;
    return this.#memory.readU32(this.#translate(va, false));
  }

  readI32(va: number): number {
    return this.readU32(va) | 0;
  }

  readU64(va: number): bigint {
    if (!isWithinPage(va, 8)) return BigInt(this.readU32(va)) | (BigInt(this.readU32(va + 4)) << 32n);
    return this.#memory.readU64(this.#translate(va, false));
  }

  readI64(va: number): bigint {
    return BigInt.asIntN(64, this.readU64(va));
  }

  /** Unsigned 64 bits as a Number: exact below 2^53, as all user addresses and sizes are. */
  readAddress(va: number): number {
    return this.readU32(va) + this.readU32(va + 4) * TWO_32;
  }

  /** Signed 64 bits as a Number: exact between −2^53 and 2^53. */
  readNumber64(va: number): number {
    return this.readU32(va) + this.readI32(va + 4) * TWO_32;
  }

  writeU8(va: number, value: number): void {
    this.#memory.writeU8(this.#translate(va, true), value);
  }

  writeU16(va: number, value: number): void {
    if (isWithinPage(va, 2)) this.#memory.writeU16(this.#translate(va, true), value);
    else {
      this.writeU8(va, value);
      this.writeU8(va + 1, value >>> 8);
    }
  }

  writeU32(va: number, value: number): void {
    if (isWithinPage(va, 4)) this.#memory.writeU32(this.#translate(va, true), value);
    else {
      this.writeU16(va, value);
      this.writeU16(va + 2, value >>> 16);
    }
  }

  writeI32(va: number, value: number): void {
    this.writeU32(va, value);
  }

  /** The low 64 bits of `value`, so that negative numbers are two's complement. */
  writeU64(va: number, value: bigint): void {
    if (isWithinPage(va, 8)) this.#memory.writeU64(this.#translate(va, true), value);
    else {
      this.writeU32(va, Number(BigInt.asUintN(32, value)));
      this.writeU32(va + 4, Number(BigInt.asUintN(32, value >> 32n)));
    }
  }

  /** A whole Number as 64 bits, two's complement; exact between −2^53 and 2^53. */
  writeNumber64(va: number, value: number): void {
    this.writeU32(va, value % TWO_32);
    this.writeU32(va + 4, Math.floor(value / TWO_32));
  }

  /** The bytes before the terminating NUL; undefined if there is none within `maxBytes` (ENAMETOOLONG). */
  readCString(va: number, maxBytes = MAX_PATH): Uint8Array | undefined {
    const pieces: Uint8Array[] = [];
    for (let done = 0; done < maxBytes; ) {
      const bytes = this.read(va + done, pieceOf(va + done, maxBytes - done));
      const end = bytes.indexOf(0);
      pieces.push(end < 0 ? bytes : bytes.subarray(0, end));
      if (end >= 0) return pieces.length === 1 ? pieces[0] : Buffer.concat(pieces);
      done += bytes.length;
    }
    return undefined;
  }

  /**
   * Host pointers to `[va, va + length)`, pages made present, contiguous ones merged. They are good until the
   * next call into user memory or the address space.
   */
  spans(va: number, length: number, access: 'read' | 'write'): HostSpan[] {
    const { spans, fault } = this.#collect(va, length, access);
    if (fault !== undefined) throw new GuestFault(fault);
    return spans;
  }

  /**
   * Like `spans`, but ends before the first bad address: what a partial read(2) or write(2) may still use.
   */
  spansUntilFault(va: number, length: number, access: 'read' | 'write'): HostSpan[] {
    return this.#collect(va, length, access).spans;
  }

  /** Whether every byte can be accessed. */
  isAccessible(va: number, length: number, access: 'read' | 'write'): boolean {
    return this.#collect(va, length, access).fault === undefined;
  }

  #collect(va: number, length: number, access: 'read' | 'write'): { spans: HostSpan[]; fault?: FaultSignal } {
    for (let attempt = 1; ; attempt++) {
      const before = this.#space.generation;
      const result = this.#collectOnce(va, length, access);
      if (this.#space.generation === before) return result;
      if (attempt === MAX_ATTEMPTS) {
        return { spans: [], fault: { signal: 'SIGKILL', code: 'SI_KERNEL', address: va } };
      }
    }
  }

  #collectOnce(
    va: number,
    length: number,
    access: 'read' | 'write',
  ): { spans: HostSpan[]; fault?: FaultSignal } {
    const spans: HostSpan[] = [];
    let start = 0;
    let end = -1;
    const emit = () => {
      if (end < 0) return;
      const pointer = this.#memory.pointer(start as PhysAddr, end - start, access);
      spans.push({ pointer, length: end - start });
    };
    for (let done = 0; done < length; ) {
      const piece = pieceOf(va + done, length - done);
      const pa = this.#lookUp(va + done, access === 'write');
      if (typeof pa !== 'number') {
        emit();
        return { spans, fault: pa };
      }
      if (pa !== end) {
        emit();
        start = pa;
      }
      end = pa + piece;
      done += piece;
    }
    emit();
    return { spans };
  }

  /** Physical address of the byte at `va`. Hot path. */
  #translate(va: number, write: boolean): PhysAddr {
    const pa = this.#lookUp(va, write);
    if (typeof pa !== 'number') throw new GuestFault(pa);
    return pa;
  }

  #lookUp(va: number, write: boolean): PhysAddr | FaultSignal {
    if (this.#generation !== this.#space.generation) this.#forget();
    const page = Math.floor(va / PAGE_SIZE);
    const slot = (page % CACHE_SIZE) + (write ? CACHE_SIZE : 0);
    const offset = va - page * PAGE_SIZE;
    if (this.#pages[slot] === page) return (this.#frames[slot]! + offset) as PhysAddr;
    const pa = this.#space.resolve(va, write);
    if (typeof pa === 'number') {
      if (this.#generation !== this.#space.generation) this.#forget();
      this.#pages[slot] = page;
      this.#frames[slot] = pa - offset;
    }
    return pa;
  }

  #forget(): void {
    this.#pages.fill(Number.NaN);
    this.#generation = this.#space.generation;
  }

  /** Before a buffer of a size that the guest chose is allocated. */
  #checkAccessible(va: number, length: number): void {
    const { fault } = this.#collect(va, length, 'read');
    if (fault !== undefined) throw new GuestFault(fault);
  }
}

function isWithinPage(va: number, size: number): boolean {
  return (va % PAGE_SIZE) + size <= PAGE_SIZE;
}

/** Length of the piece of `length` bytes at `va` that lies in one page. */
function pieceOf(va: number, length: number): number {
  return Math.min(length, PAGE_SIZE - (va % PAGE_SIZE));
}
