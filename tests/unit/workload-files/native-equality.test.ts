/**
 * The oracle of these tests is the host's kernel: the same calls are made natively in one directory and through the
 * handlers in another one, unconfined and with --root, and must give the same results.
 */
import assert from 'node:assert/strict';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { addressOf, call6 } from '../../../src/host/ffi.ts';
import { encodeDevice } from '../../../src/workload/linux/files/stat-layout.ts';
import { AT_FDCWD, Guest, inDirectory, type SyscallName } from './harness.ts';

/** System-call numbers, arch/x86/entry/syscalls/syscall_64.tbl. */
const NUMBERS: Partial<Record<SyscallName, number>> = {
  open: 2, close: 3, stat: 4, lstat: 6, access: 21, truncate: 76, rename: 82, mkdir: 83, rmdir: 84, creat: 85,
  link: 86, unlink: 87, symlink: 88, readlink: 89, chmod: 90, utimes: 235, openat: 257, mkdirat: 258,
  unlinkat: 263, linkat: 265, renameat2: 316, statx: 332, faccessat2: 439, utimensat: 280, newfstatat: 262,
  mknod: 133, lchown: 94,
}; // biome-ignore format: a table

type Step = readonly [name: SyscallName, ...args: (number | string)[]];

const O = {
  WRONLY: 1,
  RDWR: 2,
  CREAT: 0o100,
  EXCL: 0o200,
  TRUNC: 0o1000,
  APPEND: 0o2000,
  NONBLOCK: 0o4000,
  CLOEXEC: 0o2000000,
  DIRECTORY: 0o200000,
  NOFOLLOW: 0o400000,
  PATH: 0o10000000,
};
const S_IFIFO = 0o010000;
const BUFFER = 'BUFFER';

/** Every path is absolute, `@` stands for the directory. Descriptors that a step opens are closed again. */
const STEPS: readonly Step[] = [
  ['open', '@/file', 0], ['open', '@/none', 0], ['open', '', 0], ['open', '@/file/', 0], ['open', '@/file/x', 0],
  ['open', '@/dir', 0], ['open', '@/dir', O.WRONLY], ['open', '@/dir', O.DIRECTORY], ['open', '@/file', O.DIRECTORY],
  ['open', '@/link', 0], ['open', '@/link', O.NOFOLLOW], ['open', '@/link', O.NOFOLLOW | O.PATH],
  ['open', '@/loop', 0], ['open', '@/dangling', 0], ['open', '@/dangling', O.CREAT | O.EXCL | O.WRONLY, 0o600],
  ['open', '@/new', O.CREAT | O.EXCL | O.WRONLY, 0o600], ['open', '@/new', O.CREAT | O.EXCL | O.WRONLY, 0o600],
  ['open', '@/new/', O.CREAT | O.WRONLY, 0o600], ['open', '@/newer/', O.CREAT | O.WRONLY, 0o600],
  ['open', `@/${'n'.repeat(256)}`, 0], ['open', `@/${'n/'.repeat(2100)}`, 0], ['creat', '@/created', 0o644],
  ['mkdir', '@/made', 0o755], ['mkdir', '@/made', 0o755], ['mkdir', '@/made/', 0o755], ['mkdir', '@/deep/er', 0o755],
  ['mkdir', '@/slash/', 0o755], ['mkdir', '@/dangling/', 0o755], ['mkdir', '@/.', 0o755], ['mkdir', '@/made/..', 0o755],
  ['rmdir', '@/made/.'], ['rmdir', '@/made/..'], ['rmdir', '@/dir'], ['rmdir', '@/file'], ['rmdir', '@/dirlink/'],
  ['rmdir', '@/made'], ['rmdir', '@/made'], ['unlink', '@/dir'], ['unlink', '@/file/'], ['unlink', '@/none'],
  ['unlink', '@/dir/..'], ['symlink', 'to', '@/symlink'], ['symlink', 'to', '@/symlink'], ['symlink', '', '@/empty'],
  ['symlink', 'to', '@/trailing/'], ['readlink', '@/symlink', BUFFER, 100], ['readlink', '@/symlink', BUFFER, 1],
  ['readlink', '@/file', BUFFER, 100], ['readlink', '@/symlink', BUFFER, 0], ['readlink', '@/dirlink/', BUFFER, 9],
  ['readlink', '', BUFFER, 100],
  ['link', '@/file', '@/hard'], ['link', '@/file', '@/hard'], ['link', '@/dir', '@/harddir'],
  ['link', '@/link', '@/hardlink'], ['readlink', '@/hardlink', BUFFER, 100],
  ['linkat', AT_FDCWD, '@/link', AT_FDCWD, '@/followed', 0x400], ['readlink', '@/followed', BUFFER, 100],
  ['link', '@/none', '@/x'], ['link', '@/file/', '@/x'], ['link', '@/dirlink/', '@/x'], ['link', '@/file', '@/x/'],
  ['rename', '@/hard', '@/moved'], ['rename', '@/moved', '@/dir'], ['rename', '@/dir', '@/moved'],
  ['rename', '@/none', '@/x'], ['rename', '@/dir', '@/dir/inside/x'], ['rename', '@/dir/..', '@/x'],
  ['rename', '@/moved/', '@/x'], ['rename', '@/dirlink/', '@/x'], ['rename', '@/dirlink', '@/renamedlink'],
  ['renameat2', AT_FDCWD, '@/moved', AT_FDCWD, '@/file', 1], ['renameat2', AT_FDCWD, '@/moved', AT_FDCWD, '@/file', 2],
  ['access', '@/file', 0], ['access', '@/file', 4], ['access', '@/none', 0], ['access', '@/file', 8],
  ['access', '@/dangling', 0], ['faccessat2', AT_FDCWD, '@/dangling', 0, 0x100],
  ['chmod', '@/file', 0o640], ['chmod', '@/none', 0o640], ['chmod', '@/link', 0o600], ['chmod', '@/dangling', 0o600],
  ['truncate', '@/file', 3], ['truncate', '@/dir', 3], ['truncate', '@/none', 3], ['truncate', '@/file', -1],
  ['truncate', '@/link', 2], ['utimes', '@/file', 0], ['utimes', '@/none', 0], ['lchown', '@/link', -1, -1],
  ['utimensat', AT_FDCWD, '@/dangling', 0, 0x100], ['utimensat', AT_FDCWD, '@/dangling', 0, 0],
  ['stat', '@/none', BUFFER], ['stat', '@/file/', BUFFER], ['stat', '@/loop', BUFFER], ['lstat', '@/loop', BUFFER],
  ['lstat', '@/loop/', BUFFER], ['stat', '', BUFFER], ['newfstatat', AT_FDCWD, '', BUFFER, 0x1000],
  ['newfstatat', AT_FDCWD, '@/file', BUFFER, 0x40], ['newfstatat', 99, 'file', BUFFER, 0],
  ['statx', AT_FDCWD, '@/file', 0x6000, 0, BUFFER], ['openat', 99, 'file', 0], ['mknod', '@/fifo', S_IFIFO | 0o600],
  ['mknod', '@/fifo', S_IFIFO | 0o600], ['mknod', '@/bad', 0o150000], ['unlinkat', AT_FDCWD, '@/fifo', 0x7],
  ['unlinkat', AT_FDCWD, '@/fifo', 0], ['unlinkat', AT_FDCWD, '@/slash', 0x200], ['open', '@/moved', O.TRUNC | O.RDWR],
]; // biome-ignore format: a table

/** A regular file, a directory with something in it, and symbolic links of every kind. */
function furnish(directory: string): void {
  writeFileSync(join(directory, 'file'), 'contents');
  mkdirSync(join(directory, 'dir/inside'), { recursive: true });
  symlinkSync('file', join(directory, 'link'));
  symlinkSync('dir', join(directory, 'dirlink'));
  symlinkSync('loop', join(directory, 'loop'));
  symlinkSync('nowhere', join(directory, 'dangling'));
}

const opens = new Set<SyscallName>(['open', 'openat', 'creat']);
/** A descriptor's number is nothing to compare. */
const outcome = (name: SyscallName, result: number) => (opens.has(name) && result >= 0 ? 0 : result);

function runNatively(directory: string): number[] {
  const buffer = new Uint8Array(4096);
  return STEPS.map(([name, ...args]) => {
    const kept: Uint8Array[] = [];
    const native = args.map((arg) => {
      if (typeof arg === 'number') return arg;
      if (arg === BUFFER) return addressOf(buffer);
      const bytes = Uint8Array.from(Buffer.from(`${arg.replace('@', directory)}\0`));
      kept.push(bytes);
      return addressOf(bytes);
    });
    const result = call6(NUMBERS[name]!, ...native);
    assert.ok(kept.every((bytes) => bytes.length > 0));
    if (opens.has(name) && result >= 0) call6(3, result);
    return outcome(name, result);
  });
}

function runInGuest(guest: Guest, directory: string): number[] {
  const buffer = guest.memory.allocate(4096);
  return STEPS.map(([name, ...args]) => {
    const guestArgs = args.map((arg) => {
      if (arg === BUFFER) return buffer;
      return typeof arg === 'string' ? arg.replace('@', directory) : arg;
    });
    const result = guest.call(name, ...guestArgs);
    if (opens.has(name) && result >= 0) guest.call('close', result);
    return outcome(name, result);
  });
}

function labelled(results: readonly number[]): string[] {
  return STEPS.map(([name, ...args], i) => `${name}(${args.join(', ').slice(0, 60)}) = ${results[i]}`);
}

describe('path calls', () => {
  for (const mode of ['unconfined', 'confined'] as const) {
    it(
      `give the same results as the host kernel's, ${mode}`,
      inDirectory((top) => {
        for (const name of ['native', 'guest']) {
          mkdirSync(join(top, name));
          furnish(join(top, name));
        }
        const native = runNatively(join(top, 'native'));
        const directory = join(top, 'guest');
        const guest = mode === 'confined' ? new Guest({ root: directory }) : new Guest();
        const results = runInGuest(guest, mode === 'confined' ? '' : directory);
        guest.close();
        assert.deepEqual(labelled(results), labelled(native));
      }),
    );
  }
});

describe('status flags', () => {
  it('are reported by F_GETFL as the host kernel does', () => {
    const guest = new Guest();
    const opened = (path: string, flags: number) => {
      const native = call6(2, addressOf(Uint8Array.from(Buffer.from(`${path}\0`))), flags, 0);
      const fd = guest.call('open', path, flags, 0);
      const result = [call6(72, native, 3, 0), guest.call('fcntl', fd, 3)];
      call6(3, native);
      return result;
    };
    const flagSets = [
      O.RDWR,
      O.NOFOLLOW,
      O.APPEND | O.WRONLY,
      O.CREAT | O.TRUNC | O.WRONLY,
      O.CLOEXEC,
      O.NONBLOCK,
      O.PATH,
    ];
    for (const flags of flagSets) {
      const [native, guests] = opened('/dev/null', flags);
      assert.equal(guests, native, `flags 0${flags.toString(8)}`);
    }
    const [native, guests] = opened('/etc', O.DIRECTORY);
    assert.equal(guests, native);
    const ends = guest.host.pipe2(0);
    assert.ok(typeof ends === 'object');
    const { readEnd, writeEnd } = guest.pipe();
    assert.equal(guest.call('fcntl', readEnd, 3), guest.host.fcntl(ends.readFd, 3, 0));
    assert.equal(guest.call('fcntl', writeEnd, 3), guest.host.fcntl(ends.writeFd, 3, 0));
    for (const fd of [ends.readFd, ends.writeFd]) guest.host.close(fd);
    const memory = guest.host.memfdCreate('m', 0);
    assert.equal(guest.call('fcntl', guest.call('memfd_create', 'm', 0), 3), guest.host.fcntl(memory, 3, 0));
    guest.host.close(memory);
    guest.close();
  });
});

describe('stat family', () => {
  const NAMES = ['/dev/null', '/etc/passwd', '/tmp', '/', '/usr/bin/env'];

  it('fills struct stat byte for byte as the host kernel does', () => {
    const guest = new Guest();
    const va = guest.memory.allocate(144);
    for (const name of NAMES) {
      const native = new Uint8Array(144);
      call6(4, addressOf(Uint8Array.from(Buffer.from(`${name}\0`))), addressOf(native));
      assert.equal(guest.call('stat', name, va), 0);
      assert.deepEqual(guest.memory.read(va, 144), native, name);
    }
    guest.close();
  });

  it('encodes device numbers as new_encode_dev does', () => {
    // Linux, include/linux/kdev_t.h: (minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12).
    assert.equal(encodeDevice(8, 1), 0x801);
    assert.equal(encodeDevice(259, 0x12345), 0x1231_0345);
  });

  it('passes statx and statfs through', () => {
    const guest = new Guest();
    const va = guest.memory.allocate(256);
    for (const name of NAMES) {
      const path = Uint8Array.from(Buffer.from(`${name}\0`));
      const native = new Uint8Array(256);
      call6(332, AT_FDCWD, addressOf(path), 0, 0xfff, addressOf(native));
      assert.equal(guest.call('statx', AT_FDCWD, name, 0, 0xfff, va), 0);
      assert.deepEqual(guest.memory.read(va, 144), native.subarray(0, 144), name);
      const statfs = new Uint8Array(120);
      call6(137, addressOf(path), addressOf(statfs));
      assert.equal(guest.call('statfs', name, va), 0);
      // Type, block size and total size; the free space moves while we look.
      assert.deepEqual(guest.memory.read(va, 24), statfs.subarray(0, 24), name);
    }
    guest.close();
  });

  it('lists a directory byte for byte as the host kernel does, in both formats', () => {
    const guest = new Guest();
    for (const [name, number] of [
      ['getdents', 78],
      ['getdents64', 217],
    ] as const) {
      const native = new Uint8Array(4096);
      const fd = call6(2, addressOf(Uint8Array.from(Buffer.from('/etc\0'))), O.DIRECTORY);
      const length = call6(number, fd, addressOf(native), 4096);
      call6(3, fd);
      const guestFd = guest.call('open', '/etc', O.DIRECTORY);
      const va = guest.memory.allocate(4096);
      assert.equal(guest.call(name, guestFd, va, 4096), length);
      assert.deepEqual(records(guest.memory.read(va, length)), records(native.subarray(0, length)));
    }
    guest.close();
  });
});

/** Records of a directory listing without their padding, which the kernel leaves as it was. */
function records(bytes: Uint8Array): string[] {
  const buffer = Buffer.from(bytes);
  const found: string[] = [];
  for (let at = 0; at < buffer.length; ) {
    const length = buffer.readUInt16LE(at + 16);
    const old = buffer[at + 18]! >= 32;
    const end = buffer.indexOf(0, at + (old ? 18 : 19));
    found.push(
      `${buffer.toString('hex', at, at + 18)} ${buffer.toString('latin1', at + 18, end)} ${old ? buffer[at + length - 1] : ''}`,
    );
    at += length;
  }
  return found;
}
