/**
 * Linux's boot_params, the "zero page", and the setup header inside it. Linux's Documentation/arch/x86/boot.rst and
 * zero-page.rst; offsets as in arch/x86/include/uapi/asm/bootparam.h.
 */
import type { MapEntry } from './memory-map.ts';

export const BOOT_PARAMS_BYTES = 4096;

/** Offsets in boot_params, and in the first sectors of a bzImage, whose setup header lies at the same place. */
export const BootParam = {
  acpiRsdpAddress: 0x070,
  extRamdiskImage: 0x0c0,
  extRamdiskSize: 0x0c4,
  extCommandLinePointer: 0x0c8,
  e820Entries: 0x1e8,
  setupSects: 0x1f1,
  sysSize: 0x1f4,
  videoMode: 0x1fa,
  bootFlag: 0x1fe,
  jumpOffset: 0x201,
  headerMagic: 0x202,
  version: 0x206,
  kernelVersion: 0x20e,
  typeOfLoader: 0x210,
  loadFlags: 0x211,
  code32Start: 0x214,
  ramdiskImage: 0x218,
  ramdiskSize: 0x21c,
  commandLinePointer: 0x228,
  initrdAddressMax: 0x22c,
  kernelAlignment: 0x230,
  relocatableKernel: 0x234,
  xLoadFlags: 0x236,
  commandLineSize: 0x238,
  payloadOffset: 0x248,
  payloadLength: 0x24c,
  preferredAddress: 0x258,
  initSize: 0x260,
  /** Where the setup header must have ended. */
  headerLimit: 0x290,
  e820Table: 0x2d0,
} as const;

export const BOOT_FLAG = 0xaa55;
export const LoadFlag = { LOADED_HIGH: 0x01 } as const;
export const XLoadFlag = { KERNEL_64: 0x01 } as const;

/** "Boot loader without an assigned ID", boot.rst on type_of_loader. */
const LOADER_UNDEFINED = 0xff;
/** `vga=normal`. */
const VIDEO_NORMAL = 0xffff;
const E820_ENTRY_BYTES = 20;
const E820_MAX_ENTRIES = 128;

/** What the loader tells the kernel. Addresses are physical. */
export interface BootParameters {
  /** The setup header of the kernel's file, from offset 0x1f1. */
  readonly header: Uint8Array;
  readonly loadAddress: number;
  readonly commandLineAddress: number;
  readonly initrd: { readonly start: number; readonly sizeBytes: number } | undefined;
  readonly map: readonly MapEntry[];
  /** 0 if there is none. */
  readonly rsdpAddress: number;
}

export function buildBootParams(parameters: BootParameters): Uint8Array {
  const page = new Uint8Array(BOOT_PARAMS_BYTES);
  page.set(parameters.header, BootParam.setupSects);
  const view = new DataView(page.buffer);
  view.setUint16(BootParam.videoMode, VIDEO_NORMAL, true);
  view.setUint8(BootParam.typeOfLoader, LOADER_UNDEFINED);
  view.setUint32(BootParam.code32Start, parameters.loadAddress, true);
  view.setUint32(BootParam.commandLinePointer, parameters.commandLineAddress, true);
  view.setUint32(BootParam.ramdiskImage, parameters.initrd?.start ?? 0, true);
  view.setUint32(BootParam.ramdiskSize, parameters.initrd?.sizeBytes ?? 0, true);
  view.setBigUint64(BootParam.acpiRsdpAddress, BigInt(parameters.rsdpAddress), true);
  const map = parameters.map.slice(0, E820_MAX_ENTRIES);
  view.setUint8(BootParam.e820Entries, map.length);
  for (const [i, entry] of map.entries()) {
    const at = BootParam.e820Table + i * E820_ENTRY_BYTES;
    view.setBigUint64(at, BigInt(entry.start), true);
    view.setBigUint64(at + 8, BigInt(entry.sizeBytes), true);
    view.setUint32(at + 16, entry.type, true);
  }
  return page;
}

/** The header that a kernel without one (vmlinux) is given: enough for it to believe the rest of the page. */
export function plainSetupHeader(): Uint8Array {
  const start = BootParam.setupSects;
  const header = new Uint8Array(BootParam.headerLimit - start);
  const view = new DataView(header.buffer);
  view.setUint16(BootParam.bootFlag - start, BOOT_FLAG, true);
  header.set(Buffer.from('HdrS'), BootParam.headerMagic - start);
  view.setUint16(BootParam.version - start, 0x20c, true);
  view.setUint8(BootParam.loadFlags - start, LoadFlag.LOADED_HIGH);
  view.setUint32(BootParam.kernelAlignment - start, 0x100_0000, true);
  return header;
}
