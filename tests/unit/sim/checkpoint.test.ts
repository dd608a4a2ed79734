/** Checkpoints: the round trip, the files, atomic replacement, and everything that can be wrong with one. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { BlobWriter } from '../../../src/sim/checkpoint/blob.ts';
import { recordOf, VERSION } from '../../../src/sim/checkpoint/format.ts';
import { restoreCheckpoint } from '../../../src/sim/checkpoint/reader.ts';
import { saveCheckpoint } from '../../../src/sim/checkpoint/writer.ts';
import { Root } from '../../../src/sim/root.ts';
import type { SimObject } from '../../../src/sim/sim-object.ts';
import { Simulator } from '../../../src/sim/simulator.ts';
import { asTick } from '../../../src/sim/tick.ts';
import { FatalError } from '../../../src/sim/trouble.ts';
import { machine, Ticker } from './machine.ts';

const scratch = mkdtempSync(join(tmpdir(), 'checkpoint-'));
after(() => rmSync(scratch, { recursive: true }));

/** A checkpoint at tick 1000 that tests may damage. */
async function saved(name: string): Promise<string> {
  const { root, memory } = machine();
  const simulator = new Simulator(root);
  await simulator.runUntilExit({ maxTick: asTick(1000n) });
  memory.bytes.set([1, 2, 3], 8190);
  memory.bytes[memory.bytes.length - 1] = 9;
  const directory = join(scratch, name);
  await simulator.checkpoint(directory);
  return directory;
}

const allState = (root: SimObject) =>
  [...root.descendants()].map((object) => [
    object.path,
    [...object.stateCells].map(([name, cell]) => [name, cell.save()]),
  ]);

test('a restored system has the same state and goes on exactly as the saved one', async () => {
  const original = machine();
  const simulator = new Simulator(original.root);
  await simulator.runUntilExit({ maxTick: asTick(1000n) });
  original.memory.bytes.fill(0xa5, 5000, 70_000);
  const directory = join(scratch, 'round-trip');
  await simulator.checkpoint(directory);

  const copy = machine();
  copy.memory.bytes.fill(0xff);
  const second = new Simulator(copy.root);
  second.restore(directory);
  assert.deepEqual(allState(copy.root), allState(original.root));
  assert.deepEqual(copy.memory.bytes, original.memory.bytes);
  assert.equal(copy.root.curTick, 1000n);

  await simulator.runUntilExit({ maxTick: asTick(2000n) });
  await second.runUntilExit({ maxTick: asTick(2000n) });
  assert.deepEqual(copy.a.calls, ['init', 'restored', 'startup', 'drainResume']);
  assert.equal(copy.a.count.value, original.a.count.value);
  assert.deepEqual(allState(copy.root), allState(original.root));
});

test('events of the same tick keep their order across a restore', async () => {
  const directory = await saved('order');
  const { root, a, b } = machine();
  const order: string[] = [];
  a.onTick = () => order.push('a');
  b.onTick = () => order.push('b');
  const simulator = new Simulator(root);
  simulator.restore(directory);
  await simulator.runUntilExit({ maxTick: asTick(1200n) });
  // At 1200 both tick; b was scheduled first, at 1050, a at 1100.
  assert.deepEqual(order, ['b', 'a', 'b', 'a']);
});

test('saving changes nothing and gives the same files twice', async () => {
  const { root, a } = machine();
  const simulator = new Simulator(root);
  await simulator.runUntilExit({ maxTick: asTick(500n) });
  const before = allState(root);
  await simulator.checkpoint(join(scratch, 'same1'));
  await simulator.checkpoint(join(scratch, 'same2'));
  assert.deepEqual(allState(root), before);
  assert.equal(a.calls.at(-1), 'drainResume');
  const manifest = (name: string) => readFileSync(join(scratch, name, 'manifest.json'), 'utf8');
  assert.equal(manifest('same1'), manifest('same2'));
});

test('dense and patchy memory larger than one write comes back byte for byte', () => {
  const sizeBytes = 5 << 20;
  const { root, memory } = machine({}, sizeBytes);
  for (let i = 0; i < 3 << 20; i++) memory.bytes[i] = (i * 31 + (i >> 12)) | 1;
  for (let i = 3 << 20; i < sizeBytes; i += 9000) memory.bytes[i] = 1;
  saveCheckpoint(root, join(scratch, 'dense'));
  const copy = machine({}, sizeBytes);
  restoreCheckpoint(copy.root, join(scratch, 'dense'));
  assert.ok(Buffer.from(copy.memory.bytes.buffer).equals(Buffer.from(memory.bytes.buffer)));
});

test('zero pages of memory take no space, and the file is page-aligned and complete', async () => {
  const sizeBytes = 64 << 20;
  const { root, memory } = machine({}, sizeBytes);
  memory.bytes[40 << 20] = 1;
  saveCheckpoint(root, join(scratch, 'sparse'));
  const { size, blocks } = statSync(join(scratch, 'sparse/blobs/memory.data.bin'));
  assert.equal(size, sizeBytes);
  assert.ok(blocks * 512 <= 1 << 20, `${blocks * 512} bytes on disk`);
});

test('the manifest records every file: sections by their SHA-256, blobs by the pages that they have', async () => {
  const directory = await saved('manifest');
  const read = (file: string) => readFileSync(join(directory, file));
  const { version, tick, sections, blobs } = JSON.parse(read('manifest.json').toString());
  assert.equal(version, VERSION);
  assert.equal(tick, '1000');
  const files = ['objects/a.json', 'objects/b.json', 'objects/memory.json', 'objects/root.json'];
  assert.deepEqual(Object.keys(sections).sort(), files);
  for (const file of files) assert.deepEqual(sections[file], recordOf(read(file)));
  const memory = read('blobs/memory.data.bin');
  const pages = '1-2,255';
  const sha256 = createHash('sha256')
    .update(memory.subarray(4096, 3 * 4096))
    .update(memory.subarray(255 * 4096))
    .update(pages)
    .digest('hex');
  assert.deepEqual(blobs, { 'blobs/memory.data.bin': { sizeBytes: memory.length, pages, sha256 } });
});

test('a checkpoint replaces one of the same name and leaves nothing beside it', async () => {
  const directory = await saved('replaced/here');
  const { root } = machine();
  const simulator = new Simulator(root);
  await simulator.runUntilExit({ maxTick: asTick(7n) });
  await simulator.checkpoint(directory);
  assert.deepEqual(readdirSync(join(scratch, 'replaced')), ['here']);
  assert.equal(JSON.parse(readFileSync(join(directory, 'manifest.json'), 'utf8')).tick, '7');
});

test('an unfinished checkpoint leaves the old one and nothing beside it', async () => {
  const directory = await saved('unfinished/here');
  const { root } = machine();
  class Broken extends Ticker {
    broken = this.state('broken', {
      save: () => {
        throw new Error('cannot save');
      },
      restore: () => {},
    });
  }
  new Broken(root, 'broken', 10);
  assert.throws(() => saveCheckpoint(root, directory), /cannot save/);
  assert.deepEqual(readdirSync(join(scratch, 'unfinished')), ['here']);
  new Simulator(machine().root).restore(directory);
});

test('a directory that is not a checkpoint is not replaced', () => {
  const directory = join(scratch, 'thesis');
  mkdirSync(directory);
  writeFileSync(join(directory, 'chapter1'), 'precious');
  assert.throws(() => saveCheckpoint(machine().root, directory), /exists and is not a checkpoint/);
  assert.ok(existsSync(join(directory, 'chapter1')));
});

test('a checkpoint that cannot be written is a one-line fatal error', () => {
  assert.throws(
    () => saveCheckpoint(machine().root, '/proc/nowhere/c'),
    (error) => {
      assert.ok(error instanceof FatalError);
      assert.match(error.message, /^cannot write the checkpoint \/proc\/nowhere\/c: [^\n]+$/);
      return true;
    },
  );
});

test('whatever is wrong with a checkpoint is said in one line, before any object is touched', async () => {
  const good = await saved('good');
  const edit = (file: string, change: (text: string) => string) => (directory: string) =>
    writeFileSync(join(directory, file), change(readFileSync(join(directory, file), 'utf8')));
  const poke = (file: string, at: number, value: number) => (directory: string) => {
    const bytes = readFileSync(join(directory, file));
    bytes[at] = value;
    writeFileSync(join(directory, file), bytes);
  };
  const cases: [RegExp, (directory: string) => void][] = [
    [/no manifest.json there/, (d) => rmSync(d, { recursive: true })],
    [/no manifest.json there/, (d) => rmSync(join(d, 'manifest.json'))],
    [/manifest.json is damaged/, edit('manifest.json', (text) => text.slice(0, 50))],
    [/is not of a hypertick checkpoint/, edit('manifest.json', () => '{}')],
    [/manifest.json is damaged/, edit('manifest.json', (text) => text.replace('"blobs"', '"blobz"'))],
    [/manifest.json is damaged/, edit('manifest.json', (text) => text.replace('"pages"', '"pagez"'))],
    [
      /written in version 1 .* reads 2: take it anew/,
      edit('manifest.json', (text) => text.replace('"version": 2', '"version": 1')),
    ],
    [/memory.data.bin is damaged \(SHA-256/, poke('blobs/memory.data.bin', 8191, 3)],
    // The same bytes at another place; too far; backwards; no list at all.
    [
      /memory.data.bin is damaged \(SHA-256/,
      edit('manifest.json', (text) => text.replace('1-2,255', '1-2,254')),
    ],
    [/memory.data.bin is damaged \(SHA-256/, edit('manifest.json', (text) => text.replace('1-2,255', '1-2'))],
    [
      /memory.data.bin is damaged \(pages '256'\)/,
      edit('manifest.json', (text) => text.replace('2,255', '2,256')),
    ],
    [
      /memory.data.bin is damaged \(pages '1'\)/,
      edit('manifest.json', (text) => text.replace('2,255', '2,1')),
    ],
    [
      /memory.data.bin is damaged \(pages '3-2'\)/,
      edit('manifest.json', (text) => text.replace('1-2', '3-2')),
    ],
    [/memory.data.bin is damaged \(pages '-2'\)/, edit('manifest.json', (text) => text.replace('1-2', '-2'))],
    [
      /memory.data.bin has 8192 bytes instead of/,
      (d) => truncateSync(join(d, 'blobs/memory.data.bin'), 8192),
    ],
    [/objects\/a.json is damaged \(SHA-256/, edit('objects/a.json', (text) => text.replace('11', '12'))],
    [/objects\/a.json has \d+ bytes instead of/, (d) => appendFileSync(join(d, 'objects/a.json'), ' ')],
    [/no blobs\/memory.data.bin there/, (d) => rmSync(join(d, 'blobs/memory.data.bin'))],
  ];
  for (const [i, [message, damage]] of cases.entries()) {
    const directory = join(scratch, `bad${i}`);
    cpSync(good, directory, { recursive: true });
    damage(directory);
    const { root } = machine();
    const before = allState(root);
    assert.throws(
      () => restoreCheckpoint(root, directory),
      (error) => {
        assert.ok(error instanceof FatalError, String(error));
        assert.match(error.message, message);
        assert.ok(!error.message.includes('\n'));
        return true;
      },
    );
    assert.deepEqual(allState(root), before);
  }
});

test('what lies in a hole is not read: a copy that fills holes with anything restores the same', async () => {
  const directory = await saved('holes');
  const file = join(directory, 'blobs/memory.data.bin');
  const bytes = readFileSync(file);
  const expected = new Uint8Array(bytes);
  bytes.fill(0xee, 100 * 4096, 200 * 4096);
  writeFileSync(file, bytes);
  const { root, memory } = machine();
  memory.bytes.fill(0xff);
  restoreCheckpoint(root, directory);
  assert.deepEqual(memory.bytes, expected);
});

test('a blob is written in ascending whole pages', () => {
  const writer = new BlobWriter(-1, 3 * 4096);
  assert.throws(() => writer.write(100, new Uint8Array(4096)), RangeError);
  assert.throws(() => writer.write(4096, new Uint8Array(3 * 4096)), RangeError);
});

test('a checkpoint of another system is refused, naming the difference', async () => {
  const good = await saved('other');
  assert.throws(
    () => restoreCheckpoint(new Root(), good),
    /has objects\/a.json, but this system has no such object/,
  );
  const more = machine();
  new Ticker(more.root, 'c', 5);
  assert.throws(() => restoreCheckpoint(more.root, good), /has no objects\/c.json/);
  assert.throws(
    () => restoreCheckpoint(machine({}, 4096).root, good),
    /memory: 'data' had 1048576 bytes and has now 4096/,
  );
});
