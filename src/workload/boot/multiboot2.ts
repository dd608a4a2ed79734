/**
 * Multiboot 2 kernels for i386. Multiboot2 Specification 2.0: §3.1 header and its tags, §3.3 machine state. The
 * information that the kernel gets is built in multiboot2-info.ts.
 */
import { hex } from '../../mem/addr.ts';
import type { ImageBytes } from './image-bytes.ts';
import type { LoadContext, Loaded } from './load-context.ts';
import type { LoadPlan } from './load-plan.ts';
import { enterProtectedMode, placeLow } from './loader-areas.ts';
import {
  type AddressFields,
  entryOf,
  type KernelPlace,
  placeKernel,
  placeModules,
} from './multiboot-kernel.ts';
import { buildInfo, LAST_INFO_TYPE } from './multiboot2-info.ts';

const HEADER_MAGIC = 0xe852_50d6;
const SEARCH_BYTES = 32_768;
const ALIGN = 8;
const HEADER_BYTES = 16;
const ARCHITECTURE_I386 = 0;
/** What the kernel finds in EAX. */
const LOADER_MAGIC = 0x36d7_6289;

/** Types of header tags, §3.1.3 ff. */
const Tag = {
  end: 0,
  informationRequest: 1,
  address: 2,
  entryAddress: 3,
  console: 4,
  framebuffer: 5,
  moduleAlignment: 6,
  efiBootServices: 7,
  efiEntry32: 8,
  efiEntry64: 9,
  relocatable: 10,
} as const;
/** "A loader may ignore this tag." */
const OPTIONAL = 0x1;
const CONSOLE_REQUIRED = 0x1;
/** load_addr of kernels that are loaded from the file's first byte on. */
const WHOLE_FILE = 0xffff_ffff;

interface HeaderTag {
  readonly type: number;
  readonly isOptional: boolean;
  /** Offset of the tag in the file; its own fields begin 8 bytes on. */
  readonly at: number;
  readonly sizeBytes: number;
}

/** Offset of the header in the file, or −1. */
export function findMultiboot2(image: ImageBytes): number {
  const end = Math.min(image.sizeBytes, SEARCH_BYTES) - HEADER_BYTES;
  for (let at = 0; at <= end; at += ALIGN) {
    if (image.u32(at) !== HEADER_MAGIC) continue;
    const sum = HEADER_MAGIC + image.u32(at + 4) + image.u32(at + 8) + image.u32(at + 12);
    if (sum % 2 ** 32 === 0) return at;
  }
  return -1;
}

export function loadMultiboot2(image: ImageBytes, plan: LoadPlan, context: LoadContext): Loaded {
  const header = findMultiboot2(image);
  if (header < 0) throw image.error('has no multiboot2 header in its first 32768 bytes');
  if (image.u32(header + 4) !== ARCHITECTURE_I386) {
    throw image.error(`is a multiboot2 kernel for architecture ${image.u32(header + 4)}, not for i386`);
  }
  const tags = readTags(image, header);
  for (const tag of tags) checkTag(image, tag);
  const kernel = placeKernel(image, plan, header, addressFields(image, tags, header));
  for (const tag of tags) if (tag.type === Tag.relocatable) checkRange(image, tag, kernel);
  const info = buildInfo(context, placeModules(plan, context, kernel), kernel.lowest);
  const gpr = { rax: LOADER_MAGIC, rbx: placeLow(plan, 'the multiboot2 information', info) };
  return {
    description: `multiboot2 kernel (${kernel.format})`,
    state: enterProtectedMode(plan, { address: entryOf(image, kernel, entryField(image, tags)), gpr }),
  };
}

function readTags(image: ImageBytes, header: number): HeaderTag[] {
  const end = header + image.u32(header + 8);
  const tags: HeaderTag[] = [];
  for (let at = header + HEADER_BYTES; at + 8 <= end; ) {
    const tag = { type: image.u16(at), isOptional: (image.u16(at + 2) & OPTIONAL) !== 0, at };
    const sizeBytes = image.u32(at + 4);
    if (sizeBytes < 8 || at + sizeBytes > end || !image.has(at, sizeBytes)) {
      throw image.error(`damaged multiboot2 header: the tag at ${hex(at - header)} has ${sizeBytes} bytes`);
    }
    if (tag.type === Tag.end) return tags;
    tags.push({ ...tag, sizeBytes });
    at += Math.ceil(sizeBytes / ALIGN) * ALIGN;
  }
  throw image.error('damaged multiboot2 header: its list of tags has no end');
}

/** Refuses what this machine or loader cannot give, unless the kernel says that it can do without. */
function checkTag(image: ImageBytes, tag: HeaderTag): void {
  if (tag.isOptional) return;
  switch (tag.type) {
    case Tag.informationRequest:
      for (let at = tag.at + 8; at + 4 <= tag.at + tag.sizeBytes; at += 4) {
        const type = image.u32(at);
        if (type === 0 || type > LAST_INFO_TYPE) {
          throw image.error(`demands multiboot2 information of the unknown type ${type}`);
        }
      }
      return;
    case Tag.console:
      if (field(image, tag, 0) & CONSOLE_REQUIRED) {
        throw image.error('demands a text or graphics console: this machine has no display');
      }
      return;
    case Tag.framebuffer:
      throw image.error('demands a framebuffer: this machine has no display');
    case Tag.efiBootServices:
      throw image.error('demands EFI boot services: this machine has no EFI firmware');
    // Entry points for EFI machines do not concern others (§3.1.8, §3.1.9); modules are aligned to pages anyway.
    case Tag.address:
    case Tag.entryAddress:
    case Tag.moduleAlignment:
    case Tag.efiEntry32:
    case Tag.efiEntry64:
    case Tag.relocatable:
      return;
    default:
      throw image.error(`makes an unknown demand in its multiboot2 header (tag ${tag.type})`);
  }
}

/** The u32 number `index` of a tag. */
function field(image: ImageBytes, tag: HeaderTag, index: number): number {
  const offset = 8 + 4 * index;
  if (offset + 4 > tag.sizeBytes) {
    throw image.error(`damaged multiboot2 header: tag ${tag.type} has only ${tag.sizeBytes} bytes`);
  }
  return image.u32(tag.at + offset);
}

function addressFields(
  image: ImageBytes,
  tags: readonly HeaderTag[],
  headerOffset: number,
): AddressFields | undefined {
  const tag = tags.find((one) => one.type === Tag.address);
  if (tag === undefined) return undefined;
  const headerAddress = field(image, tag, 0);
  const loadAddress = field(image, tag, 1);
  return {
    headerAddress,
    loadAddress: loadAddress === WHOLE_FILE ? headerAddress - headerOffset : loadAddress,
    loadEndAddress: field(image, tag, 2),
    bssEndAddress: field(image, tag, 3),
  };
}

function entryField(image: ImageBytes, tags: readonly HeaderTag[]): number | undefined {
  const tag = tags.find((one) => one.type === Tag.entryAddress);
  return tag && field(image, tag, 0);
}

/** A relocatable kernel is loaded where it was linked, which its range must allow. */
function checkRange(image: ImageBytes, tag: HeaderTag, kernel: KernelPlace): void {
  const lowest = field(image, tag, 0);
  const highest = field(image, tag, 1);
  if (kernel.lowest >= lowest && kernel.end - 1 <= highest) return;
  const range = `${hex(lowest)}–${hex(highest)}`;
  throw image.error(`wants to be moved to ${range}: link it for an address there, kernels are not moved`);
}
