// `hypertick run` on the functional CPU, which needs no KVM, and with two CPUs that take turns.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { Code, elf, writeProgram } from '../support/elf.ts';
import { hypertick, kvmIsMissing, scratchDirectory } from '../support/hypertick.ts';

const LOOPS = 2_000_000;
const u32 = (value: number): number[] => [...new Uint8Array(Uint32Array.of(value).buffer)];
/** 1: add rbx, 1; mov eax, 39 (getpid); each 65,536th round syscall; cmp rbx, LOOPS; jne 1b; exit(7) */
const WORK = [
  ...[0x48, 0x83, 0xc3, 0x01, 0xb8, ...u32(39), 0x66, 0x85, 0xdb, 0x75, 0x02, 0x0f, 0x05],
  ...[0x48, 0x81, 0xfb, ...u32(LOOPS), 0x75, 0xe7, ...Code.exit(7)],
];
/** Instructions of it: six a round, a system call in some, three at the end. */
const WORK_INSTS = 6 * LOOPS + Math.floor(LOOPS / 65_536) + 3;

const functional = (...args: readonly string[]) => hypertick(['run', '--cpu', 'functional', ...args]);

describe('--cpu functional', () => {
  test('executes a program and says nothing', (t) => {
    const program = writeProgram(join(scratchDirectory(t), 'program'), elf(Code.exit(42)));
    const { stdout, stderr, status } = functional(program);
    assert.deepEqual([stdout.toString(), stderr, status], ['', '', 42]);
  });

  test('counts every instruction, one per cycle', (t) => {
    const cwd = scratchDirectory(t);
    const program = writeProgram(join(cwd, 'program'), elf(WORK));
    const { stderr, status } = functional('--summary', program);
    assert.match(stderr, new RegExp(`^ {2}instructions +${WORK_INSTS.toLocaleString('en')}$`, 'm'));
    assert.match(stderr, /^ {2}system calls +31$/m);
    assert.equal(status, 7);
  });

  test('a run can be repeated to the tick and the register', (t) => {
    const cwd = scratchDirectory(t);
    const program = writeProgram(join(cwd, 'program'), elf(WORK));
    const final = (name: string): string[] => {
      functional('--outdir', join(cwd, name), '--dump-state', join(cwd, `${name}.json`), program);
      const ticks = /^finalTick +\d+/m.exec(readFileSync(join(cwd, name, 'stats.txt'), 'utf8'))![0];
      return [ticks, readFileSync(join(cwd, `${name}.json`), 'utf8')];
    };
    assert.deepEqual(final('first'), final('second'));
  });

  test('--max-insts stops at the very instruction: status 124', (t) => {
    const cwd = scratchDirectory(t);
    const program = writeProgram(join(cwd, 'program'), elf(WORK));
    const state = join(cwd, 'state.json');
    const { stderr, status } = functional('--max-insts', '600005', '--dump-state', state, program);
    assert.equal(stderr, 'hypertick: stopped at instruction 600005 by --max-insts\n');
    assert.equal(status, 124);
    const { gpr } = JSON.parse(readFileSync(state, 'utf8'));
    // The first round with a system call was before; the other 600,004 instructions are 100,000 rounds and four.
    assert.equal(Number(gpr.rbx), 100_001);
  });

  test('an instruction that it does not know is named, and in crash.txt too', (t) => {
    const cwd = scratchDirectory(t);
    const undefinedOpcode = [0x0f, 0x04, 0x90, 0x90];
    const program = writeProgram(join(cwd, 'program'), elf(undefinedOpcode));
    const { stderr, status } = functional('--outdir', join(cwd, 'out'), program);
    assert.match(stderr, /warn: system\.cpu: does not know the instruction at 0x401000: 0f 04 90 90/);
    assert.match(stderr, /ended by SIGILL \(ILL_ILLOPN at address 0x401000\)/);
    assert.equal(status, 132);
    const crash = readFileSync(join(cwd, 'out', 'crash.txt'), 'utf8');
    assert.match(crash, /^the processor: does not know the instruction at 0x401000: 0f 04 90 90/m);
  });

  test('an instruction that the processor has and the simulator does not ends the run', (t) => {
    const sysenter = [0x0f, 0x34, 0x90];
    const program = writeProgram(join(scratchDirectory(t), 'program'), elf(sysenter));
    const { stderr, status } = functional(program);
    assert.match(stderr, /system\.cpu: SYSENTER is not implemented: the instruction at 0x401000: 0f 34 90/);
    assert.equal(status, 123);
  });

  test('--cpu-features: what cannot be had is refused', (t) => {
    const program = writeProgram(join(scratchDirectory(t), 'program'), elf(Code.exit(0)));
    assert.equal(functional('--cpu-features', 'max,-sse4_2', program).status, 0);
    const { stderr, status } = functional('--cpu-features', 'x86-64-v9', program);
    assert.match(stderr, /^hypertick: system\.cpu: features: 'x86-64-v9' is neither a level[^\n]*\n$/);
    assert.equal(status, 125);
  });
});

describe('--switch-every', { skip: kvmIsMissing() }, () => {
  test('the program does not notice, and the summary says how often', (t) => {
    const program = writeProgram(join(scratchDirectory(t), 'program'), elf(WORK));
    const { stderr, status } = hypertick(['run', '--switch-every', '20us', '--summary', program]);
    const [, switches] = /^ {2}switches of the CPU +(\d+)$/m.exec(stderr) ?? [];
    assert.ok(Number(switches) > 10, stderr);
    assert.match(stderr, /^ {4}system calls +31$/m);
    assert.equal(status, 7);
  });

  test('syscall: after each call but the last, which ends the program', (t) => {
    const program = writeProgram(join(scratchDirectory(t), 'program'), elf(WORK));
    const { stderr, status } = hypertick(['run', '--switch-every', 'syscall', '--summary', program]);
    assert.match(stderr, /^ {2}switches of the CPU +30$/m);
    assert.match(stderr, /^ {4}system calls +31$/m);
    assert.equal(status, 7);
  });
});
