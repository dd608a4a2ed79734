/**
 * Names of files. A path is a byte string, one character per byte (Latin-1), because Linux names are bytes and
 * need not be UTF-8. path_resolution(7).
 */

/** The bytes of a path as a string. */
export function bytesToPath(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

/** A JavaScript string, such as an option of the command line, as a path. */
export function textToPath(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1');
}

/** Bytes of a path. */
export function pathToBytes(path: string): Uint8Array {
  return Buffer.from(path, 'latin1');
}

/** A path cut before its last component. */
export interface SplitPath {
  /** What is looked up first; '' = the directory where the lookup starts. */
  readonly directory: string;
  /** The component itself, without slashes; '.' for the path `/`. */
  readonly last: string;
  /** The path ended in a slash: what it names must be a directory. */
  readonly trailingSlash: boolean;
}

export function splitPath(path: string): SplitPath {
  let end = path.length;
  while (end > 0 && path[end - 1] === '/') end--;
  if (end === 0) return { directory: path, last: '.', trailingSlash: false };
  const start = path.lastIndexOf('/', end - 1) + 1;
  return { directory: path.slice(0, start), last: path.slice(start, end), trailingSlash: end < path.length };
}

/**
 * The absolute path that `path` means when looked up from `directory`, if no symbolic link is on the way. Good for
 * recognizing the simulator's own files; never used to confine anything.
 */
export function lexicalPath(directory: string, path: string): string {
  const parts: string[] = [];
  for (const part of (path.startsWith('/') ? path : `${directory}/${path}`).split('/')) {
    if (part === '' || part === '.') continue;
    if (part === '..') parts.pop();
    else parts.push(part);
  }
  return `/${parts.join('/')}`;
}
