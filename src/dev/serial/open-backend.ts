/** Back ends by name, as they are given on a command line. */
import { FatalError } from '../../sim/trouble.ts';
import { type CharBackend, NullBackend } from './char-backend.ts';
import { FileBackend } from './file-backend.ts';
import { TcpBackend } from './tcp-backend.ts';
import { TerminalBackend, type TerminalOptions } from './terminal-backend.ts';

/** The legal forms, for help and messages. */
export const SERIAL_FORMS = "'stdio', 'null', 'tcp:PORT', 'tcp:PORT,wait' or a file";

/** Whether a specification means the terminal. */
export const isInteractive = (specification: string): boolean => specification === 'stdio';

/** The file that a specification names, '' where a name is missing; undefined if it is something else. */
export function fileOf(specification: string): string | undefined {
  if (specification === 'stdio' || specification === 'null' || specification.startsWith('tcp:'))
    return undefined;
  return specification.startsWith('file:') ? specification.slice('file:'.length) : specification;
}

/**
 * Opens what a specification names (see {@link SERIAL_FORMS}); `file:NAME` is a file whatever its name is.
 * @param terminal what `stdio` means
 * @param options append: files keep what is in them
 * @throws FatalError if it cannot be opened, or is none of the forms
 */
export async function openBackend(
  specification: string,
  terminal: TerminalOptions,
  options: { readonly append?: boolean } = {},
): Promise<CharBackend> {
  if (specification === 'stdio') return new TerminalBackend(terminal);
  if (specification === 'null') return new NullBackend();
  if (specification.startsWith('tcp:')) return openTcp(specification);
  const path = fileOf(specification) ?? '';
  if (path === '') throw new FatalError(`a serial line is ${SERIAL_FORMS}, not '${specification}'`);
  return new FileBackend(path, options);
}

async function openTcp(specification: string): Promise<CharBackend> {
  const match = /^tcp:(?<port>\d{1,5})(?<wait>,wait)?$/.exec(specification);
  const port = Number(match?.groups?.port);
  if (!(port >= 1 && port <= 65_535)) {
    throw new FatalError(`'${specification}': write tcp:PORT or tcp:PORT,wait with a port from 1 to 65535`);
  }
  return TcpBackend.listen(port, { wait: match?.groups?.wait !== undefined });
}
