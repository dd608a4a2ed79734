/**
 * Pipes, named pipes and event counters: what may have to wait does so by a Wait, never inside the host's kernel.
 */
import assert from 'node:assert/strict';
import { closeSync, constants, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { HostFiles } from '../../../src/host/files.ts';
import { OpenFile } from '../../../src/workload/linux/files/open-file.ts';
import { Guest, inDirectory } from './harness.ts';

const O_WRONLY = 1;
const O_RDWR = 2;
const O_NONBLOCK = 0o4000;
const EAGAIN = -11;
const ENOSPC = -28;
const EPIPE = -32;
const RESTART = -512;
const F_SETFL = 4;
const F_GETFL = 3;
const SIGPIPE = 13;
const PIPE_BYTES = 65536;
const F_SETPIPE_SZ = 1031;
/** The largest pipe that an unprivileged process may have, pipe(7). */
const LARGE_PIPE_BYTES = 1 << 20;
const PAGE = 4096;

describe('reading a pipe', () => {
  it('gives what is there, and 0 when the last writer is gone', () => {
    const guest = new Guest();
    const { readEnd, writeEnd } = guest.pipe();
    assert.equal(guest.put(writeEnd, 'hello'), 5);
    const buffer = guest.memory.allocate(100);
    assert.equal(guest.call('read', readEnd, buffer, 100), 5);
    assert.equal(guest.memory.text(buffer, 5), 'hello');
    guest.call('close', writeEnd);
    assert.equal(guest.call('read', readEnd, buffer, 100), 0);
    guest.close();
  });

  it('waits for data, and for the writer to go away', () => {
    const guest = new Guest();
    const { readEnd, writeEnd } = guest.pipe();
    const buffer = guest.memory.allocate(100);
    const wait = guest.wait('read', readEnd, buffer, 100);
    assert.equal(wait.interruptResult, RESTART);
    assert.equal(wait.poll(), undefined);
    guest.put(writeEnd, 'late');
    assert.equal(wait.poll(), 4);
    assert.equal(guest.memory.text(buffer, 4), 'late');
    const second = guest.wait('read', readEnd, buffer, 100);
    guest.call('close', writeEnd);
    assert.equal(second.poll(), 0);
    guest.close();
  });

  it('goes on after another thread closed the descriptor', () => {
    const guest = new Guest();
    const { readEnd, writeEnd } = guest.pipe();
    const buffer = guest.memory.allocate(100);
    const wait = guest.wait('read', readEnd, buffer, 100);
    assert.equal(guest.call('close', readEnd), 0);
    assert.equal(guest.put(writeEnd, 'still'), 5);
    assert.equal(wait.poll(), 5);
    // Now the read end is really gone.
    assert.equal(guest.put(writeEnd, 'x'), EPIPE);
    guest.close();
  });

  it('answers EAGAIN to a non-blocking descriptor, whether opened, set by fcntl or by ioctl', () => {
    const guest = new Guest();
    const buffer = guest.memory.allocate(100);
    assert.equal(guest.call('read', guest.pipe(O_NONBLOCK).readEnd, buffer, 100), EAGAIN);
    const { readEnd } = guest.pipe();
    assert.equal(guest.call('fcntl', readEnd, F_SETFL, O_NONBLOCK), 0);
    assert.equal(guest.call('fcntl', readEnd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    assert.equal(guest.call('read', readEnd, buffer, 100), EAGAIN);
    assert.equal(guest.call('fcntl', readEnd, F_SETFL, 0), 0);
    guest.wait('read', readEnd, buffer, 100).cancel?.();
    const on = guest.memory.allocate(4);
    guest.memory.writeI32(on, 1);
    assert.equal(guest.call('ioctl', readEnd, 0x5421, on), 0);
    assert.equal(guest.call('read', readEnd, buffer, 100), EAGAIN);
    guest.close();
  });
});

describe('reading much at once', () => {
  it('empties a pipe that was enlarged, and stops there', () => {
    const guest = new Guest();
    const { readEnd, writeEnd } = guest.pipe();
    assert.equal(guest.call('fcntl', writeEnd, F_SETPIPE_SZ, LARGE_PIPE_BYTES), LARGE_PIPE_BYTES);
    const buffer = guest.memory.allocate(2 * LARGE_PIPE_BYTES);
    assert.equal(guest.call('write', writeEnd, buffer, LARGE_PIPE_BYTES), LARGE_PIPE_BYTES);
    assert.equal(guest.call('read', readEnd, buffer, 2 * LARGE_PIPE_BYTES), LARGE_PIPE_BYTES);
    guest.close();
  });

  it('fills more pieces of memory than the host takes in one call', () => {
    const guest = new Guest();
    const { readEnd, writeEnd } = guest.pipe();
    const parts = 600;
    const vector = guest.memory.allocate(16 * parts);
    const memory = guest.memory.allocate((parts + 1) * PAGE);
    const source = guest.memory.allocate(100 * parts);
    for (let i = 0; i < 100 * parts; i++) guest.memory.write(source + i, Uint8Array.of(i * 7 + (i >> 8)));
    // Each part lies across two pages.
    const partAt = (i: number) => memory - (memory % PAGE) + (i + 1) * PAGE - 50;
    for (let i = 0; i < parts; i++) {
      guest.memory.writeNumber64(vector + 16 * i, partAt(i));
      guest.memory.writeNumber64(vector + 16 * i + 8, 100);
    }
    assert.equal(guest.call('write', writeEnd, source, 100 * parts), 100 * parts);
    assert.equal(guest.call('readv', readEnd, vector, parts), 100 * parts);
    const last = parts - 1;
    assert.deepEqual(guest.memory.read(partAt(last), 100), guest.memory.read(source + 100 * last, 100));
    guest.close();
  });

  it('moves whole records from and to devices that never wait', () => {
    const guest = new Guest();
    const bytes = 3 << 20;
    const buffer = guest.memory.allocate(bytes);
    for (const name of ['/dev/zero', '/dev/full', '/dev/urandom']) {
      guest.memory.write(buffer + bytes - 64, new Uint8Array(64).fill(1));
      assert.equal(guest.call('read', guest.call('open', name, 0), buffer, bytes), bytes, name);
      assert.notDeepEqual(guest.memory.read(buffer + bytes - 64, 64), new Uint8Array(64).fill(1), name);
    }
    assert.equal(guest.call('read', guest.call('open', '/dev/null', 0), buffer, bytes), 0);
    for (const name of ['/dev/null', '/dev/zero', '/dev/full', '/dev/random', '/dev/urandom']) {
      assert.equal(guest.files.table.get(guest.call('open', name, 0))?.kind, 'device', name);
    }
    for (const [name, result] of [
      ['/dev/null', bytes],
      ['/dev/zero', bytes],
      ['/dev/full', ENOSPC],
    ] as const) {
      assert.equal(guest.call('write', guest.call('open', name, O_WRONLY), buffer, bytes), result, name);
    }
    guest.close();
  });
});

describe('writing a pipe', () => {
  it('waits until everything is written, and reports a partial write if a signal comes', () => {
    const guest = new Guest();
    const { readEnd, writeEnd } = guest.pipe();
    const big = guest.memory.allocate(3 * PIPE_BYTES);
    const wait = guest.wait('write', writeEnd, big, 3 * PIPE_BYTES);
    assert.equal(wait.interruptResult, PIPE_BYTES);
    const sink = guest.memory.allocate(PIPE_BYTES);
    assert.equal(guest.call('read', readEnd, sink, PIPE_BYTES), PIPE_BYTES);
    assert.equal(wait.poll(), undefined);
    assert.equal(guest.call('read', readEnd, sink, PIPE_BYTES), PIPE_BYTES);
    assert.equal(wait.poll(), 3 * PIPE_BYTES);
    guest.close();
  });

  it('writes what fits to a non-blocking descriptor, then EAGAIN', () => {
    const guest = new Guest();
    const { writeEnd } = guest.pipe(O_NONBLOCK);
    const big = guest.memory.allocate(2 * PIPE_BYTES);
    assert.equal(guest.call('write', writeEnd, big, 2 * PIPE_BYTES), PIPE_BYTES);
    assert.equal(guest.call('write', writeEnd, big, 1), EAGAIN);
    guest.close();
  });

  it('raises SIGPIPE and answers EPIPE when nobody can read, at once or while waiting', () => {
    const guest = new Guest();
    const first = guest.pipe();
    guest.call('close', first.readEnd);
    assert.equal(guest.put(first.writeEnd, 'x'), EPIPE);
    assert.deepEqual(guest.signals, [SIGPIPE]);
    const second = guest.pipe();
    const big = guest.memory.allocate(2 * PIPE_BYTES);
    const wait = guest.wait('write', second.writeEnd, big, 2 * PIPE_BYTES);
    guest.call('close', second.readEnd);
    assert.equal(wait.poll(), PIPE_BYTES);
    assert.deepEqual(guest.signals, [SIGPIPE, SIGPIPE]);
    guest.close();
  });
});

describe('inherited descriptors', () => {
  /** Puts a blocking host pipe at the guest's descriptor 1, as a shell does. */
  function withInheritedPipe(
    end: 'read' | 'write',
    test: (guest: Guest, otherFd: number, ownFd: number) => void,
  ): void {
    const host = new HostFiles();
    const guest = new Guest();
    const ends = host.pipe2(0);
    assert.ok(typeof ends === 'object');
    const [own, other] = end === 'read' ? [ends.readFd, ends.writeFd] : [ends.writeFd, ends.readFd];
    const flags = end === 'read' ? 0 : O_WRONLY;
    guest.files.table.replace(
      1,
      new OpenFile(host, { hostFd: own, kind: 'stream', flags, inherited: true }),
      false,
    );
    test(guest, other, own);
    guest.close();
    for (const fd of [own, other]) assert.equal(host.close(fd), 0);
  }

  it('never wait in the host, although they are blocking there and stay so', () => {
    withInheritedPipe('write', (guest, other, own) => {
      const big = guest.memory.allocate(2 * PIPE_BYTES);
      const wait = guest.wait('write', 1, big, 2 * PIPE_BYTES);
      assert.equal(wait.interruptResult, PIPE_BYTES);
      assert.equal(readSync(other, Buffer.alloc(PIPE_BYTES)), PIPE_BYTES);
      assert.equal(wait.poll(), 2 * PIPE_BYTES);
      assert.equal(guest.call('fcntl', 1, F_SETFL, O_NONBLOCK), 0);
      assert.equal(guest.host.fcntl(own, F_GETFL, 0) & O_NONBLOCK, 0);
      assert.equal(guest.call('write', 1, big, 1), EAGAIN);
    });
    withInheritedPipe('read', (guest, other) => {
      const buffer = guest.memory.allocate(10);
      const wait = guest.wait('read', 1, buffer, 10);
      writeSync(other, 'typed');
      assert.equal(wait.poll(), 5);
    });
  });

  it('give all that an enlarged pipe has, and then do not wait in the host', () => {
    // Whether the host can be asked not to wait, or has to be polled before each piece.
    for (const noWait of [true, false]) {
      withInheritedPipe('read', (guest, other) => {
        guest.files.table.get(1)!.noWait = noWait;
        assert.equal(guest.host.fcntl(other, F_SETPIPE_SZ, LARGE_PIPE_BYTES), LARGE_PIPE_BYTES);
        assert.equal(writeSync(other, Buffer.alloc(LARGE_PIPE_BYTES)), LARGE_PIPE_BYTES);
        const buffer = guest.memory.allocate(2 * LARGE_PIPE_BYTES);
        assert.equal(guest.call('read', 1, buffer, 2 * LARGE_PIPE_BYTES), LARGE_PIPE_BYTES);
      });
    }
  });

  it(
    'take sendfile without waiting in the host',
    inDirectory((directory) => {
      withInheritedPipe('write', (guest, other) => {
        const path = join(directory, 'big');
        const file = guest.call('open', path, O_RDWR | 0o100, 0o600);
        const big = guest.memory.allocate(2 * PIPE_BYTES);
        assert.equal(guest.call('write', file, big, 2 * PIPE_BYTES), 2 * PIPE_BYTES);
        guest.call('lseek', file, 0, 0);
        assert.equal(guest.call('sendfile', 1, file, 0, 2 * PIPE_BYTES), PIPE_BYTES);
        const wait = guest.wait('sendfile', 1, file, 0, 2 * PIPE_BYTES);
        assert.equal(readSync(other, Buffer.alloc(PIPE_BYTES)), PIPE_BYTES);
        assert.equal(wait.poll(), PIPE_BYTES);
      });
    }),
  );

  it('stay open on the host when the program closes them', () => {
    withInheritedPipe('write', (guest, other) => {
      assert.equal(guest.call('close', 1), 0);
      assert.equal(guest.call('close', 1), -9);
      assert.equal(guest.call('open', '/dev/null', 0), 1);
      assert.equal(guest.host.pollOne(other, 1), 0);
    });
  });
});

describe('named pipes', () => {
  const fifo = (guest: Guest, directory: string) => {
    const path = join(directory, 'fifo');
    assert.equal(guest.call('mknod', path, 0o010600, 0), 0);
    return path;
  };

  it(
    'opened for writing wait for a reader',
    inDirectory((directory) => {
      const guest = new Guest();
      const path = fifo(guest, directory);
      assert.equal(guest.call('open', path, O_WRONLY | O_NONBLOCK), -6);
      const wait = guest.wait('open', path, O_WRONLY);
      assert.equal(wait.poll(), undefined);
      const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
      const fd = wait.poll();
      assert.ok(typeof fd === 'number' && fd >= 0);
      assert.equal(guest.put(fd, 'data'), 4);
      closeSync(reader);
      guest.close();
    }),
  );

  it(
    'opened for reading wait for a writer, even one that writes nothing',
    inDirectory((directory) => {
      const guest = new Guest();
      const path = fifo(guest, directory);
      const wait = guest.wait('open', path, 0);
      assert.equal(wait.poll(), undefined);
      const writer = guest.call('open', path, O_WRONLY);
      assert.ok(writer >= 0);
      const fd = wait.poll();
      assert.ok(typeof fd === 'number' && fd >= 0);
      guest.put(writer, 'data');
      guest.call('close', writer);
      assert.equal(guest.contents(fd), 'data');
      guest.close();
    }),
  );
});

describe('event counters', () => {
  it('wait while zero, and add up', () => {
    const guest = new Guest();
    const fd = guest.call('eventfd2', 0, 0);
    const buffer = guest.memory.allocate(8);
    const wait = guest.wait('read', fd, buffer, 8);
    guest.memory.writeNumber64(buffer, 3);
    assert.equal(guest.call('write', fd, buffer, 8), 8);
    assert.equal(guest.call('write', fd, buffer, 8), 8);
    guest.memory.writeNumber64(buffer, 0);
    assert.equal(wait.poll(), 8);
    assert.equal(guest.memory.readAddress(buffer), 6);
    guest.close();
  });
});
