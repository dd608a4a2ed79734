// The oracle of the fuzzer: what the manual states plainly it does; interpreter and translator do the same in random cases of a fixed
// seed; and an error in generated code is found.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { PageFaultError, Vector } from '../../../src/arch/x86/exceptions.ts';
import { Gpr, Rflags } from '../../../src/arch/x86/registers.ts';
import { OFFSET, type X86ThreadContext } from '../../../src/arch/x86/thread-context.ts';
import { Mmu } from '../../../src/cpu/functional/mmu.ts';
import { WasmCracker } from '../../../src/cpu/functional/wasm-cracker.ts';
import { WasmOps } from '../../../src/cpu/functional/wasm-ops.ts';
import {
  CODE_ADDRESS,
  DATA_ADDRESS,
  END_ADDRESS,
  ISLAND_ADDRESS,
  READ_ONLY_ADDRESS,
} from '../../../tools/fuzz/address-space.ts';
import { runCampaign } from '../../../tools/fuzz/campaign.ts';
import type { Executor } from '../../../tools/fuzz/executor.ts';
import { FunctionalExecutor } from '../../../tools/fuzz/functional-executor.ts';
import { OracleExecutor } from '../../../tools/fuzz/oracle/oracle-executor.ts';
import { randomBytesSource } from '../../../tools/fuzz/random-bytes.ts';
import type { CodeSource } from '../../../tools/fuzz/random-sequence.ts';
import { openReference } from '../../../tools/fuzz/reference.ts';
import { rowSource } from '../../../tools/fuzz/row-source.ts';
import type { Ending, Outcome } from '../../../tools/fuzz/sequence.ts';
import { emptyState } from '../../../tools/fuzz/user-state.ts';
import { allVariants } from '../../../tools/fuzz/variants.ts';

const NOT_CANONICAL = 0x8000_0000_0010n;

/** What comes of instructions in hexadecimal, separated by blanks. */
function run(
  code: string,
  set: (state: X86ThreadContext) => void = () => {},
  executor: Executor = new OracleExecutor(),
): Outcome {
  const state = emptyState();
  state.setGprNumber(Gpr.RSP, ISLAND_ADDRESS + 0x800);
  set(state);
  const instructions = code.split(' ').map((bytes) => Uint8Array.from(Buffer.from(bytes, 'hex')));
  return executor.run([{ codeAddress: CODE_ADDRESS, instructions, state, fill: 0, data: [] }])[0]!;
}

const rax = (value: number | bigint) => (state: X86ThreadContext) => state.setGpr(Gpr.RAX, BigInt(value));
const fault = (vector: number, errorCode = 0, address = 0): Ending => ({
  kind: 'exception',
  vector,
  errorCode,
  address: BigInt(address),
});
const pageFault = (errorCode: number, address: number): Ending =>
  fault(Vector.PF, errorCode | PageFaultError.USER, address);

describe('the oracle', () => {
  test('sets flags as the manual says: 7f + 1', () => {
    const { ending, state } = run('0401', rax(0x7f)); // add al, 1
    assert.deepEqual(ending, { kind: 'end' });
    assert.equal(state.ripNumber, END_ADDRESS);
    assert.equal(state.gpr(Gpr.RAX), 0x80n);
    assert.equal(state.rflags, Rflags.FIXED | Rflags.IF | Rflags.OF | Rflags.SF | Rflags.AF);
  });

  test('raises page faults with address, access and presence, and stores all or nothing', () => {
    const { PRESENT, WRITE, FETCH } = PageFaultError;
    const absent = ISLAND_ADDRESS + 0x1000;
    assert.deepEqual(run('8b00', rax(absent)).ending, pageFault(0, absent));
    assert.deepEqual(run('8900', rax(absent)).ending, pageFault(WRITE, absent));
    // add [rax], ecx looks up its operand for writing when it reads it
    assert.deepEqual(
      run('0108', rax(READ_ONLY_ADDRESS)).ending,
      pageFault(PRESENT | WRITE, READ_ONLY_ADDRESS),
    );
    assert.deepEqual(run('ffe0', rax(DATA_ADDRESS)).ending, pageFault(PRESENT | FETCH, DATA_ADDRESS));
    const { ending, memory } = run('488900', rax(READ_ONLY_ADDRESS - 4)); // mov [rax], rax
    assert.deepEqual(ending, pageFault(PRESENT | WRITE, READ_ONLY_ADDRESS));
    assert.deepEqual(memory, []);
  });

  test('looks at addresses in the order of priority', () => {
    assert.deepEqual(run('8b00', rax(NOT_CANONICAL)).ending, fault(Vector.GP));
    assert.deepEqual(run('50', (s) => s.setGpr(Gpr.RSP, NOT_CANONICAL)).ending, fault(Vector.SS));
    assert.deepEqual(run('0f2800', rax(DATA_ADDRESS + 1)).ending, fault(Vector.GP)); // movaps
    const misaligned = (s: X86ThreadContext) => {
      rax(ISLAND_ADDRESS + 0x1001)(s);
      s.rflags |= Rflags.AC;
    };
    assert.deepEqual(run('8b00', misaligned).ending, fault(Vector.AC), 'before #PF');
  });

  test('raises #XM with the flags of MXCSR set, and nothing else done', () => {
    const { ending, state } = run('f30f5ec1', (s) => {
      s.u32[OFFSET.mxcsr >> 2] = 0;
      s.u32[OFFSET.zmm >> 2] = 0;
    }); // divss xmm0, xmm1: 0 / 0
    assert.deepEqual(ending, fault(Vector.XM));
    assert.equal(state.u32[OFFSET.mxcsr >> 2], 1, 'invalid operation');
    assert.equal(state.u32[OFFSET.zmm >> 2], 0);
  });

  test('repeats rounds up to one that faults, and traps behind each with TF', () => {
    const set = (s: X86ThreadContext) => {
      s.setGprNumber(Gpr.RDI, ISLAND_ADDRESS + 0xffe);
      s.setGprNumber(Gpr.RCX, 5);
    };
    const { ending, state } = run('f3aa', set); // rep stosb
    assert.deepEqual(ending, pageFault(PageFaultError.WRITE, ISLAND_ADDRESS + 0x1000));
    assert.equal(state.gpr(Gpr.RCX), 3n);
    const traced = run('f3aa', (s) => {
      set(s);
      s.rflags |= Rflags.TF;
    });
    assert.deepEqual(traced.ending, fault(Vector.DB));
    assert.deepEqual([traced.state.gpr(Gpr.RCX), traced.state.ripNumber], [4n, CODE_ADDRESS]);
  });

  test('divides 128 by 64 bits, and computes the checksum of "1"', () => {
    const { state } = run('48f7f1', (s) => {
      s.setGpr(Gpr.RDX, 1n);
      s.setGpr(Gpr.RCX, 0x1_0000_0000n);
    }); // div rcx
    assert.deepEqual([state.gpr(Gpr.RAX), state.gpr(Gpr.RDX)], [0x1_0000_0000n, 0n]);
    // crc32 eax, cl; the published CRC-32C of "1" is 90f599e3, its complement is what the instruction leaves
    const { state: checked } = run('f20f38f0c1', (s) => {
      s.setGpr(Gpr.RAX, 0xffff_ffffn);
      s.setGpr(Gpr.RCX, 0x31n);
    });
    assert.equal(checked.gpr(Gpr.RAX), 0xffff_ffffn ^ 0x90f5_99e3n);
  });

  test('counts a case that does not end as long as the engines do', () => {
    assert.deepEqual(run('ebfe').ending, { kind: 'timeout' }); // jmp to itself
  });
});

const variants = allVariants();
const rows = rowSource(variants, false);

/** What the oracle and an engine disagree on, as text. */
function disagreements(source: CodeSource, count: number, translate: 'never' | 'always' = 'never'): string {
  const { executor, subjects, isExpected } = openReference('oracle');
  const subject = new FunctionalExecutor({ ...subjects, translate });
  const options = { seed: 1, count, maxFailures: 3, maxInstructions: 4, source, isExpected };
  return runCampaign(executor, [subject], options).failures.join('\n');
}

describe('the engines of the functional CPU do what the oracle does', () => {
  test('the interpreter, with instructions', () => assert.equal(disagreements(rows, 500), ''));
  test('the interpreter, with bytes without meaning', () =>
    assert.equal(disagreements(randomBytesSource, 200), ''));
  test('the translator, with instructions', () => assert.equal(disagreements(rows, 100, 'always'), ''));
});

test('an area whose end is looked at first is still in the segment of its operand: as on Zen 4', () => {
  for (const executor of [new OracleExecutor(), new FunctionalExecutor({ translate: 'never' })])
    for (const [code, vector] of [
      ['0fae00', Vector.GP], // fxsave [rax]
      ['0fae08', Vector.GP], // fxrstor [rax]
      ['0fae4500', Vector.SS], // fxsave [rbp]
    ] as const) {
      const set = (s: X86ThreadContext) => {
        s.setGpr(Gpr.RAX, 0x8000_0000_0000n);
        s.setGpr(Gpr.RBP, 0x8000_0000_0000n);
      };
      assert.deepEqual(run(code, set, executor).ending, fault(vector), `${executor.name} ${code}`);
    }
});

describe('an error in what is generated is found', () => {
  const only = (...mnemonics: string[]): CodeSource => {
    const chosen = variants.filter(({ form }) => mnemonics.includes(form.instruction.mnemonic));
    return rowSource(chosen, false);
  };

  test('in an operation: sar as shr', (t) => {
    t.mock.method(WasmOps.prototype, 'sar', WasmOps.prototype.shr);
    assert.match(disagreements(only('SAR', 'ADD'), 100), /# \w+: oracle 0x\w+, interpreter 0x/);
  });

  test('in flags: those of ADD after SUB', (t) => {
    t.mock.method(WasmCracker.prototype, 'flagsSub', WasmCracker.prototype.flagsAdd);
    assert.match(disagreements(only('CMP'), 100, 'always'), /# rflags: oracle 0x\w+, translator 0x\w+ \(/);
  });

  test('in a fast path of x87: taken where its condition does not hold', (t) => {
    t.mock.method(WasmCracker.prototype, 'shortcut', (_condition: unknown, fast: () => void) => fast());
    assert.match(disagreements(only('FADD', 'FMUL'), 100), /# (x87\.r\d|fsw|zmm\d+): oracle/);
  });

  test('in memory: no alignment checks', (t) => {
    t.mock.getter(Mmu.prototype, 'checksAlignment', () => false);
    assert.match(disagreements(only('MOV'), 400), /# ending: oracle #AC .*, interpreter /);
  });
});
