/**
 * How much of the host's memory the program's files in memory may take, memfd_create(2) and the simulator's own. They
 * live in the host's RAM and not in the guest's, which bounds all else that the program has.
 */
import type { HostFiles } from '../../../host/files.ts';
import { AtFlag, STATX, STATX_ALL } from '../../../host/files-abi.ts';
import { Errno } from '../errno.ts';

/** st_blocks counts in these. */
const BLOCK_BYTES = 512;

export class MemoryQuota {
  readonly #host: HostFiles;
  readonly #limitBytes: number;
  /** What each open file took when it was last looked at, by its host descriptor. */
  readonly #taken = new Map<number, number>();
  #totalBytes = 0;

  /** @param limitBytes for all files together */
  constructor(host: HostFiles, limitBytes: number) {
    this.#host = host;
    this.#limitBytes = limitBytes;
  }

  /** 0 if the file may take `bytes` more, or −ENOSPC, as on a memory file system that is full. */
  admit(hostFd: number, bytes: number): number {
    const result = this.#host.statx(hostFd, '', AtFlag.EMPTY_PATH, STATX_ALL);
    if (result < 0) return result;
    const present = Number(this.#host.view.getBigUint64(STATX.blocks, true)) * BLOCK_BYTES;
    this.#set(hostFd, present);
    if (this.#totalBytes + bytes > this.#limitBytes) return -Errno.ENOSPC;
    this.#set(hostFd, present + bytes);
    return 0;
  }

  /** The file is closed. */
  forget(hostFd: number): void {
    this.#set(hostFd, 0);
    this.#taken.delete(hostFd);
  }

  #set(hostFd: number, bytes: number): void {
    this.#totalBytes += bytes - (this.#taken.get(hostFd) ?? 0);
    this.#taken.set(hostFd, bytes);
  }
}
