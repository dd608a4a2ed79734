// Arguments for random system calls: mostly of the kind that the call expects, so that it gets past its first check,
// and now and then anything. The kinds of each call are in tests/guests/fuzz-calls.h.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Random } from './random.ts';

const CALLS = join(import.meta.dirname, '..', 'guests', 'fuzz-calls.h');

/** Where the fuzzed process has memory. */
export interface Arena {
  /** Readable and writable; what is behind it is not mapped. */
  readonly start: number;
  readonly end: number;
  /** Readable only, with nothing behind it. */
  readonly readOnlyEnd: number;
  /** Addresses of paths that are there, and of some that are not. */
  readonly paths: readonly number[];
  /** Addresses that mmap may be asked for: free or the process's own to lose. */
  readonly pages: readonly number[];
  /** Process and threads. */
  readonly tids: readonly number[];
}

const INTERESTING = [
  0n,
  1n,
  -1n,
  2n,
  4095n,
  4096n,
  -4096n,
  0x7fff_ffffn,
  0x8000_0000n,
  0xffff_ffffn,
  0x1_0000_0000n,
  0x7fff_ffff_efffn,
  0x7fff_ffff_f000n,
  0x8000_0000_0000n,
  0xffff_8000_0000_0000n,
  0x1f_ffff_ffff_ffffn,
  0x20_0000_0000_0000n,
  0x7fff_ffff_ffff_ffffn,
  -0x8000_0000_0000_0000n,
];
const SIZES = [0n, 1n, 7n, 8n, 16n, 24n, 64n, 128n, 256n, 4096n, 65_536n, 0x20_0000n];
const MMAP_FLAGS = [
  0x22n,
  0x02n,
  0x01n,
  0x03n,
  0x21n,
  0x32n,
  0x12n,
  0x11n,
  0x31n,
  0x10_0022n,
  0x4022n,
  0x8022n,
  0x122n,
];
const OPEN_FLAGS = [
  0n,
  1n,
  2n,
  0o100n,
  0o101n,
  0o102n,
  0o1002n,
  0o2001n,
  0o4000n,
  0o4002n,
  0o200000n,
  0o400000n,
  0o10000000n,
  0o20200002n,
  0o302n,
  0o3n,
];
const THREAD = 0x3d_0f00n;
const REQUESTS = [
  0x5401n,
  0x5402n,
  0x802c_542an,
  0x5409n,
  0x540fn,
  0x5410n,
  0x5411n,
  0x5413n,
  0x5414n,
  0x541bn,
  0x5421n,
  0x5429n,
  0x5450n,
  0x5451n,
  0x5452n,
  0x5460n,
  0x8004_5430n,
  0x4004_5431n,
  2n,
  0x1268n,
  0x8008_1272n,
  0x8008_6601n,
  0x4004_9409n,
];
const ANYTHING = 'fpPvdanojiswtrMOCq';

/** The kinds of argument by number of the call. */
export function callKinds(): ReadonlyMap<number, string> {
  const text = readFileSync(CALLS, 'utf8');
  return new Map([...text.matchAll(/CALL\((\d+), "(\w*)"\)/g)].map(([, nr, kinds]) => [Number(nr), kinds!]));
}

export class Arguments {
  readonly #random: Random;
  readonly #arena: Arena;

  constructor(random: Random, arena: Arena) {
    this.#random = random;
    this.#arena = arena;
  }

  /** One argument. */
  of(kind: string | undefined): bigint {
    const random = this.#random;
    if (random.oneIn(50)) return random.pick(INTERESTING);
    if (kind === undefined || random.oneIn(50)) return this.of(random.pick([...ANYTHING]));
    switch (kind) {
      case 'f':
        return BigInt(random.below(random.oneIn(20) ? 2000 : 22));
      case 'd':
        return random.oneIn(2) ? -100n : BigInt(random.below(24));
      case 'P':
        return random.oneIn(12) ? this.#pointer() : BigInt(random.pick(this.#arena.paths));
      case 'a':
        return BigInt(random.pick(this.#arena.pages) + 4096 * random.below(32));
      case 'n':
        return random.oneIn(6) ? BigInt(random.below(1 << 20)) : random.pick(SIZES);
      case 'o':
        return random.oneIn(12) ? random.pick(INTERESTING) : BigInt(random.below(1 << random.below(20)));
      case 'r':
        return BigInt(random.below(8));
      case 'M':
        return random.oneIn(8) ? BigInt(random.u32()) : random.pick(MMAP_FLAGS);
      case 'O':
        return random.oneIn(8) ? BigInt(random.u32()) : random.pick(OPEN_FLAGS);
      case 'C':
        return random.oneIn(8) ? BigInt(random.u32()) : THREAD;
      case 'q':
        return random.pick(REQUESTS);
      case 'j':
        return random.oneIn(4)
          ? BigInt(1 << random.below(31))
          : BigInt(random.oneIn(2) ? 0 : random.below(8));
      case 'i':
        return BigInt(random.below(random.oneIn(4) ? 1100 : 20));
      case 's':
        return BigInt(random.below(66));
      case 't':
        return random.oneIn(4) ? BigInt(random.below(4)) : BigInt(random.pick(this.#arena.tids));
      default:
        return this.#pointer();
    }
  }

  /** A whole page of what system calls read: descriptors, sizes, pointers, flags, small times. */
  structure(words: BigInt64Array): void {
    for (let i = 0; i < words.length; i++) {
      words[i] = this.#random.oneIn(2)
        ? BigInt(this.#random.below(4))
        : this.of(this.#random.pick([...'fpnij']));
    }
  }

  /** Mostly in the arena; sometimes so near to an end that a structure does not fit. */
  #pointer(): bigint {
    const random = this.#random;
    const { start, end, readOnlyEnd } = this.#arena;
    switch (random.below(10)) {
      case 0:
        return BigInt(end - random.below(32));
      case 1:
        return BigInt(readOnlyEnd - 8 * random.below(512));
      case 2:
        return BigInt(start - random.below(32));
      case 3:
        return random.oneIn(2) ? 0n : random.pick(INTERESTING);
      default:
        return BigInt(start + 8 * random.below((end - start) / 8) + (random.oneIn(8) ? random.below(8) : 0));
    }
  }
}
