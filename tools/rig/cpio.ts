// Writer of cpio archives in the "newc" format, the one a Linux kernel unpacks as its initial root file system.
// Format: Linux, Documentation/driver-api/early-userspace/buffer-format.rst; every field is eight hexadecimal digits.

import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';

const MAGIC = '070701';
const TRAILER = 'TRAILER!!!';
const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;
const S_IFLNK = 0o120000;

interface Entry {
  /** Type and permissions, as in `st_mode`. */
  readonly mode: number;
  readonly data: Buffer;
  readonly modifiedS: number;
}

/** A tree of files under construction. Paths are absolute; the directories above an entry come by themselves. */
export class CpioArchive {
  readonly #entries = new Map<string, Entry>();

  /** Adds or replaces a file. `modifiedS`: seconds since 1970. */
  addFile(path: string, data: Buffer | string, permissions = 0o644, modifiedS = 0): void {
    this.#add(path, { mode: S_IFREG | permissions, data: Buffer.from(data), modifiedS });
  }

  addSymlink(path: string, target: string): void {
    this.#add(path, { mode: S_IFLNK | 0o777, data: Buffer.from(target), modifiedS: 0 });
  }

  addDirectory(path: string): void {
    const name = nameOf(path);
    if (name === '' || this.#entries.has(name)) return;
    this.addDirectory(dirname(`/${name}`));
    this.#entries.set(name, { mode: S_IFDIR | 0o755, data: Buffer.alloc(0), modifiedS: 0 });
  }

  /**
   * Adds a file or a whole directory of the host, with permissions and times; symbolic links are followed. A file
   * below a directory can be left out by `isWanted`, which is given its path on the host.
   */
  addFromHost(hostPath: string, path: string, isWanted: (hostPath: string) => boolean = () => true): void {
    const status = statSync(hostPath);
    if (status.isDirectory()) {
      this.addDirectory(path);
      for (const name of readdirSync(hostPath).sort()) {
        const below = join(hostPath, name);
        if (isWanted(below)) this.addFromHost(below, posix.join(path, name), isWanted);
      }
    } else {
      this.addFile(path, readFileSync(hostPath), status.mode & 0o777, Math.floor(status.mtimeMs / 1000));
    }
  }

  has(path: string): boolean {
    return this.#entries.has(nameOf(path));
  }

  /** The archive's bytes, in pieces. */
  *pieces(): Generator<Buffer> {
    let inode = 1;
    for (const [name, entry] of this.#entries) {
      yield header(name, entry, inode++);
      yield entry.data;
      yield padding(entry.data.length);
    }
    yield header(TRAILER, { mode: 0, data: Buffer.alloc(0), modifiedS: 0 }, 0);
  }

  #add(path: string, entry: Entry): void {
    const name = nameOf(path);
    if (name === '') throw new Error('the root of an archive is a directory');
    this.addDirectory(dirname(`/${name}`));
    this.#entries.set(name, entry);
  }
}

/** Names in an archive have no leading slash. */
const nameOf = (path: string): string =>
  posix
    .normalize(path)
    .replace(/^\/+|\/+$/g, '')
    .replace(/^\.$/, '');

const padding = (length: number): Buffer => Buffer.alloc(-length & 3);

/** Header and name, padded together to a multiple of four. */
function header(name: string, { mode, data, modifiedS }: Entry, inode: number): Buffer {
  const nameBytes = Buffer.from(`${name}\0`);
  const links = (mode & S_IFDIR) !== 0 && (mode & S_IFREG) === 0 ? 2 : 1;
  const [uid, gid, major, minor, check] = [0, 0, 0, 0, 0];
  const device = [major, minor, major, minor];
  const fields = [inode, mode, uid, gid, links, modifiedS, data.length, ...device, nameBytes.length, check];
  const text = MAGIC + fields.map((value) => value.toString(16).padStart(8, '0')).join('');
  const start = Buffer.concat([Buffer.from(text, 'ascii'), nameBytes]);
  return Buffer.concat([start, padding(start.length)]);
}
