// Multiboot 1 and 2: the header's demands, the information structures byte by byte, the state at entry. Multiboot
// Specification 0.6.96 §3; Multiboot2 Specification 2.0 §3.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ELF_ADDRESS, elfWithHeader, type HeaderTag, multiboot2Header, multibootHeader } from './images.ts';
import { boot, MIB, type Options, pattern, RSDP_ADDRESS, TABLES, type TestMemory } from './pc.ts';

const UPPER_KIB = (TABLES.start - MIB) / 1024;
const MODULES = [
  { bytes: pattern(5000, 1), text: 'first with words' },
  { bytes: pattern(10, 2), text: 'second' },
];
const KERNEL_END = ELF_ADDRESS + 0x2000;

describe('multiboot 1', () => {
  const bootIt = (flags: number, request: Options = {}) =>
    boot(elfWithHeader(multibootHeader(flags)), { commandLine: 'a b', ...request });

  test('starts in flat protected mode with its magic in EAX and the information in EBX', () => {
    const { start, memory } = bootIt(0);
    assert.equal(start.kind, 'multiboot');
    assert.equal(start.mode, 'protected');
    assert.equal(start.rip, ELF_ADDRESS + 0x10);
    assert.equal(start.gpr.rax, 0x2bad_b002);
    assert.equal(start.cr0 & 0x8000_0001, 1, 'PE without PG');
    assert.equal(start.cs.limit, 0xffff_ffff);
    assert.equal(memory.u32(start.gpr.rbx!), 0x24d, 'flags: memory, command line, modules, map, loader name');
  });

  test('is told memory sizes, command line behind the name, and the loader', () => {
    const { start, memory } = bootIt(3);
    const info = start.gpr.rbx!;
    assert.equal(memory.u32(info + 4), 639, 'mem_lower: up to the EBDA');
    assert.equal(memory.u32(info + 8), UPPER_KIB, 'mem_upper');
    assert.equal(memory.text(memory.u32(info + 16)), 'image a b');
    assert.equal(memory.text(memory.u32(info + 64)), 'hypertick');
    assert.equal(memory.u32(info + 12), 0, 'no boot device');
  });

  test('is told the memory map, each entry behind its size', () => {
    const { start, memory } = bootIt(0);
    const info = start.gpr.rbx!;
    const length = memory.u32(info + 44);
    const at = memory.u32(info + 48);
    assert.equal(length, 6 * 24);
    assert.equal(memory.u32(at), 20);
    assert.deepEqual([memory.u64(at + 4), memory.u64(at + 12), memory.u32(at + 20)], [0n, 0x9_fc00n, 1]);
    assert.deepEqual(
      [memory.u64(at + 28), memory.u64(at + 36), memory.u32(at + 44)],
      [0x9_fc00n, 0x6_0400n, 2],
    );
  });

  test('gets initrd and modules on pages of their own behind the kernel', () => {
    const initrd = pattern(100, 9);
    const { start, memory } = bootIt(1, { modules: MODULES, initrd });
    const info = start.gpr.rbx!;
    const list = memory.u32(info + 24);
    assert.equal(memory.u32(info + 20), 3);
    const module = (i: number) => [0, 4, 8, 12].map((at) => memory.u32(list + 16 * i + at));
    assert.deepEqual(module(0).slice(0, 2), [KERNEL_END, KERNEL_END + 100]);
    assert.deepEqual(module(1).slice(0, 2), [KERNEL_END + 0x1000, KERNEL_END + 0x1000 + 5000]);
    assert.deepEqual(module(2).slice(0, 2), [KERNEL_END + 0x3000, KERNEL_END + 0x3000 + 10]);
    assert.equal(memory.text(module(1)[2]!), 'first with words');
    assert.deepEqual(memory.slice(KERNEL_END, 100), initrd);
    assert.deepEqual(memory.slice(KERNEL_END + 0x1000, 5000), MODULES[0]!.bytes);
  });

  test('of 64-bit ELF starts in 32-bit mode all the same', () => {
    const { start } = boot(elfWithHeader(multibootHeader(0), { bits: 64 }));
    assert.equal(start.mode, 'protected');
    assert.equal(start.kind, 'multiboot');
  });

  test('is found on every multiple of 4 in the first 8192 bytes, by its checksum', () => {
    const wrong = multibootHeader(0);
    wrong[8]! ^= 1;
    const at = (offset: number) => Buffer.concat([new Uint8Array(offset), multibootHeader(0)]);
    assert.equal(boot(elfWithHeader(wrong)).start.kind, 'elf');
    assert.equal(boot(elfWithHeader(at(4))).start.kind, 'multiboot');
    assert.equal(boot(elfWithHeader(at(2))).start.kind, 'elf');
    assert.equal(boot(elfWithHeader(at(8192 - 0x400 - 12))).start.kind, 'multiboot');
    assert.equal(boot(elfWithHeader(at(8192 - 0x400 - 8)), { kind: 'elf' }).start.kind, 'elf');
    assert.throws(
      () => boot(elfWithHeader(at(8192 - 0x400 - 8)), { kind: 'multiboot' }),
      /no multiboot header/,
    );
  });
});

describe('the address fields of a multiboot header', () => {
  const OFFSET = 0x40;
  const flat = (fields: readonly number[]) =>
    Buffer.concat([pattern(OFFSET, 5), multibootHeader(0x1_0000, fields), pattern(300, 6)]);
  const header = MIB + OFFSET;

  test('say what of the file is loaded where, and where the bss ends', () => {
    const image = flat([header, MIB, MIB + 200, MIB + 0x800, MIB + 0x20]);
    const { start, memory } = boot(image);
    assert.equal(start.kind, 'multiboot');
    assert.equal(start.rip, MIB + 0x20);
    assert.deepEqual(memory.slice(MIB, 200), Uint8Array.from(image.subarray(0, 200)));
    assert.ok(memory.slice(MIB + 200, 0x800 - 200).every((byte) => byte === 0));
    assert.equal(memory.bytes[MIB + 0x800], 0xcc);
  });

  test('may start behind the first byte, and with zeros mean the rest of the file', () => {
    const image = flat([header, header, 0, 0, header + 0x20]);
    const { memory } = boot(image);
    assert.deepEqual(memory.slice(header, image.length - OFFSET), Uint8Array.from(image.subarray(OFFSET)));
    assert.equal(memory.bytes[header - 1], 0xcc);
  });

  const wrong: [string, number[], RegExp][] = [
    ['load above header', [header, header + 4, 0, 0, header], /load_addr 0x100044 is above header_addr/],
    ['load before file', [header, MIB - 0x1000, 0, 0, header], /before the file's first byte/],
    ['end before header', [header, MIB, MIB, 0, MIB], /load_end_addr is below header_addr/],
    [
      'end outside file',
      [header, MIB, MIB + 0x1000, 0, MIB],
      /truncated: what its multiboot header asks to load/,
    ],
    ['bss inside', [header, MIB, MIB + 200, MIB + 100, MIB], /bss_end_addr 0x100064 is inside/],
    ['entry outside', [header, MIB, 0, 0, 2 * MIB], /the entry point 0x200000 is outside the kernel/],
    ['no RAM there', [0xb_0000 + OFFSET, 0xb_0000, 0, 0, 0xb_0000], /not in usable RAM/],
  ];
  for (const [what, fields, message] of wrong) {
    test(`are refused: ${what}`, () =>
      assert.throws(() => boot(flat(fields)), { name: 'ExecError', message }));
  }
});

describe('a multiboot 1 header is refused', () => {
  const refuse = (flags: number, message: RegExp) =>
    assert.throws(() => boot(elfWithHeader(multibootHeader(flags))), { name: 'ExecError', message });

  test('that asks for a video mode', () => refuse(4, /asks for a video mode: this machine has no display/));
  test('with a demand that nobody knows', () => refuse(8, /unknown demands.*flags 0x8/));
  test('without addresses in a file that is not ELF', () => {
    const image = Buffer.concat([multibootHeader(0), pattern(600)]);
    assert.throws(() => boot(image), /is no ELF file that would say them/);
  });
});

/** The tags of an information structure: type and bytes behind the size. */
function infoTags(memory: TestMemory, info: number): Map<number, Uint8Array[]> {
  const end = info + memory.u32(info);
  assert.equal(info % 8, 0);
  const tags = new Map<number, Uint8Array[]>();
  let at = info + 8;
  for (; at < end; at += Math.ceil(memory.u32(at + 4) / 8) * 8) {
    const type = memory.u32(at);
    tags.set(type, [...(tags.get(type) ?? []), memory.slice(at + 8, memory.u32(at + 4) - 8)]);
  }
  assert.equal(at, end, 'sizes add up');
  assert.equal(memory.u32(end - 8), 0, 'ends with the end tag');
  return tags;
}

describe('multiboot 2', () => {
  const bootIt = (tags: readonly HeaderTag[] = [], request: Options = {}) =>
    boot(elfWithHeader(multiboot2Header(tags)), { commandLine: 'a b', ...request });

  test('starts in flat protected mode with its magic in EAX', () => {
    const { start } = bootIt();
    assert.equal(start.kind, 'multiboot2');
    assert.equal(start.gpr.rax, 0x36d7_6289);
    assert.equal(start.mode, 'protected');
    assert.equal(start.rip, ELF_ADDRESS + 0x10);
  });

  test('is told everything a bare machine has', () => {
    const { start, memory } = bootIt([], { modules: MODULES });
    const tags = infoTags(memory, start.gpr.rbx!);
    const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1');
    const word = (bytes: Uint8Array, i: number) => Buffer.from(bytes).readUInt32LE(4 * i);
    const only = (type: number) => tags.get(type)![0]!;
    assert.deepEqual(
      [...tags.keys()].sort((a, b) => a - b),
      [0, 1, 2, 3, 4, 6, 14, 15, 21],
    );
    assert.equal(text(only(1)), 'a b\0');
    assert.equal(text(only(2)), 'hypertick\0');
    assert.equal(tags.get(3)!.length, 2);
    assert.deepEqual([word(only(3), 0), word(only(3), 1)], [KERNEL_END, KERNEL_END + 5000]);
    assert.equal(text(only(3).subarray(8)), 'first with words\0');
    assert.deepEqual([word(only(4), 0), word(only(4), 1)], [639, UPPER_KIB]);
    assert.deepEqual([word(only(6), 0), word(only(6), 1)], [24, 0]);
    assert.equal(only(6).length, 8 + 6 * 24);
    assert.deepEqual(only(15), memory.slice(RSDP_ADDRESS, 36));
    assert.deepEqual(only(14), memory.slice(RSDP_ADDRESS, 20));
    assert.equal(word(only(21), 0), ELF_ADDRESS);
  });

  test('takes its addresses from tags, and −1 as the start of the file', () => {
    const tags = [
      { type: 2, fields: [MIB + 0x18, 0xffff_ffff, 0, MIB + 0x1000] },
      { type: 3, fields: [MIB + 0x40] },
    ];
    const image = Buffer.concat([pattern(0x18), multiboot2Header(tags), pattern(64)]);
    const { start, memory } = boot(image);
    assert.equal(start.rip, MIB + 0x40);
    assert.deepEqual(memory.slice(MIB, image.length), Uint8Array.from(image));
  });

  const fine: [string, HeaderTag][] = [
    ['information that this machine lacks (a framebuffer)', { type: 1, fields: [1, 6, 8, 14] }],
    ['unknown information, if optional', { type: 1, optional: true, fields: [77] }],
    ['a framebuffer, if optional', { type: 5, optional: true, fields: [0, 0, 0] }],
    ['aligned modules', { type: 6 }],
    ['EFI entry points', { type: 9, fields: [5] }],
    ['a console that it can do without', { type: 4, fields: [2] }],
    ['to be moved to where it is', { type: 10, fields: [MIB, 0xffff_ffff, 0x1000, 0] }],
    ['an unknown thing, if optional', { type: 99, optional: true }],
  ];
  for (const [what, tag] of fine) {
    test(`may ask for ${what}`, () => assert.equal(bootIt([tag]).start.kind, 'multiboot2'));
  }

  const refused: [string, HeaderTag, RegExp][] = [
    ['unknown information', { type: 1, fields: [1, 77] }, /information of the unknown type 77/],
    ['a framebuffer', { type: 5, fields: [0, 0, 0] }, /demands a framebuffer/],
    ['a display', { type: 4, fields: [1] }, /demands a text or graphics console/],
    ['EFI boot services', { type: 7 }, /demands EFI boot services/],
    ['an unknown thing', { type: 99 }, /unknown demand .*tag 99/],
    [
      'to be moved away',
      { type: 10, fields: [4 * MIB, 8 * MIB, 0x1000, 0] },
      /wants to be moved to 0x400000/,
    ],
    ['half an address', { type: 2, fields: [MIB] }, /tag 2 has only 12 bytes/],
  ];
  for (const [what, tag, message] of refused) {
    test(`is refused: it demands ${what}`, () => {
      assert.throws(() => bootIt([tag]), { name: 'ExecError', message });
    });
  }

  test('is refused for another architecture, or with addresses and no entry point', () => {
    assert.throws(() => boot(elfWithHeader(multiboot2Header([], 4))), /architecture 4, not for i386/);
    const image = Buffer.concat([multiboot2Header([{ type: 2, fields: [MIB, MIB, 0, 0] }]), pattern(64)]);
    assert.throws(() => boot(image), /addresses but no entry point/);
  });
});
