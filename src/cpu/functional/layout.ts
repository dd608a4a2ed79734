/**
 * The engine's memory (memory 0 of generated code; memory 1 is guest RAM): the thread context, the engine's own cells,
 * the jump cache, the translation look-aside buffers, and the records of the interpreter. Byte offsets; little-endian.
 * It never grows, so views of it stay valid.
 *
 *   0x0_0000  thread context (state-layout.ts)
 *   0x0_4000  cells, see CELL
 *   0x0_8000  counts of entries of small regions, u32 each, by the region's number modulo REGION_COUNTS
 *   0x4_0000  TLB for reading: TLB entries of 16 bytes: tag u64 (page address) | addend u32 | nothing
 *   0x8_0000  TLB for writing: the same
 *   0x10_0000 jump cache: JUMP_CACHE entries of 16 bytes: address u64 | table index u32 | argument u32
 *   0x30_0000 records of decoded instructions, see RECORD
 */

export const CONTEXT_AT = 0;
export const CELLS_AT = 0x4000;

/** Absolute offsets of the engine's cells. */
export const CELL = {
  /** Always zero: what an absent base or index register, and a flat segment, is read from. u64. */
  zero: CELLS_AT,
  /** Lazy status flags: code u32, A u64, B u64 (lazy-flags.ts). */
  flagCode: CELLS_AT + 8,
  flagA: CELLS_AT + 16,
  flagB: CELLS_AT + 24,
  /** Instructions that may still be executed. i32. */
  budget: CELLS_AT + 32,
  /** What a fault was raised by: vector i32 (−1: none), error code u32, address u64 (CR2). */
  faultVector: CELLS_AT + 36,
  faultCode: CELLS_AT + 40,
  faultAddress: CELLS_AT + 48,
  /** Record of the instruction that stopped. u32 */
  stopRecord: CELLS_AT + 56,
  /** Rounds of repeated instructions that used the budget without completing an instruction. u32. */
  unfinished: CELLS_AT + 68,
  /** How often a look-up that accesses share has missed since somebody asked, and the region that was the last. u32 each. */
  sharedMisses: CELLS_AT + 72,
  missingRegion: CELLS_AT + 76,
  /** Bytes of an access that does not lie in one page of RAM. 64 bytes. */
  bounce: CELLS_AT + 128,
  /** Arguments and results of assists. 512 bytes. */
  scratch: CELLS_AT + 512,
} as const;

export const JUMP_CACHE_AT = 0x10_0000;
export const JUMP_CACHE_ENTRIES = 131_072;
export const JUMP_CACHE_STRIDE = 16;

export const REGION_COUNTS_AT = 0x8000;
export const REGION_COUNTS = 32_768;

export const TLB_READ_AT = 0x4_0000;
export const TLB_WRITE_AT = 0x8_0000;
export const TLB_ENTRIES = 16_384;
export const TLB_STRIDE = 16;
export const PAGE_SHIFT = 12;

export const RECORDS_AT = 0x30_0000;
/**
 * A decoded instruction as the interpreter's handlers read it. Registers are given by the offset of their bytes in this
 * memory.
 */
export const RECORD = {
  /** Table index of the handler. u32 */
  handler: 0,
  /** Instructions of the block from this one on. u32 */
  remaining: 4,
  /** Address of the instruction, and of the next one. u64 each */
  rip: 8,
  nextRip: 16,
  /** Immediate, or branch target. u64 */
  immediate: 24,
  displacement: 32,
  /** Offsets of base, index and segment base. u32 each */
  base: 40,
  index: 44,
  segment: 48,
  scale: 52,
  /** Offsets of up to three register operands, in the order of the row. u16 each */
  registers: 56,
} as const;
export const RECORD_BYTES = 64;
/**
 * Behind the record of an indirect jump, two records on (in between is the one that ends the block): so many addresses to
 * which it has gone, u64 each, 0 where there is none.
 */
export const TARGETS_BEHIND = 2 * RECORD_BYTES;
export const TARGETS = 16;
/** In the record that begins a block: how often it was entered (u32, at `immediate`). */
export const BLOCK_ENTRIES = RECORD.immediate;

/**
 * Entries after which a block is hot, and as many again after which what is hot is translated; and entries after which a small
 * region is worth a large one. Powers of two.
 */
export const HOT_ENTRIES = 2048;
export const VERY_HOT_ENTRIES = 2 ** 15;

export const ENGINE_MEMORY_BYTES = 64 * 2 ** 20;

/** Why generated code returned to the simulator. */
export const Stop = {
  /** RIP has no entry in the jump cache. */
  lookUp: 0,
  /** The budget does not suffice for the block at RIP. */
  budget: 1,
  fault: 2,
  /** SYSCALL, HLT: RIP is behind the instruction. */
  syscall: 3,
  halt: 4,
  /** The block at `stopRecord` has become hot. */
  hot: 5,
  /** RFLAGS have changed beyond status flags: the simulator looks whether they matter. RIP is behind the instruction. */
  flags: 6,
  /** An exception behind the instruction, and INT n: the vector is in its cell, RIP is behind the instruction. */
  trap: 7,
  interrupt: 8,
  /** The same as `flags`, and CS may be another. RIP is the target. */
  far: 9,
} as const;
export type Stop = (typeof Stop)[keyof typeof Stop];
