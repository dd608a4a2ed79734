/**
 * The statistics of a running simulation: reset and dump at any time. Each dump is appended to every output,
 * so that stats.txt and stats.json hold all of them in order.
 */
import { writeFileSync } from 'node:fs';
import { attemptOutput, checkOutput, isReplaced, writeOutput } from '../output-file.ts';
import type { SimObject } from '../sim-object.ts';
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

  /** Writes all statistics to the outputs, and returns them. Throws the first error after all have been tried. */
  dump(): StatSnapshot {
    const snapshot = this.snapshot();
    const errors: unknown[] = [];
    for (const output of this.#outputs) {
      try {
        output.write(snapshot);
      } catch (error) {
        errors.push(error);
      }
    }
    if (this.#root.debug.Stats) this.#root.trace('Stats', 'dump');
    if (errors.length > 0) throw errors[0];
    return snapshot;
  }

  /** All statistics now, as plain data. */
  snapshot(): StatSnapshot {
    return takeSnapshot(this.#root);
  }
}

/** stats.txt: all dumps of this run. A file that cannot be written shows at once; the first dump makes it. */
export class TextFileOutput implements StatOutput {
  readonly #path: string;
  #text = '';

  constructor(path: string) {
    checkOutput(path);
    this.#path = path;
  }

  write(snapshot: StatSnapshot): void {
    const dump = formatText(snapshot);
    this.#text += dump;
    if (isReplaced(this.#path)) writeOutput(this.#path, this.#text);
    else attemptOutput(this.#path, () => writeFileSync(this.#path, dump, { flag: 'a' }));
  }
}

/** stats.json: a list of all dumps of this run, whole after each. */
export class JsonFileOutput implements StatOutput {
  readonly #path: string;
  readonly #dumps: string[] = [];

  constructor(path: string) {
    checkOutput(path);
    this.#path = path;
  }

  write(snapshot: StatSnapshot): void {
    this.#dumps.push(JSON.stringify(snapshotToJson(snapshot), null, 1));
    writeOutput(this.#path, `[\n${this.#dumps.join(',\n')}\n]\n`);
  }
}
