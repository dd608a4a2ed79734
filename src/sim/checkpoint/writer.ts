/**
 * Writing a checkpoint: everything goes to a new directory beside the wanted one, is synchronized to disk, and
 * takes its name only when it is complete. A reader sees the old checkpoint or the new one, never a mixture.
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { makeDirectory } from '../make-directory.ts';
import type { SimObject } from '../sim-object.ts';
import type { BlobCell } from '../state.ts';
import { FatalError } from '../trouble.ts';
import { BlobWriter } from './blob.ts';
import {
  type BlobRecord,
  blobFile,
  FORMAT,
  MANIFEST,
  type Manifest,
  recordOf,
  type SectionRecord,
  sectionFile,
  VERSION,
} from './format.ts';

/**
 * Saves the state of a drained tree. An existing checkpoint of that name is replaced; a directory that holds
 * anything else is refused.
 * @throws FatalError in one line if the directory cannot be written
 */
export function saveCheckpoint(root: SimObject, directory: string): void {
  const target = resolve(directory);
  refuseForeign(target);
  try {
    makeDirectory(dirname(target));
    const workshop = mkdtempSync(`${target}.`);
    try {
      const draft = join(workshop, 'new');
      writeDraft(root, draft);
      replace(target, draft, join(workshop, 'old'));
    } finally {
      rmSync(workshop, { recursive: true, force: true });
    }
  } catch (error) {
    if (!(error instanceof Error && 'syscall' in error)) throw error;
    throw new FatalError(`cannot write the checkpoint ${directory}: ${error.message}`, { cause: error });
  }
}

/** @throws FatalError if something is there that is not a checkpoint */
export function refuseForeign(directory: string): void {
  const target = resolve(directory);
  if (!existsSync(target) || existsSync(join(target, MANIFEST))) return;
  if (statSync(target).isDirectory() && readdirSync(target).length === 0) return;
  throw new FatalError(`${target} exists and is not a checkpoint: name another directory`);
}

function writeDraft(root: SimObject, draft: string): void {
  for (const folder of ['objects', 'blobs']) makeDirectory(join(draft, folder));
  const sections: Record<string, SectionRecord> = {};
  const blobs: Record<string, BlobRecord> = {};
  for (const object of root.descendants()) {
    if (object.debug.Checkpoint) object.trace('Checkpoint', 'save');
    const section = sectionFile(object.path);
    const text = serializeState(object);
    writeFileSync(join(draft, section), text, { flag: 'wx' });
    sections[section] = recordOf(text);
    for (const [name, cell] of object.blobCells) {
      const file = blobFile(object.path, name);
      blobs[file] = writeBlob(join(draft, file), cell);
    }
  }
  // All together: the first call makes the disk take nearly all of them, the others find little left to do.
  for (const file of [...Object.keys(sections), ...Object.keys(blobs), 'objects', 'blobs', '.'])
    synchronize(join(draft, file));
  const manifest: Manifest = {
    format: FORMAT,
    version: VERSION,
    tick: String(root.curTick),
    sections,
    blobs,
  };
  writeFileSync(join(draft, MANIFEST), `${JSON.stringify(manifest, null, 1)}\n`, { flag: 'wx' });
  synchronize(join(draft, MANIFEST));
  synchronize(draft);
}

function serializeState(object: SimObject): string {
  const state = Object.fromEntries([...object.stateCells].map(([name, cell]) => [name, cell.save()]));
  return `${JSON.stringify({ type: object.stateType, state }, null, 1)}\n`;
}

function writeBlob(path: string, cell: BlobCell): BlobRecord {
  return withFile(path, 'wx+', (fd) => {
    ftruncateSync(fd, cell.sizeBytes);
    const writer = new BlobWriter(fd, cell.sizeBytes);
    cell.saveBlob(writer);
    return writer.finish();
  });
}

/** rename(2) does not replace a directory that is not empty: the old one steps aside first. */
function replace(target: string, draft: string, retired: string): void {
  const hadOld = existsSync(target);
  if (hadOld) renameSync(target, retired);
  try {
    renameSync(draft, target);
  } catch (error) {
    if (hadOld) renameSync(retired, target);
    throw error;
  }
  synchronize(dirname(target));
}

/** Waits until a file, or the list of a directory's files, is on the disk. */
function synchronize(path: string): void {
  withFile(path, 'r', fsyncSync);
}

function withFile<T>(path: string, flags: string, use: (fd: number) => T): T {
  const fd = openSync(path, flags);
  try {
    return use(fd);
  } finally {
    closeSync(fd);
  }
}
