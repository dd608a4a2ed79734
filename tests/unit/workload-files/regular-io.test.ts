/**
 * Data of regular files: scattered over pages, at positions, copied between descriptors, up to bad addresses.
 */
import assert from 'node:assert/strict';
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { Guest, inDirectory, MEMORY_BASE } from './harness.ts';

const O_RDWR = 2;
const O_CREAT = 0o100;
const EFAULT = -14;
const EINVAL = -22;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const MEMORY_END = MEMORY_BASE + (4 << 20);

/** Bytes that differ from page to page. */
function pattern(length: number): Buffer {
  return Buffer.from(Array.from({ length }, (_, i) => (i * 7 + (i >> 8)) & 0xff));
}

function iovec(guest: Guest, ...parts: (readonly [va: number, length: number])[]): number {
  const va = guest.memory.allocate(16 * parts.length);
  for (const [i, [base, length]] of parts.entries()) {
    guest.memory.writeNumber64(va + 16 * i, base);
    guest.memory.writeNumber64(va + 16 * i + 8, length);
  }
  return va;
}

describe('reads and writes', () => {
  it(
    'move more than a chunk, over scattered pages, unchanged',
    inDirectory((directory) => {
      const data = pattern(1_500_001);
      writeFileSync(join(directory, 'in'), data);
      const guest = new Guest({ cwd: directory });
      const va = guest.memory.allocate(data.length + 1) + 1;
      assert.equal(guest.call('read', guest.call('open', 'in', 0), va, 1_600_000), data.length);
      assert.ok(data.equals(guest.memory.read(va, data.length)));
      const out = guest.call('open', 'out', O_RDWR | O_CREAT, 0o600);
      assert.equal(guest.call('write', out, va, data.length), data.length);
      assert.ok(data.equals(readFileSync(join(directory, 'out'))));
      guest.close();
    }),
  );

  it(
    'gather and scatter by iovec, at the position and at an offset',
    inDirectory((directory) => {
      const guest = new Guest({ cwd: directory });
      const fd = guest.call('open', 'file', O_RDWR | O_CREAT, 0o600);
      const text = guest.memory.string('hello, world');
      assert.equal(guest.call('writev', fd, iovec(guest, [text, 5], [text, 0], [text + 5, 7]), 3), 12);
      assert.equal(guest.call('pwritev', fd, iovec(guest, [text + 7, 1], [text + 8, 1]), 2, 2), 2);
      assert.equal(readFileSync(join(directory, 'file'), 'latin1'), 'hewoo, world');
      const [a, b] = [guest.memory.allocate(8), guest.memory.allocate(8)];
      assert.equal(guest.call('preadv', fd, iovec(guest, [a, 3], [b, 4]), 2, 1), 7);
      assert.equal(guest.memory.text(a, 3) + guest.memory.text(b, 4), 'ewoo, w');
      assert.equal(guest.call('preadv2', fd, iovec(guest, [a, 3]), 1, -1, 0, 0), 0);
      assert.equal(guest.call('readv', fd, iovec(guest, [a, -1]), 1), EINVAL);
      assert.equal(guest.call('readv', fd, a, 1025), EINVAL);
      assert.equal(guest.call('readv', fd, a, 0), 0);
      assert.equal(guest.call('pread64', fd, a, 1, -1), EINVAL);
      guest.close();
    }),
  );

  it(
    'end at a bad address with what came before it',
    inDirectory((directory) => {
      writeFileSync(join(directory, 'file'), pattern(10_000));
      const guest = new Guest({ cwd: directory });
      const fd = guest.call('open', 'file', O_RDWR);
      assert.equal(guest.call('read', fd, MEMORY_END - 4096, 8192), 4096);
      assert.equal(guest.call('lseek', fd, 0, 1), 4096);
      assert.equal(guest.call('read', fd, MEMORY_END, 1), EFAULT);
      assert.equal(guest.call('write', fd, 0, 1), EFAULT);
      assert.equal(guest.call('readv', fd, MEMORY_END, 1), EFAULT);
      assert.equal(guest.call('open', 0, 0), EFAULT);
      guest.close();
    }),
  );

  it('respect the access mode and the kind of file', () => {
    const guest = new Guest();
    const va = guest.memory.allocate(16);
    const readOnly = guest.call('open', '/etc/passwd', 0);
    assert.equal(guest.call('write', readOnly, va, 1), -9);
    assert.equal(guest.call('read', guest.call('open', '/dev/null', 1), va, 1), -9);
    assert.equal(guest.call('read', guest.call('open', '/etc', 0), va, 1), -21);
    assert.equal(guest.call('pread64', guest.pipe().readEnd, va, 1, 0), -29);
    assert.equal(guest.call('lseek', guest.pipe().readEnd, 0, 1), -29);
    assert.equal(guest.call('read', 77, va, 1), -9);
    guest.close();
  });

  it(
    'seek beyond 4 GiB and find holes',
    inDirectory((directory) => {
      const path = join(directory, 'sparse');
      writeFileSync(path, 'x');
      truncateSync(path, 6 * 2 ** 30);
      const guest = new Guest();
      const fd = guest.call('open', path, O_RDWR);
      assert.equal(guest.call('lseek', fd, 0, 2), 6 * 2 ** 30);
      assert.equal(guest.call('lseek', fd, -1, 1), 6 * 2 ** 30 - 1);
      assert.equal(guest.call('pwrite64', fd, guest.memory.string('end'), 3, 5 * 2 ** 30), 3);
      assert.equal(guest.call('lseek', fd, 2 ** 30, SEEK_DATA), 5 * 2 ** 30);
      assert.equal(guest.call('lseek', fd, 5 * 2 ** 30, SEEK_HOLE) > 5 * 2 ** 30, true);
      assert.equal(guest.call('ftruncate', fd, 5 * 2 ** 30 + 2), 0);
      assert.equal(guest.call('lseek', fd, 0, 2), 5 * 2 ** 30 + 2);
      guest.close();
    }),
  );
});

describe('copies inside the kernel', () => {
  it(
    'use and move the positions, or the offsets in memory',
    inDirectory((directory) => {
      const data = pattern(20_000);
      writeFileSync(join(directory, 'in'), data);
      const guest = new Guest({ cwd: directory });
      const from = guest.call('open', 'in', 0);
      const to = guest.call('open', 'out', O_RDWR | O_CREAT, 0o600);
      const offset = guest.memory.allocate(8);
      guest.memory.writeNumber64(offset, 5_000);
      assert.equal(guest.call('sendfile', to, from, offset, 5_000), 5_000);
      assert.equal(guest.memory.readAddress(offset), 10_000);
      assert.equal(guest.call('lseek', from, 0, 1), 0);
      assert.equal(guest.call('copy_file_range', from, offset, to, 0, 99_999, 0), 10_000);
      assert.equal(guest.memory.readAddress(offset), 20_000);
      assert.ok(data.subarray(5_000).equals(readFileSync(join(directory, 'out'))));
      assert.equal(guest.call('splice', from, 0, to, 0, 10, 0), EINVAL);
      guest.close();
    }),
  );
});
