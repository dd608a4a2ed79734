import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ExecError, type ImageReader, parseElf } from '../../../src/workload/elf.ts';
import { type ElfOptions, elfFile, type Header, load, PF, PT } from './elf-file.ts';

function reader(bytes: Uint8Array): ImageReader {
  return {
    size: () => bytes.length,
    readInto(offset, into) {
      const part = bytes.subarray(offset, offset + into.length);
      into.set(part);
      return part.length;
    },
  };
}

function refused(bytes: Uint8Array, problem: RegExp, exitStatus = 126): void {
  assert.throws(
    () => parseElf(reader(bytes), '/bin/x'),
    (error: unknown) => {
      assert.ok(error instanceof ExecError, String(error));
      assert.match(error.message, problem);
      assert.match(error.message, /^\/bin\/x: [^\n]+$/);
      assert.equal(error.exitStatus, exitStatus);
      return true;
    },
  );
}

const text = (s: string) => new Uint8Array(Buffer.from(s));

test('a program with fixed addresses is read', () => {
  const data = load({ offset: 0x1ff0, vaddr: 0x60_2ff0, filesz: 0x100, memsz: 0x5000, flags: PF.r | PF.w });
  const image = parseElf(reader(elfFile([data, load()])), '/bin/x');
  assert.equal(image.kind, 'executable');
  assert.equal(image.entry, 0x40_0100);
  assert.deepEqual(
    image.segments.map((s) => [
      s.virtualAddress,
      s.fileOffset,
      s.fileSize,
      s.memorySize,
      s.writable,
      s.executable,
    ]),
    [
      [0x40_0000, 0, 0x1000, 0x1000, false, true],
      [0x60_2ff0, 0x1ff0, 0x100, 0x5000, true, false],
    ],
    'segments come by rising address',
  );
  assert.equal(image.programHeadersAddress, 0x40_0040);
  assert.equal(image.programHeaderCount, 2);
  assert.equal(image.interpreter, undefined);
  assert.equal(image.executableStack, false);
});

test('loader, stack rights and alignment of a position-independent program are read', () => {
  const headers = [
    load({ vaddr: 0, align: 0x20_0000 }),
    load({ vaddr: 0x1000, offset: 0x1000, align: 3 }),
    load({ type: PT.interp, offset: 0x3000, filesz: 16 }),
    load({ type: PT.gnuStack, flags: PF.r | PF.w | PF.x }),
  ];
  const bytes = elfFile(headers, { type: 3, entry: 0x10 });
  bytes.set(text('/lib64/ld.so\0zz'), 0x3000);
  const image = parseElf(reader(bytes), '/bin/x');
  assert.equal(image.kind, 'positionIndependent');
  assert.equal(image.interpreter, '/lib64/ld.so');
  assert.equal(image.executableStack, true);
  assert.equal(image.align, 0x20_0000);
});

test('an entry point outside every segment is legal: the program faults', () => {
  assert.equal(parseElf(reader(elfFile([load()], { entry: 0x1234 })), '/bin/x').entry, 0x1234);
});

test('what is not a program says what it is', () => {
  refused(new Uint8Array(0), /is empty/);
  refused(text('hello, world'), /is not an ELF program/);
  refused(text('\x7fELF\x02'), /is for machine type 0|truncated/);
  refused(elfFile([load()], { machine: 183 }), /is for AArch64, not for x86-64/);
  refused(elfFile([load()], { machine: 3, elfClass: 1 }), /is for i386/);
  refused(elfFile([load()], { machine: 12_345 }), /machine type 12345/);
  refused(elfFile([load()], { elfClass: 1 }), /32-bit program/);
  refused(elfFile([load()], { version: 9 }), /unknown version/);
  refused(elfFile([load()], { type: 1 }), /is an object file/);
  refused(elfFile([load()], { type: 4 }), /is a core dump/);
  refused(elfFile([load()], { type: 77 }), /unknown ELF type 77/);
  const bigEndian = elfFile([load()], { data: 2 });
  bigEndian.set([0, 62], 18);
  refused(bigEndian, /little-endian/);
});

test('a script names the interpreter that is needed', () => {
  refused(text('#!/bin/sh -e\necho'), /is a script.*'hypertick run \/bin\/sh -e \/bin\/x'/);
  refused(text('#! /usr/bin/env python3'), /run \/usr\/bin\/env python3 \/bin\/x/);
  refused(text('#!\n'), /names no interpreter/);
  refused(text('#!/bin/\x1b[31m\n'), /run \/bin\/\?\[31m /);
});

test('truncated files are refused, wherever they end', () => {
  const whole = elfFile([load(), load({ vaddr: 0x50_0000, offset: 0x3000 })]);
  for (let length = 1; length < whole.length; length += length < 256 ? 1 : 97) {
    refused(whole.slice(0, length), /truncated|not an ELF|is for machine|32-bit|little-endian|unknown/);
  }
  refused(elfFile([load({ filesz: 0x4001 })]), /ends outside the file/);
  refused(elfFile([load({ offset: 2n ** 63n })]), /ends outside the file/);
});

const WRONG: readonly (readonly [string, readonly Header[], ElfOptions, RegExp])[] = [
  ['program headers beyond the end', [load()], { phoff: 0x4000 }, /program headers lie outside/],
  ['a header offset near 2^64', [load()], { phoff: 2n ** 64n - 1n }, /program headers lie outside/],
  ['headers of another size', [load()], { phentsize: 32 }, /program headers of 32 bytes/],
  ['headers of no size', [load()], { phentsize: 0 }, /program headers of 0 bytes/],
  ['no headers', [], {}, /no program headers/],
  ['too many headers', [load()], { phnum: 0xffff }, /65535 program headers/],
  ['nothing to load', [load({ type: 4 })], {}, /no loadable segments/],
  ['only an empty segment', [load({ filesz: 0, memsz: 0 })], {}, /no loadable segments/],
  ['more in the file than in memory', [load({ memsz: 0xfff })], {}, /larger in the file than in memory/],
  ['a segment in the kernel half', [load({ vaddr: 0xffff_8000_0000_0000n })], {}, /beyond user addresses/],
  ['a segment that wraps', [load({ memsz: 2n ** 64n - 1n })], {}, /beyond user addresses/],
  ['a segment up to 2^47', [load({ vaddr: 2 ** 47 - 0x1000, memsz: 0x1001 })], {}, /beyond user addresses/],
  ['offset and address out of step', [load({ vaddr: 0x40_0010 })], {}, /differ modulo 4096/],
  ['overlap', [load({ memsz: 0x2001 }), load({ vaddr: 0x40_2000, offset: 0x2000 })], {}, /overlap/],
  ['overlap, in reverse', [load({ vaddr: 0x40_2000 }), load({ memsz: 0x2001 })], {}, /overlap/],
  ['the same segment twice', [load(), load()], {}, /overlap/],
  ['entry in the kernel half', [load()], { entry: 0xffff_ffff_8000_0000n }, /not a user address/],
  [
    'loader path without end',
    [load(), load({ type: PT.interp, offset: 0x1001, filesz: 8 })],
    {},
    /has no end/,
  ],
  ['loader path of no size', [load(), load({ type: PT.interp, filesz: 0 })], {}, /path has 0 bytes/],
  ['loader path too long', [load(), load({ type: PT.interp, filesz: 5000 })], {}, /path has 5000 bytes/],
  [
    'loader path outside',
    [load(), load({ type: PT.interp, offset: 0x3fff, filesz: 9 })],
    {},
    /outside the file/,
  ],
  ['empty loader path', [load(), load({ type: PT.interp, offset: 0x1000, filesz: 9 })], {}, /path is empty/],
];

test('lying headers are refused with one line each', () => {
  for (const [what, headers, options, problem] of WRONG) {
    assert.doesNotThrow(() => refused(elfFile(headers, options), problem), what);
  }
});

test('segments may touch', () => {
  const image = parseElf(reader(elfFile([load(), load({ vaddr: 0x40_1000, offset: 0x1000 })])), '/bin/x');
  assert.equal(image.segments.length, 2);
});

test('a file that cannot be read is reported as such', () => {
  const broken: ImageReader = { size: () => 100, readInto: () => -5 };
  assert.throws(() => parseElf(broken, '/bin/x'), /cannot be read \(error 5\)/);
});

test('a missing program ends with status 127, any other refusal with 126', () => {
  assert.equal(new ExecError('x', 'not found', 'ENOENT').exitStatus, 127);
  assert.equal(new ExecError('x', 'permission denied', 'EACCES').exitStatus, 126);
});
