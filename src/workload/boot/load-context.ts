/** What the loaders of all formats get beside the image, and what they give back. */
import type { BootState } from './boot-state.ts';
import type { MapEntry } from './memory-map.ts';

/** A file that a multiboot kernel gets beside its image. */
export interface BootModule {
  readonly bytes: Uint8Array;
  /** What the kernel is told about it: by convention its name and its arguments. */
  readonly text: string;
}

export interface LoadContext {
  readonly commandLine: string;
  readonly initrd: Uint8Array | undefined;
  readonly modules: readonly BootModule[];
  readonly map: readonly MapEntry[];
  /** The ACPI root pointer, and where it is. */
  readonly rsdp: { readonly address: number; readonly bytes: Uint8Array } | undefined;
}

export interface Loaded {
  readonly description: string;
  readonly state: BootState;
}
