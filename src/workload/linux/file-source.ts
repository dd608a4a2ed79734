/**
 * What the address space asks of a file that is mapped: bytes by offset, straight into host memory. Whoever
 * opens files implements it; mmap(2) and the program loader hand it over.
 */

/** Who a mapped file is, as /proc/self/maps shows it and as shared mappings of one file find each other. */
export interface FileIdentity {
  /** Absolute path in the guest's view. */
  readonly path: string;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  /** Exact below 2^53. */
  readonly inode: number;
}

/**
 * An open file behind a mapping. `AddressSpace.mmap` takes it over, also when it fails: `close` is called
 * once the last mapping that uses this object is gone. The object stays usable after the guest closes its
 * descriptor.
 */
export interface FileSource {
  readonly identity: FileIdentity;
  /** Current size in bytes: a page that begins at or after it raises SIGBUS. */
  size(): number;
  /**
   * Reads `length` bytes at `offset` to the host address `pointer`. Returns the bytes read, fewer only at the
   * end of the file, or −errno.
   */
  read(offset: number, pointer: bigint, length: number): number;
  /** The same into a buffer: for headers, which are looked at and not mapped. */
  readInto(offset: number, bytes: Uint8Array): number;
  /** Whether it was opened for writing: else it cannot be mapped shared and writable. */
  readonly isWritable: boolean;
  /**
   * Writes back what a shared mapping changed, never beyond `size()`. Returns the bytes written or −errno.
   */
  writeBack(offset: number, pointer: bigint, length: number): number;
  /** Called once. */
  close(): void;
}

/** Key of a file in a Map: equal for the same file, however it was opened. */
export function fileKey(file: FileIdentity): string {
  return `${file.deviceMajor}:${file.deviceMinor}:${file.inode}`;
}
