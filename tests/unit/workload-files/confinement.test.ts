/**
 * What a hostile program tries against `--root`. Outside the root lies a file with a secret and a directory to spoil.
 */
import assert from 'node:assert/strict';
import {
  closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, renameSync, statSync, symlinkSync,
  writeFileSync,
} from 'node:fs'; // biome-ignore format: a list
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { HostFiles } from '../../../src/host/files.ts';
import { OpenFile } from '../../../src/workload/linux/files/open-file.ts';
import { AT_FDCWD, Guest, inDirectory } from './harness.ts';

const O_RDWR = 2;
const O_CREAT = 0o100;
const O_PATH = 0o10000000;
const O_DIRECTORY = 0o200000;
const ENOENT = -2;
const EPERM = -1;
const EACCES = -13;
const ELOOP = -40;

interface Cell {
  readonly guest: Guest;
  readonly root: string;
  readonly outside: string;
}

/** A confined guest; afterwards nothing outside may have changed. */
function confined(test: (cell: Cell) => void): () => void {
  return inDirectory((top) => {
    const root = join(top, 'root');
    const outside = join(top, 'outside');
    mkdirSync(join(root, 'sub/deep'), { recursive: true });
    mkdirSync(outside);
    writeFileSync(join(root, 'inside'), 'inside');
    writeFileSync(join(outside, 'secret'), 'secret');
    const guest = new Guest({ root });
    try {
      test({ guest, root, outside });
    } finally {
      guest.close();
    }
    assert.equal(readFileSync(join(outside, 'secret'), 'latin1'), 'secret');
    assert.deepEqual(readdirSync(outside), ['secret']);
    assert.equal(statSync(join(outside, 'secret')).nlink, 1);
  });
}

/** The number of dots that would leave the root, and the path that an outsider would use. */
function climbs(outside: string): string[] {
  const up = '../'.repeat(12);
  return [
    `${up}${outside.slice(1)}/secret`,
    `/${up}${outside.slice(1)}/secret`,
    `${outside}/secret`,
    '../outside/secret',
  ];
}

describe('--root', () => {
  it(
    'is / for absolute paths, and .. stops there',
    confined(({ guest, outside }) => {
      assert.equal(guest.contents(guest.call('open', '/inside', 0)), 'inside');
      assert.equal(guest.contents(guest.call('open', '/../../inside', 0)), 'inside');
      for (const path of climbs(outside)) assert.equal(guest.call('open', path, 0), ENOENT, path);
    }),
  );

  it(
    'holds for relative paths from every working directory',
    confined(({ guest, outside }) => {
      assert.equal(guest.call('chdir', '/sub/deep'), 0);
      assert.equal(guest.contents(guest.call('open', '../../inside', 0)), 'inside');
      assert.equal(guest.contents(guest.call('open', '../../../../inside', 0)), 'inside');
      for (const path of climbs(outside)) assert.equal(guest.call('open', path, 0), ENOENT, path);
      assert.equal(guest.call('chdir', '../../../..'), 0);
      assert.deepEqual(guest.names(guest.call('open', '.', O_DIRECTORY)), ['.', '..', 'inside', 'sub']);
    }),
  );

  it(
    'holds for relative paths from every open directory',
    confined(({ guest, outside }) => {
      for (const flags of [O_DIRECTORY, O_PATH | O_DIRECTORY]) {
        const directory = guest.call('open', '/sub', flags);
        assert.equal(guest.contents(guest.call('openat', directory, '../inside', 0)), 'inside');
        for (const path of climbs(outside))
          assert.equal(guest.call('openat', directory, path, 0), ENOENT, path);
        assert.equal(guest.call('fchdir', directory), 0);
        assert.equal(guest.call('open', '../../outside/secret', 0), ENOENT);
      }
    }),
  );

  it(
    'starts symbolic links at the root too, wherever they are in the path',
    confined(({ guest, root, outside }) => {
      symlinkSync('/inside', join(root, 'absolute'));
      symlinkSync(join(outside, 'secret'), join(root, 'out'));
      symlinkSync('../outside', join(root, 'outdir'));
      symlinkSync(outside, join(root, 'sub/outdir'));
      assert.equal(guest.contents(guest.call('open', '/absolute', 0)), 'inside');
      for (const path of [
        '/out',
        '/outdir/secret',
        '/sub/outdir/secret',
        'outdir',
        '/sub/../outdir/secret',
      ]) {
        assert.equal(guest.call('open', path, 0), ENOENT, path);
      }
      // Nor can the guest make links that lead out.
      assert.equal(guest.call('symlink', '../../../../../../../..', '/up'), 0);
      assert.equal(guest.call('open', `/up${outside}/secret`, 0), ENOENT);
    }),
  );

  it(
    'cannot be left by any call that makes, changes or removes a name',
    confined(({ guest, root, outside }) => {
      symlinkSync(outside, join(root, 'outdir'));
      symlinkSync(join(outside, 'secret'), join(root, 'out'));
      const buffer = guest.memory.allocate(256);
      for (const directory of ['/outdir', outside, '../outside', '/sub/../../outside']) {
        const secret = `${directory}/secret`;
        const results = [
          guest.call('open', `${directory}/new`, O_RDWR | O_CREAT, 0o600),
          guest.call('mkdir', `${directory}/new`, 0o700),
          guest.call('mknod', `${directory}/new`, 0o010600),
          guest.call('symlink', 'x', `${directory}/new`),
          guest.call('link', '/inside', `${directory}/new`),
          guest.call('link', secret, '/stolen'),
          guest.call('linkat', AT_FDCWD, secret, AT_FDCWD, '/stolen', 0x400),
          guest.call('rename', '/inside', `${directory}/new`),
          guest.call('rename', secret, '/stolen'),
          guest.call('unlink', secret),
          guest.call('rmdir', directory),
          guest.call('truncate', secret, 0),
          guest.call('chmod', secret, 0),
          guest.call('chown', secret, 1, 1),
          guest.call('utimes', secret, 0),
          guest.call('stat', secret, buffer),
          guest.call('access', secret, 0),
          guest.call('readlink', secret, buffer, 256),
          guest.call('statfs', directory, buffer),
          guest.call('chdir', directory),
        ];
        // The link itself may be looked at by rmdir: it is no directory.
        assert.ok(
          results.every((result) => result === ENOENT || result === -20),
          results.join(' '),
        );
      }
      for (const call of ['chmod', 'truncate', 'stat', 'utimes'] as const) {
        assert.equal(guest.call(call, '/out', buffer), ENOENT, call);
      }
    }),
  );

  it(
    'stays in force when a directory in use is renamed by the program',
    confined(({ guest }) => {
      const deep = guest.call('open', '/sub/deep', O_DIRECTORY);
      guest.call('chdir', '/sub/deep');
      assert.equal(guest.call('rename', '/sub/deep', '/moved'), 0);
      // One level less now: as many steps as before lead to the root, not past it.
      assert.equal(guest.contents(guest.call('openat', deep, '../inside', 0)), 'inside');
      assert.equal(guest.contents(guest.call('open', '../../inside', 0)), 'inside');
      assert.equal(guest.call('openat', deep, '../../outside/secret', 0), ENOENT);
    }),
  );

  it(
    'stays in force when somebody moves a directory in use out of the root',
    inDirectory((top) => {
      mkdirSync(join(top, 'root/sub/deep'), { recursive: true });
      mkdirSync(join(top, 'outside'));
      writeFileSync(join(top, 'outside/secret'), 'secret');
      const guest = new Guest({ root: join(top, 'root') });
      const deep = guest.call('open', '/sub/deep', O_DIRECTORY);
      guest.call('chdir', '/sub/deep');
      renameSync(join(top, 'root/sub/deep'), join(top, 'outside/deep'));
      assert.equal(guest.call('openat', deep, '../secret', 0), ENOENT);
      assert.equal(guest.call('open', '../secret', 0), ENOENT);
      assert.equal(guest.call('openat', deep, '..', O_DIRECTORY), ENOENT);
      assert.equal(guest.call('getcwd', guest.memory.allocate(100), 100), ENOENT);
      guest.close();
    }),
  );

  it(
    'gives no way out through descriptors that the simulator handed over',
    confined(({ guest, root, outside }) => {
      // Descriptors 0 and 1 are a directory and a file outside, as `< DIR` and `> FILE` on the shell's line make them.
      const directoryFd = openSync(outside, 'r');
      const fileFd = openSync(join(outside, 'secret'), 'r');
      inherit(guest, 0, directoryFd, 'directory');
      inherit(guest, 1, fileFd, 'regular');
      const buffer = guest.memory.allocate(256);
      assert.equal(guest.call('openat', 0, 'secret', 0), EACCES);
      assert.equal(guest.call('openat', 0, '..', 0), EACCES);
      assert.equal(guest.call('fchdir', 0), EACCES);
      assert.equal(guest.call('mkdirat', 0, 'new', 0o700), EACCES);
      assert.equal(guest.call('newfstatat', 0, 'secret', buffer, 0), EACCES);
      for (const magic of [
        '/proc/self/fd/0/secret',
        '/dev/fd/0/secret',
        '/proc/1000/fd/0/../outside/secret',
      ]) {
        assert.ok(guest.call('open', magic, 0) < 0, magic);
      }
      // A read-only descriptor does not become a writable one, nor a name inside, nor is its file changed.
      assert.equal(guest.call('open', '/dev/fd/1', O_RDWR), EACCES);
      assert.equal(guest.call('linkat', 1, '', AT_FDCWD, '/stolen', 0x1000), EPERM);
      assert.equal(guest.call('linkat', AT_FDCWD, '/proc/self/fd/1', AT_FDCWD, '/stolen', 0x400), EPERM);
      assert.equal(guest.call('fchmod', 1, 0), EPERM);
      assert.equal(guest.call('fchownat', 1, '', 1, 1, 0x1000), EPERM);
      assert.equal(guest.call('utimensat', 1, 0, 0), EPERM);
      assert.equal(guest.call('truncate', '/proc/self/fd/1', 0), EPERM);
      assert.equal(existsSync(join(root, 'stolen')), false);
      // Reading is what it was handed over for.
      assert.equal(guest.contents(guest.call('open', '/dev/stdout', 0)), 'secret');
      closeSync(directoryFd);
      closeSync(fileFd);
    }),
  );

  it('does not let a program into procfs or at devices, even where they lie in the root', () => {
    const guest = new Guest({ root: '/' });
    const own = `/proc/${process.pid}`;
    for (const path of [`${own}/mem`, `${own}/maps`, `${own}/environ`, '/proc/1/status', '/proc/version']) {
      assert.equal(guest.call('open', path, 0), EACCES, path);
    }
    for (const path of [`${own}/root/etc/passwd`, `${own}/cwd`, `${own}/fd/0`]) {
      assert.equal(guest.call('open', path, 0), ELOOP, path);
    }
    for (const device of ['/dev/kvm', '/dev/kmsg', '/dev/vda', '/dev/mem']) {
      if (existsSync(device)) assert.equal(guest.call('open', device, O_RDWR), EACCES, device);
    }
    assert.ok(guest.call('open', '/dev/null', O_RDWR) >= 0);
    // An O_PATH descriptor of such a file cannot be turned into one that reads.
    const handle = guest.call('open', `${own}/maps`, O_PATH);
    assert.ok(handle >= 0);
    assert.equal(guest.call('open', `/proc/self/fd/${handle}`, 0), EACCES);
    guest.close();
  });

  it(
    'lets a program make no device nodes',
    confined(({ guest }) => {
      assert.equal(guest.call('mknod', '/disk', 0o060600, 0x800), EPERM);
      assert.equal(guest.call('mknod', '/mem', 0o020600, 0x101), EPERM);
      assert.equal(guest.call('mknod', '/fifo', 0o010600, 0), 0);
    }),
  );

  it(
    'shows the program its own names only',
    confined(({ guest, root }) => {
      const buffer = guest.memory.allocate(256);
      const fd = guest.call('open', '/sub/../inside', 0);
      const length = guest.call('readlink', `/proc/self/fd/${fd}`, buffer, 256);
      assert.equal(guest.memory.text(buffer, length), '/inside');
      guest.call('chdir', 'sub');
      assert.equal(guest.call('getcwd', buffer, 256), 5);
      assert.equal(guest.memory.text(buffer, 5), '/sub\0');
      assert.equal(guest.files.getcwd(), '/sub');
      assert.ok(root.length > 0);
    }),
  );

  it('refuses to start in a root or working directory that is not there', () => {
    assert.throws(() => new Guest({ root: '/no/such/root' }), {
      name: 'FatalError',
      message: /--root \/no\/such\/root/,
    });
    assert.throws(() => new Guest({ cwd: '/no/such/cwd' }), {
      name: 'FatalError',
      message: /--cwd \/no\/such\/cwd/,
    });
  });
});

/** Puts a host descriptor at a guest number, as the simulator's own are. */
function inherit(guest: Guest, fd: number, hostFd: number, kind: 'directory' | 'regular'): void {
  const file = new OpenFile(new HostFiles(), { hostFd, kind, flags: 0, inherited: true });
  assert.equal(guest.files.table.replace(fd, file, false), fd);
}
