/**
 * Multiboot 1 kernels. Multiboot Specification 0.6.96: §3.1 header, §3.2 machine state, §3.3 boot information. The
 * command line begins with the name of the image, as QEMU gives it and as kernels expect that skip their argv[0].
 */
import type { ImageBytes } from './image-bytes.ts';
import type { LoadContext, Loaded } from './load-context.ts';
import type { LoadPlan } from './load-plan.ts';
import { allocateLow, enterProtectedMode, placeLow, placeString } from './loader-areas.ts';
import type { MapEntry } from './memory-map.ts';
import {
  type AddressFields,
  entryOf,
  LOADER_NAME,
  memorySizes,
  type PlacedModule,
  placeKernel,
  placeModules,
} from './multiboot-kernel.ts';

const HEADER_MAGIC = 0x1bad_b002;
const SEARCH_BYTES = 8192;
const HEADER_ALIGN = 4;
/** What the kernel finds in EAX. */
const LOADER_MAGIC = 0x2bad_b002;
/** Bits 0–15 are demands that a loader must know; bits 16–31 it may ignore. */
const HeaderFlag = { VIDEO: 0x4, ADDRESSES: 0x1_0000, UNKNOWN_DEMANDS: 0xfff8 } as const;

/** Offsets in the information structure and the flags that say which of them hold something. */
const INFO_BYTES = 116;
const Info = {
  flags: 0,
  memLower: 4,
  memUpper: 8,
  commandLine: 16,
  modulesCount: 20,
  modulesAddress: 24,
  mapLength: 44,
  mapAddress: 48,
  loaderName: 64,
} as const;
const InfoFlag = { MEMORY: 0x1, COMMAND_LINE: 0x4, MODULES: 0x8, MAP: 0x40, LOADER_NAME: 0x200 } as const;
const MODULE_BYTES = 16;
/** An entry's size field does not count itself. */
const MAP_ENTRY_SIZE = 20;

/** Offset of the header in the file, or −1. */
export function findMultiboot(image: ImageBytes): number {
  const end = Math.min(image.sizeBytes, SEARCH_BYTES) - 12;
  for (let at = 0; at <= end; at += HEADER_ALIGN) {
    if (image.u32(at) !== HEADER_MAGIC) continue;
    if ((HEADER_MAGIC + image.u32(at + 4) + image.u32(at + 8)) % 2 ** 32 === 0) return at;
  }
  return -1;
}

export function loadMultiboot(image: ImageBytes, plan: LoadPlan, context: LoadContext): Loaded {
  const header = findMultiboot(image);
  if (header < 0) throw image.error('has no multiboot header in its first 8192 bytes');
  const flags = image.u32(header + 4);
  if (flags & HeaderFlag.VIDEO) throw image.error('asks for a video mode: this machine has no display');
  if (flags & HeaderFlag.UNKNOWN_DEMANDS) {
    throw image.error(`makes unknown demands in its multiboot header (flags 0x${flags.toString(16)})`);
  }
  const hasAddresses = (flags & HeaderFlag.ADDRESSES) !== 0;
  const kernel = placeKernel(image, plan, header, hasAddresses ? readAddresses(image, header) : undefined);
  const address = entryOf(image, kernel, hasAddresses ? image.u32(header + 28) : undefined);
  const info = placeInfo(plan, context, placeModules(plan, context, kernel));
  return {
    description: `multiboot kernel (${kernel.format})`,
    state: enterProtectedMode(plan, { address, gpr: { rax: LOADER_MAGIC, rbx: info } }),
  };
}

function readAddresses(image: ImageBytes, header: number): AddressFields {
  return {
    headerAddress: image.u32(header + 12),
    loadAddress: image.u32(header + 16),
    loadEndAddress: image.u32(header + 20),
    bssEndAddress: image.u32(header + 24),
  };
}

function placeInfo(plan: LoadPlan, context: LoadContext, modules: readonly PlacedModule[]): number {
  const info = new DataView(new ArrayBuffer(INFO_BYTES));
  const set = (at: number, value: number) => info.setUint32(at, value, true);
  const { MEMORY, COMMAND_LINE, MODULES, MAP, LOADER_NAME: NAME } = InfoFlag;
  const { lowerKiB, upperKiB } = memorySizes(context.map);
  const map = buildMap(context.map);
  const list = buildModuleList(plan, modules);
  const commandLine = `${plan.name} ${context.commandLine}`.trimEnd();
  set(Info.flags, MEMORY | COMMAND_LINE | MODULES | MAP | NAME);
  set(Info.memLower, lowerKiB);
  set(Info.memUpper, upperKiB);
  set(Info.commandLine, placeString(plan, 'the command line', commandLine));
  set(Info.modulesCount, modules.length);
  set(Info.modulesAddress, list.length > 0 ? placeLow(plan, 'the list of modules', list) : 0);
  set(Info.mapLength, map.length);
  set(Info.mapAddress, placeLow(plan, 'the memory map', map));
  set(Info.loaderName, placeString(plan, 'the name of the loader', LOADER_NAME));
  const address = allocateLow(plan, 'the multiboot information', INFO_BYTES);
  plan.write(address, new Uint8Array(info.buffer));
  return address;
}

function buildModuleList(plan: LoadPlan, modules: readonly PlacedModule[]): Uint8Array {
  const list = new DataView(new ArrayBuffer(modules.length * MODULE_BYTES));
  for (const [i, { start, end, text }] of modules.entries()) {
    list.setUint32(i * MODULE_BYTES, start, true);
    list.setUint32(i * MODULE_BYTES + 4, end, true);
    list.setUint32(i * MODULE_BYTES + 8, placeString(plan, `the text of the module '${text}'`, text), true);
  }
  return new Uint8Array(list.buffer);
}

function buildMap(map: readonly MapEntry[]): Uint8Array {
  const bytes = MAP_ENTRY_SIZE + 4;
  const view = new DataView(new ArrayBuffer(map.length * bytes));
  for (const [i, entry] of map.entries()) {
    view.setUint32(i * bytes, MAP_ENTRY_SIZE, true);
    view.setBigUint64(i * bytes + 4, BigInt(entry.start), true);
    view.setBigUint64(i * bytes + 12, BigInt(entry.sizeBytes), true);
    view.setUint32(i * bytes + 20, entry.type, true);
  }
  return new Uint8Array(view.buffer);
}
