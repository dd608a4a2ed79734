/**
 * Shared mappings keep pages of their file in guest RAM, apart from the host's page cache. Here the two are made to
 * agree around everything that the host does to a file's data by descriptor. mmap(2), MAP_SHARED.
 */
import type { HostFiles } from '../../../host/files.ts';
import type { SyscallCall } from '../syscall.ts';
import { OpenFlag, SEEK_CUR } from './abi.ts';
import { identityOf } from './mapped-file.ts';
import type { OpenFile } from './open-file.ts';
import { AT_POSITION } from './transfer.ts';

type Process = SyscallCall['process'];
type HostFile = Pick<OpenFile, 'hostFd' | 'flags'>;

/** Length of a range without an end. */
export const TO_END = Number.MAX_SAFE_INTEGER;

/**
 * Before the host reads, changes or saves these bytes: what shared mappings changed of their pages goes to the file.
 * A change of part of a page needs it too, for the rest of that page.
 * @param offset in the file, or AT_POSITION
 */
export function flushMappings(process: Process, file: HostFile, offset: number, length: number): void {
  const { addressSpace, files } = process;
  if (!addressSpace.hasSharedFiles) return;
  const start = startOf(files.host, file, offset, 0);
  const identity = identityOf(files.host, file.hostFd, '');
  addressSpace.flushSharedFile(identity, start, lengthFrom(start, file, length));
}

/**
 * After the host changed these bytes: shared mappings show them.
 * @param offset in the file, or AT_POSITION if the position was moved over them
 */
export function refreshMappings(process: Process, file: HostFile, offset: number, length: number): void {
  const { addressSpace, files } = process;
  if (!addressSpace.hasSharedFiles) return;
  const start = startOf(files.host, file, offset, length);
  const identity = identityOf(files.host, file.hostFd, '');
  addressSpace.refreshSharedFile(identity, start, lengthFrom(start, file, length));
}

// With O_APPEND data goes to the end of the file, whatever the offset: the range is the whole file then.

function startOf(host: HostFiles, file: HostFile, offset: number, moved: number): number {
  if ((file.flags & OpenFlag.APPEND) !== 0) return 0;
  return offset === AT_POSITION ? host.lseek(file.hostFd, 0, SEEK_CUR) - moved : offset;
}

function lengthFrom(start: number, file: HostFile, length: number): number {
  return (file.flags & OpenFlag.APPEND) !== 0 ? TO_END : Math.min(length, TO_END - start);
}
