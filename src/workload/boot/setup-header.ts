/**
 * The setup header of a Linux bzImage: what the kernel says about itself, checked. Boot protocol 2.06 (Linux 2.6.22)
 * and later; Linux's Documentation/arch/x86/boot.rst, "Details of Header Fields".
 */
import { hex } from '../../mem/addr.ts';
import { BootParam as At, BOOT_FLAG, LoadFlag, XLoadFlag } from './boot-params.ts';
import type { ImageBytes } from './image-bytes.ts';

export interface SetupHeader {
  /** Major version in the high byte. */
  readonly protocol: number;
  /** The kernel's version string, empty if the file has none. */
  readonly kernelVersion: string;
  /** The header's bytes, from offset 0x1f1. */
  readonly bytes: Uint8Array;
  /** The protected-mode part of the file. */
  readonly kernel: Uint8Array;
  readonly has64BitEntry: boolean;
  readonly loadAddress: number;
  /** What the kernel needs from its load address on, before it looks at the memory map. */
  readonly neededBytes: number;
  /** Highest address that the initrd may have. */
  readonly initrdAddressMax: number;
  /** Bytes of the command line without its NUL. */
  readonly commandLineSize: number;
}

const SECTOR = 512;
const OLDEST = 0x206;
const MAX_VERSION_LENGTH = 128;
const ENTRY_64_OFFSET = 0x200;

export function isBzImage(image: ImageBytes): boolean {
  return image.startsWith('HdrS', At.headerMagic) && image.u16(At.bootFlag) === BOOT_FLAG;
}

/** Reads and checks the header. Throws ExecError with one line that says what is wrong. */
export function parseSetupHeader(image: ImageBytes): SetupHeader {
  if (!isBzImage(image)) throw image.error('is no Linux kernel: it has no setup header');
  const protocol = image.u16(At.version);
  if (protocol < OLDEST) {
    throw image.error(
      `speaks Linux boot protocol ${spell(protocol)}: 2.06 (Linux 2.6.22) is the oldest supported`,
    );
  }
  if (!(image.u8(At.loadFlags) & LoadFlag.LOADED_HIGH)) {
    throw image.error('is a zImage, which loads below 1 MiB: build a bzImage');
  }
  const setupBytes = ((image.u8(At.setupSects) || 4) + 1) * SECTOR;
  const headerEnd = At.headerMagic + image.u8(At.jumpOffset);
  if (headerEnd > Math.min(At.headerLimit, setupBytes) || headerEnd < At.commandLineSize + 4) {
    throw image.error(`damaged Linux kernel: its setup header ends at ${hex(headerEnd)}`);
  }
  const header = image.slice(At.setupSects, headerEnd - At.setupSects, 'its setup header');
  const kernel = readKernel(image, setupBytes, protocol);
  return {
    protocol,
    kernelVersion: readVersion(image, setupBytes),
    bytes: header,
    kernel,
    has64BitEntry: protocol >= 0x20c && (image.u16(At.xLoadFlags) & XLoadFlag.KERNEL_64) !== 0,
    initrdAddressMax: image.u32(At.initrdAddressMax),
    commandLineSize: image.u32(At.commandLineSize),
    ...readPlace(image, protocol, kernel.length),
  };
}

/** Offset of the 64-bit entry point in the protected-mode part; the 32-bit one is at its start. */
export function entryOffset(header: SetupHeader): number {
  return header.has64BitEntry ? ENTRY_64_OFFSET : 0;
}

/** `2.15` */
export function spell(protocol: number): string {
  return `${protocol >> 8}.${String(protocol & 0xff).padStart(2, '0')}`;
}

function readKernel(image: ImageBytes, setupBytes: number, protocol: number): Uint8Array {
  const kernelBytes = image.u32(At.sysSize) * 16;
  if (kernelBytes <= ENTRY_64_OFFSET) {
    throw image.error(`damaged Linux kernel: its protected-mode part has ${kernelBytes} bytes`);
  }
  if (!image.has(setupBytes, kernelBytes)) {
    const needed = setupBytes + kernelBytes;
    throw image.error(`truncated: this Linux kernel has ${needed} bytes, the file ${image.sizeBytes}`);
  }
  const kernel = image.bytes.subarray(setupBytes);
  if (protocol < 0x208) return kernel;
  const payloadEnd = image.u32(At.payloadOffset) + image.u32(At.payloadLength);
  if (payloadEnd > kernel.length) {
    throw image.error(`damaged Linux kernel: its payload ends at ${hex(payloadEnd)}, outside the file`);
  }
  return kernel;
}

/** Where the kernel wants to be, and how much room it needs there. boot.rst on pref_address and init_size. */
function readPlace(
  image: ImageBytes,
  protocol: number,
  kernelBytes: number,
): Pick<SetupHeader, 'loadAddress' | 'neededBytes'> {
  // Before 2.10 neither field existed; the kernel unpacks itself in place, in about three times its size.
  if (protocol < 0x20a) return { loadAddress: image.u32(At.code32Start), neededBytes: 3 * kernelBytes };
  const loadAddress = image.u64(At.preferredAddress);
  const neededBytes = Math.max(image.u32(At.initSize), kernelBytes);
  if (loadAddress + neededBytes <= 2 ** 32) return { loadAddress, neededBytes };
  throw image.error(
    `damaged Linux kernel: it wants ${neededBytes} bytes at ${hex(loadAddress)}, beyond 4 GiB`,
  );
}

function readVersion(image: ImageBytes, setupBytes: number): string {
  const offset = image.u16(At.kernelVersion);
  const at = offset + SECTOR;
  if (offset === 0 || at >= setupBytes) return '';
  const bytes = image.bytes.subarray(at, Math.min(at + MAX_VERSION_LENGTH, setupBytes));
  const end = bytes.indexOf(0);
  const text = Buffer.from(end < 0 ? bytes : bytes.subarray(0, end)).toString('latin1');
  return (text.split(' ')[0] ?? '').replaceAll(/[^\x21-\x7e]/g, '?');
}
