// The file of --debug-file. It takes the place of an older one when the program has been started, not before: a run
// that could not be started leaves what was there.

import { attemptOutput, errnoOf, OutputDraft } from '../sim/output-file.ts';
import { FatalError } from '../sim/trouble.ts';

export class DebugFile {
  readonly #what: string;
  readonly #draft: OutputDraft;
  /** False after an error: it is reported once, and a reader that went away not at all. */
  #isOpen = true;

  /** Throws FatalError. */
  constructor(path: string) {
    this.#what = `the debug file ${path}`;
    this.#draft = attemptOutput(this.#what, () => new OutputDraft(path));
  }

  /** Writes one trace line. Throws FatalError. */
  writeLine(line: string): void {
    if (!this.#isOpen) return;
    attemptOutput(this.#what, () => {
      try {
        this.#draft.append(`${line}\n`);
      } catch (error) {
        this.#isOpen = false;
        if (errnoOf(error) !== 'EPIPE') throw error;
      }
    });
  }

  /** Publishes while the simulation runs; what fails is tried again, and reported, by publish(). */
  publishEarly(): void {
    try {
      this.publish();
    } catch (error) {
      if (!(error instanceof FatalError)) throw error;
    }
  }

  /** The program runs: the traces appear under the file's name. */
  publish(): void {
    attemptOutput(this.#what, () => this.#draft.publish());
  }

  close(): void {
    this.#isOpen = false;
    this.#draft.close();
  }
}
