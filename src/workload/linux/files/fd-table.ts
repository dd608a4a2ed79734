/**
 * The process's descriptor table: guest descriptor number → open file description and close-on-exec flag.
 * POSIX: a new descriptor is the lowest number that is free.
 */
import { Errno } from '../errno.ts';
import type { OpenFile } from './open-file.ts';

interface Slot {
  file: OpenFile;
  closeOnExec: boolean;
}

export class FdTable {
  readonly #slots: (Slot | undefined)[] = [];
  readonly #limit: () => number;
  /** All numbers below this are taken: where the search for a free one begins. */
  #noneFreeBelow = 0;

  /** @param limit RLIMIT_NOFILE's soft value: descriptors are below it */
  constructor(limit: () => number) {
    this.#limit = limit;
  }

  /** The open file behind a descriptor, or undefined (EBADF). */
  get(fd: number): OpenFile | undefined {
    return this.#slots[fd]?.file;
  }

  /**
   * Installs a description at the lowest free number that is at least `from`, taking over the caller's reference.
   * Returns the number, or −EMFILE (then the reference is released).
   */
  install(file: OpenFile, closeOnExec: boolean, from = 0): number {
    let fd = Math.max(from, this.#noneFreeBelow);
    while (this.#slots[fd] !== undefined) fd++;
    if (from <= this.#noneFreeBelow) this.#noneFreeBelow = fd;
    if (fd >= this.#limit()) {
      file.release();
      return -Errno.EMFILE;
    }
    this.#slots[fd] = { file, closeOnExec };
    return fd;
  }

  /** Puts a description at this very number (dup2); what was there is released. Takes over the reference. */
  replace(fd: number, file: OpenFile, closeOnExec: boolean): number {
    if (fd < 0 || fd >= this.#limit()) {
      file.release();
      return -Errno.EBADF;
    }
    this.#slots[fd]?.file.release();
    this.#slots[fd] = { file, closeOnExec };
    return fd;
  }

  closeOnExec(fd: number): boolean {
    return this.#slots[fd]?.closeOnExec ?? false;
  }

  setCloseOnExec(fd: number, value: boolean): void {
    const slot = this.#slots[fd];
    if (slot !== undefined) slot.closeOnExec = value;
  }

  /** Returns 0 or a negative errno, as close(2). */
  close(fd: number): number {
    const slot = this.#slots[fd];
    if (slot === undefined) return -Errno.EBADF;
    this.#slots[fd] = undefined;
    this.#noneFreeBelow = Math.min(this.#noneFreeBelow, fd);
    return slot.file.release();
  }

  /** Open descriptor numbers, ascending. */
  numbers(): number[] {
    const open: number[] = [];
    for (let fd = 0; fd < this.#slots.length; fd++) if (this.#slots[fd] !== undefined) open.push(fd);
    return open;
  }

  /** The process is gone. */
  closeAll(): void {
    for (const fd of this.numbers()) this.close(fd);
  }
}
