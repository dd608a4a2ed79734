/**
 * Starting a bare-metal image or a kernel on a PC: image formats, memory map, ACPI tables, start state of the
 * processor. `loadBoot` writes guest memory, `applyBootState` the processor.
 */
export { type AcpiTable, buildAcpiTables } from './acpi/index.ts';
export { applyBootState, type BootMode, type BootState } from './boot-state.ts';
export type { FlatOptions } from './flat.ts';
export { type BootRequest, type BootStart, loadBoot } from './load-boot.ts';
export type { BootModule } from './load-context.ts';
export type { Placement } from './load-plan.ts';
export { buildMemoryMap, type MapEntry } from './memory-map.ts';
export {
  type AcpiLayout,
  type Claim,
  type HpetTable,
  type InterruptWiring,
  MemoryType,
  type PciTables,
  type PcLayout,
  type PcTables,
  type PortDevice,
  type PowerTables,
  type Span,
} from './pc-layout.ts';
export type { ImageKind } from './recognize.ts';
