/**
 * Files that speak of the simulated process instead of the simulator's. proc(5)
 */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { AT_FDCWD, Guest, inDirectory } from './harness.ts';

const O_WRONLY = 1;
const O_NOFOLLOW = 0o400000;
const O_DIRECTORY = 0o200000;
const S_IFLNK = 0o120777;
const S_IFREG = 0o100444;

function readlink(guest: Guest, path: string): string {
  const va = guest.memory.allocate(256);
  const length = guest.call('readlink', path, va, 256);
  assert.ok(length > 0, `${path}: ${length}`);
  return guest.memory.text(va, length);
}

function mode(guest: Guest, call: 'stat' | 'lstat', path: string): number {
  const va = guest.memory.allocate(144);
  assert.equal(guest.call(call, path, va), 0, path);
  return guest.memory.readU32(va + 24);
}

describe('/proc/self', () => {
  it('is the simulated process under each of its names, from every directory', () => {
    const guest = new Guest();
    const read = (path: string) => guest.contents(guest.call('open', path, 0));
    for (const path of [
      '/proc/self/maps',
      '/proc/1000/maps',
      '/proc/thread-self/maps',
      '/proc/../proc/./self//maps',
    ]) {
      assert.equal(read(path), 'maps of 1000\n', path);
    }
    assert.equal(read('/proc/self/task/1001/maps'), 'maps of 1001\n');
    const proc = guest.call('open', '/proc', O_DIRECTORY);
    assert.equal(guest.contents(guest.call('openat', proc, 'self/maps', 0)), 'maps of 1000\n');
    for (const [directory, relative] of [
      ['/proc', 'self/maps'],
      ['/proc/self', 'maps'],
      ['/', 'proc/self/maps'],
    ] as const) {
      assert.equal(guest.call('chdir', directory), 0);
      assert.equal(read(relative), 'maps of 1000\n', relative);
    }
    assert.equal(guest.call('open', '/proc/self/smaps', 0), -2);
    assert.equal(guest.call('open', '/proc/self/task/9/maps', 0), -2);
    guest.close();
  });

  it('has texts that are read, positioned and statted like files of size 0, and not written', () => {
    const guest = new Guest();
    const fd = guest.call('open', '/proc/self/maps', 0);
    const va = guest.memory.allocate(144);
    assert.equal(guest.call('pread64', fd, va, 4, 5), 4);
    assert.equal(guest.memory.text(va, 4), 'of 1');
    assert.equal(guest.call('fstat', fd, va), 0);
    assert.equal(guest.memory.readU32(va + 24), S_IFREG);
    assert.equal(guest.memory.readAddress(va + 48), 0);
    assert.equal(mode(guest, 'stat', '/proc/self/maps'), S_IFREG);
    assert.equal(guest.call('open', '/proc/self/maps', O_WRONLY), -13);
    assert.equal(guest.call('write', fd, va, 1), -9);
    assert.equal(readlink(guest, `/proc/self/fd/${fd}`), '/proc/self/maps');
    guest.close();
  });

  it(
    'links exe to the program, cwd to the working directory',
    inDirectory((directory) => {
      writeFileSync(join(directory, 'program'), 'ELF');
      const guest = new Guest({ facts: { executablePath: join(directory, 'program') }, cwd: directory });
      assert.equal(readlink(guest, '/proc/self/exe'), join(directory, 'program'));
      assert.equal(readlink(guest, '/proc/self/cwd'), directory);
      assert.equal(mode(guest, 'lstat', '/proc/self/exe'), S_IFLNK);
      assert.equal(mode(guest, 'stat', '/proc/self/exe') & 0o170000, 0o100000);
      assert.equal(guest.contents(guest.call('open', '/proc/self/exe', 0)), 'ELF');
      assert.equal(guest.contents(guest.call('open', '/proc/self/cwd/program', 0)), 'ELF');
      assert.equal(guest.call('open', '/proc/self/exe', O_NOFOLLOW), -40);
      guest.close();
    }),
  );

  it('lists the descriptors that are open, and names what they are open on', () => {
    const guest = new Guest();
    for (const fd of [0, 1, 2]) guest.call('close', fd);
    guest.call('open', '/etc/passwd', 0);
    const { readEnd } = guest.pipe();
    const listing = guest.call('open', '/proc/self/fd', O_DIRECTORY);
    // The descriptor that it is read through is one of them.
    assert.deepEqual(guest.names(listing), ['.', '..', '0', '1', '2', '3']);
    guest.call('close', 2);
    guest.call('lseek', listing, 0, 0);
    assert.deepEqual(guest.names(listing), ['.', '..', '0', '1', '3']);
    assert.equal(readlink(guest, '/proc/self/fd/0'), '/etc/passwd');
    assert.match(readlink(guest, `/dev/fd/${readEnd}`), /^pipe:\[\d+\]$/);
    assert.equal(guest.call('readlink', '/proc/self/fd/77', guest.memory.allocate(8), 8), -2);
    guest.close();
  });

  it(
    'opens a descriptor anew: same file, position of its own',
    inDirectory((directory) => {
      writeFileSync(join(directory, 'file'), 'contents');
      const guest = new Guest({ cwd: directory });
      const fd = guest.call('open', 'file', 0);
      guest.call('unlink', 'file');
      assert.equal(guest.contents(fd), 'contents');
      for (const path of [`/dev/fd/${fd}`, `/proc/self/fd/${fd}`]) {
        assert.equal(guest.contents(guest.call('open', path, 0)), 'contents');
      }
      guest.close();
    }),
  );

  it(
    'works in a root that has no /proc at all',
    inDirectory((directory) => {
      mkdirSync(join(directory, 'sub'));
      const guest = new Guest({ root: directory, cwd: '/sub' });
      assert.equal(guest.contents(guest.call('open', '/proc/self/maps', 0)), 'maps of 1000\n');
      assert.equal(guest.call('open', '/proc/self/mounts', 0), -2);
      assert.equal(readlink(guest, '/proc/self/cwd'), '/sub');
      guest.close();
    }),
  );

  it(
    'resolves names below a descriptor',
    inDirectory((directory) => {
      writeFileSync(join(directory, 'file'), 'contents');
      const guest = new Guest();
      const fd = guest.call('open', directory, O_DIRECTORY);
      assert.equal(guest.contents(guest.call('open', `/proc/self/fd/${fd}/file`, 0)), 'contents');
      assert.equal(guest.call('mkdir', `/dev/fd/${fd}/new`, 0o700), 0);
      assert.equal(guest.call('unlinkat', fd, 'new', 0x200), 0);
      guest.close();
    }),
  );
});

describe('the machine', () => {
  it('has one processor and the guest memory', () => {
    const guest = new Guest();
    const read = (path: string) => guest.contents(guest.call('open', path, 0));
    assert.equal(read('/sys/devices/system/cpu/online'), '0\n');
    assert.equal(read('/proc/cpuinfo'), 'processor\t: 0\nsiblings\t: 1\n\n');
    assert.match(read('/proc/meminfo'), /^MemTotal: +524288 kB\nMemFree: +102400 kB\n/);
    assert.equal(read('/proc/uptime'), '1.50 0.00\n');
    const cpus = guest.names(guest.call('openat', AT_FDCWD, '/sys/devices/system/cpu', O_DIRECTORY));
    assert.deepEqual(
      cpus.filter((name) => /^cpu\d/.test(name)),
      ['cpu0'],
    );
    guest.close();
  });
});
