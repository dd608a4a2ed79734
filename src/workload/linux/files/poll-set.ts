/**
 * A set of descriptors whose readiness is asked for: the common part of poll(2) and select(2).
 */

import type { HostFiles } from '../../../host/files.ts';
import { Poll } from '../../../host/files-abi.ts';
import type { HostReadiness } from '../syscall.ts';
import type { OpenFile } from './open-file.ts';
import type { ProcessFiles } from './process-files.ts';

/** What files that never wait are always ready for. */
const ALWAYS_READY = Poll.IN | Poll.OUT | Poll.RDNORM | Poll.WRNORM;
const POLLFD_BYTES = 8;

export class PollSet {
  /** What was found for each descriptor, in the order of `add`. */
  readonly ready: number[] = [];
  readonly #host: HostFiles;
  readonly #files: ProcessFiles;
  readonly #open: (OpenFile | undefined)[] = [];
  readonly #events: number[] = [];
  readonly #ignored: boolean[] = [];
  #pollfds = new DataView(new ArrayBuffer(0));

  constructor(files: ProcessFiles) {
    this.#files = files;
    this.#host = files.host;
  }

  /** Adds a descriptor; a negative one is never ready, one that is not open is POLLNVAL. */
  add(fd: number, events: number): void {
    const file = fd < 0 ? undefined : this.#files.table.get(fd);
    this.#open.push(file?.kind === 'path' ? undefined : file);
    this.#events.push(events);
    this.#ignored.push(fd < 0);
    this.ready.push(0);
  }

  /** Whether a descriptor that was added is not open. */
  get hasClosed(): boolean {
    return this.#open.some((file, i) => file === undefined && !this.#ignored[i]);
  }

  /** Asks the host, without waiting. Returns how many descriptors are ready. */
  check(): number {
    const pollfds = this.#fill();
    if (pollfds.byteLength > 0) this.#host.poll(new Uint8Array(pollfds.buffer));
    let count = 0;
    for (let i = 0; i < this.ready.length; i++) {
      this.ready[i] = this.#readyAt(i, pollfds.getUint16(POLLFD_BYTES * i + 6, true));
      if (this.ready[i] !== 0) count++;
    }
    return count;
  }

  /** For the scheduler: what to wait for. */
  get hostFds(): HostReadiness[] {
    const waits: HostReadiness[] = [];
    for (const [i, file] of this.#open.entries()) {
      if (file !== undefined && file.hostFd >= 0) waits.push({ fd: file.hostFd, events: this.#events[i]! });
    }
    return waits;
  }

  /** The descriptors stay open on the host while a call waits for them. */
  retain(): void {
    for (const file of this.#open) file?.retain();
  }

  release(): void {
    for (const file of this.#open) file?.release();
  }

  #fill(): DataView {
    if (this.#pollfds.byteLength === 0) {
      this.#pollfds = new DataView(new ArrayBuffer(POLLFD_BYTES * this.#open.length));
    }
    for (const [i, file] of this.#open.entries()) {
      this.#pollfds.setInt32(POLLFD_BYTES * i, file?.hostFd ?? -1, true);
      this.#pollfds.setUint32(POLLFD_BYTES * i + 4, this.#events[i]!, true);
    }
    return this.#pollfds;
  }

  #readyAt(i: number, hostReady: number): number {
    const file = this.#open[i];
    if (file === undefined) return this.#ignored[i] ? 0 : Poll.NVAL;
    return file.kind === 'listing' ? this.#events[i]! & ALWAYS_READY : hostReady;
  }
}
