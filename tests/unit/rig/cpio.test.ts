// The archives that the rig boots from, read back by the rules of the newc format (Linux,
// Documentation/driver-api/early-userspace/buffer-format.rst).

import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { CpioArchive } from '../../../tools/rig/cpio.ts';
import { scratchDirectory } from '../../support/hypertick.ts';

interface ReadEntry {
  name: string;
  mode: number;
  modifiedS: number;
  data: string;
}

/** Offsets of the fields: magic 6 characters, then 13 times 8 digits. */
function read(archive: CpioArchive): ReadEntry[] {
  const bytes = Buffer.concat([...archive.pieces()]);
  assert.equal(bytes.length % 4, 0);
  const entries: ReadEntry[] = [];
  for (let at = 0; ; ) {
    assert.equal(bytes.toString('latin1', at, at + 6), '070701', `magic at ${at}`);
    const field = (i: number): number => {
      const digits = bytes.toString('latin1', at + 6 + 8 * i, at + 14 + 8 * i);
      assert.match(digits, /^[0-9a-f]{8}$/);
      return Number.parseInt(digits, 16);
    };
    const [mode, modifiedS, size, nameSize] = [field(1), field(5), field(6), field(11)];
    const name = bytes.toString('utf8', at + 110, at + 110 + nameSize - 1);
    assert.equal(bytes[at + 110 + nameSize - 1], 0);
    const dataAt = (at + 110 + nameSize + 3) & ~3;
    if (name === 'TRAILER!!!') {
      assert.equal(dataAt, bytes.length);
      return entries;
    }
    entries.push({ name, mode, modifiedS, data: bytes.toString('utf8', dataAt, dataAt + size) });
    at = (dataAt + size + 3) & ~3;
  }
}

test('entries of every length of name and data are found again', () => {
  const archive = new CpioArchive();
  const names = ['a', 'bc', 'def', 'ghij', 'klmno'];
  for (const [i, name] of names.entries()) archive.addFile(`/${name}`, 'x'.repeat(i));
  assert.deepEqual(
    read(archive).map(({ name, data }) => [name, data.length]),
    names.map((name, i) => [name, i]),
  );
});

test('directories come before what they hold, once', () => {
  const archive = new CpioArchive();
  archive.addFile('/usr/lib/one', '1', 0o755, 7);
  archive.addSymlink('/usr/lib/two', 'one');
  archive.addDirectory('/usr/lib');
  assert.deepEqual(read(archive), [
    { name: 'usr', mode: 0o040755, modifiedS: 0, data: '' },
    { name: 'usr/lib', mode: 0o040755, modifiedS: 0, data: '' },
    { name: 'usr/lib/one', mode: 0o100755, modifiedS: 7, data: '1' },
    { name: 'usr/lib/two', mode: 0o120777, modifiedS: 0, data: 'one' },
  ]);
});

test('a file that is added again is replaced', () => {
  const archive = new CpioArchive();
  archive.addFile('/a', 'old');
  archive.addFile('//a', 'new');
  assert.deepEqual(
    read(archive).map(({ data }) => data),
    ['new'],
  );
});

test('a directory of the host keeps permissions and times, follows links and leaves out what is not wanted', (t) => {
  const directory = scratchDirectory(t);
  mkdirSync(join(directory, 'sub'));
  writeFileSync(join(directory, 'sub', 'program'), 'run');
  chmodSync(join(directory, 'sub', 'program'), 0o750);
  utimesSync(join(directory, 'sub', 'program'), 1_000_000_000, 1_000_000_000);
  symlinkSync('program', join(directory, 'sub', 'link'));
  writeFileSync(join(directory, 'unwanted'), '');
  const archive = new CpioArchive();
  archive.addFromHost(directory, '/w', (path) => !path.endsWith('/unwanted'));
  const file = { mode: 0o100750, modifiedS: 1_000_000_000, data: 'run' };
  assert.deepEqual(read(archive).slice(2), [
    { name: 'w/sub/link', ...file },
    { name: 'w/sub/program', ...file },
  ]);
});
