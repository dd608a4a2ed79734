// The engine's promises, whatever is interpreted or translated when: exact counts, precise faults, code that changes.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Gpr, Rflags } from '../../../src/arch/x86/registers.ts';
import type { EngineOptions } from '../../../src/cpu/functional/engine-interface.ts';
import { CODE, DATA, FunctionalMachine, PAGES } from '../../support/functional-machine.ts';
import { Random } from '../../support/random.ts';

type Translate = NonNullable<EngineOptions['translate']>;
const WAYS: readonly Translate[] = ['never', 'always', 'hot'];
const MANY = 10_000_000;

/**
 * fib(12) by recursion, stores 100 numbers that follow from it, adds up what lies across them:
 *
 *         mov edi, 12 / call fib / mov rbx, DATA / mov ecx, 100
 *   fill: mov [rbx+rcx*8], rax / add rax, rcx / sub ecx, 1 / jne fill / mov ecx, 100
 *   sum:  add rdx, [rbx+rcx*8+4] / sub ecx, 1 / jne sum / syscall
 *   fib:  cmp rdi, 2 / jl base / lea rsp, [rsp-16] / mov [rsp], rdi / sub rdi, 1 / call fib / mov [rsp+8], rax
 *         mov rdi, [rsp] / sub rdi, 2 / call fib / add rax, [rsp+8] / lea rsp, [rsp+16] / ret
 *   base: mov rax, rdi / ret
 */
const FIB_AND_SUM = Buffer.from(
  'bf0c000000e827000000bb00006000b964000000488904cb4801c883e90175f4b964000000480354cb0483e90175f6' +
    '0f054883ff027c2f488d6424f048893c244883ef01e8e8ffffff4889442408488b3c244883ef02e8d6ffffff48034424' +
    '08488d642410c34889f8c3',
  'hex',
);

/** Stores 8 bytes 2,000 times, upwards from RSI: mov ecx, 2000 / l: mov [rsi], rcx / lea rsi, [rsi+8] / sub ecx, 1 / jne l */
const STORE_UPWARDS = Buffer.from('b9d007000048890e488d760883e90175f40f05', 'hex');

/** Adds up numbers, each of which it writes into its own next instruction's immediate. */
const WRITES_ITSELF = Buffer.from('b9e8030000b80100000001c3890df4ffffff83e90175ee0f05', 'hex');

/**
 * Accesses near RBX and RSP, which are written on one of two ways each:
 *
 *      mov ecx, 10000 / mov edx, 8
 *   l: mov rbx, rsi / mov rax, [rbx] / add rax, [rbx+24] / test cl, 1 / je a / add rbx, rdx / jmp a
 *   a: add rax, [rbx+8] / mov [rbx+16], rax / test cl, 2 / je b / push rax / jmp b
 *   b: mov r8, [rsp-8] / mov [rsp-24], rcx / test cl, 2 / je c / pop r9 / jmp c
 *   c: add r10, [rsp-8] / sub ecx, 1 / jne l / syscall
 */
const NEAR_REGISTERS = Buffer.from(
  'b910270000ba080000004889f3488b0348034318f6c10174054801d3eb004803430848894310f6c102740350eb004c8b4424f848' +
    '894c24e8f6c10274044159eb004c035424f883e90175bf0f05',
  'hex',
);

function machine(translate: Translate, code: Uint8Array, codeIsWritable = false): FunctionalMachine {
  const made = new FunctionalMachine({ translate }, codeIsWritable);
  made.load(code);
  return made;
}

/** All that a program can see. */
function visible(m: FunctionalMachine): string {
  return `${JSON.stringify(m.tc.save())} ${Buffer.from(m.read(DATA, PAGES * 4096)).toString('base64')}`;
}

test('a program has the same result and the same instruction count interpreted and translated', () => {
  const results = WAYS.map((translate) => {
    const m = machine(translate, FIB_AND_SUM);
    assert.deepEqual(m.engine.run(MANY), { kind: 'syscall' });
    return `${m.engine.executed} ${visible(m)}`;
  });
  assert.equal(results[1], results[0]);
  assert.equal(results[2], results[0]);
  // fib(12) = 144 is in RAX before 100 + 99 + … + 1 is added.
  const m = machine('never', FIB_AND_SUM);
  m.engine.run(MANY);
  assert.equal(m.tc.gpr(Gpr.RAX), 144n + 5050n);
});

test('a run ends behind exactly as many instructions as its budget allows, with the state of that moment', () => {
  const random = new Random(7);
  for (const translate of ['always', 'hot'] as const) {
    const subject = machine(translate, FIB_AND_SUM);
    const reference = machine('never', FIB_AND_SUM);
    for (;;) {
      const budget = 1 + random.below(random.pick([3, 30, 3000]));
      const before = subject.engine.executed;
      const end = subject.engine.run(budget);
      if (end.kind === 'syscall') break;
      assert.equal(subject.engine.executed - before, budget);
      // One by one: every instruction is the end of a run.
      for (let i = 0; i < budget; i++) reference.engine.run(1);
      assert.equal(visible(subject), visible(reference), `after ${subject.engine.executed} instructions`);
    }
  }
});

test('a fault leaves the state in front of its instruction, and counts what is in front of it', () => {
  const ends = WAYS.map((translate) => {
    const m = machine(translate, STORE_UPWARDS);
    // 2,000 stores do not fit between here and the end of the data.
    m.tc.setGpr(Gpr.RSI, BigInt(DATA + 4096 * (PAGES - 1) + 3));
    const end = m.engine.run(MANY);
    return { end, at: m.tc.ripNumber, executed: m.engine.executed, state: visible(m) };
  });
  const [first] = ends;
  const stores = Math.floor((4096 - 3) / 8);
  const address = BigInt(DATA + 4096 * PAGES);
  // The store that fails crosses into the unmapped page: CR2 is that page's first byte.
  assert.deepEqual(first!.end, { kind: 'exception', vector: 14, errorCode: 6, address });
  assert.equal(first!.at, CODE + 5);
  assert.equal(first!.executed, 1 + 4 * stores);
  for (const end of ends) assert.deepEqual(end, first);
});

test('accesses that share a look-up find what they would find alone, in one page or across two', () => {
  for (const toPageEnd of [64, 36, 28, 12, 4]) {
    const results = WAYS.map((translate) => {
      const m = machine(translate, NEAR_REGISTERS);
      for (let i = 0; i < 64; i++) m.write(DATA + 4096 - 64 + i, Uint8Array.of(17 * i));
      m.tc.setGpr(Gpr.RSI, BigInt(DATA + 4096 - toPageEnd));
      m.tc.setGpr(Gpr.RSP, BigInt(DATA + 8192 - (toPageEnd & 24)));
      // Many short runs: the loop is entered by all of its regions.
      while (m.engine.run(997).kind === 'budget');
      return `${m.engine.executed} ${visible(m)}`;
    });
    assert.equal(results[1], results[0], `${toPageEnd} bytes in front of a page, always translated`);
    assert.equal(results[2], results[0], `${toPageEnd} bytes in front of a page, translated when hot`);
  }
});

test('a program that writes its own next instruction executes what it has written', () => {
  for (const translate of WAYS) {
    const m = machine(translate, WRITES_ITSELF, true);
    assert.deepEqual(m.engine.run(MANY), { kind: 'syscall' }, translate);
    // 1, and then 1000, 999, … 2.
    assert.equal(m.tc.gpr(Gpr.RBX), 1n + (1000n * 1001n) / 2n - 1n, translate);
  }
});

test('code that somebody else writes between two runs is decoded anew', () => {
  for (const translate of WAYS) {
    // mov eax, 1 / syscall
    const m = machine(translate, Uint8Array.of(0xb8, 1, 0, 0, 0, 0x0f, 0x05));
    m.engine.run(MANY);
    m.load(Uint8Array.of(0xb8, 2, 0, 0, 0, 0x0f, 0x05));
    m.engine.run(MANY);
    assert.equal(m.tc.gpr(Gpr.RAX), 2n, translate);
  }
});

test('bytes that are no instruction raise #UD there, and those in front of them are executed', () => {
  for (const translate of WAYS) {
    // mov eax, 1 / (0F FF is UD0; here: 06, PUSH ES, which 64-bit mode does not have)
    const m = machine(translate, Uint8Array.of(0xb8, 1, 0, 0, 0, 0x06));
    assert.deepEqual(m.engine.run(MANY), { kind: 'exception', vector: 6, errorCode: 0, address: 0n });
    assert.equal(m.tc.ripNumber, CODE + 5);
    assert.equal(m.engine.executed, 1);
  }
});

test('a jump to the address −1 finds nothing there', () => {
  for (const translate of WAYS) {
    // mov rax, -1 / jmp rax
    const m = machine(translate, Buffer.from('48c7c0ffffffffffe0', 'hex'));
    const end = m.engine.run(MANY);
    assert.deepEqual(end, { kind: 'exception', vector: 14, errorCode: 0x14, address: 2n ** 64n - 1n });
  }
});

test('what cannot be fetched behind a block is no fault of the block', () => {
  // mov [DATA], rax, where DATA is not in the TLB yet, in front of code that is cut off by the end of its pages
  const code = Buffer.from('48a30000600000000000e9', 'hex');
  const start = CODE + PAGES * 4096 - code.length;
  for (const translate of WAYS) {
    const m = machine(translate, code);
    m.write(start, code);
    m.tc.ripNumber = start;
    const { kind } = m.engine.run(MANY);
    assert.equal(kind, 'exception');
    assert.equal(m.tc.ripNumber, start + code.length - 1);
  }
});

test('TF: a trap behind each round of a repeated instruction, and none behind a load of SS (SDM vol. 3 §17.3.1.4, §6.8.3)', () => {
  for (const translate of WAYS) {
    // mov ecx, 3 / rep stosb / mov ss, eax / nop / nop
    const m = machine(translate, Buffer.from('b903000000f3aa8ed09090', 'hex'));
    m.tc.setGprNumber(Gpr.RAX, 0x2b);
    m.tc.setGprNumber(Gpr.RDI, DATA);
    m.tc.rflags |= Rflags.TF;
    const traps: [at: number, rcx: number][] = [];
    while (traps.length < 6)
      if (m.engine.run(MANY).kind === 'exception')
        traps.push([m.tc.ripNumber - CODE, m.tc.gprNumber(Gpr.RCX)]);
    assert.deepEqual(
      traps,
      [
        [5, 3],
        [5, 2],
        [5, 1],
        [7, 0],
        [10, 0],
        [11, 0],
      ],
      translate,
    );
    assert.deepEqual([...m.read(DATA, 4)], [0x2b, 0x2b, 0x2b, 0]);
  }
});

test('code that has been prepared runs as it would without, also where it leads elsewhere than was known', () => {
  const prepared = WAYS.map((translate) => {
    const m = machine(translate, FIB_AND_SUM);
    // The start, the function, a place between two instructions, and one that is not mapped.
    m.engine.prepare([CODE, CODE + 49, CODE + 3, CODE - 4096]);
    assert.equal(m.engine.executed, 0);
    assert.deepEqual(m.engine.run(MANY), { kind: 'syscall' });
    return `${m.engine.executed} ${visible(m)}`;
  });
  const m = machine('never', FIB_AND_SUM);
  m.engine.run(MANY);
  assert.deepEqual(new Set(prepared), new Set([`${m.engine.executed} ${visible(m)}`]));
});
