/**
 * Reading a checkpoint: every file is checked against the manifest before the first object is touched, and
 * objects and state must match one to one. All that is wrong with a checkpoint is said in one line.
 */
import { closeSync, openSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { SimObject } from '../sim-object.ts';
import { asRecord, isJsonArray, type Json, StateError } from '../state.ts';
import { FatalError } from '../trouble.ts';
import { blobFile, FORMAT, hashFile, MANIFEST, type Manifest, sectionFile, VERSION } from './format.ts';

/**
 * Restores the state of a tree that was constructed as when it was saved.
 * @throws FatalError in one line if the checkpoint is missing, damaged, of another version, or of another system
 */
export function restoreCheckpoint(root: SimObject, directory: string): void {
  const manifest = readManifest(directory);
  const sections = new Map<SimObject, Readonly<Record<string, Json>>>();
  const expected = new Set<string>();
  for (const object of root.descendants()) {
    const file = sectionFile(object.path);
    expected.add(file);
    for (const name of object.blobCells.keys()) expected.add(blobFile(object.path, name));
  }
  compareNames(directory, expected, Object.keys(manifest.files));
  for (const [file, record] of Object.entries(manifest.files)) checkFile(directory, file, record);
  for (const object of root.descendants()) sections.set(object, readSection(directory, object));
  for (const [object, state] of sections) restoreObject(directory, object, state);
}

/**
 * The saved state of one object, as it is in the checkpoint: for whoever has to know it before there are objects.
 * @throws FatalError in one line if there is no such checkpoint, or no such object in it
 */
export function readSavedState(directory: string, path: string): Readonly<Record<string, Json>> {
  const { files } = readManifest(directory);
  const file = sectionFile(path);
  if (!Object.hasOwn(files, file)) refuse(directory, `it is of a system without ${path}`);
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
  const files = manifest.files;
  const isRecord = (value: Json) =>
    isObject(value) && typeof value.sizeBytes === 'number' && typeof value.sha256 === 'string';
  if (files === undefined || !isObject(files) || !Object.values(files).every(isRecord)) {
    refuse(directory, `${MANIFEST} is damaged: take the checkpoint anew`);
  }
  return manifest as unknown as Manifest;
}

function isObject(value: Json): value is { readonly [key: string]: Json } {
  return typeof value === 'object' && value !== null && !isJsonArray(value);
}

function compareNames(directory: string, expected: ReadonlySet<string>, found: readonly string[]): void {
  for (const file of expected) {
    if (!found.includes(file)) refuse(directory, `has no ${file}: it is of a system without that object`);
  }
  for (const file of found) {
    if (!expected.has(file)) refuse(directory, `has ${file}, but this system has no such object`);
  }
}

function checkFile(directory: string, file: string, record: Manifest['files'][string]): void {
  const path = join(directory, file);
  try {
    const { size } = statSync(path);
    if (size !== record.sizeBytes)
      refuse(directory, `${file} has ${size} bytes instead of ${record.sizeBytes}`);
    if (hashFile(path) !== record.sha256) refuse(directory, `${file} is damaged (SHA-256 differs)`);
  } catch (error) {
    refuseUnreadable(directory, file, error);
  }
}

function readSection(directory: string, object: SimObject): Readonly<Record<string, Json>> {
  const file = sectionFile(object.path);
  const { type, state } = parseJson(directory, file);
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

function restoreObject(directory: string, object: SimObject, state: Readonly<Record<string, Json>>): void {
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
    const path = join(directory, blobFile(object.path, name));
    const { size } = statSync(path);
    if (size !== cell.sizeBytes) {
      refuse(directory, `${object.path}: '${name}' had ${size} bytes and has now ${cell.sizeBytes}`);
    }
    const fd = openSync(path, 'r');
    try {
      cell.restoreBlob(fd, path);
    } finally {
      closeSync(fd);
    }
  }
}

function parseJson(directory: string, file: string): { readonly [key: string]: Json } {
  try {
    return asRecord(JSON.parse(readFileSync(join(directory, file), 'utf8')) as Json);
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof StateError) {
      refuse(directory, `${file} is damaged (${error.message})`, error);
    }
    return refuseUnreadable(directory, file, error);
  }
}

function refuseUnreadable(directory: string, file: string, error: unknown): never {
  if (!(error instanceof Error && 'code' in error)) throw error;
  if (error.code === 'ENOENT')
    refuse(directory, `no ${file} there: not a checkpoint, or an unfinished one`, error);
  return refuse(directory, `cannot read ${file} (${error.code})`, error);
}
