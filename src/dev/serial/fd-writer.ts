/** Writes bytes to a descriptor: all of them, in order, waiting for a slow reader, until it fails for good. */
import { writeSync } from 'node:fs';
import { errnoOf, reasonFor } from '../../sim/output-file.ts';

/** What `write` answers while the reader of a non-blocking descriptor is behind, and after a signal. */
const TRANSIENT = new Set(['EAGAIN', 'EINTR']);
const RETRY_MS = 1;

export class FdWriter {
  readonly #fd: number;
  readonly #name: string;
  readonly #onFailure: (message: string) => void;
  readonly #sleeper = new Int32Array(new SharedArrayBuffer(4));
  #hasFailed = false;

  /**
   * @param name of the file, for the message
   * @param onFailure hears once that output is lost from here on, and why
   */
  constructor(fd: number, name: string, onFailure: (message: string) => void) {
    this.#fd = fd;
    this.#name = name;
    this.#onFailure = onFailure;
  }

  write(bytes: Uint8Array): void {
    let done = 0;
    while (done < bytes.length && !this.#hasFailed) done += this.#attempt(bytes.subarray(done));
  }

  /** Bytes written; 0 after a pause if the reader is behind. */
  #attempt(bytes: Uint8Array): number {
    try {
      return writeSync(this.#fd, bytes);
    } catch (error) {
      const code = errnoOf(error);
      if (code === undefined) throw error;
      if (TRANSIENT.has(code)) Atomics.wait(this.#sleeper, 0, 0, RETRY_MS);
      else this.#fail(reasonFor(code));
      return 0;
    }
  }

  #fail(reason: string): void {
    this.#hasFailed = true;
    this.#onFailure(`cannot write ${this.#name}: ${reason}; the rest of the output is lost`);
  }
}
