// Plain ELF and flat images, recognition of formats, and what is refused before anything is written.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { FatalError } from '../../../src/sim/trouble.ts';
import { loadBoot } from '../../../src/workload/boot/index.ts';
import { bzImage, ELF_ADDRESS, elf, multibootHeader } from './images.ts';
import { boot, LAYOUT, MIB, type Options, pattern, RAM_BYTES, TestMemory } from './pc.ts';

function bootSector(): Uint8Array {
  const sector = pattern(512);
  sector.set([0x55, 0xaa], 510);
  return sector;
}

describe('an ELF image', () => {
  test('of 64 bits starts in 64-bit mode with a stack, its segments at physical addresses', () => {
    const bytes = pattern(256);
    const segments = [{ physical: ELF_ADDRESS, virtual: 0xffff_8000_0000_0000n, bytes, memorySize: 0x1000 }];
    const { start, memory } = boot(elf({ entry: 0xffff_8000_0000_0020n, segments }));
    assert.equal(start.kind, 'elf');
    assert.equal(start.mode, 'long');
    assert.equal(start.rip, ELF_ADDRESS + 0x20);
    assert.deepEqual(Object.keys(start.gpr), ['rsp']);
    assert.deepEqual(memory.slice(ELF_ADDRESS, 256), bytes);
    assert.ok(memory.slice(ELF_ADDRESS + 256, 0x1000 - 256).every((byte) => byte === 0));
    assert.equal(memory.bytes[ELF_ADDRESS + 0x1000], 0xcc);
  });

  test('of 32 bits starts in protected mode', () => {
    const { start } = boot(elf({ bits: 32 }));
    assert.equal(start.mode, 'protected');
    assert.equal(start.rip, ELF_ADDRESS + 0x10);
    assert.equal(start.gpr.rsp! % 16, 0);
  });

  test('pushes what the loader leaves in low memory out of its way', () => {
    const segments = [{ physical: 0x1000, bytes: pattern(64), memorySize: 0x9000 }];
    const { start } = boot(elf({ entry: 0x1000n, segments }));
    assert.ok(start.gdtr.base >= 0xa000);
    assert.ok(start.cr3 >= 0xa000);
  });

  const second = (physical: number) => [
    { physical: ELF_ADDRESS, bytes: pattern(64) },
    { physical, bytes: pattern(64) },
  ];
  const shrunk = [{ physical: ELF_ADDRESS, bytes: pattern(64), memorySize: 63 }];
  const refused: [string, Uint8Array, RegExp][] = [
    ['of another machine', elf({ machine: 183 }), /is for AArch64, not for x86/],
    ['of the wrong class', elf({ bits: 32, machine: 62 }), /class and its byte order/],
    ['that was not linked', elf({ type: 1 }), /is no executable but an object file: link it first/],
    ['that is a core dump', elf({ type: 4 }), /is no executable but a core dump/],
    ['without segments', elf({ segments: [] }), /has no program headers/],
    [
      'with nothing to load',
      elf({ segments: [{ type: 4, physical: 0, bytes: pattern(4) }] }),
      /no loadable segments/,
    ],
    [
      'with overlapping segments',
      elf({ segments: second(ELF_ADDRESS + 32) }),
      /the segment at .* overlaps the segment/,
    ],
    [
      'with segments that share one byte',
      elf({ segments: second(ELF_ADDRESS + 63) }),
      /overlaps the segment/,
    ],
    [
      'that is more in the file than in memory',
      elf({ segments: shrunk }),
      /larger in the file than in memory/,
    ],
    ['in the BIOS area', elf({ segments: second(0xf_0000) }), /0xf0000–0xf0040 is not in usable RAM/],
    ['on the BIOS data area', elf({ segments: second(0x400) }), /overlaps the BIOS data area/],
    ['beyond RAM', elf({ segments: second(RAM_BYTES) }), /beyond usable RAM, which ends at 0xfef000/],
    [
      'that starts nowhere',
      elf({ entry: 0x30_0000n }),
      /the entry point 0x300000 is in none of its segments/,
    ],
  ];
  for (const [what, image, message] of refused) {
    test(`is refused ${what}`, () => assert.throws(() => boot(image), { name: 'ExecError', message }));
  }

  test('is refused if it is position-independent with relocations', () => {
    const segments = [
      { physical: ELF_ADDRESS, bytes: pattern(64) },
      { type: 2, physical: ELF_ADDRESS, bytes: pattern(16) },
    ];
    assert.throws(
      () => boot(elf({ type: 3, segments })),
      /position-independent: link it for a fixed address/,
    );
  });

  test('is refused where it takes all the room that the loader needs', () => {
    const segments = [{ physical: 0x1000, bytes: pattern(64), memorySize: 0x9_ec00 }];
    assert.throws(() => boot(elf({ entry: 0x1000n, segments })), /no 16384 free bytes of RAM for the stack/);
  });
});

describe('a flat image', () => {
  test('of one sector with a boot signature starts at 0000:7C00 in real mode', () => {
    const { start, memory } = boot(bootSector());
    assert.equal(start.mode, 'real');
    assert.equal(start.rip, 0x7c00);
    assert.equal(start.cs.base, 0n);
    assert.equal(start.cs.limit, 0xffff);
    assert.equal(start.cr0 & 1, 0);
    assert.deepEqual(start.gpr, { rsp: 0x7c00, rdx: 0x80 });
    assert.deepEqual(memory.slice(0x7c00, 512), bootSector());
  });

  test('in real mode finds a handler for every vector: interrupts of devices are ended, the others return', () => {
    const { memory } = boot(bootSector());
    const handler = (vector: number) => {
      const [offset, segment] = new Uint16Array(memory.slice(4 * vector, 4).slice().buffer);
      return [...memory.slice(16 * segment! + offset!, 9)];
    };
    const [PUSH_AX, POP_AX, IRET, MOV_AL, OUT] = [0x50, 0x58, 0xcf, 0xb0, 0xe6];
    for (const vector of [0x08, 0x0f])
      assert.deepEqual(handler(vector).slice(0, 7), [PUSH_AX, MOV_AL, 0x20, OUT, 0x20, POP_AX, IRET]);
    for (const vector of [0x70, 0x77])
      assert.deepEqual(handler(vector), [PUSH_AX, MOV_AL, 0x20, OUT, 0xa0, OUT, 0x20, POP_AX, IRET]);
    for (const vector of [0x00, 0x07, 0x10, 0x6f, 0x78, 0xff]) assert.equal(handler(vector)[0], IRET);
  });

  test('otherwise starts at 1 MiB in protected mode', () => {
    for (const image of [pattern(512), pattern(100), pattern(513)]) {
      const { start, memory } = boot(image);
      assert.equal(start.kind, 'flat');
      assert.equal(start.mode, 'protected');
      assert.equal(start.rip, MIB);
      assert.deepEqual(memory.slice(MIB, image.length), image);
    }
  });

  test('starts where and how it is told', () => {
    const { start } = boot(pattern(100), { flat: { address: 0x8000, entry: 0x8010, mode: 'long' } });
    assert.deepEqual([start.mode, start.rip], ['long', 0x8010]);
    assert.equal(boot(pattern(100), { flat: { address: 0x8000, mode: 'real' } }).start.rip, 0x8000);
    assert.equal(boot(elf(), { kind: 'flat' }).start.rip, MIB);
  });

  test('is refused where it cannot start', () => {
    const flat = (options: Options['flat']) => () => boot(pattern(100), { flat: options! });
    assert.throws(flat({ entry: 0x10_0064 }), /entry point 0x100064 is outside the image/);
    assert.throws(flat({ address: 0x1_0000, mode: 'real' }), /real mode starts below 0x10000/);
    assert.throws(flat({ address: 0xa_0000 }), /not in usable RAM/);
    assert.throws(flat({ address: RAM_BYTES - 50 }), /usable RAM/);
  });
});

describe('recognition', () => {
  const cases: [string, RegExp][] = [
    ['\x1f\x8b\x08\0', /compressed by gzip/],
    ['\xfd7zXZ\0', /compressed by xz/],
    ['\x28\xb5\x2f\xfd', /compressed by zstd/],
    ['MZ\x90\0', /EFI or Windows program/],
    ['#!/bin/sh\n', /is a script/],
    ['070701', /cpio archive: an initrd/],
    [`${'\0'.repeat(0x38)}ARM\x64`, /Linux kernel for AArch64/],
  ];
  for (const [bytes, message] of cases) {
    test(`refuses what says ${message.source}`, () => {
      const image = Buffer.concat([Buffer.from(bytes, 'latin1'), pattern(600)]);
      assert.throws(() => boot(image), { name: 'ExecError', message });
    });
  }

  test('refuses an empty file', () => assert.throws(() => boot(new Uint8Array(0)), /image: is empty/));

  test('gives way to what the user says', () => {
    assert.equal(boot(elf(), { kind: 'linux' }).start.kind, 'linux');
    assert.throws(() => boot(elf(), { kind: 'multiboot' }), /has no multiboot header/);
    assert.throws(() => boot(pattern(600), { kind: 'linux' }), /is no Linux kernel/);
    assert.throws(() => boot(bzImage(), { kind: 'elf' }), /is not an ELF file/);
  });
});

describe('what an image cannot be given is refused', () => {
  const cases: [string, Uint8Array, Options, RegExp][] = [
    ['a command line', elf(), { commandLine: 'x' }, /no way to hand over command line/],
    ['an initrd', pattern(9), { initrd: pattern(3) }, /no way to hand over initrd/],
    [
      'a load address',
      bzImage(),
      { kind: 'linux', flat: { address: 0 } },
      /are for flat images, this is linux$/,
    ],
    [
      'a load address, unasked',
      elf(),
      { flat: { address: 0 } },
      /, this is elf; the kind flat takes it as one$/,
    ],
    ['a NUL byte', bzImage(), { commandLine: 'a\0b' }, /a NUL byte in a name or command line/],
  ];
  for (const [what, image, options, message] of cases) {
    test(what, () => assert.throws(() => boot(image, options), { name: 'FatalError', message }));
  }
});

test('a refused image leaves memory untouched', () => {
  const refused = [
    elf({ entry: 0x30_0000n }),
    elf({
      segments: [
        { physical: ELF_ADDRESS, bytes: pattern(9) },
        { physical: 0xf_0000, bytes: pattern(9) },
      ],
    }),
    Buffer.concat([multibootHeader(4), pattern(600)]),
    bzImage({ initSize: RAM_BYTES }),
    bzImage({ commandLineSize: 0 }),
  ];
  for (const image of refused) {
    const memory = new TestMemory();
    const load = () => loadBoot({ image, name: 'image', commandLine: 'x', layout: LAYOUT, memory });
    assert.throws(load, FatalError);
    assert.equal(memory.writes, 0);
  }
});

test('the BIOS data area tells of ports and memory, the extended one of its size', () => {
  const { memory } = boot(bootSector());
  assert.deepEqual([memory.u16(0x400), memory.u16(0x402), memory.u16(0x404)], [0x3f8, 0x2f8, 0]);
  assert.equal(memory.u16(0x40e), 0x9fc0, 'segment of the EBDA');
  assert.equal(memory.u16(0x410), 0x402, 'two serial ports, a coprocessor');
  assert.equal(memory.u16(0x413), 639, 'KiB');
  assert.equal(memory.bytes[0x9_fc00], 1, 'KiB of the EBDA');
});

test('no two parts of a loaded image overlap, and all of them are in usable RAM', () => {
  const { start } = boot(bzImage(), { initrd: pattern(5000), commandLine: 'x' });
  let end = 0;
  for (const placement of start.placements) {
    assert.ok(placement.start >= end, placement.what);
    end = placement.start + placement.sizeBytes;
  }
  assert.ok(end <= LAYOUT.acpi!.tables.start);
});
