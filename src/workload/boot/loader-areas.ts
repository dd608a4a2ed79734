/**
 * What a loader leaves in conventional memory beside the image: GDT, page tables, stack, command line, information
 * structures. All of it lies between 4 KiB and the extended BIOS data area, wherever the image leaves room.
 */
import {
  type BootState,
  bootGdt,
  type Entry,
  longModeState,
  protectedModeState,
  type TableRegister,
} from './boot-state.ts';
import type { LoadPlan } from './load-plan.ts';
import { IDENTITY_TABLES_BYTES, identityTables } from './long-mode-tables.ts';

/** The first page stays free: a null pointer, the real-mode vectors and the BIOS data area are there. */
const LOW_START = 0x1000;
const LOW_END = 0xa_0000;
const PAGE = 4096;
const STACK_BYTES = 0x4000;

/** Finds a place in conventional memory. */
export function allocateLow(plan: LoadPlan, what: string, sizeBytes: number, align = 16): number {
  return plan.allocate(what, sizeBytes, { align, from: LOW_START, below: LOW_END });
}

/** Puts bytes into conventional memory. */
export function placeLow(plan: LoadPlan, what: string, bytes: Uint8Array, align = 16): number {
  const address = allocateLow(plan, what, bytes.length, align);
  plan.write(address, bytes);
  return address;
}

/** Puts a C string into conventional memory. */
export function placeString(plan: LoadPlan, what: string, text: string): number {
  return placeLow(plan, what, cString(text));
}

/** UTF-8 with a NUL behind it. */
export function cString(text: string): Uint8Array {
  return Buffer.from(`${text}\0`, 'utf8');
}

/** Start in 32-bit protected mode, with the GDT placed. */
export function enterProtectedMode(plan: LoadPlan, entry: Entry): BootState {
  return protectedModeState(entry, placeGdt(plan, 'protected'));
}

/** Start in 64-bit mode, with the GDT and the identity page tables placed. */
export function enterLongMode(plan: LoadPlan, entry: Entry): BootState {
  const gdt = placeGdt(plan, 'long');
  const root = allocateLow(plan, 'the page tables', IDENTITY_TABLES_BYTES, PAGE);
  plan.write(root, identityTables(root));
  return longModeState(entry, gdt, root);
}

/** A small stack for images whose format promises none. Returns its end: the first stack pointer. */
export function allocateStack(plan: LoadPlan): number {
  return allocateLow(plan, 'the stack', STACK_BYTES) + STACK_BYTES;
}

function placeGdt(plan: LoadPlan, mode: 'protected' | 'long'): TableRegister {
  const gdt = bootGdt(mode);
  return { base: placeLow(plan, 'the GDT', gdt), limit: gdt.length - 1 };
}
