/**
 * The escape key of an interactive console, QEMU's: Ctrl-a and a letter are for the simulator, everything else is for the
 * guest.
 */

const ESCAPE = 0x01;

export type EscapeCommand = 'quit' | 'help' | 'break';

const COMMANDS: ReadonlyMap<number, EscapeCommand> = new Map([
  [0x78, 'quit'],
  [0x68, 'help'],
  [0x3f, 'help'],
  [0x62, 'break'],
]);

/** What the keys do, for the terminal. */
export const ESCAPE_HELP = [
  '',
  'C-a x    end the simulation',
  'C-a b    send a break',
  'C-a h    this help (also C-a ?)',
  'C-a C-a  send C-a',
  '',
].join('\n');

export interface EscapeListener {
  /** Bytes for the guest. */
  pass(bytes: Uint8Array): void;
  command(command: EscapeCommand): void;
}

export class EscapeKeys {
  readonly #listener: EscapeListener;
  #isEscaped = false;

  constructor(listener: EscapeListener) {
    this.#listener = listener;
  }

  /** Takes what was typed, in pieces of any size. A key that means nothing after the escape key is ignored. */
  feed(bytes: Uint8Array): void {
    let plain: number[] = [];
    const passOn = () => {
      if (plain.length > 0) this.#listener.pass(Uint8Array.from(plain));
      plain = [];
    };
    for (const byte of bytes) {
      const isSecond = this.#isEscaped;
      this.#isEscaped = !isSecond && byte === ESCAPE;
      if (this.#isEscaped) continue;
      const command = isSecond ? COMMANDS.get(byte) : undefined;
      if (!isSecond || byte === ESCAPE) plain.push(byte);
      else if (command !== undefined) {
        passOn();
        this.#listener.command(command);
      }
    }
    passOn();
  }
}
