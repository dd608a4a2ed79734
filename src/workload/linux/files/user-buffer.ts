/**
 * The memory that a read or a write is about: one buffer, or the array of readv(2) and writev(2), seen as one run
 * of bytes. It hands out host addresses piece by piece, so that data moves between file and guest RAM directly.
 */
import { MAX_SPANS, type Span } from '../../../host/files.ts';
import { Errno } from '../errno.ts';
import type { UserMemory } from '../user-memory.ts';

/** The kernel moves at most this much in one call (MAX_RW_COUNT). */
const MAX_TRANSFER = 0x7fff_f000;
const MAX_SIZE = 2 ** 63;

interface Part {
  readonly va: number;
  readonly length: number;
}

export class UserBuffer {
  /** Bytes in all. */
  readonly length: number;
  readonly #memory: UserMemory;
  readonly #parts: readonly Part[];

  private constructor(memory: UserMemory, parts: readonly Part[], length: number) {
    this.#memory = memory;
    this.#parts = parts;
    this.length = length;
  }

  static of(memory: UserMemory, va: number, length: number): UserBuffer {
    const bytes = Math.min(length, MAX_TRANSFER);
    return new UserBuffer(memory, [{ va, length: bytes }], bytes);
  }

  /** From an array of struct iovec; −EINVAL if there are too many elements or a length is negative. */
  static fromIovec(memory: UserMemory, va: number, count: number): UserBuffer | number {
    if (count < 0 || count > MAX_SPANS) return -Errno.EINVAL;
    const parts: Part[] = [];
    let total = 0;
    for (let i = 0; i < count; i++) {
      const length = memory.readAddress(va + 16 * i + 8);
      if (length >= MAX_SIZE) return -Errno.EINVAL;
      const bytes = Math.min(length, MAX_TRANSFER - total);
      if (bytes > 0) parts.push({ va: memory.readAddress(va + 16 * i), length: bytes });
      total += bytes;
    }
    return new UserBuffer(memory, parts, total);
  }

  /**
   * Host addresses of up to `maxBytes` bytes from position `from` on. Fewer before a bad address, none at one.
   * @param access what the host will do to the memory
   */
  spans(from: number, maxBytes: number, access: 'read' | 'write'): Span[] {
    const found: Span[] = [];
    let skip = from;
    let wanted = Math.min(maxBytes, this.length - from);
    for (const { va, length } of this.#parts) {
      if (wanted === 0) break;
      const bytes = Math.min(length - skip, wanted);
      if (bytes > 0) {
        let got = 0;
        for (const span of this.#memory.spansUntilFault(va + skip, bytes, access)) {
          if (found.length === MAX_SPANS) return found;
          found.push(span);
          got += span.length;
        }
        if (got < bytes) return found;
        wanted -= bytes;
      }
      skip = Math.max(0, skip - length);
    }
    return found;
  }
}

/** Bytes in a list of spans. */
export function spanBytes(spans: readonly Span[]): number {
  let bytes = 0;
  for (const span of spans) bytes += span.length;
  return bytes;
}
