/**
 * The descriptor table, and control of open files: dup(2), fcntl(2), close_range(2), locks, ioctl(2).
 */
import assert from 'node:assert/strict';
import { closeSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { HostFiles } from '../../../src/host/files.ts';
import { Guest, inDirectory } from './harness.ts';

const O_RDWR = 2;
const O_CREAT = 0o100;
const O_CLOEXEC = 0o2000000;
const O_PATH = 0o10000000;
const O_APPEND = 0o2000;
const EBADF = -9;
const EINVAL = -22;
const EMFILE = -24;
const ENOTTY = -25;
const F = {
  DUPFD: 0,
  GETFD: 1,
  SETFD: 2,
  GETFL: 3,
  SETFL: 4,
  GETLK: 5,
  SETLK: 6,
  SETLKW: 7,
  OFD_SETLK: 37,
  OFD_SETLKW: 38,
  DUPFD_CLOEXEC: 1030,
  GETPIPE_SZ: 1032,
};

describe('descriptors', () => {
  it('are the lowest free numbers, up to the limit', () => {
    const guest = new Guest({ maxDescriptors: 6 });
    const numbers = [1, 2, 3].map(() => guest.call('open', '/dev/null', 0));
    assert.deepEqual(numbers, [3, 4, 5]);
    assert.equal(guest.call('open', '/dev/null', 0), EMFILE);
    assert.equal(guest.call('dup', 3), EMFILE);
    guest.call('close', 4);
    assert.equal(guest.call('dup', 3), 4);
    assert.equal(guest.call('dup2', 3, 6), EBADF);
    assert.equal(guest.call('fcntl', 3, F.DUPFD, 6), EINVAL);
    guest.close();
  });

  it(
    'that were duplicated share position and status flags, not close-on-exec',
    inDirectory((directory) => {
      writeFileSync(join(directory, 'file'), '0123456789');
      const guest = new Guest({ cwd: directory });
      const fd = guest.call('open', 'file', O_RDWR | O_CLOEXEC);
      const copy = guest.call('dup', fd);
      guest.call('lseek', fd, 7, 0);
      assert.equal(guest.contents(copy), '789');
      guest.call('fcntl', fd, F.SETFL, O_APPEND);
      assert.equal(guest.call('fcntl', copy, F.GETFL) & O_APPEND, O_APPEND);
      assert.deepEqual([guest.call('fcntl', fd, F.GETFD), guest.call('fcntl', copy, F.GETFD)], [1, 0]);
      assert.equal(guest.call('fcntl', fd, F.DUPFD_CLOEXEC, 50), 50);
      assert.equal(guest.call('fcntl', 50, F.GETFD), 1);
      guest.call('close', fd);
      assert.equal(guest.call('lseek', copy, 0, 1), 10);
      guest.close();
    }),
  );

  it('follow dup2 and dup3 in their differences', () => {
    const guest = new Guest();
    const fd = guest.call('open', '/dev/null', 0);
    assert.equal(guest.call('dup2', fd, fd), fd);
    assert.equal(guest.call('dup3', fd, fd, 0), EINVAL);
    assert.equal(guest.call('dup2', 99, 99), EBADF);
    assert.equal(guest.call('dup3', fd, 10, O_CLOEXEC), 10);
    assert.equal(guest.call('fcntl', 10, F.GETFD), 1);
    guest.close();
  });

  it('close in ranges, or become close-on-exec', () => {
    const guest = new Guest();
    for (let i = 0; i < 5; i++) guest.call('open', '/dev/null', 0);
    assert.equal(guest.call('close_range', 4, 5, 4), 0);
    assert.deepEqual(
      [3, 4, 5, 6].map((fd) => guest.call('fcntl', fd, F.GETFD)),
      [0, 1, 1, 0],
    );
    assert.equal(guest.call('close_range', 4, 0xffff_ffff, 0), 0);
    assert.deepEqual(guest.files.table.numbers(), [0, 1, 2, 3]);
    assert.equal(guest.call('close_range', 5, 4, 0), EINVAL);
    guest.close();
  });

  it('of O_PATH are good for lookups only', () => {
    const guest = new Guest();
    const fd = guest.call('open', '/etc', O_PATH);
    const va = guest.memory.allocate(144);
    assert.equal(guest.call('read', fd, va, 1), EBADF);
    assert.equal(guest.call('getdents64', fd, va, 100), EBADF);
    assert.equal(guest.call('fchmod', fd, 0o700), EBADF);
    assert.equal(guest.call('ioctl', fd, 0x541b, va), EBADF);
    assert.equal(guest.call('fstat', fd, va), 0);
    assert.ok(guest.call('openat', fd, 'passwd', 0) >= 0);
    assert.equal(guest.call('fchdir', fd), 0);
    assert.equal(guest.files.getcwd(), '/etc');
    guest.close();
  });

  it('release their host descriptors with the last reference', () => {
    const host = new HostFiles();
    const guest = new Guest();
    const fd = guest.call('open', '/etc/passwd', 0);
    const { hostFd } = guest.files.table.get(fd)!;
    const source = guest.files.fileToMap(fd, false);
    assert.ok(typeof source === 'object');
    guest.call('close', fd);
    assert.ok(host.fcntl(hostFd, F.GETFD, 0) >= 0);
    const bytes = new Uint8Array(4);
    assert.equal(source.readInto(0, bytes), 4);
    assert.equal(source.identity.path, '/etc/passwd');
    source.close();
    assert.equal(host.fcntl(hostFd, F.GETFD, 0), EBADF);
    guest.close();
  });
});

describe('the mode of new files', () => {
  it(
    'follows the umask of the program, not that of the simulator',
    inDirectory((directory) => {
      const guest = new Guest({ cwd: directory });
      const old = guest.call('umask', 0);
      assert.equal(old, process.umask());
      const va = guest.memory.allocate(144);
      const modeOf = (name: string) => {
        assert.equal(guest.call('stat', name, va), 0);
        return guest.memory.readU32(va + 24) & 0o7777;
      };
      guest.call('open', 'open', O_CREAT | O_RDWR, 0o666);
      assert.equal(modeOf('open'), 0o666);
      assert.equal(guest.call('umask', 0o77), 0);
      guest.call('mkdir', 'private', 0o777);
      assert.equal(modeOf('private'), 0o700);
      assert.equal(process.umask(), old);
      guest.close();
    }),
  );
});

describe('locks', () => {
  /** struct flock for the whole file. */
  function lock(guest: Guest, type: number): number {
    const va = guest.memory.allocate(32);
    guest.memory.writeU32(va, type);
    return va;
  }

  it(
    'of open file descriptions and flock wait without blocking the host',
    inDirectory((directory) => {
      const guest = new Guest({ cwd: directory });
      const open = () => guest.call('open', 'file', O_RDWR | O_CREAT, 0o600);
      const [a, b] = [open(), open()];
      assert.equal(guest.call('fcntl', a, F.OFD_SETLK, lock(guest, 1)), 0);
      assert.equal(guest.call('fcntl', b, F.OFD_SETLK, lock(guest, 1)), -11);
      const wait = guest.wait('fcntl', b, F.OFD_SETLKW, lock(guest, 1));
      assert.equal(wait.poll(), undefined);
      assert.equal(guest.call('fcntl', a, F.OFD_SETLK, lock(guest, 2)), 0);
      assert.equal(wait.poll(), 0);
      assert.equal(guest.call('flock', a, 2), 0);
      assert.equal(guest.call('flock', b, 2 | 4), -11);
      const second = guest.wait('flock', b, 2);
      guest.call('close', a);
      assert.equal(second.poll(), 0);
      guest.close();
    }),
  );

  it(
    'of the process go when any descriptor of the file is closed',
    inDirectory((directory) => {
      const path = join(directory, 'file');
      const guest = new Guest();
      const [a, b] = [0, 1].map(() => guest.call('open', path, O_RDWR | O_CREAT, 0o600)) as [number, number];
      const hold = guest.files.fileToMap(b, true);
      assert.ok(typeof hold === 'object');
      assert.equal(guest.call('fcntl', a, F.SETLK, lock(guest, 1)), 0);
      // An open-file-description lock from elsewhere collides with it.
      const other = openSync(path, 'r+');
      const host = new HostFiles();
      const write = new Uint8Array(32);
      write[0] = 1;
      assert.equal(host.fcntlStruct(other, F.OFD_SETLK, write), -11);
      // The mapping keeps the host's file open, and still the lock goes.
      assert.equal(guest.call('close', b), 0);
      assert.equal(host.fcntlStruct(other, F.OFD_SETLK, write), 0);
      closeSync(other);
      hold.close();
      guest.close();
    }),
  );

  it(
    'report who is in the way',
    inDirectory((directory) => {
      const path = join(directory, 'file');
      const guest = new Guest();
      const fd = guest.call('open', path, O_RDWR | O_CREAT, 0o600);
      const query = lock(guest, 1);
      assert.equal(guest.call('fcntl', fd, F.GETLK, query), 0);
      assert.equal(guest.memory.readU32(query) & 0xffff, 2);
      guest.close();
    }),
  );
});

describe('ioctl', () => {
  it('answers ENOTTY for what is no terminal and for requests that are not in the table', () => {
    const guest = new Guest();
    const fd = guest.call('open', '/etc/passwd', 0);
    const va = guest.memory.allocate(64);
    assert.equal(guest.call('ioctl', fd, 0x5401, va), ENOTTY);
    assert.equal(guest.call('ioctl', fd, 0x5413, va), ENOTTY);
    // TIOCSTI types at the user's terminal.
    const terminal = guest.call('open', '/dev/ptmx', O_RDWR);
    assert.ok(terminal >= 0);
    assert.equal(guest.call('ioctl', terminal, 0x5412, va), ENOTTY);
    guest.close();
  });

  it('reads and sets the modes and the size of a terminal', () => {
    const guest = new Guest();
    const fd = guest.call('open', '/dev/ptmx', O_RDWR);
    const va = guest.memory.allocate(64);
    assert.equal(guest.call('ioctl', fd, 0x5401, va), 0);
    // c_lflag of a new terminal: ECHO and ICANON among others.
    assert.equal(guest.memory.readU32(va + 12) & 0o12, 0o12);
    guest.memory.writeU32(va + 12, 0);
    assert.equal(guest.call('ioctl', fd, 0x5402, va), 0);
    assert.equal(guest.call('ioctl', fd, 0x5401, va), 0);
    assert.equal(guest.memory.readU32(va + 12), 0);
    guest.memory.writeU32(va, 25 | (80 << 16));
    assert.equal(guest.call('ioctl', fd, 0x5414, va), 0);
    assert.equal(guest.call('ioctl', fd, 0x5413, va + 16), 0);
    assert.equal(guest.memory.readU32(va + 16), 25 | (80 << 16));
    guest.close();
  });

  it('counts bytes in a pipe and sets close-on-exec', () => {
    const guest = new Guest();
    const { readEnd, writeEnd } = guest.pipe();
    guest.put(writeEnd, 'seven77');
    const va = guest.memory.allocate(4);
    assert.equal(guest.call('ioctl', readEnd, 0x541b, va), 0);
    assert.equal(guest.memory.readI32(va), 7);
    assert.equal(guest.call('ioctl', readEnd, 0x5451), 0);
    assert.equal(guest.call('fcntl', readEnd, F.GETFD), 1);
    assert.equal(guest.call('fcntl', readEnd, F.GETPIPE_SZ), 65536);
    guest.close();
  });
});
