/**
 * An open file description: what descriptors that were duplicated from one another share (open(2)).
 * It owns one host descriptor, and the status flags that the guest sees but the host's description must not get.
 */
import type { HostFiles } from '../../../host/files.ts';
import { OpenFlag } from './abi.ts';
import type { MemoryQuota } from './memory-quota.ts';
import type { VirtualNode } from './virtual-files.ts';

/**
 * What a description can do:
 * - `regular`, `directory`: host files that never block;
 * - `device`: devices that never block either, such as `/dev/zero`, but that have no contents to map or copy;
 * - `stream`: pipes, terminals, sockets, event counters, other devices: reading and writing may have to wait;
 * - `path`: made with O_PATH, good for lookups and `fstat` only;
 * - `listing`: a directory that exists only for the program, such as `/proc/self/fd`.
 */
export type OpenFileKind = 'regular' | 'directory' | 'device' | 'stream' | 'path' | 'listing';

/** One line of a `listing`. */
export interface ListedName {
  readonly name: string;
  /** `DirentType` value. */
  readonly type: number;
}

export interface OpenFileOptions {
  readonly hostFd: number;
  readonly kind: OpenFileKind;
  /** Flags as open(2) got them; creation flags are dropped. */
  readonly flags: number;
  /** The simulator's own descriptor, handed on to the program: never closed, its host flags never changed. */
  readonly inherited?: boolean;
  /** Name under which the program opened it, absolute; '' if it has none. */
  readonly path?: string;
  /** Set for files that the simulator made up. */
  readonly node?: VirtualNode | undefined;
  /** Set for files in memory. */
  readonly quota?: MemoryQuota | undefined;
}

export class OpenFile {
  readonly hostFd: number;
  readonly kind: OpenFileKind;
  readonly inherited: boolean;
  readonly path: string;
  readonly node: VirtualNode | undefined;
  readonly quota: MemoryQuota | undefined;
  /** Next entry of a `listing`. */
  listingPosition = 0;
  /** Access mode and status flags, as F_GETFL reports them. O_NONBLOCK exists here only. */
  flags: number;
  /** Who gets SIGIO (F_SETOWN); remembered, never sent. */
  owner = 0;
  /**
   * Whether the host can be asked not to wait on this inherited descriptor (RWF_NOWAIT): pipes yes, terminals no.
   */
  noWait = true;
  readonly #host: HostFiles;
  #references = 1;
  #names: readonly ListedName[] = [];

  constructor(host: HostFiles, options: OpenFileOptions) {
    this.#host = host;
    this.hostFd = options.hostFd;
    this.kind = options.kind;
    this.flags = options.flags & ~OpenFlag.CREATION;
    this.inherited = options.inherited ?? false;
    this.path = options.path ?? '';
    this.node = options.node;
    this.quota = options.quota;
  }

  /** Names of a `listing`: as they are when it is read from its beginning. */
  get names(): readonly ListedName[] {
    if (this.listingPosition === 0 && this.node?.kind === 'listing') this.#names = this.node.names();
    return this.#names;
  }

  get readable(): boolean {
    return this.kind !== 'path' && (this.flags & OpenFlag.ACCMODE) !== OpenFlag.WRONLY;
  }

  get writable(): boolean {
    return this.kind !== 'path' && (this.flags & OpenFlag.ACCMODE) !== OpenFlag.RDONLY;
  }

  get nonBlocking(): boolean {
    return (this.flags & OpenFlag.NONBLOCK) !== 0;
  }

  /** 0, or why `bytes` more may not be written: asked before everything that makes the file take more room. */
  refusesGrowth(bytes: number): number {
    return this.quota === undefined ? 0 : this.quota.admit(this.hostFd, bytes);
  }

  /** Another holder: a duplicated descriptor, a mapping. */
  retain(): this {
    this.#references++;
    return this;
  }

  /** One holder less; the last one closes the host descriptor. Returns 0 or the negative errno of that close. */
  release(): number {
    this.#references--;
    if (this.#references > 0 || this.inherited || this.hostFd < 0) return 0;
    this.quota?.forget(this.hostFd);
    return this.#host.close(this.hostFd);
  }
}
