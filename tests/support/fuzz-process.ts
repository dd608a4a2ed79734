// Makes random system calls in processes without a CPU. usage: node fuzz-process.ts SEED CALLS ROOT [read-only]
// Run it with standard descriptors that may be lost, and with a limit on the size of files. Says on descriptor 3 how many
// calls were made, or which one threw, or that descriptors or frames got lost.

import { readdirSync, writeSync } from 'node:fs';
import { Gpr } from '../../src/arch/x86/registers.ts';
import { setUserMode } from '../../src/arch/x86/user-mode.ts';
import { LinuxHostPages } from '../../src/mem/linux-host-pages.ts';
import { PhysicalMemory } from '../../src/mem/physical-memory.ts';
import { Root } from '../../src/sim/root.ts';
import { LinuxProcess } from '../../src/workload/linux/process.ts';
import { FakeCpu, intelXsaveFormat } from '../unit/workload-threads/machine.ts';
import { CODE_ADDRESS } from './elf.ts';
import { type Arena, Arguments, callKinds } from './fuzz-arguments.ts';
import { FUZZED_PROGRAM, restoreProgram } from './fuzz-root.ts';
import { Random } from './random.ts';

const PAGE = 4096;
const ARENA = 0x10_0000;
const ARENA_PAGES = 16;
const READ_ONLY = 0x20_0000;
const PATHS = 0x30_0000;
const STACK_TOP = 0x60_0000;
const VICTIMS = 0x1000_0000;
const PATH_TEXTS = [
  '.',
  '..',
  '/',
  'a',
  'b',
  'd',
  'd/c',
  'd/../a',
  'link',
  'up',
  'up/outside',
  '../../outside',
  'fifo',
  '',
  'd/',
  'a/',
  '/proc/self/maps',
  '/proc/self/fd/3',
  '/proc/self/fd/',
  '/proc/self/fd/4/x',
  '/dev/fd/5',
  '/proc/self/exe',
  '/proc/self/cwd',
  '/proc/self/cwd/a',
  '/proc/self/root/../..',
  '/proc/self/task',
  '/proc/self',
  '/dev/stdin',
  '/sys/devices/system/cpu',
  '/proc/self/status',
  'x'.repeat(300),
  'd/'.repeat(2000),
  'f\xff',
];
/** sync(2) is the whole host's, and slow; getrandom and the like may stay. */
const NOT_MADE = new Set([162]);
/** exit, exit_group, rt_sigreturn with whatever is on the stack, close_range: seldom. */
const DEADLY = new Set([60, 231, 15, 436]);
const HIGHEST = 470;
/** A process that goes on for longer has lost most of its memory. */
const CALLS_OF_ONE_PROCESS = 2000;
const ARGUMENTS = [Gpr.RDI, Gpr.RSI, Gpr.RDX, Gpr.R10, Gpr.R8, Gpr.R9];
const O_RDWR = 2;
const O_NONBLOCK = 0o4000;
const O_PATH = 0o10000000;
const RW = 3;
const FIXED_ANONYMOUS = 0x32;
const REPORT_FD = 3;
const SIGUSR1 = 10;
const LAST_SIGNAL = 64;
const SA_RESTORER = 0x0400_0000;
const RT_SIGACTION = 13;

class FuzzedProcess {
  readonly #root: Root;
  readonly #cpu: FakeCpu;
  readonly #process: LinuxProcess;
  readonly #random: Random;
  readonly #arguments: Arguments;
  readonly #kinds = callKinds();
  readonly #arena: Arena;

  constructor(random: Random, root: string, readOnly: boolean) {
    this.#random = random;
    this.#root = new Root({ seed: random.u32(), warnSink: () => {} });
    const memory = new PhysicalMemory(this.#root, 'memory', {
      ranges: [{ start: 0, sizeBytes: 8 << 20 }],
      hostPages: new LinuxHostPages(),
    });
    this.#cpu = new FakeCpu(this.#root, 'cpu');
    this.#process = new LinuxProcess(this.#root, 'process', {
      xsave: intelXsaveFormat,
      cpu: this.#cpu,
      memory,
      executablePath: FUZZED_PROGRAM,
      args: ['a'],
      environment: [],
      cwd: '/',
      root,
      readOnly,
    });
    setUserMode(this.#cpu.context, this.#process.pageTableRoot, 0xe7);
    this.#arena = {
      start: ARENA,
      end: ARENA + ARENA_PAGES * PAGE,
      readOnlyEnd: READ_ONLY + PAGE,
      paths: PATH_TEXTS.map((_, i) => PATHS + i * PAGE),
      pages: [VICTIMS, VICTIMS + 0x20_0000, VICTIMS + 0x4000_0000, 0],
      tids: [1000, 1001, 1002],
    };
    this.#arguments = new Arguments(random, this.#arena);
    this.#process.startup();
    this.#setUpMemory();
  }

  /** Makes calls until the process has ended or has made its share. Returns how many. */
  run(limit: number): number {
    let made = 0;
    while (made < limit && this.#process.end === undefined) {
      this.#makeCall();
      made++;
    }
    if (this.#process.end === undefined) this.#process.exit(0);
    this.#process.addressSpace.close();
    const { ram, addressSpace } = this.#process;
    const used = ram.totalFrames - ram.freeFrames;
    const { tablePages } = addressSpace.usage();
    if (used !== tablePages) throw new Error(`${used - tablePages} frames are lost after ${made} calls`);
    return made;
  }

  #setUpMemory(): void {
    const { addressSpace: space, memory } = this.#process;
    const map = (address: number, length: number) =>
      space.mmap({ address, length, prot: RW, flags: FIXED_ANONYMOUS });
    map(ARENA, ARENA_PAGES * PAGE);
    map(READ_ONLY, PAGE);
    map(PATHS, PATH_TEXTS.length * PAGE);
    map(STACK_TOP - 16 * PAGE, 16 * PAGE);
    map(VICTIMS, 16 * PAGE);
    for (const [i, text] of PATH_TEXTS.entries())
      memory.write(PATHS + i * PAGE, Buffer.from(`${text.slice(0, PAGE - 1)}\0`, 'latin1'));
    const words = new BigInt64Array(PAGE / 8);
    for (let i = 0; i < ARENA_PAGES; i++) this.#refresh(ARENA + i * PAGE, words);
    this.#refresh(READ_ONLY, words);
    space.mprotect(READ_ONLY, PAGE, 1);
    this.#handleSignals();
    this.#openFiles();
  }

  /** Most signals would end the process. */
  #handleSignals(): void {
    const { memory } = this.#process;
    for (const [i, word] of [CODE_ADDRESS, SA_RESTORER, CODE_ADDRESS, 0].entries())
      memory.writeNumber64(ARENA + 8 * i, word);
    for (let signal = 1; signal <= LAST_SIGNAL; signal++)
      this.#call(RT_SIGACTION, [signal, ARENA, 0, 8].map(BigInt));
  }

  /** Descriptors of every kind, 3 and up. */
  #openFiles(): void {
    const open = (path: string, flags: number) =>
      this.#call(2, [PATHS + PATH_TEXTS.indexOf(path) * PAGE, flags].map(BigInt));
    for (const path of ['a', 'b', 'd/c', 'fifo']) open(path, O_RDWR);
    for (const path of ['.', 'd', '/proc/self/maps', '/proc/self/fd/', '/sys/devices/system/cpu'])
      open(path, 0);
    open('d', O_PATH);
    for (let i = 0; i < 2; i++) {
      this.#call(293, [ARENA, i * O_NONBLOCK].map(BigInt)); // pipe2
      this.#call(319, [PATHS, 2].map(BigInt)); // memfd_create
    }
    this.#call(290, [3n, 0n]); // eventfd2
  }

  #refresh(va: number, words: BigInt64Array): void {
    this.#arguments.structure(words);
    if (this.#process.memory.isAccessible(va, PAGE, 'write'))
      this.#process.memory.write(va, new Uint8Array(words.buffer));
  }

  #makeCall(): void {
    const random = this.#random;
    let nr = random.oneIn(4) ? random.below(HIGHEST + 1) : random.pick([...this.#kinds.keys()]);
    if (NOT_MADE.has(nr) || (DEADLY.has(nr) && !random.oneIn(16))) nr = 39;
    const kinds = this.#kinds.get(nr) ?? '';
    const args = ARGUMENTS.map((_, i) => this.#arguments.of(kinds[i]));
    last = `${nr}(${args.map((arg) => `0x${BigInt.asUintN(64, arg).toString(16)}`).join(', ')})`;
    if (process.env.FUZZ_TRACE) writeSync(REPORT_FD, `${last}\n`);
    this.#call(nr, args);
    if (random.oneIn(16))
      this.#refresh(ARENA + PAGE * random.below(ARENA_PAGES), new BigInt64Array(PAGE / 8));
    if (!this.#cpu.active) this.#goOn();
  }

  #call(nr: number, args: readonly bigint[]): void {
    const { context } = this.#cpu;
    context.setGprNumber(Gpr.RAX, nr);
    context.setGprNumber(Gpr.RSP, STACK_TOP);
    context.ripNumber = CODE_ADDRESS;
    for (const [i, arg] of args.entries()) context.setGpr(ARGUMENTS[i]!, BigInt.asUintN(64, arg));
    this.#process.syscall(this.#cpu);
    this.#process.afterService();
  }

  /** Every thread waits: time passes, and if that does not help, a signal comes. */
  #goOn(): void {
    const queue = this.#root.eventQueue;
    for (let i = 0; i < 20 && !this.#cpu.active && !queue.isEmpty; i++) queue.serviceOne();
    for (const { tid } of [...this.#process.threads.values()]) {
      if (this.#cpu.active || this.#process.end !== undefined) return;
      this.#process.send({ signal: SIGUSR1, code: 0, pid: 1, uid: 0 }, tid);
    }
    if (!this.#cpu.active && this.#process.end === undefined) this.#process.exit(0);
  }
}

let last = '';
const [seed = '1', calls = '1000', directory = '.', mode] = process.argv.slice(2);
const random = new Random(Number(seed));
const readOnly = mode === 'read-only';
const openDescriptors = () => readdirSync('/proc/self/fd').length;
const before = openDescriptors();
let made = 0;
try {
  while (made < Number(calls)) {
    const share = Math.min(CALLS_OF_ONE_PROCESS, Number(calls) - made);
    if (!readOnly) restoreProgram(directory);
    made += new FuzzedProcess(random, directory, readOnly).run(share);
    const lost = openDescriptors() - before;
    if (lost > 0) throw new Error(`${lost} descriptors are lost after ${made} calls`);
  }
} catch (error) {
  const what = error instanceof Error ? error.stack : String(error);
  writeSync(REPORT_FD, `seed ${seed}, after ${made} calls, in ${last}: ${what}\n`);
  process.exit(1);
}
writeSync(REPORT_FD, `${made} calls\n`);
