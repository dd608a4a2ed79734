import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ExecError } from '../../../src/workload/elf.ts';
import { AuxType } from '../../../src/workload/linux/auxv.ts';
import { type LoadRequest, loadProgram } from '../../../src/workload/linux/loader.ts';
import { Prot } from '../../../src/workload/linux/memory-flags.ts';
import { mapsText } from '../../../src/workload/linux/proc-self.ts';
import { elfFile, load, PF, PT } from './elf-file.ts';
import { FakeFile, Machine, MIB, PAGE, pattern, RW } from './machine.ts';

const REQUEST: LoadRequest = {
  path: '/bin/prog',
  args: ['prog', 'zwei', 'drei äöü'],
  environment: ['HOME=/root', 'EMPTY='],
  credentials: { uid: 1000, euid: 1001, gid: 100, egid: 101 },
  random: pattern(16, 5),
  hwcap: 0x178b_fbff,
  hwcap2: 2,
  minSignalStackBytes: 3632,
};

const data = load({ offset: 0x1ff0, vaddr: 0x60_2ff0, filesz: 0x100, memsz: 0x5000, flags: PF.r | PF.w });

/** Loads a program out of named files. */
function run(files: Record<string, Uint8Array>, m = new Machine(), request = REQUEST) {
  const opened: FakeFile[] = [];
  const open = (path: string) => {
    const content = files[path];
    if (content === undefined) throw new ExecError(path, 'not found', 'ENOENT');
    const file = new FakeFile(m, content, { path, inode: opened.length });
    opened.push(file);
    return file;
  };
  return { m, opened, program: () => loadProgram(m.space, m.user, open, request) };
}

function refused(
  files: Record<string, Uint8Array>,
  problem: RegExp,
  exitStatus: number,
  m = new Machine(),
): void {
  const { opened, program } = run(files, m);
  assert.throws(program, (error: unknown) => {
    assert.ok(error instanceof ExecError, String(error));
    assert.match(error.message, problem);
    assert.equal(error.exitStatus, exitStatus);
    return true;
  });
  m.space.close();
  for (const file of opened) assert.equal(file.closed, 1);
}

test('segments, zero pages and heap of a static program lie where its headers say', () => {
  const bytes = elfFile([load(), data]);
  const { m, program, opened } = run({ '/bin/prog': bytes });
  const { entry, codeStart, codeEnd } = program();
  assert.equal(entry, 0x40_0100);
  assert.deepEqual([codeStart, codeEnd], [0x40_0000, 0x40_1000]);
  assert.deepEqual(m.user.read(0x40_0000, PAGE), bytes.slice(0, PAGE));
  assert.deepEqual(m.user.read(0x60_2ff0, 0x100), bytes.slice(0x1ff0, 0x20f0));
  assert.deepEqual(m.user.read(0x60_30f0, 0x4f00), new Uint8Array(0x4f00), 'zero beyond the file part');
  assert.equal(m.space.areaAt(0x40_0000)?.prot, Prot.read | Prot.exec);
  assert.equal(m.space.areaAt(0x60_2ff0)?.prot, RW);
  assert.equal(m.space.heapStart, 0x60_8000);
  m.space.close();
  assert.equal(opened[0]?.closed, 1);
});

test('the initial stack follows the ABI', () => {
  const { m, program } = run({ '/bin/prog': elfFile([load(), data]) });
  const { stackPointer, argsStart, argsEnd, environmentStart, environmentEnd, auxv } = program();
  const word = (i: number) => m.user.readAddress(stackPointer + 8 * i);
  const text = (va: number) => Buffer.from(m.user.readCString(va)!).toString();
  assert.equal(stackPointer % 16, 0);
  assert.equal(word(0), 3);
  assert.deepEqual(
    [1, 2, 3].map((i) => text(word(i))),
    REQUEST.args,
  );
  assert.equal(word(4), 0);
  assert.deepEqual(
    [5, 6].map((i) => text(word(i))),
    REQUEST.environment,
  );
  assert.equal(word(7), 0);
  const aux = new Map<number, number>();
  let at = 8;
  for (; word(at) !== AuxType.null; at += 2) aux.set(word(at), word(at + 1));
  assert.deepEqual(m.user.read(stackPointer + 64, 8 * (at + 2) - 64), auxv);
  assert.deepEqual(m.user.read(aux.get(AuxType.random)!, 16), REQUEST.random);
  assert.equal(text(aux.get(AuxType.platform)!), 'x86_64');
  assert.equal(text(aux.get(AuxType.execFileName)!), '/bin/prog');
  const { base, programHeaders, programHeaderSize, programHeaderCount, entry, secure } = AuxType;
  assert.deepEqual(
    [base, programHeaders, programHeaderSize, programHeaderCount, entry, secure].map((type) => aux.get(type)),
    [0, 0x40_0040, 56, 2, 0x40_0100, 0],
  );
  const { uid, euid, gid, egid, hwcap, hwcap2, pageSize, clockTicks, minSignalStack } = AuxType;
  assert.deepEqual(
    [uid, euid, gid, egid, hwcap, hwcap2, pageSize, clockTicks, minSignalStack].map((type) => aux.get(type)),
    [1000, 1001, 100, 101, 0x178b_fbff, 2, 4096, 100, 3632],
  );
  assert.ok(!aux.has(33), 'there is no vDSO');
  assert.equal(Buffer.from(m.user.read(argsStart, argsEnd - argsStart)).toString(), 'prog\0zwei\0drei äöü\0');
  assert.equal(
    Buffer.from(m.user.read(environmentStart, environmentEnd - environmentStart)).toString(),
    'HOME=/root\0EMPTY=\0',
  );
  assert.equal(m.space.areaAt(stackPointer)?.prot, RW);
  assert.ok(environmentEnd < m.space.layout.stackTop && m.space.layout.stackTop <= 0x7fff_ff00_0000);
});

test('arguments are bytes: what is not UTF-8 arrives unchanged', () => {
  const { m, program } = run({ '/bin/prog': elfFile([load()]) }, new Machine(), {
    ...REQUEST,
    args: [Uint8Array.of(0xff, 0xfe, 0x80)],
  });
  const { argsStart } = program();
  assert.deepEqual([...m.user.read(argsStart, 4)], [0xff, 0xfe, 0x80, 0]);
});

const pie = (interpreter: string, options = {}) => {
  const headers = [
    load({ vaddr: 0 }),
    load({ offset: 0x1000, vaddr: 0x3000, memsz: 0x2000, flags: PF.r | PF.w }),
    load({ type: PT.interp, offset: 0x2000, filesz: interpreter.length + 1 }),
    load({ type: PT.gnuStack, flags: PF.r | PF.w | PF.x }),
  ];
  const bytes = elfFile(headers, { type: 3, entry: 0x40, ...options });
  bytes.set(Buffer.from(`${interpreter}\0`), 0x2000);
  return bytes;
};
const loader = elfFile([load({ vaddr: 0, align: 0x20_0000 })], { type: 3, entry: 0x80 });

test('a position-independent program gets its loader, which runs first', () => {
  const { m, program } = run({ '/bin/prog': pie('/lib/ld.so'), '/lib/ld.so': loader });
  const { stackPointer, entry, auxv } = program();
  const bias = 0x5555_5555_4000;
  const base = m.space.areaAt(entry)!.start;
  assert.equal(entry, base + 0x80);
  assert.equal(base % 0x20_0000, 0, 'aligned as its headers ask');
  assert.ok(base > bias && base < m.space.layout.mmapTop);
  const words = new BigUint64Array(auxv.buffer);
  const aux = (type: number) =>
    Number(words[words.findIndex((word, i) => i % 2 === 0 && word === BigInt(type)) + 1]);
  assert.equal(aux(AuxType.base), base);
  assert.equal(aux(AuxType.entry), bias + 0x40);
  assert.equal(m.space.heapStart, bias + 0x5000);
  assert.equal(m.space.areaAt(stackPointer)?.prot, 7, 'PT_GNU_STACK asked for it');
  assert.match(mapsText(m.space), /^555555554000-555555555000 r-xp 00000000 08:01 0 +\/bin\/prog$/m);
});

test('a loader that is missing or bad is named with the program that needs it', () => {
  refused(
    { '/bin/prog': pie('/lib/ld.so') },
    /^\/bin\/prog: needs a loader .* \/lib\/ld.so: not found$/,
    127,
  );
  refused({ '/bin/prog': pie('/lib/ld.so'), '/lib/ld.so': pattern(64) }, /\/lib\/ld.so: is not an ELF/, 126);
});

test('programs that cannot have their addresses or their memory are refused in one line', () => {
  const at = (vaddr: number, memsz = 0x1000) => ({ '/bin/prog': elfFile([load({ vaddr, memsz })]) });
  refused(at(0), /wants addresses 0x0-0x1000/, 126);
  refused(at(0x7fff_ff00_0000), /wants addresses 0x7fffff000000/, 126);
  const huge = load({ vaddr: 0x60_0000, memsz: 2 ** 40, flags: PF.r | PF.w });
  const { m, program } = run({ '/bin/prog': elfFile([load(), huge]) });
  program();
  assert.equal(m.space.areaAt(0x60_0000 + 2 ** 39)?.prot, 3, 'memory is taken when it is touched');
  refused(
    { '/bin/prog': elfFile([load()]) },
    /does not fit into guest memory.*--memory/,
    126,
    new Machine(8 * PAGE),
  );
  refused({}, /not found/, 127);
});

test('arguments that take too much of the stack are refused', () => {
  const files = { '/bin/prog': elfFile([load()]) };
  const long = { ...REQUEST, args: ['x'.repeat(131_072)] };
  assert.throws(run(files, new Machine(), long).program, /too long/);
  const many = { ...REQUEST, args: new Array(40).fill('x'.repeat(100_000)) };
  assert.throws(run(files, new Machine(), many).program, /are too many/);
});

test('segments that share a page are mapped in order, and the source is closed once', () => {
  const headers = [
    load({ filesz: 0x800, memsz: 0x800 }),
    load({ vaddr: 0x40_0800, filesz: 0, memsz: 0x100, flags: PF.r | PF.w }),
    load({ vaddr: 0x50_0000, offset: 0x1000 }),
  ];
  const { m, opened, program } = run({ '/bin/prog': elfFile(headers) });
  program();
  assert.equal(opened[0]?.closed, 0);
  assert.equal(m.user.readU8(0x50_0001), 1);
  m.space.close();
  assert.equal(opened[0]?.closed, 1);
});

test('a program of 64 MiB of zeroes starts without touching them', () => {
  const m = new Machine(80 * MIB);
  const bss = load({ vaddr: 0x60_0000, filesz: 0, memsz: 64 * MIB, flags: PF.r | PF.w });
  run({ '/bin/prog': elfFile([load(), bss]) }, m).program();
  assert.ok(m.space.usage().residentPages < 64);
});
