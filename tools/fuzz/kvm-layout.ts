// Where things lie in the guest RAM of the KVM executor, and the structures that the host and the guest code share.
//
// All RAM is mapped at HIDDEN + physical address, beside the case's own pages (address-space.ts): no case gets there by
// chance. The case's pages are a second time there, all of them to be written.

import { PAGE_SIZE } from '../../src/arch/x86/page-table.ts';
import { AREA_BYTES } from './address-space.ts';

/** Virtual address of physical 0: an arbitrary one. */
export const HIDDEN = 0x6d5a_9c40_0000;

/** Cases in a batch, executed by one entry into the guest. */
export const BATCH = 128;
/** Bytes for a case's patches: code, data and their headings. */
const PATCH_BYTES = 4096;
/** Different backgrounds that are in RAM at a time. */
export const IMAGES = 32;

/** Blocks in which the guest compares the area with its background. */
export const BLOCK_BYTES = 64;
/** A changed block: its offset in the area, u64; eight zero bytes; the block. */
export const CHANGE = { offset: 0, bytes: 16, sizeBytes: 16 + BLOCK_BYTES } as const;

/** A patch: where in the hidden view, its length; the bytes, filled up to a multiple of 8. A length of 0 ends the list. */
export const PATCH = { address: 0, length: 8, bytes: 16 } as const;

/** Input of a case. General registers are in encoding order. */
export const INPUT = {
  gpr: 0x00,
  rip: 0x80,
  rflags: 0x88,
  fsBase: 0x90,
  gsBase: 0x98,
  /** Virtual addresses. */
  image: 0xa0,
  patches: 0xa8,
  /** XSAVE area. */
  xsave: 0x100,
  sizeBytes: 0x1000,
} as const;

/** Output of a case. */
export const OUTPUT = {
  gpr: 0x00,
  fsBase: 0x80,
  gsBase: 0x88,
  /** One of {@link Way}. */
  way: 0x90,
  /** Virtual address behind the last changed block of this case. */
  changesEnd: 0x98,
  /** What the exception stub has kept, see FRAME. */
  frame: 0xa0,
  /** RFLAGS is pushed there, with this as RSP. */
  rflagsEnd: 0x100,
  xsave: 0x100,
  sizeBytes: 0x1000,
} as const;

/** RFLAGS at the end of a case. */
export const OUTPUT_RFLAGS = OUTPUT.rflagsEnd - 8;

/** How the guest code came to the end of a case. */
export const Way = { end: 0, exception: 1, syscall: 2, timeout: 3 } as const;

/** What the exception stub leaves on its stack, from the lower end. SDM vol. 3 figure 6-9. */
export const FRAME = {
  vector: 0x00,
  errorCode: 0x08,
  rip: 0x10,
  cs: 0x18,
  rflags: 0x20,
  rsp: 0x28,
  ss: 0x30,
  /** Put there by the code at the end of a case. */
  cr2: 0x38,
  sizeBytes: 0x40,
} as const;

/** Variables of the guest code, u64 each. The host sets the first five before each batch. */
export const CONTROL = {
  index: 0x00,
  count: 0x08,
  input: 0x10,
  output: 0x18,
  changes: 0x20,
  /** The background that the area holds now. */
  image: 0x28,
  rsp: 0x30,
  rcx: 0x38,
  r11: 0x40,
  rax: 0x48,
  cr2: 0x50,
  way: 0x58,
} as const;

const EXCEPTIONS = 32;
const ENTRY_BYTES = 64;
export const STUB = { exceptions: EXCEPTIONS, entryBytes: ENTRY_BYTES } as const;

function layOut(sizes: readonly (readonly [name: string, sizeBytes: number])[], start: number) {
  const at = new Map<string, number>();
  let next = start;
  for (const [name, sizeBytes] of sizes) {
    at.set(name, next);
    next += Math.ceil(sizeBytes / PAGE_SIZE) * PAGE_SIZE;
  }
  return { at: (name: string): number => at.get(name)!, end: next };
}

const PLACES = layOut(
  [
    ['pageTables', 160 * PAGE_SIZE],
    ['area', AREA_BYTES],
    ['code', PAGE_SIZE],
    ['gateway', PAGE_SIZE],
    ['entries', PAGE_SIZE],
    ['tables', PAGE_SIZE],
    ['tss', 3 * PAGE_SIZE],
    ['stack', PAGE_SIZE],
    ['control', PAGE_SIZE],
    ['userStack', PAGE_SIZE],
    ['images', IMAGES * AREA_BYTES],
    ['inputs', BATCH * INPUT.sizeBytes],
    ['patches', BATCH * PATCH_BYTES],
    ['outputs', BATCH * OUTPUT.sizeBytes],
    ['changes', BATCH * (AREA_BYTES / BLOCK_BYTES) * CHANGE.sizeBytes],
  ],
  0x10_0000,
);

/** Physical addresses. `gateway` is mapped at END_ADDRESS. */
export const PHYSICAL = {
  pageTables: PLACES.at('pageTables'),
  area: PLACES.at('area'),
  code: PLACES.at('code'),
  gateway: PLACES.at('gateway'),
  entries: PLACES.at('entries'),
  tables: PLACES.at('tables'),
  tss: PLACES.at('tss'),
  stack: PLACES.at('stack'),
  control: PLACES.at('control'),
  userStack: PLACES.at('userStack'),
  images: PLACES.at('images'),
  inputs: PLACES.at('inputs'),
  patches: PLACES.at('patches'),
  outputs: PLACES.at('outputs'),
  changes: PLACES.at('changes'),
} as const;

/** Bytes that a case's patches may take. */
export const PATCH_SPACE_BYTES = PATCH_BYTES;
/** Size of the RAM. */
export const RAM_BYTES = PLACES.end;
/** A page beyond RAM: a store there leaves the guest. */
export const DOORBELL = RAM_BYTES + PAGE_SIZE;
