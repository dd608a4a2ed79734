/** A serial line whose output goes to a file. There is no input. */
import { closeSync, fstatSync, ftruncateSync, openSync } from 'node:fs';
import { attemptOutput } from '../../sim/output-file.ts';
import { BufferedBackend } from './buffered-backend.ts';
import { FdWriter } from './fd-writer.ts';

export class FileBackend extends BufferedBackend {
  readonly #fd: number;
  readonly #writer: FdWriter;
  readonly #append: boolean;

  /**
   * Opens the file at once. It grows as the guest writes, so that it can be followed.
   * @param append keeps what is in the file already (for a run that goes on from a checkpoint); else {@link begin} empties it
   * @throws FatalError if it cannot be opened
   */
  constructor(path: string, { append = false }: { readonly append?: boolean } = {}) {
    super();
    this.#fd = attemptOutput(path, () => openSync(path, 'a'));
    this.#append = append;
    this.#writer = new FdWriter(this.#fd, path, (message) => this.trouble(message));
  }

  begin(): void {
    if (!this.#append && fstatSync(this.#fd).isFile()) ftruncateSync(this.#fd);
  }

  protected override send(bytes: Uint8Array): void {
    this.#writer.write(bytes);
  }

  protected override release(): void {
    closeSync(this.#fd);
  }
}
