/** The bytes of an image, read little-endian with every offset checked: what a damaged file says is never trusted. */
import { ExecError } from '../elf.ts';

export class ImageBytes {
  readonly bytes: Uint8Array;
  readonly name: string;
  readonly #view: DataView;

  constructor(bytes: Uint8Array, name: string) {
    this.bytes = bytes;
    this.name = name;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get sizeBytes(): number {
    return this.bytes.length;
  }

  /** The error for this image: it cannot be started because of `problem`. */
  error(problem: string): ExecError {
    return new ExecError(this.name, problem);
  }

  u8(at: number): number {
    return this.#view.getUint8(this.#inside(at, 1));
  }

  u16(at: number): number {
    return this.#view.getUint16(this.#inside(at, 2), true);
  }

  u32(at: number): number {
    return this.#view.getUint32(this.#inside(at, 4), true);
  }

  /** Exact below 2^53; a larger value stays larger than any limit it is compared with. */
  u64(at: number): number {
    return this.u32(at) + this.u32(at + 4) * 2 ** 32;
  }

  /** A view of `sizeBytes` bytes; `what` is what the message calls them. */
  slice(at: number, sizeBytes: number, what: string): Uint8Array {
    if (!this.has(at, sizeBytes)) {
      throw this.error(`truncated: ${what} ends outside the file of ${this.sizeBytes} bytes`);
    }
    return this.bytes.subarray(at, at + sizeBytes);
  }

  has(at: number, sizeBytes: number): boolean {
    return at >= 0 && sizeBytes >= 0 && at + sizeBytes <= this.sizeBytes;
  }

  /** Whether the file has the characters of `text` at this offset. */
  startsWith(text: string, at = 0): boolean {
    if (!this.has(at, text.length)) return false;
    for (let i = 0; i < text.length; i++) if (this.bytes[at + i] !== text.charCodeAt(i)) return false;
    return true;
  }

  #inside(at: number, sizeBytes: number): number {
    if (!this.has(at, sizeBytes)) {
      throw this.error(`truncated: its headers end outside the file of ${this.sizeBytes} bytes`);
    }
    return at;
  }
}
