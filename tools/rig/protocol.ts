// What the agent inside the rig and the host tell each other, over the second serial port: one JSON object per line. The first
// port carries the kernel's messages, so the two never mix.

/** How one test file went. */
export interface FileResult {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: readonly { readonly name: string; readonly reason: string }[];
  /** Exit status of its process, as a shell gives it: 128 + n after a signal. */
  readonly status: number;
  /** Name of the signal that ended the process. */
  readonly signal: string | null;
  /** It was ended since it took longer than it may. */
  readonly timedOut: boolean;
  readonly seconds: number;
}

/** A message of the agent. */
export type Message =
  /** The agent runs, so many seconds after the kernel's start. */
  | { readonly type: 'ready'; readonly hasKvm: boolean; readonly uptimeSeconds: number }
  /** The agent has no test file to run: the host answers with {@link encodeNext}. */
  | { readonly type: 'next' }
  /** A test file's process starts, for the `attempt`th time. */
  | { readonly type: 'start'; readonly file: string; readonly attempt: number }
  /** Output of the running process; bytes as the characters of the same codes. */
  | { readonly type: 'output'; readonly stream: 'stdout' | 'stderr'; readonly latin1: string }
  | ({ readonly type: 'end'; readonly file: string; readonly attempt: number } & FileResult)
  /** The agent has nothing more to do. `status`: of the command that it ran; 0 after tests. */
  | { readonly type: 'done'; readonly status: number };

/** What the agent is to do; it finds this as a file in the rig. */
export type Job =
  | {
      readonly type: 'tests';
      /** Names of tests that are left out, as regular expressions. */
      readonly skipPatterns: readonly string[];
      /** Seconds that one file may take. */
      readonly fileSeconds: number;
    }
  | { readonly type: 'command'; readonly command: string };

/** One message as the line that goes over the wire. */
export const encodeMessage = (message: Message): string => `${JSON.stringify(message)}\n`;

/** The host's answer to `next`, the only thing it says: a file, or nothing when there is no more. */
export const encodeNext = (file: string | undefined): string => `${file ?? ''}\n`;

/** Puts messages together from the pieces of a byte stream. */
export class MessageReader {
  #rest = '';
  readonly #decoder = new TextDecoder();

  /** The messages that this piece completes. A line that is no message is handed on as the agent's stderr. */
  push(piece: Uint8Array): Message[] {
    const lines = (this.#rest + this.#decoder.decode(piece, { stream: true })).split('\n');
    this.#rest = lines.pop() ?? '';
    return lines
      .map((line) => line.replace(/\r$/, ''))
      .filter((line) => line !== '')
      .map(parseLine);
  }
}

function parseLine(line: string): Message {
  try {
    const message: unknown = JSON.parse(line);
    if (typeof message === 'object' && message !== null && 'type' in message) return message as Message;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  return { type: 'output', stream: 'stderr', latin1: Buffer.from(`${line}\n`).toString('latin1') };
}
