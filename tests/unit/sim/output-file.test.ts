// Files that appear whole or not at all.

import assert from 'node:assert/strict';
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  canonicalPath,
  checkOutput,
  OutputDraft,
  reasonFor,
  writeOutput,
} from '../../../src/sim/output-file.ts';
import { scratchDirectory } from '../../support/hypertick.ts';

test('a file is replaced as a whole, with its mode, behind a link too', (t) => {
  const directory = scratchDirectory(t);
  const file = join(directory, 'file');
  const link = join(directory, 'link');
  writeFileSync(file, 'a longer old text');
  chmodSync(file, 0o640);
  symlinkSync('file', link);
  writeOutput(link, 'new');
  assert.equal(readFileSync(file, 'utf8'), 'new');
  assert.equal(statSync(file).mode & 0o777, 0o640);
  assert.equal(readlinkSync(link), 'file');
  assert.deepEqual(readdirSync(directory).sort(), ['file', 'link']);
});

test('a draft that is not published leaves the old file, and nothing else', (t) => {
  const directory = scratchDirectory(t);
  const file = join(directory, 'file');
  writeFileSync(file, 'old');
  const draft = new OutputDraft(file);
  draft.append('new');
  assert.equal(readFileSync(file, 'utf8'), 'old');
  draft.close();
  assert.equal(readFileSync(file, 'utf8'), 'old');
  assert.deepEqual(readdirSync(directory), ['file']);
});

test('a published draft can be appended to', (t) => {
  const file = join(scratchDirectory(t), 'file');
  const draft = new OutputDraft(file);
  draft.append('one ');
  draft.publish();
  draft.append('two');
  draft.close();
  assert.equal(readFileSync(file, 'utf8'), 'one two');
});

test('a device is written in place, and its error told in words', () => {
  assert.throws(() => writeOutput('/dev/full', 'text'), {
    name: 'FatalError',
    message: 'cannot write /dev/full: no space left on device',
  });
  assert.ok(statSync('/dev/full').isCharacterDevice());
});

test('checking touches nothing and tells what is in the way', (t) => {
  const directory = scratchDirectory(t);
  const path = (name: string) => join(directory, name);
  mkdirSync(path('directory'));
  writeFileSync(path('file'), '');
  checkOutput(path('new'));
  assert.throws(() => checkOutput(path('directory')), /directory: is a directory$/);
  assert.throws(() => checkOutput(path('file/new')), /new: a part of the path is not a directory$/);
  assert.throws(() => checkOutput(path('none/new')), /new: its directory does not exist$/);
  assert.deepEqual(readdirSync(directory).sort(), ['directory', 'file']);
});

test('two names of one file have one canonical path, also before it is there', (t) => {
  const directory = canonicalPath(scratchDirectory(t));
  symlinkSync('.', join(directory, 'link'));
  assert.equal(canonicalPath(join(directory, 'link/new/file')), join(directory, 'new/file'));
});

test('an errno without a text is told by its name', () => {
  assert.equal(reasonFor('ENOSPC'), 'no space left on device');
  assert.equal(reasonFor('ENOTNAM'), 'ENOTNAM');
});
