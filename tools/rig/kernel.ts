// The kernel of the rig: Debian's cloud kernel, unpacked from its package without installing it. Packages and what
// is unpacked from them are kept in a cache outside the tree.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { FatalError } from '../../src/sim/trouble.ts';

const META_PACKAGE = 'linux-image-cloud-amd64';
/** In the order in which they load; a kernel that lacks an optional one has it built in or does not need it. */
const MODULES: readonly { readonly name: string; readonly optional: boolean }[] = [
  { name: 'irqbypass', optional: true },
  { name: 'ccp', optional: true },
  { name: 'kvm', optional: false },
  { name: 'kvm-amd', optional: false },
];

export interface Kernel {
  /** For example `6.1.0-13-cloud-amd64`. */
  readonly release: string;
  /** Path of the bzImage on the host. */
  readonly image: string;
  /** What KVM with SVM needs, in the order in which it loads. */
  readonly modules: readonly { readonly name: string; readonly data: Buffer }[];
}

/** Where packages are kept. */
export const cacheDirectory = (env = process.env): string =>
  join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'hypertick', 'rig');

/** The newest cloud kernel that apt offers; without apt or its lists, the newest one in the cache. */
export function getKernel(cache = cacheDirectory()): Kernel {
  mkdirSync(cache, { recursive: true });
  const found = newestPackage() ?? newestCached(cache);
  if (found === undefined)
    throw new FatalError(`apt knows no package ${META_PACKAGE}; run apt-get update on a Debian for amd64`);
  const directory = join(cache, found);
  if (!existsSync(directory)) unpack(found, directory, cache);
  const release = readdirSync(join(directory, 'boot'))
    .find((name) => name.startsWith('vmlinuz-'))
    ?.slice('vmlinuz-'.length);
  if (release === undefined) throw new FatalError(`${directory} has no kernel; remove it and try again`);
  return { release, image: join(directory, 'boot', `vmlinuz-${release}`), modules: readModules(directory) };
}

/** The package that the meta-package stands for. */
function newestPackage(): string | undefined {
  const { stdout } = spawnSync('apt-cache', ['depends', META_PACKAGE], { encoding: 'utf8' });
  return /Depends: (linux-image-\S+)/.exec(stdout ?? '')?.[1];
}

const newestCached = (cache: string): string | undefined =>
  readdirSync(cache)
    .filter((name) => /^linux-image-.*[^%]$/.test(name) && !name.endsWith('.part'))
    .sort(new Intl.Collator('en', { numeric: true }).compare)
    .at(-1);

/** Whole or not at all: somebody else may be doing the same. */
function unpack(name: string, directory: string, cache: string): void {
  const scratch = mkdtempSync(`${directory}.`);
  try {
    // A user without a name, as whom apt would fetch, cannot write here.
    must('apt-get', ['-qq', '-o', 'APT::Sandbox::User=root', 'download', name], scratch);
    const [archive] = readdirSync(scratch);
    if (archive === undefined) throw new FatalError(`apt-get download ${name} has written nothing`);
    const unpacked = join(scratch, 'unpacked');
    must('dpkg-deb', ['-x', join(scratch, archive), unpacked], cache);
    if (!existsSync(directory)) renameSync(unpacked, directory);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

function must(command: string, args: readonly string[], cwd: string): void {
  const { error, status, stderr } = spawnSync(command, args, { cwd, encoding: 'utf8' });
  if (error !== undefined || status !== 0)
    throw new FatalError(`${command} ${args.join(' ')} failed: ${error?.message ?? stderr.trim()}`);
}

function readModules(directory: string): { name: string; data: Buffer }[] {
  const files = readdirSync(directory, { recursive: true, encoding: 'utf8' });
  const modules: { name: string; data: Buffer }[] = [];
  for (const { name, optional } of MODULES) {
    const file = files.find((path) => new RegExp(`/${name}\\.ko(\\.xz)?$`).test(path));
    if (file !== undefined) modules.push({ name, data: readModule(join(directory, file)) });
    else if (!optional) throw new FatalError(`${directory} has no module ${name}`);
  }
  return modules;
}

/** Newer kernels compress their modules. */
function readModule(path: string): Buffer {
  if (!path.endsWith('.xz')) return readFileSync(path);
  const { error, status, stdout } = spawnSync('xz', ['-dc', path], { maxBuffer: 64 << 20 });
  if (error !== undefined || status !== 0) throw new FatalError(`xz cannot unpack ${path}`);
  return stdout;
}
