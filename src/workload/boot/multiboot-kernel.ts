/**
 * What both versions of multiboot share: loading the kernel (as ELF, or where its header says), the modules behind it,
 * and the few facts about memory that both information structures begin with.
 */
import { hex } from '../../mem/addr.ts';
import { type BareElf, isElf, parseBareElf } from './bare-elf.ts';
import { placeSegments } from './elf-image.ts';
import type { ImageBytes } from './image-bytes.ts';
import type { BootModule, LoadContext } from './load-context.ts';
import type { LoadPlan } from './load-plan.ts';
import { endOf, type MapEntry } from './memory-map.ts';
import { MemoryType } from './pc-layout.ts';

export const LOADER_NAME = 'hypertick';
const PAGE = 4096;
const ONE_MIB = 0x10_0000;
const FOUR_GIB = 2 ** 32;
const KIB = 1024;
/** mem_lower counts up to here at most: what lies above never was RAM on a PC. */
const LOWER_MEMORY_END = 640 * KIB;

/** The address fields of a header ("a.out kludge"), all physical; zero where the specification gives zero a meaning. */
export interface AddressFields {
  readonly headerAddress: number;
  readonly loadAddress: number;
  /** 0: to the end of the file. */
  readonly loadEndAddress: number;
  /** 0: there is no bss. */
  readonly bssEndAddress: number;
}

export interface KernelPlace {
  /** Entry point; undefined where only the header can say it. */
  readonly entry: number | undefined;
  readonly lowest: number;
  /** Where modules may begin. */
  readonly end: number;
  readonly format: string;
}

/** Takes the place of the kernel; `address` wins over ELF headers, as the specifications want it. */
export function placeKernel(
  image: ImageBytes,
  plan: LoadPlan,
  headerOffset: number,
  address: AddressFields | undefined,
): KernelPlace {
  if (address !== undefined) return placeByAddress(image, plan, headerOffset, address);
  if (!isElf(image)) {
    throw image.error('has a multiboot header without addresses, but is no ELF file that would say them');
  }
  return placeElf(image, plan, parseBareElf(image));
}

function placeElf(image: ImageBytes, plan: LoadPlan, elf: BareElf): KernelPlace {
  const end = Math.max(...elf.segments.map((segment) => segment.address + segment.memorySize));
  if (end > FOUR_GIB) throw image.error(`ends at ${hex(end)}: a multiboot kernel starts in 32-bit mode`);
  placeSegments(elf, plan);
  const lowest = Math.min(...elf.segments.map((segment) => segment.address));
  return { entry: elf.entry, lowest, end, format: `${elf.bits}-bit ELF` };
}

function placeByAddress(
  image: ImageBytes,
  plan: LoadPlan,
  headerOffset: number,
  fields: AddressFields,
): KernelPlace {
  const { headerAddress, loadAddress, loadEndAddress, bssEndAddress } = fields;
  const start = headerOffset - (headerAddress - loadAddress);
  const wrong = (problem: string) => image.error(`damaged multiboot header: ${problem}`);
  if (loadAddress > headerAddress) throw wrong(`load_addr ${hex(loadAddress)} is above header_addr`);
  if (start < 0) throw wrong(`load_addr ${hex(loadAddress)} is before the file's first byte`);
  if (loadEndAddress !== 0 && loadEndAddress < headerAddress)
    throw wrong('load_end_addr is below header_addr');
  const fileSize = loadEndAddress === 0 ? image.sizeBytes - start : loadEndAddress - loadAddress;
  const bytes = image.slice(start, fileSize, 'what its multiboot header asks to load');
  const end = Math.max(loadAddress + fileSize, bssEndAddress);
  if (bssEndAddress !== 0 && bssEndAddress < loadAddress + fileSize) {
    throw wrong(`bss_end_addr ${hex(bssEndAddress)} is inside the loaded part`);
  }
  plan.place('the kernel', loadAddress, bytes, end - loadAddress);
  return { entry: undefined, lowest: loadAddress, end, format: 'load addresses in its header' };
}

/** The entry point: the one that the header gives, if it does, else ELF's. */
export function entryOf(image: ImageBytes, kernel: KernelPlace, fromHeader: number | undefined): number {
  const entry = fromHeader ?? kernel.entry;
  if (entry === undefined)
    throw image.error('damaged multiboot header: it gives addresses but no entry point');
  if (entry >= kernel.lowest && entry < kernel.end) return entry;
  throw image.error(`damaged multiboot header: the entry point ${hex(entry)} is outside the kernel`);
}

/** A module in memory. */
export interface PlacedModule {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/** Puts the initrd and the other modules behind the kernel, each on a page of its own. */
export function placeModules(plan: LoadPlan, context: LoadContext, kernel: KernelPlace): PlacedModule[] {
  const initrd: readonly BootModule[] =
    context.initrd === undefined ? [] : [{ bytes: context.initrd, text: 'initrd' }];
  return [...initrd, ...context.modules].map(({ bytes, text }) => {
    const from = Math.max(ONE_MIB, kernel.end);
    const start = plan.allocate(`the module '${text}'`, bytes.length, { align: PAGE, from, below: FOUR_GIB });
    plan.write(start, bytes);
    return { start, end: start + bytes.length, text };
  });
}

/** KiB of RAM from 0, and from 1 MiB up to the first hole. */
export function memorySizes(map: readonly MapEntry[]): { lowerKiB: number; upperKiB: number } {
  const ramEnd = (address: number) => {
    const entry = map.find((one) => one.start <= address && address < endOf(one));
    return entry?.type === MemoryType.ram ? endOf(entry) : address;
  };
  return {
    lowerKiB: Math.floor(Math.min(ramEnd(0), LOWER_MEMORY_END) / KIB),
    upperKiB: Math.floor((ramEnd(ONE_MIB) - ONE_MIB) / KIB),
  };
}
