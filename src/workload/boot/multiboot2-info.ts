/** The information that a multiboot 2 kernel gets: one structure of tags. Multiboot2 Specification 2.0, §3.6. */
import type { LoadContext } from './load-context.ts';
import { cString } from './loader-areas.ts';
import type { MapEntry } from './memory-map.ts';
import { LOADER_NAME, memorySizes, type PlacedModule } from './multiboot-kernel.ts';

const Type = {
  end: 0,
  commandLine: 1,
  loaderName: 2,
  module: 3,
  memorySizes: 4,
  memoryMap: 6,
  oldRsdp: 14,
  newRsdp: 15,
  loadBase: 21,
} as const;
/** Types beyond this one are not in the specification. */
export const LAST_INFO_TYPE = 21;

const ALIGN = 8;
const MAP_ENTRY_BYTES = 24;
/** Bytes of an RSDP of ACPI 1.0: the start of the newer one. */
const OLD_RSDP_BYTES = 20;

/** @param loadBase where the kernel was loaded: its lowest physical address */
export function buildInfo(
  context: LoadContext,
  modules: readonly PlacedModule[],
  loadBase: number,
): Uint8Array {
  const { lowerKiB, upperKiB } = memorySizes(context.map);
  const tags = [
    tag(Type.commandLine, cString(context.commandLine)),
    tag(Type.loaderName, cString(LOADER_NAME)),
    ...modules.map(({ start, end, text }) => tag(Type.module, words(start, end), cString(text))),
    tag(Type.memorySizes, words(lowerKiB, upperKiB)),
    tag(Type.memoryMap, words(MAP_ENTRY_BYTES, 0), mapEntries(context.map)),
    tag(Type.loadBase, words(loadBase)),
  ];
  if (context.rsdp !== undefined) {
    tags.push(tag(Type.oldRsdp, context.rsdp.bytes.subarray(0, OLD_RSDP_BYTES)));
    tags.push(tag(Type.newRsdp, context.rsdp.bytes));
  }
  tags.push(tag(Type.end));
  const total = 8 + tags.reduce((sum, one) => sum + one.length, 0);
  return Buffer.concat([words(total, 0), ...tags]);
}

/** Type and size, the parts, and zeros up to a multiple of 8, which the size does not count. */
function tag(type: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const sizeBytes = 8 + parts.reduce((sum, part) => sum + part.length, 0);
  const padding = new Uint8Array(-sizeBytes & (ALIGN - 1));
  return Buffer.concat([words(type, sizeBytes), ...parts, padding]);
}

function words(...values: readonly number[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(4 * values.length));
  for (const [i, value] of values.entries()) view.setUint32(4 * i, value, true);
  return new Uint8Array(view.buffer);
}

function mapEntries(map: readonly MapEntry[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(map.length * MAP_ENTRY_BYTES));
  for (const [i, entry] of map.entries()) {
    view.setBigUint64(i * MAP_ENTRY_BYTES, BigInt(entry.start), true);
    view.setBigUint64(i * MAP_ENTRY_BYTES + 8, BigInt(entry.sizeBytes), true);
    view.setUint32(i * MAP_ENTRY_BYTES + 16, entry.type, true);
  }
  return new Uint8Array(view.buffer);
}
