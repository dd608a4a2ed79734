// What the serial ports of a machine are plugged into, as --serial says: the terminal, files, TCP ports.

import { isatty } from 'node:tty';
import type { CharBackend } from '../dev/serial/char-backend.ts';
import { fileOf, isInteractive, openBackend } from '../dev/serial/open-backend.ts';
import { FatalError } from '../sim/trouble.ts';

/** COM1 and COM2. */
const PORT_COUNT = 2;
const STDIN = 0;

/** `none` is what back ends call null. */
const specificationOf = (what: string): string => (what === 'none' ? 'null' : what);

/** The file that a port's output goes to; undefined if it is none. */
export const serialFile = (what: string): string | undefined => fileOf(specificationOf(what));

export class SerialPlugs {
  readonly #backends: CharBackend[] = [];
  #usesConsole = false;
  /** What the escape key and x do. */
  quit: () => void = () => {};

  /**
   * Opens what `where` names, COM1 first.
   * @param append files keep what is in them
   * @throws FatalError, and then leaves nothing open
   */
  static async open(where: readonly string[], { append }: { append: boolean }): Promise<SerialPlugs> {
    const plugs = new SerialPlugs();
    if (where.length > PORT_COUNT)
      throw new FatalError(`--serial is given ${where.length} times, the machine has ${PORT_COUNT} ports`);
    if (where.filter(isInteractive).length > 1)
      throw new FatalError(
        '--serial stdio can be one port only; plug the other one into a file or a TCP port',
      );
    try {
      for (const what of where) await plugs.#open(what, append);
      return plugs;
    } catch (error) {
      plugs.close();
      throw error;
    }
  }

  /** COM1 first. */
  get backends(): readonly CharBackend[] {
    return this.#backends;
  }

  /** Whether the guest writes to standard output. */
  get usesConsole(): boolean {
    return this.#usesConsole;
  }

  /** Whether a person types what the guest reads. */
  get isInteractive(): boolean {
    return this.#usesConsole && isatty(STDIN);
  }

  /** The machine is there: files that do not go on from a checkpoint begin anew. */
  begin(): void {
    for (const backend of this.#backends) backend.begin?.();
  }

  /** Sends what is in buffers. */
  flush(): void {
    for (const backend of this.#backends) backend.flush();
  }

  /** Harmless to repeat. */
  close(): void {
    for (const backend of this.#backends) backend.close();
  }

  async #open(what: string, append: boolean): Promise<void> {
    const terminal = { input: process.stdin, process, quit: () => this.quit() };
    this.#usesConsole ||= isInteractive(what);
    try {
      this.#backends.push(await openBackend(specificationOf(what), terminal, { append }));
    } catch (error) {
      if (!(error instanceof FatalError)) throw error;
      throw new FatalError(`--serial ${what}: ${error.message}`, { cause: error });
    }
  }
}
