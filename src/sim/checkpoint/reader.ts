/**
 * Reading a checkpoint: every file is checked against the manifest before the first object is touched, and
 * objects and state must match one to one. All that is wrong with a checkpoint is said in one line.
 */
import { closeSync, openSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { SimObject } from '../sim-object.ts';
import { asRecord, isJsonArray, type Json, StateError } from '../state.ts';
import { FatalError } from '../trouble.ts';
import { BlobReader } from './blob.ts';
import {
  type BlobRecord,
  blobFile,
  FORMAT,
  MANIFEST,
  type Manifest,
  recordOf,
  sectionFile,
  VERSION,
} from './format.ts';

type SavedState = Readonly<Record<string, Json>>;

/**
 * Restores the state of a tree that was constructed as when it was saved.
 * @throws FatalError in one line if the checkpoint is missing, damaged, of another version, or of another system
 */
export function restoreCheckpoint(root: SimObject, directory: string): void {
  const manifest = readManifest(directory);
  compareNames(directory, root, manifest);
  const states = new Map<SimObject, SavedState>();
  for (const object of root.descendants()) states.set(object, readSection(directory, manifest, object));
  checkBlobs(directory, manifest);
  for (const [object, state] of states) restoreObject(directory, manifest, object, state);
}

/**
 * The saved state of one object, as it is in the checkpoint: for whoever has to know it before there are objects.
 * @throws FatalError in one line if there is no such checkpoint, or no such object in it
 */
export function readSavedState(directory: string, path: string): SavedState {
  const { sections } = readManifest(directory);
  const file = sectionFile(path);
  if (!Object.hasOwn(sections, file)) refuse(directory, `it is of a system without ${path}`);
  const { state } = parseJson(directory, file);
  return state !== undefined && isObject(state) ? state : refuse(directory, `${file} has no state`);
}

function refuse(directory: string, what: string, cause?: unknown): never {
  throw new FatalError(`checkpoint ${directory}: ${what}`, { cause });
}

function readManifest(directory: string): Manifest {
  const manifest = parseJson(directory, MANIFEST);
  if (manifest.format !== FORMAT) refuse(directory, `${MANIFEST} is not of a hypertick checkpoint`);
  if (manifest.version !== VERSION) {
    const found = JSON.stringify(manifest.version);
    refuse(
      directory,
      `written in version ${found} of the format, this hypertick reads ${VERSION}: take it anew`,
    );
  }
  const { sections, blobs } = manifest;
  const isSection = (value: Json) =>
    isObject(value) && typeof value.sizeBytes === 'number' && typeof value.sha256 === 'string';
  const isBlob = (value: Json) => isSection(value) && typeof asRecord(value).pages === 'string';
  if (!areAll(sections, isSection) || !areAll(blobs, isBlob))
    refuse(directory, `${MANIFEST} is damaged: take the checkpoint anew`);
  return manifest as unknown as Manifest;
}

function areAll(records: Json | undefined, isRecord: (value: Json) => boolean): boolean {
  return records !== undefined && isObject(records) && Object.values(records).every(isRecord);
}

function isObject(value: Json): value is { readonly [key: string]: Json } {
  return typeof value === 'object' && value !== null && !isJsonArray(value);
}

function compareNames(directory: string, root: SimObject, { sections, blobs }: Manifest): void {
  const expected = new Set<string>();
  for (const object of root.descendants()) {
    expected.add(sectionFile(object.path));
    for (const name of object.blobCells.keys()) expected.add(blobFile(object.path, name));
  }
  const found = new Set([...Object.keys(sections), ...Object.keys(blobs)]);
  for (const file of expected.difference(found))
    refuse(directory, `has no ${file}: it is of a system without that object`);
  for (const file of found.difference(expected))
    refuse(directory, `has ${file}, but this system has no such object`);
}

function readSection(directory: string, { sections }: Manifest, object: SimObject): SavedState {
  const file = sectionFile(object.path);
  const bytes = readBytes(directory, file);
  const record = sections[file]!;
  checkSize(directory, file, bytes.length, record.sizeBytes);
  if (recordOf(bytes).sha256 !== record.sha256) refuseDamaged(directory, file);
  const { type, state } = parse(directory, file, bytes);
  const wanted = object.stateType;
  if (type !== wanted) refuse(directory, `${object.path} was ${JSON.stringify(type)} and is now ${wanted}`);
  if (state === undefined || !isObject(state)) refuse(directory, `${file} has no state`);
  for (const name of object.stateCells.keys()) {
    if (!Object.hasOwn(state, name)) refuse(directory, `${object.path} has no saved state '${name}'`);
  }
  for (const name of Object.keys(state)) {
    if (!object.stateCells.has(name)) refuse(directory, `${object.path} has no state '${name}' any more`);
  }
  return state;
}

function checkBlobs(directory: string, { blobs }: Manifest): void {
  for (const [file, record] of Object.entries(blobs)) {
    const isIntact = withBlob(directory, file, record, (reader) => reader.isIntact());
    if (!isIntact) refuseDamaged(directory, file);
  }
}

function restoreObject(directory: string, { blobs }: Manifest, object: SimObject, state: SavedState): void {
  if (object.debug.Checkpoint) object.trace('Checkpoint', 'restore');
  for (const [name, cell] of object.stateCells) {
    try {
      cell.restore(state[name]!);
    } catch (error) {
      if (!(error instanceof StateError)) throw error;
      refuse(directory, `${object.path}: state '${name}': ${error.message}`, error);
    }
  }
  for (const [name, cell] of object.blobCells) {
    const file = blobFile(object.path, name);
    const record = blobs[file]!;
    if (record.sizeBytes !== cell.sizeBytes)
      refuse(
        directory,
        `${object.path}: '${name}' had ${record.sizeBytes} bytes and has now ${cell.sizeBytes}`,
      );
    withBlob(directory, file, record, (reader) => cell.restoreBlob(reader));
  }
}

function withBlob<T>(directory: string, file: string, record: BlobRecord, use: (reader: BlobReader) => T): T {
  const path = join(directory, file);
  try {
    checkSize(directory, file, statSync(path).size, record.sizeBytes);
    const fd = openSync(path, 'r');
    try {
      return use(new BlobReader(fd, record));
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    if (error instanceof RangeError) return refuse(directory, `${file} is damaged (${error.message})`, error);
    return refuseUnreadable(directory, file, error);
  }
}

function checkSize(directory: string, file: string, sizeBytes: number, wanted: number): void {
  if (sizeBytes !== wanted) refuse(directory, `${file} has ${sizeBytes} bytes instead of ${wanted}`);
}

function refuseDamaged(directory: string, file: string): never {
  return refuse(directory, `${file} is damaged (SHA-256 differs)`);
}

function parseJson(directory: string, file: string): SavedState {
  return parse(directory, file, readBytes(directory, file));
}

function parse(directory: string, file: string, bytes: Buffer): SavedState {
  try {
    return asRecord(JSON.parse(bytes.toString()) as Json);
  } catch (error) {
    if (!(error instanceof SyntaxError || error instanceof StateError)) throw error;
    return refuse(directory, `${file} is damaged (${error.message})`, error);
  }
}

function readBytes(directory: string, file: string): Buffer {
  try {
    return readFileSync(join(directory, file));
  } catch (error) {
    return refuseUnreadable(directory, file, error);
  }
}

function refuseUnreadable(directory: string, file: string, error: unknown): never {
  if (!(error instanceof Error && 'code' in error)) throw error;
  if (error.code === 'ENOENT')
    refuse(directory, `no ${file} there: not a checkpoint, or an unfinished one`, error);
  return refuse(directory, `cannot read ${file} (${error.code})`, error);
}
