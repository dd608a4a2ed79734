// Damaged images: whatever is wrong with one, it is loaded, or refused with one line. Truncations, flipped bits and
// interesting values in the headers, from a fixed seed.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FatalError } from '../../../src/sim/trouble.ts';
import { loadBoot } from '../../../src/workload/boot/index.ts';
import { Random } from '../../support/random.ts';
import { bzImage, elf, elfWithHeader, linuxNote, multiboot2Header, multibootHeader } from './images.ts';
import { LAYOUT, MIB, pattern, RAM_BYTES } from './pc.ts';

const MUTANTS_OF_EACH = 800;
const VALUES = [
  0,
  1,
  7,
  0xff,
  0xfff,
  0x1000,
  0xffff,
  0x9_fc00,
  MIB,
  RAM_BYTES,
  0x7fff_ffff,
  0x8000_0000,
  0xffff_ffff,
];

const tags = [
  { type: 1, fields: [1, 6] },
  { type: 2, fields: [MIB, MIB, 0, 0] },
  { type: 3, fields: [MIB + 0x40] },
  { type: 10, fields: [MIB, 0xffff_ffff, 0x1000, 0] },
];
const linuxSegments = [
  { physical: MIB, virtual: 0xffff_ffff_8100_0000n, bytes: pattern(64), memorySize: 0x1000 },
  { type: 4, physical: 0, bytes: linuxNote() },
];
/** An image, and where its headers are: damage elsewhere shows nothing. */
const IMAGES: Readonly<Record<string, { image: Uint8Array; from: number; to: number }>> = {
  bzImage: { image: bzImage(), from: 0x1f1, to: 0x26c },
  'ELF of 64 bits': { image: elf(), from: 0, to: 128 },
  'ELF of 32 bits': { image: elf({ bits: 32 }), from: 0, to: 96 },
  vmlinux: { image: elf({ entry: BigInt(MIB), segments: linuxSegments }), from: 0, to: 0x460 },
  'multiboot ELF': { image: elfWithHeader(multibootHeader(3)), from: 0, to: 0x410 },
  'multiboot with addresses': {
    image: Buffer.concat([multibootHeader(0x1_0000, [MIB, MIB, 0, MIB + 0x1000, MIB + 0x30]), pattern(100)]),
    from: 12,
    to: 32,
  },
  multiboot2: { image: Buffer.concat([multiboot2Header(tags), pattern(100)]), from: 16, to: 96 },
};

/** RAM that takes nothing: only whether a write is inside of it matters. */
const memory = {
  write: (address: number, from: Uint8Array) => assert.ok(address + from.length <= RAM_BYTES),
  fill: (address: number, sizeBytes: number) => assert.ok(address + sizeBytes <= RAM_BYTES),
};

function mutant(
  { image, from, to }: { image: Uint8Array; from: number; to: number },
  random: Random,
): Uint8Array {
  const length = random.oneIn(6) ? random.below(image.length) : image.length;
  const bytes = Uint8Array.from(image.subarray(0, length));
  const view = new DataView(bytes.buffer);
  for (let changes = random.below(4); changes > 0; changes--) {
    const at = from + random.below(to - from);
    if (at + 4 > length) continue;
    if (random.oneIn(2)) bytes[at]! ^= 1 << random.below(8);
    else view.setUint32(random.oneIn(4) ? at : at & ~3, random.pick(VALUES), true);
  }
  return bytes;
}

for (const [what, original] of Object.entries(IMAGES)) {
  test(`damaged ${what} is loaded or refused with one line`, () => {
    const random = new Random(0xb007);
    const outcomes = { loaded: 0, refused: 0 };
    for (let i = 0; i < MUTANTS_OF_EACH; i++) {
      const image = mutant(original, random);
      try {
        const start = loadBoot({ image, name: 'image', layout: LAYOUT, memory });
        assert.ok(Number.isSafeInteger(start.rip) && start.rip < RAM_BYTES, `mutant ${i} starts in RAM`);
        outcomes.loaded++;
      } catch (error) {
        if (!(error instanceof FatalError)) throw new Error(`mutant ${i}`, { cause: error });
        assert.match(error.message, /^image: [^\n]+$/);
        outcomes.refused++;
      }
    }
    assert.ok(outcomes.loaded > 50, `${outcomes.loaded} were loaded`);
    assert.ok(outcomes.refused > 50, `${outcomes.refused} were refused`);
  });
}
