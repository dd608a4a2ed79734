/**
 * open(2) in all its forms: what the program's flags mean for a file of the host, for one of the simulator's own,
 * under `--read-only`, and for a named pipe that has no other end yet (fifo(7)).
 */
import { AtFlag, FileType, Poll, STATX, STATX_ALL } from '../../../host/files-abi.ts';
import { addressOf } from '../../../host/memory.ts';
import { Errno, Restart } from '../errno.ts';
import type { SyscallResult, Wait } from '../syscall.ts';
import { KNOWN_OPEN_FLAGS, OpenFlag } from './abi.ts';
import { OpenFile } from './open-file.ts';
import { pathToBytes } from './paths.ts';
import type { HostPlace, ProcessFiles } from './process-files.ts';
import type { VirtualNode } from './virtual-files.ts';

export interface OpenRequest {
  readonly dirFd: number;
  readonly path: string;
  readonly flags: number;
  readonly mode: number;
  /** `Resolve` bits of openat2. */
  readonly resolve: number;
}

const MFD_CLOEXEC = 1;
const SPLICE_F_NONBLOCK = 2;

/** Opens a file and gives it the lowest free descriptor. */
export function openFile(files: ProcessFiles, request: OpenRequest): SyscallResult {
  // 64-bit programs get O_LARGEFILE without asking.
  const large = (request.flags & OpenFlag.PATH) === 0 ? OpenFlag.LARGEFILE : 0;
  const flags = (request.flags & KNOWN_OPEN_FLAGS) | large;
  const isNew = (flags & OpenFlag.CREAT) !== 0 && (flags & OpenFlag.EXCL) !== 0;
  const follow = !isNew && (flags & OpenFlag.NOFOLLOW) === 0;
  const place = files.locate(request.dirFd, request.path, follow);
  if (typeof place === 'number') return place;
  if (place.kind === 'host') return openHost(files, place, { ...request, flags });
  return openVirtual(files, place, { ...request, flags });
}

function openHost(files: ProcessFiles, place: HostPlace, request: OpenRequest): SyscallResult {
  const { flags } = request;
  if ((flags & OpenFlag.PATH) !== 0) {
    const fd = files.resolver.find(
      place.baseFd,
      place.path,
      flags & (OpenFlag.NOFOLLOW | OpenFlag.DIRECTORY),
    );
    return fd < 0 ? fd : install(files, fd, flags, place.absolute());
  }
  const allowed = files.readOnly ? readOnlyFlags(files, place, flags) : flags;
  if (allowed < 0) return allowed;
  const creates = (allowed & OpenFlag.CREAT) !== 0 || (allowed & OpenFlag.TMPFILE) === OpenFlag.TMPFILE;
  const mode = creates ? request.mode & 0o7777 : 0;
  const open = () => files.resolver.open(place.baseFd, place.path, allowed, mode, request.resolve);
  const fd = creates ? files.creating(open) : open();
  // On the host everything is opened without waiting; a named pipe's other end is waited for here.
  if (fd === -Errno.ENXIO && mayWait(flags) && isFifo(files, place))
    return waitForReader(files, place, flags, open);
  if (fd < 0) return fd;
  const awaitsWriter = (flags & OpenFlag.ACCMODE) === OpenFlag.RDONLY && mayWait(flags);
  if (awaitsWriter && typeOf(files, fd) === FileType.FIFO)
    return waitForWriter(files, fd, flags, place.absolute());
  return install(files, fd, flags, place.absolute());
}

/** The flags that a read-only file system lets through, or a negative errno. Devices and pipes may be written. */
function readOnlyFlags(files: ProcessFiles, place: HostPlace, flags: number): number {
  if ((flags & OpenFlag.TMPFILE) === OpenFlag.TMPFILE) return -Errno.EROFS;
  const nofollow = (flags & OpenFlag.EXCL) !== 0 ? OpenFlag.NOFOLLOW : flags & OpenFlag.NOFOLLOW;
  const fd = files.resolver.find(place.baseFd, place.path, nofollow);
  if (fd === -Errno.ENOENT && (flags & OpenFlag.CREAT) !== 0) return -Errno.EROFS;
  if (fd < 0) return fd;
  const type = typeOf(files, fd);
  files.host.close(fd);
  if ((flags & OpenFlag.CREAT) !== 0 && (flags & OpenFlag.EXCL) !== 0) return -Errno.EEXIST;
  const writes = (flags & OpenFlag.ACCMODE) !== OpenFlag.RDONLY || (flags & OpenFlag.TRUNC) !== 0;
  if (writes && type === FileType.DIRECTORY) return -Errno.EISDIR;
  if (writes && (type === FileType.REGULAR || type === FileType.BLOCK)) return -Errno.EROFS;
  return flags & ~(OpenFlag.CREAT | OpenFlag.TRUNC);
}

function install(files: ProcessFiles, hostFd: number, flags: number, path: string): number {
  const file = files.describe(hostFd, flags, path);
  if (typeof file === 'number') return file;
  return files.table.install(file, (flags & OpenFlag.CLOEXEC) !== 0);
}

// ---- the simulator's own files ----

function openVirtual(files: ProcessFiles, node: VirtualNode, { flags }: OpenRequest): SyscallResult {
  const closeOnExec = (flags & OpenFlag.CLOEXEC) !== 0;
  const nofollow = (flags & OpenFlag.NOFOLLOW) !== 0;
  if (node.kind === 'absent' || node.kind === 'beyond') return -Errno.ENOENT;
  if ((flags & OpenFlag.CREAT) !== 0 && (flags & OpenFlag.EXCL) !== 0) return -Errno.EEXIST;
  if (node.kind === 'link' || (node.kind === 'descriptor' && nofollow)) return -Errno.ELOOP;
  if (node.kind === 'descriptor') return reopen(files, node.fd, flags);
  const writes = (flags & OpenFlag.ACCMODE) !== OpenFlag.RDONLY || (flags & OpenFlag.TRUNC) !== 0;
  if (node.kind === 'listing') {
    if (writes) return -Errno.EISDIR;
    const file = new OpenFile(files.host, { hostFd: -1, kind: 'listing', flags, path: node.path, node });
    return files.table.install(file, closeOnExec);
  }
  if ((flags & OpenFlag.DIRECTORY) !== 0) return -Errno.ENOTDIR;
  if (writes) return -Errno.EACCES;
  const hostFd = textFile(files, node.text);
  if (hostFd < 0) return hostFd;
  const { host, memoryQuota: quota } = files;
  const file = new OpenFile(host, { hostFd, kind: 'regular', flags, path: node.path, node, quota });
  const refusal = file.refusesGrowth(0);
  if (refusal === 0) return files.table.install(file, closeOnExec);
  file.release();
  return refusal;
}

/** A read-only host file with these contents, so that reading, seeking and mapping need no code of their own. */
function textFile(files: ProcessFiles, text: string): number {
  const { host } = files;
  const memory = host.memfdCreate('virtual', MFD_CLOEXEC);
  if (memory < 0) return memory;
  const bytes = Uint8Array.from(pathToBytes(text));
  const written = bytes.length === 0 ? 0 : host.pwrite(memory, addressOf(bytes), bytes.length, 0);
  const fd = written < 0 ? written : files.resolver.reopenOwn(memory, OpenFlag.RDONLY);
  host.close(memory);
  return fd;
}

/** Opening /proc/self/fd/N or /dev/fd/N. */
function reopen(files: ProcessFiles, fd: number, flags: number): number {
  const file = files.table.get(fd)!;
  const closeOnExec = (flags & OpenFlag.CLOEXEC) !== 0;
  const writes = (flags & OpenFlag.ACCMODE) !== OpenFlag.RDONLY;
  if (file.kind === 'listing') return files.table.install(file.retain(), closeOnExec);
  if (file.inherited && files.resolver.confined) {
    // What the user handed over may lie outside the root: it keeps the access that it came with.
    const reads = (flags & OpenFlag.ACCMODE) !== OpenFlag.WRONLY;
    if ((writes && !file.writable) || (reads && !file.readable)) return -Errno.EACCES;
    return files.table.install(file.retain(), closeOnExec);
  }
  const truncates = (flags & OpenFlag.TRUNC) !== 0;
  if (files.readOnly && (writes || truncates) && file.kind !== 'stream') {
    const type = typeOf(files, file.hostFd);
    const isFile = type === FileType.REGULAR || type === FileType.BLOCK || type === FileType.DIRECTORY;
    if (isFile) return -Errno.EROFS;
  }
  const hostFd = files.resolver.reopen(file.hostFd, flags & ~(OpenFlag.CREAT | OpenFlag.EXCL));
  if (hostFd < 0) return hostFd;
  const opened = files.describe(hostFd, flags, file.path, file.quota);
  return typeof opened === 'number' ? opened : files.table.install(opened, closeOnExec);
}

// ---- named pipes ----

function mayWait(flags: number): boolean {
  return (flags & OpenFlag.NONBLOCK) === 0;
}

function typeOf(files: ProcessFiles, fd: number): number {
  const result = files.host.statx(fd, '', AtFlag.EMPTY_PATH, STATX_ALL);
  return result < 0 ? 0 : files.host.view.getUint16(STATX.mode, true) & FileType.MASK;
}

function isFifo(files: ProcessFiles, place: HostPlace): boolean {
  const fd = files.resolver.find(place.baseFd, place.path, 0);
  if (fd < 0) return false;
  const type = typeOf(files, fd);
  files.host.close(fd);
  return type === FileType.FIFO;
}

/** Opening for writing succeeds once somebody has the pipe open for reading: tried again and again. */
function waitForReader(files: ProcessFiles, place: HostPlace, flags: number, open: () => number): Wait {
  // The lookup starts where it started the first time, even if that directory's descriptor is closed meanwhile.
  const baseFd = files.host.openat(place.baseFd, '.', OpenFlag.PATH | OpenFlag.CLOEXEC, 0);
  const again = () =>
    baseFd < 0 ? open() : files.resolver.open(baseFd, place.path, flags & ~OpenFlag.CREAT, 0);
  const done = () => {
    if (baseFd >= 0) files.host.close(baseFd);
  };
  return {
    hostFds: [{ fd: -1, events: 0 }],
    interruptResult: Restart.sys,
    poll: () => {
      const fd = again();
      if (fd === -Errno.ENXIO) return undefined;
      done();
      return fd < 0 ? fd : install(files, fd, flags, place.absolute());
    },
    cancel: done,
  };
}

/** The pipe is open for reading already, which lets writers in; the call is over when the first one is there. */
function waitForWriter(files: ProcessFiles, fd: number, flags: number, path: string): SyscallResult {
  const probe = files.host.pipe2(OpenFlag.CLOEXEC | OpenFlag.NONBLOCK);
  if (typeof probe === 'number') {
    files.host.close(fd);
    return probe;
  }
  const closeProbe = () => {
    files.host.close(probe.readFd);
    files.host.close(probe.writeFd);
  };
  const poll = () => {
    // Data or a hang-up show that a writer came. An idle writer shows in that an empty pipe answers "try again"
    // and not "end of file"; tee(2) asks that without taking data away.
    const came =
      files.host.pollOne(fd, Poll.IN) !== 0 ||
      files.host.tee(fd, probe.writeFd, 1, SPLICE_F_NONBLOCK) === -Errno.EAGAIN;
    if (!came) return undefined;
    closeProbe();
    return install(files, fd, flags, path);
  };
  const cancel = () => {
    closeProbe();
    files.host.close(fd);
  };
  return poll() ?? { hostFds: [{ fd, events: Poll.IN }], interruptResult: Restart.sys, poll, cancel };
}
