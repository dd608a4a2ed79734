/**
 * The statistics of a running simulation: reset and dump at any time. Each dump is appended to every output,
 * so that stats.txt and stats.json hold all of them in order.
 */
import { closeSync, fstatSync, ftruncateSync, openSync, writeFileSync, writeSync } from 'node:fs';
import type { SimObject } from '../sim-object.ts';
import { FatalError } from '../trouble.ts';
import { snapshotToJson } from './json.ts';
import { type StatSnapshot, takeSnapshot } from './snapshot.ts';
import { formatText } from './text.ts';

/** Where dumps go. */
export interface StatOutput {
  write(snapshot: StatSnapshot): void;
}

export class Statistics {
  readonly #root: SimObject;
  readonly #outputs: StatOutput[] = [];

  constructor(root: SimObject) {
    this.#root = root;
  }

  addOutput(output: StatOutput): void {
    this.#outputs.push(output);
  }

  /** Counts from here on. */
  reset(): void {
    for (const object of this.#root.descendants()) object.statistics.reset();
    if (this.#root.debug.Stats) this.#root.trace('Stats', 'reset');
  }

  /** Writes all statistics to the outputs, and returns them. */
  dump(): StatSnapshot {
    const snapshot = this.snapshot();
    for (const output of this.#outputs) output.write(snapshot);
    if (this.#root.debug.Stats) this.#root.trace('Stats', 'dump');
    return snapshot;
  }

  /** All statistics now, as plain data. */
  snapshot(): StatSnapshot {
    return takeSnapshot(this.#root);
  }
}

/** stats.txt. The file is made, or emptied, at once: an output directory that cannot be written shows early. */
export class TextFileOutput implements StatOutput {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
    attempt(path, () => writeFileSync(path, ''));
  }

  write(snapshot: StatSnapshot): void {
    attempt(this.#path, () => writeFileSync(this.#path, formatText(snapshot), { flag: 'a' }));
  }
}

/** stats.json: well-formed after every dump, the list's end is overwritten by the next one. */
export class JsonFileOutput implements StatOutput {
  static readonly #end = '\n]\n';
  readonly #path: string;
  #isFirst = true;

  constructor(path: string) {
    this.#path = path;
    attempt(path, () => writeFileSync(path, `[${JsonFileOutput.#end}`));
  }

  write(snapshot: StatSnapshot): void {
    const text = `${this.#isFirst ? '' : ','}\n${JSON.stringify(snapshotToJson(snapshot), null, 1)}`;
    attempt(this.#path, () => {
      const fd = openSync(this.#path, 'r+');
      try {
        const position = fstatSync(fd).size - JsonFileOutput.#end.length;
        ftruncateSync(fd, position);
        writeSync(fd, text + JsonFileOutput.#end, position);
      } finally {
        closeSync(fd);
      }
    });
    this.#isFirst = false;
  }
}

function attempt(path: string, write: () => void): void {
  try {
    write();
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
    const cause = { cause: error };
    throw new FatalError(`cannot write ${path} (${error.code}): check the output directory`, cause);
  }
}
