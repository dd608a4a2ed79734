/**
 * `--read-only`: no call changes a file system, and programs hear what they would hear on one mounted read-only.
 */
import assert from 'node:assert/strict';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { AT_FDCWD, Guest, type SyscallName } from './harness.ts';

const EROFS = -30;
const EEXIST = -17;
const O = { WRONLY: 1, RDWR: 2, CREAT: 0o100, EXCL: 0o200, TRUNC: 0o1000, TMPFILE: 0o20200000 };

const directory = mkdtempSync(join(tmpdir(), 'hypertick-ro-'));
mkdirSync(join(directory, 'dir'));
writeFileSync(join(directory, 'file'), 'contents');
symlinkSync('file', join(directory, 'link'));
after(() => rmSync(directory, { recursive: true }));

const FORBIDDEN: readonly (readonly [SyscallName, ...(number | string)[]])[] = [
  ['open', '@/file', O.WRONLY], ['open', '@/file', O.RDWR], ['open', '@/file', O.TRUNC], ['open', '@/new', O.CREAT, 0o600],
  ['open', '@/new', O.CREAT | O.EXCL | O.WRONLY, 0o600], ['open', '@/dir', O.TMPFILE | O.RDWR, 0o600],
  ['creat', '@/file', 0o600], ['creat', '@/new', 0o600], ['mkdir', '@/new', 0o700], ['mkdirat', AT_FDCWD, '@/new', 0o700],
  ['mknod', '@/new', 0o010600], ['symlink', 'x', '@/new'], ['link', '@/file', '@/new'], ['rename', '@/file', '@/new'],
  ['renameat2', AT_FDCWD, '@/file', AT_FDCWD, '@/new', 0], ['unlink', '@/file'], ['rmdir', '@/dir'],
  ['unlinkat', AT_FDCWD, '@/file', 0], ['truncate', '@/file', 0], ['chmod', '@/file', 0], ['chown', '@/file', 1, 1],
  ['lchown', '@/link', 1, 1], ['fchmodat', AT_FDCWD, '@/file', 0], ['fchmodat2', AT_FDCWD, '@/file', 0, 0],
  ['fchownat', AT_FDCWD, '@/file', 1, 1, 0], ['utime', '@/file', 0], ['utimes', '@/file', 0],
  ['futimesat', AT_FDCWD, '@/file', 0], ['utimensat', AT_FDCWD, '@/file', 0, 0], ['access', '@/file', 2],
  ['faccessat2', AT_FDCWD, '@/dir', 2, 0x200],
]; // biome-ignore format: a table

describe('--read-only', () => {
  it('answers EROFS to every call that would change something, and changes nothing', () => {
    const before = statSync(join(directory, 'file'));
    const guest = new Guest({ readOnly: true });
    for (const [name, ...args] of FORBIDDEN) {
      const given = args.map((arg) => (typeof arg === 'string' ? arg.replace('@', directory) : arg));
      assert.equal(guest.call(name, ...given), EROFS, `${name}(${args.join(', ')})`);
    }
    guest.close();
    const now = statSync(join(directory, 'file'));
    assert.deepEqual(
      [now.mode, now.uid, now.mtimeMs, now.nlink],
      [before.mode, before.uid, before.mtimeMs, 1],
    );
    assert.deepEqual(readdirSync(directory).sort(), ['dir', 'file', 'link']);
    assert.equal(readFileSync(join(directory, 'file'), 'latin1'), 'contents');
  });

  it('forbids the same through an open descriptor and its magic link', () => {
    const guest = new Guest({ readOnly: true });
    const fd = guest.call('open', `${directory}/file`, 0);
    assert.equal(guest.call('fchmod', fd, 0), EROFS);
    assert.equal(guest.call('fchown', fd, 1, 1), EROFS);
    assert.equal(guest.call('utimensat', fd, 0, 0, 0), EROFS);
    assert.equal(guest.call('open', `/proc/self/fd/${fd}`, O.RDWR), EROFS);
    assert.equal(guest.call('open', `/dev/fd/${fd}`, O.TRUNC), EROFS);
    assert.equal(guest.call('ftruncate', fd, 0), -22);
    assert.equal(guest.call('fallocate', fd, 0, 0, 10), -9);
    assert.equal(guest.files.fileToMap(fd, true), -13);
    guest.close();
  });

  it('still says EEXIST where a name exists, which mkdir -p relies on', () => {
    const guest = new Guest({ readOnly: true });
    assert.equal(guest.call('mkdir', `${directory}/dir`, 0o700), EEXIST);
    assert.equal(guest.call('open', `${directory}/file`, O.CREAT | O.EXCL, 0o600), EEXIST);
    assert.equal(guest.call('open', `${directory}/none`, O.WRONLY), -2);
    guest.close();
  });

  it('lets programs read, and write to devices, pipes and memory files', () => {
    const guest = new Guest({ readOnly: true });
    assert.equal(guest.contents(guest.call('open', `${directory}/link`, O.CREAT, 0o600)), 'contents');
    const sink = guest.call('open', '/dev/null', O.WRONLY | O.CREAT | O.TRUNC, 0o600);
    assert.equal(guest.put(sink, 'gone'), 4);
    const { writeEnd } = guest.pipe();
    assert.equal(guest.put(writeEnd, 'data'), 4);
    const memory = guest.call('memfd_create', 'name', 0);
    assert.equal(guest.call('ftruncate', memory, 100), 0);
    assert.equal(guest.put(memory, 'data'), 4);
    guest.close();
  });
});
