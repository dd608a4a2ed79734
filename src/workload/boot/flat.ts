/**
 * Flat binaries: bytes without a header. 512 bytes that end in 55 AA are a boot sector and start as a BIOS would start
 * it, at 0000:7C00 in real mode; anything else is loaded at 1 MiB and starts there in 32-bit protected mode.
 */
import { hex } from '../../mem/addr.ts';
import { FatalError } from '../../sim/trouble.ts';
import { type BootMode, type BootState, realModeState } from './boot-state.ts';
import type { ImageBytes } from './image-bytes.ts';
import type { Loaded } from './load-context.ts';
import type { LoadPlan } from './load-plan.ts';
import { allocateStack, enterLongMode, enterProtectedMode } from './loader-areas.ts';

/** How a flat image is started; what is left out is decided by its size and signature. */
export interface FlatOptions {
  /** Where it is loaded. */
  readonly address?: number;
  /** Its first instruction; by default its first byte. */
  readonly entry?: number;
  readonly mode?: BootMode;
}

const SECTOR = 512;
const BOOT_SECTOR_ADDRESS = 0x7c00;
const DEFAULT_ADDRESS = 0x10_0000;
const REAL_MODE_END = 0x1_0000;
/** What a BIOS leaves in DL: the boot drive. */
const FIRST_HARD_DISK = 0x80;

export function isBootSector(image: ImageBytes): boolean {
  return image.sizeBytes === SECTOR && image.u16(SECTOR - 2) === 0xaa55;
}

export function loadFlat(image: ImageBytes, options: FlatOptions, plan: LoadPlan): Loaded {
  const mode = options.mode ?? (isBootSector(image) ? 'real' : 'protected');
  const address = options.address ?? (mode === 'real' ? BOOT_SECTOR_ADDRESS : DEFAULT_ADDRESS);
  const entry = options.entry ?? address;
  if (entry < address || entry >= address + image.sizeBytes) {
    throw new FatalError(
      `${plan.name}: the entry point ${hex(entry)} is outside the image: choose another one`,
    );
  }
  plan.place('the image', address, image.bytes);
  return {
    description: `flat image at ${hex(address)}, ${mode} mode, entry point ${hex(entry)}`,
    state: enter(plan, mode, entry),
  };
}

function enter(plan: LoadPlan, mode: BootMode, address: number): BootState {
  if (mode === 'protected') return enterProtectedMode(plan, { address, gpr: { rsp: allocateStack(plan) } });
  if (mode === 'long') return enterLongMode(plan, { address, gpr: { rsp: allocateStack(plan) } });
  if (address >= REAL_MODE_END) {
    throw new FatalError(`${plan.name}: real mode starts below 0x10000, not at ${hex(address)}`);
  }
  // The stack grows down from where boot sectors are, as BIOSes have it.
  return realModeState({ address, gpr: { rsp: BOOT_SECTOR_ADDRESS, rdx: FIRST_HARD_DISK } });
}
