/** Which format an image has, by its own signatures. */
import { type BareElf, isElf } from './bare-elf.ts';
import type { ImageBytes } from './image-bytes.ts';
import { findMultiboot } from './multiboot.ts';
import { findMultiboot2 } from './multiboot2.ts';
import { isBzImage } from './setup-header.ts';

export type ImageKind = 'linux' | 'multiboot' | 'multiboot2' | 'elf' | 'flat';

interface Stranger {
  readonly signature: string;
  readonly at?: number;
  readonly problem: string;
}

/** Files that people mistake for an image, and what to say about them. */
const STRANGERS: readonly Stranger[] = [
  { signature: '\x1f\x8b', problem: 'is compressed by gzip: unpack it first' },
  { signature: '\xfd7zXZ\0', problem: 'is compressed by xz: unpack it first' },
  { signature: 'BZh', problem: 'is compressed by bzip2: unpack it first' },
  { signature: '\x28\xb5\x2f\xfd', problem: 'is compressed by zstd: unpack it first' },
  { signature: '\x04\x22\x4d\x18', problem: 'is compressed by lz4: unpack it first' },
  { signature: '070701', problem: 'is a cpio archive: an initrd, not a kernel' },
  { signature: 'ARM\x64', at: 0x38, problem: 'is a Linux kernel for AArch64, not for x86' },
  { signature: 'RISCV', at: 0x30, problem: 'is a Linux kernel for RISC-V, not for x86' },
  { signature: 'CD001', at: 0x8001, problem: 'is a CD image: take the kernel out of it' },
  { signature: '#!', problem: 'is a script, not an image' },
  { signature: 'MZ', problem: 'is an EFI or Windows program: this machine has no EFI firmware' },
];

/**
 * The format of `image`. An ELF file is read by the caller when it comes to that, since its notes tell Linux from others.
 * @throws ExecError where it is recognised as something that cannot be started
 */
export function recognize(image: ImageBytes, parseElf: () => BareElf): ImageKind {
  if (isBzImage(image)) return 'linux';
  if (findMultiboot2(image) >= 0) return 'multiboot2';
  if (findMultiboot(image) >= 0) return 'multiboot';
  if (isElf(image)) return parseElf().isLinux ? 'linux' : 'elf';
  const stranger = STRANGERS.find(({ signature, at }) => image.startsWith(signature, at));
  if (stranger !== undefined) throw image.error(stranger.problem);
  return 'flat';
}
