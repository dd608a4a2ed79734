// Damaged ELF files: whatever is wrong with one, it is loaded, or refused with one line. Files of which a few bytes in the
// headers are changed or the end is missing, from a fixed seed.

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ExecError } from '../../../src/workload/elf.ts';
import { loadProgram } from '../../../src/workload/linux/loader.ts';
import { Code, elf } from '../../support/elf.ts';
import { Random } from '../../support/random.ts';
import { FakeFile, Machine, MIB, pattern } from './machine.ts';

const MUTANTS_OF_EACH = 1500;
/** Page tables are never given back: now and then there is a new machine. */
const LOADS_OF_A_MACHINE = 100;
const HEADERS_BYTES = 1024;
const LOADER = '/lib64/ld-linux-x86-64.so.2';
const ROOT = join(import.meta.dirname, '..', '..', '..');

const VALUES = [
  0n,
  1n,
  2n,
  3n,
  0xfffn,
  0x1000n,
  0x1001n,
  0xffffn,
  0x7fff_ffffn,
  0x8000_0000n,
  0xffff_ffffn,
  0x1_0000_0000n,
  0x7fff_ffff_0000n,
  0x8000_0000_0000n,
  0x1f_ffff_ffff_ffffn,
  0x7fff_ffff_ffff_ffffn,
  0x8000_0000_0000_0000n,
  0xffff_ffff_ffff_f000n,
  0xffff_ffff_ffff_ffffn,
];

function mutant(original: Uint8Array, random: Random): Uint8Array {
  const length = random.oneIn(8) ? random.below(original.length) : original.length;
  const bytes = Uint8Array.from(original.subarray(0, length));
  const view = new DataView(bytes.buffer);
  const end = Math.min(HEADERS_BYTES, bytes.length);
  for (let changes = 1 + random.below(3); changes > 0 && end >= 16; changes--) {
    // Fields of the headers are aligned; the identification at the start is left alone most of the time.
    const at = random.oneIn(10) ? random.below(end - 8) : 16 + 2 * random.below((end - 24) / 2 + 1);
    if (at + 8 > end) continue;
    if (random.oneIn(3)) bytes[at]! ^= 1 << random.below(8);
    else if (random.oneIn(2)) view.setUint16(at, Number(random.pick(VALUES) & 0xffffn), true);
    else view.setBigUint64(at - (at % 8), random.pick(VALUES), true);
  }
  return bytes;
}

/** Loads the file and gives everything back; returns what it was refused with. */
function load(m: Machine, files: Readonly<Record<string, Uint8Array>>): unknown {
  const opened: FakeFile[] = [];
  const open = (path: string): FakeFile => {
    const content = files[path];
    if (content === undefined) throw new ExecError(path, 'no such file', 'ENOENT');
    opened.push(new FakeFile(m, content, { path, inode: opened.length }));
    return opened.at(-1)!;
  };
  const credentials = { uid: 1, euid: 1, gid: 1, egid: 1 };
  const facts = { credentials, random: pattern(16), hwcap: 0, hwcap2: 0, minSignalStackBytes: 2048 };
  try {
    loadProgram(m.space, m.user, open, { path: '/program', args: ['program'], environment: [], ...facts });
    return undefined;
  } catch (error) {
    return error;
  } finally {
    m.space.close();
    assert.ok(
      opened.every((file) => file.closed === 1),
      'every file is closed once',
    );
    assert.equal(
      m.frames.totalFrames - m.frames.freeFrames,
      m.space.usage().tablePages,
      'all frames are back',
    );
  }
}

function fuzz(original: Uint8Array, others: Readonly<Record<string, Uint8Array>>, seed: number): void {
  const random = new Random(seed);
  const outcomes = new Set<string>();
  let m = new Machine(4 * MIB);
  assert.equal(load(m, { '/program': original, ...others }), undefined, 'the original is loaded');
  for (let i = 1; i <= MUTANTS_OF_EACH; i++) {
    if (i % LOADS_OF_A_MACHINE === 0) m = new Machine(4 * MIB);
    // Sometimes it is the loader that is damaged.
    const victim = random.oneIn(4) ? (Object.keys(others)[0] ?? '/program') : '/program';
    const files: Record<string, Uint8Array> = { '/program': original, ...others };
    const error = load(m, { ...files, [victim]: mutant(files[victim]!, random) });
    if (error !== undefined && !(error instanceof ExecError)) throw error;
    if (error !== undefined) assert.match(error.message, /^\/program: [^\n]+$/);
    outcomes.add(error === undefined ? 'loaded' : error.message.replaceAll(/0x[0-9a-f]+|\d+/g, 'N'));
  }
  // Otherwise the mutants would all fail at the same check, and show little.
  assert.ok(outcomes.size > 10, [...outcomes].join('\n'));
}

test('a static program with changed headers or a missing end', () => fuzz(elf(Code.exit(0)), {}, 1));

test('the bundled program with changed headers or a missing end', () =>
  fuzz(readFileSync(join(ROOT, 'share', 'demo', 'mixed')), {}, 2));

for (const [i, program] of ['/bin/true', '/bin/sh'].entries()) {
  const skip = [program, LOADER].every((path) => existsSync(path)) ? false : `${program} is not there`;
  test(`${program} and its loader with changed headers or a missing end`, { skip }, () =>
    fuzz(readFileSync(program), { [LOADER]: readFileSync(LOADER) }, 3 + i),
  );
}
