/**
 * Files that the host cannot answer for: /proc/self and /proc/PID speak of the simulated process, /dev/fd of its
 * descriptors, and /sys/devices/system/cpu of its one CPU. proc(5), sysfs(5).
 */
import { FileType, STATX, STATX_ALL } from '../../../host/files-abi.ts';
import { DirentType } from './abi.ts';
import type { ListedName } from './open-file.ts';

/** What the process tells about itself. Texts are byte strings. */
export interface VirtualFileFacts {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
  /** Absolute path of the executable, as the program sees it. */
  readonly executablePath: string;
  /** Live threads. */
  threadIds(): readonly number[];
  /**
   * Contents of /proc/self/NAME (or of /proc/self/task/TID/NAME), made when the file is opened: `maps`, `stat`,
   * `statm`, `status`, `comm`, `cmdline`, `environ`, `auxv`, `limits`…; undefined: there is no such file.
   */
  text(name: string, tid: number): string | undefined;
  /** Guest RAM, for /proc/meminfo. */
  readonly memory: { readonly totalBytes: number; readonly freeBytes: number };
  /** Simulated time, for /proc/uptime. */
  readonly uptimeSeconds: number;
  /** The host's /proc/cpuinfo, of which the program sees one processor. */
  readonly hostCpuinfo: string;
}

/** What a path means when it is not the host's. */
export type VirtualNode =
  | { readonly kind: 'text'; readonly path: string; readonly text: string }
  /** A symbolic link; `target` is a path of the program's. */
  | { readonly kind: 'link'; readonly path: string; readonly target: string }
  /** A link to an open file of the program's. */
  | { readonly kind: 'descriptor'; readonly path: string; readonly fd: number }
  | { readonly kind: 'listing'; readonly path: string; readonly names: () => readonly ListedName[] }
  /** A name below a link: the lookup starts again at the link's target. */
  | { readonly kind: 'beyond'; readonly link: VirtualNode; readonly rest: string }
  | { readonly kind: 'absent' };

/** What the tree needs to know of descriptors and the working directory. */
export interface VirtualTreeOwner {
  readonly confined: boolean;
  workingDirectory(): string;
  descriptors(): readonly number[];
}

/** Other names of the same things. */
const ALIASES: readonly (readonly [name: string, meaning: string])[] = [
  ['/dev/stdin', '/proc/self/fd/0'],
  ['/dev/stdout', '/proc/self/fd/1'],
  ['/dev/stderr', '/proc/self/fd/2'],
  ['/dev/fd', '/proc/self/fd'],
];

const TEXT_NAMES = [
  'auxv',
  'cmdline',
  'comm',
  'environ',
  'limits',
  'maps',
  'stat',
  'statm',
  'status',
] as const;
/** Of the host's own process, these say the right thing about the program too. */
const SHARED_WITH_HOST = ['cgroup', 'mountinfo', 'mounts', 'mountstats', 'ns'] as const;

const CPU_DIRECTORY = '/sys/devices/system/cpu';
const CPU_LISTS = ['online', 'possible', 'present'] as const;

export class VirtualTree {
  readonly #facts: VirtualFileFacts;
  readonly #owner: VirtualTreeOwner;

  constructor(facts: VirtualFileFacts, owner: VirtualTreeOwner) {
    this.#facts = facts;
    this.#owner = owner;
  }

  /** Whether a lookup that starts like this may be ours: spares most paths the closer look. */
  static concerns(path: string): boolean {
    return path.startsWith('/proc') || path.startsWith('/dev') || path.startsWith('/sys');
  }

  /** @param path absolute and normalized; undefined = the host's business */
  lookup(path: string): VirtualNode | undefined {
    const plain = unalias(path);
    if (plain.startsWith('/sys')) return this.#sys(plain);
    if (!plain.startsWith('/proc/')) return undefined;
    const [, , first, ...rest] = plain.split('/');
    if (first === 'self' || first === String(this.#facts.pid)) return this.#own(plain, this.#facts.pid, rest);
    if (first === 'thread-self') return this.#own(plain, this.#facts.pid, rest);
    return rest.length === 0 ? this.#system(plain, first!) : undefined;
  }

  /** A struct statx for a node that is not the host's; links and descriptors are described as links. */
  describe(node: VirtualNode, into: Uint8Array): void {
    const view = new DataView(into.buffer, into.byteOffset, STATX.SIZE_BYTES);
    into.fill(0, 0, STATX.SIZE_BYTES);
    const path = 'path' in node ? node.path : '';
    view.setUint32(STATX.mask, STATX_ALL & 0x7ff, true);
    view.setUint32(STATX.blksize, 1024, true);
    view.setUint32(STATX.nlink, node.kind === 'listing' ? 2 : 1, true);
    view.setUint32(STATX.uid, this.#facts.uid, true);
    view.setUint32(STATX.gid, this.#facts.gid, true);
    view.setUint16(STATX.mode, modeOf(node), true);
    view.setUint32(STATX.ino, inodeOf(path), true);
    view.setUint32(STATX.devMinor, 22, true);
  }

  #own(path: string, tid: number, rest: readonly string[]): VirtualNode | undefined {
    const [name, ...below] = rest;
    if (name === undefined) return listing(path, () => this.#names());
    if (name === 'fd') return this.#descriptor(path, below);
    if (name === 'task' && tid === this.#facts.pid) return this.#task(path, below);
    const target = this.#linkTarget(name);
    if (target !== undefined) return atLink({ kind: 'link', path, target }, below);
    if (below.length === 0 && (TEXT_NAMES as readonly string[]).includes(name)) {
      const text = this.#facts.text(name, tid);
      if (text !== undefined) return { kind: 'text', path, text };
    }
    const shared = (SHARED_WITH_HOST as readonly string[]).includes(name);
    return shared && !this.#owner.confined ? undefined : { kind: 'absent' };
  }

  #linkTarget(name: string): string | undefined {
    if (name === 'exe') return this.#facts.executablePath;
    if (name === 'cwd') return this.#owner.workingDirectory();
    return name === 'root' ? '/' : undefined;
  }

  #descriptor(path: string, below: readonly string[]): VirtualNode {
    const [number, ...rest] = below;
    if (number === undefined) {
      return listing(path, () => numbered(this.#owner.descriptors(), DirentType.LNK));
    }
    const fd = this.#owner.descriptors().find((open) => String(open) === number);
    if (fd === undefined) return { kind: 'absent' };
    return atLink({ kind: 'descriptor', path, fd }, rest);
  }

  #task(path: string, below: readonly string[]): VirtualNode | undefined {
    const [id, ...rest] = below;
    if (id === undefined) return listing(path, () => numbered(this.#facts.threadIds(), DirentType.DIR));
    const tid = this.#facts.threadIds().find((candidate) => String(candidate) === id);
    return tid === undefined ? { kind: 'absent' } : this.#own(path, tid, rest);
  }

  #names(): ListedName[] {
    const names: ListedName[] = TEXT_NAMES.map((name) => ({ name, type: DirentType.REG }));
    for (const name of ['cwd', 'exe', 'root']) names.push({ name, type: DirentType.LNK });
    for (const name of ['fd', 'task']) names.push({ name, type: DirentType.DIR });
    return names;
  }

  #system(path: string, name: string): VirtualNode | undefined {
    const { memory, uptimeSeconds, hostCpuinfo } = this.#facts;
    if (name === 'meminfo') return { kind: 'text', path, text: meminfo(memory.totalBytes, memory.freeBytes) };
    if (name === 'uptime') return { kind: 'text', path, text: `${uptimeSeconds.toFixed(2)} 0.00\n` };
    if (name === 'cpuinfo') return { kind: 'text', path, text: firstProcessor(hostCpuinfo) };
    return undefined;
  }

  #sys(path: string): VirtualNode | undefined {
    if (path === CPU_DIRECTORY) {
      const names: ListedName[] = CPU_LISTS.map((name) => ({ name, type: DirentType.REG }));
      return listing(path, () => [...names, { name: 'cpu0', type: DirentType.DIR }]);
    }
    const isCpuList = CPU_LISTS.some((name) => path === `${CPU_DIRECTORY}/${name}`);
    return isCpuList ? { kind: 'text', path, text: '0\n' } : undefined;
  }
}

function unalias(path: string): string {
  for (const [name, meaning] of ALIASES) {
    if (path === name || path.startsWith(`${name}/`)) return meaning + path.slice(name.length);
  }
  return path;
}

function listing(path: string, names: () => readonly ListedName[]): VirtualNode {
  const dots = ['.', '..'].map((name) => ({ name, type: DirentType.DIR }));
  return { kind: 'listing', path, names: () => [...dots, ...names()] };
}

function numbered(numbers: readonly number[], type: number): ListedName[] {
  return numbers.map((number) => ({ name: String(number), type }));
}

function atLink(link: VirtualNode, below: readonly string[]): VirtualNode {
  return below.length === 0 ? link : { kind: 'beyond', link, rest: below.join('/') };
}

function modeOf(node: VirtualNode): number {
  if (node.kind === 'text') return FileType.REGULAR | 0o444;
  if (node.kind === 'listing') return FileType.DIRECTORY | 0o555;
  return FileType.SYMLINK | 0o777;
}

/** Some number that is the same for the same path: FNV-1a. */
export function inodeOf(path: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < path.length; i++) hash = Math.imul(hash ^ path.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

function meminfo(totalBytes: number, freeBytes: number): string {
  const rows: readonly (readonly [string, number])[] = [
    ['MemTotal', totalBytes],
    ['MemFree', freeBytes],
    ['MemAvailable', freeBytes],
    ['Buffers', 0],
    ['Cached', 0],
    ['SwapCached', 0],
    ['SwapTotal', 0],
    ['SwapFree', 0],
  ];
  const line = ([name, bytes]: readonly [string, number]) =>
    `${`${name}:`.padEnd(16)}${String(Math.floor(bytes / 1024)).padStart(8)} kB\n`;
  return rows.map(line).join('');
}

function firstProcessor(cpuinfo: string): string {
  const end = cpuinfo.indexOf('\n\n');
  const text = end < 0 ? cpuinfo : cpuinfo.slice(0, end + 2);
  return text.replace(/^(siblings|cpu cores)(\s*): \d+$/gm, '$1$2: 1');
}
