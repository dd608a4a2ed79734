// The hardware side of the differential fuzzer: what the KVM executor says of instructions whose effect the manual states
// plainly, and that no case leaves traces in the next one.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { PageFaultError, Vector } from '../../src/arch/x86/exceptions.ts';
import { Gpr, Rflags, Xcr0 } from '../../src/arch/x86/registers.ts';
import { OFFSET, RegClass, STRIDE, type X86ThreadContext } from '../../src/arch/x86/thread-context.ts';
import {
  CODE_ADDRESS,
  CODE_END,
  DATA_ADDRESS,
  END_ADDRESS,
  ISLAND_ADDRESS,
  READ_ONLY_ADDRESS,
} from '../../tools/fuzz/address-space.ts';
import { describeDifference } from '../../tools/fuzz/difference.ts';
import { KvmExecutor } from '../../tools/fuzz/kvm-executor.ts';
import { DOORBELL, HIDDEN } from '../../tools/fuzz/kvm-layout.ts';
import { minimize } from '../../tools/fuzz/minimize.ts';
import { randomSequence } from '../../tools/fuzz/random-sequence.ts';
import type { Ending, MemoryBytes, Outcome, Sequence } from '../../tools/fuzz/sequence.ts';
import { formatCase } from '../../tools/fuzz/sequence-text.ts';
import { emptyState, FS_BASE, GS_BASE } from '../../tools/fuzz/user-state.ts';
import { Random } from '../support/random.ts';

const skip = existsSync('/dev/kvm') ? false : 'no /dev/kvm on this host';

const NOT_CANONICAL = 0x8000_0000_0010n;

interface Given {
  readonly at?: number;
  readonly fill?: number;
  readonly data?: readonly MemoryBytes[];
  readonly set?: (state: X86ThreadContext) => void;
}

/** A case of instructions in hexadecimal, separated by blanks. */
function sequence(code: string, { at = CODE_ADDRESS, fill = 0, data = [], set }: Given = {}): Sequence {
  const state = emptyState();
  state.setGprNumber(Gpr.RSP, ISLAND_ADDRESS + 0x800);
  set?.(state);
  const instructions = code.split(' ').map((bytes) => Uint8Array.from(Buffer.from(bytes, 'hex')));
  return { codeAddress: at, instructions, state, fill, data };
}

const rax = (value: bigint) => (state: X86ThreadContext) => state.setGpr(Gpr.RAX, value);
const fault = (vector: number, errorCode = 0, address = 0n): Ending => ({
  kind: 'exception',
  vector,
  errorCode,
  address,
});
const pageFault = (errorCode: number, address: number): Ending =>
  fault(Vector.PF, errorCode | PageFaultError.USER, BigInt(address));

/** YMM, ZMM and opmask registers, each with bytes of its own. */
function fillVectors(state: X86ThreadContext, components: number): void {
  const bytes = components & Xcr0.ZMM_HI256 ? 64 : components & Xcr0.AVX ? 32 : 16;
  for (let r = 0; r < (components & Xcr0.HI16_ZMM ? 32 : 16); r++)
    for (let i = 0; i < bytes; i++) state.u8[OFFSET.zmm + r * STRIDE.zmm + i] = r * 5 + i;
  if (components & Xcr0.OPMASK)
    for (let i = 0; i < 8; i++) state.set(OFFSET.k + 8 * i, 0x1234_5678_9abc_def0n + BigInt(i));
}

test('further state components go in and out too, and are not left to the next case', { skip }, () => {
  const wide = new KvmExecutor({ components: Xcr0.AVX | Xcr0.AVX512, tickNs: 20_000_000 });
  const given = sequence('90', { set: (state) => fillVectors(state, wide.components) });
  const [filled, empty] = wide.run([given, sequence('90')]);
  wide.close();
  const names = (one: X86ThreadContext, other: X86ThreadContext) => one.diff(other).map(({ name }) => name);
  assert.deepEqual(names(filled!.state, given.state), ['rip']);
  assert.deepEqual(names(empty!.state, emptyState()), ['rsp', 'rip']);
});

describe('the KVM executor', { skip }, () => {
  let kvm: KvmExecutor;
  before(() => {
    // Patient, since the processor may be an emulated one.
    kvm = new KvmExecutor({ tickNs: 20_000_000 });
  });
  after(() => kvm.close());
  const run = (code: string, given?: Given): Outcome => kvm.run([sequence(code, given)])[0]!;
  const assertEnding = (code: string, given: Given, ending: Ending, ripOffset = 0): Outcome => {
    const outcome = run(code, given);
    assert.deepEqual(outcome.ending, ending);
    assert.equal(outcome.state.ripNumber, (given.at ?? CODE_ADDRESS) + ripOffset);
    return outcome;
  };

  test('general registers and flags come out as the manual says', () => {
    // add al, 1 with AL = 0x7f: OF, SF, AF
    const { ending, state } = run('0401', { set: rax(0xffff_ffff_ffff_ff7fn) });
    assert.deepEqual(ending, { kind: 'end' });
    assert.equal(state.ripNumber, END_ADDRESS);
    assert.equal(state.gpr(Gpr.RAX), 0xffff_ffff_ffff_ff80n);
    assert.equal(state.rflags, Rflags.FIXED | Rflags.IF | Rflags.OF | Rflags.SF | Rflags.AF);
  });

  test('every general register goes in and out, RSP too', () => {
    const set = (state: X86ThreadContext) => {
      for (let i = 0; i < 16; i++) state.setGpr(i, 0x0123_4567_89ab_cde0n + BigInt(i));
      state.rflags |= Rflags.CF | Rflags.DF | Rflags.ID | Rflags.AC | Rflags.NT;
      state.set(FS_BASE, 0x7fff_ffff_f000n);
      state.set(GS_BASE, 0xffff_8000_0000_0000n);
    };
    const { state } = run('90', { set });
    const expected = emptyState();
    set(expected);
    expected.ripNumber = END_ADDRESS;
    assert.deepEqual(expected.diff(state), []);
  });

  test('x87 and vector registers go in and out with all their bits', () => {
    const set = (state: X86ThreadContext) => {
      state.u16[OFFSET.fcw >> 1] = 0x27f;
      state.u16[OFFSET.fsw >> 1] = 0x1800;
      state.u16[OFFSET.ftw >> 1] = 0xf8;
      state.u32[OFFSET.mxcsr >> 2] = 0x9fc0;
      for (let r = 0; r < 8; r++)
        for (let i = 0; i < 10; i++) state.u8[OFFSET.st + r * STRIDE.st + i] = r * 16 + i;
      for (let r = 0; r < 16; r++)
        for (let i = 0; i < 16; i++) state.u8[OFFSET.zmm + r * STRIDE.zmm + i] = r * 16 + i;
    };
    const expected = emptyState();
    set(expected);
    const differences = expected.diff(run('90', { set }).state).map(({ name }) => name);
    assert.deepEqual(differences, ['rsp', 'rip']);
  });

  test('bytes that differ are told, joined over pages, and the others are not', () => {
    // mov [rax], rcx over the end of a page; of the bytes there three stay what they were
    const address = DATA_ADDRESS + 0xffc;
    const { memory } = run('488908', {
      data: [{ address, bytes: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8) }],
      set: (state) => {
        state.setGprNumber(Gpr.RAX, address);
        state.setGpr(Gpr.RCX, 0x0809_0a0b_0c03_02ffn);
      },
    });
    assert.deepEqual(memory, [
      { address, bytes: Uint8Array.of(0xff) },
      { address: address + 3, bytes: Uint8Array.of(0x0c, 0x0b, 0x0a, 0x09) },
    ]);
  });

  test('the background of the data pages depends on the fill', () => {
    const load = { set: rax(BigInt(DATA_ADDRESS + 0x123)) }; // mov rax, [rax]
    const [a, b, c] = [3, 4, 3].map((fill) => run('488b00', { ...load, fill }).state.gpr(Gpr.RAX));
    assert.notEqual(a, b);
    assert.equal(a, c);
    assert.equal(run('488b00', load).state.gpr(Gpr.RAX), 0n);
  });

  test('SYSCALL ends a case behind it, with RIP and RFLAGS in RCX and R11', () => {
    const outcome = assertEnding('f9 0f05', {}, { kind: 'syscall' }, 3);
    assert.equal(outcome.state.gprNumber(Gpr.RCX), CODE_ADDRESS + 3);
    assert.equal(outcome.state.gprNumber(Gpr.R11), Rflags.FIXED | Rflags.IF | Rflags.CF);
    assert.equal(outcome.state.rflags, Rflags.FIXED | Rflags.IF | Rflags.CF);
  });

  test('page faults tell address, access and presence', () => {
    const { PRESENT, WRITE, FETCH } = PageFaultError;
    const absent = ISLAND_ADDRESS + 0x1000;
    assertEnding('8b00', { set: rax(BigInt(absent)) }, pageFault(0, absent));
    assertEnding('8900', { set: rax(BigInt(absent)) }, pageFault(WRITE, absent));
    assertEnding(
      '8900',
      { set: rax(BigInt(READ_ONLY_ADDRESS)) },
      pageFault(PRESENT | WRITE, READ_ONLY_ADDRESS),
    );
    // jmp rax, to an absent page and to one that may not be executed: RIP is there already
    const jump = (to: number, code: number) =>
      assertEnding('ffe0', { set: rax(BigInt(to)) }, pageFault(code | FETCH, to), to - CODE_ADDRESS);
    jump(absent, 0);
    jump(DATA_ADDRESS, PRESENT);
  });

  test('a store over the end of a page that faults in the second half changes nothing', () => {
    const address = READ_ONLY_ADDRESS - 4;
    const code = PageFaultError.PRESENT | PageFaultError.WRITE;
    const { memory } = assertEnding(
      '488900',
      { set: rax(BigInt(address)) },
      pageFault(code, READ_ONLY_ADDRESS),
    );
    assert.deepEqual(memory, []);
  });

  test('an address that is not canonical is #GP', () => {
    assertEnding('8b00', { set: rax(NOT_CANONICAL) }, fault(Vector.GP));
  });

  test('a stack pointer that is not canonical is #SS', () => {
    assertEnding('50', { set: (state) => state.setGpr(Gpr.RSP, NOT_CANONICAL) }, fault(Vector.SS));
  });

  test('divide error, invalid opcode, breakpoint, privileged and port instructions', () => {
    const { state } = assertEnding(
      'ffc1 f7f1',
      { set: (s) => s.setGpr(Gpr.RCX, 0xffff_ffffn) },
      fault(Vector.DE),
      2,
    );
    assert.equal(state.gpr(Gpr.RCX), 0n);
    assertEnding('0f0b', {}, fault(Vector.UD));
    assertEnding('cc', {}, fault(Vector.BP), 1);
    assertEnding('f4', {}, fault(Vector.GP));
    assertEnding('e680', {}, fault(Vector.GP));
  });

  test('misaligned: plain accesses do no harm, MOVAPS is #GP', () => {
    const set = rax(BigInt(DATA_ADDRESS + 1));
    assert.deepEqual(run('8b00', { set }).ending, { kind: 'end' });
    assertEnding('0f2800', { set }, fault(Vector.GP));
  });

  test('misaligned plain accesses are #AC if AC is set', () => {
    const set = (state: X86ThreadContext) => {
      state.setGprNumber(Gpr.RAX, DATA_ADDRESS + 1);
      state.rflags |= Rflags.AC;
    };
    assertEnding('8b00', { set }, fault(Vector.AC));
  });

  test('an unmasked SIMD floating-point exception is #XM at once', () => {
    // divss xmm0, xmm1: 0 / 0
    const set = (state: X86ThreadContext) => (state.u32[OFFSET.mxcsr >> 2] = 0);
    const { state } = assertEnding('f30f5ec1', { set }, fault(Vector.XM));
    assert.equal(state.u32[OFFSET.mxcsr >> 2], 1, 'invalid operation');
  });

  test('an unmasked x87 exception is #MF at the next waiting instruction', () => {
    // fldz; fldz; fdivp; fwait
    const set = (state: X86ThreadContext) => (state.u16[OFFSET.fcw >> 1] = 0x340);
    const { state } = assertEnding('d9ee d9ee def9 9b', { set }, fault(Vector.MF), 6);
    assert.equal(state.u16[OFFSET.fsw >> 1]! & 0x8081, 0x8081, 'B, ES, IE');
  });

  test('a pending x87 exception that nobody waits for is in the final state', () => {
    const { ending, state } = run('d9ee d9ee def9', { set: (s) => (s.u16[OFFSET.fcw >> 1] = 0x340) });
    assert.deepEqual(ending, { kind: 'end' });
    assert.equal(state.u16[OFFSET.fsw >> 1]! & 0x8081, 0x8081);
  });

  test('a loop without end times out, and the cases around it do not notice', () => {
    const good = sequence('b805000000');
    const outcomes = kvm.run([good, sequence('ebfe'), good, sequence('50 ebfd'), good]);
    const kinds = outcomes.map(({ ending }) => ending.kind);
    assert.deepEqual(kinds.slice(0, 3), ['end', 'timeout', 'end']);
    assert.equal(kinds[3], 'exception', 'the stack ends');
    assert.deepEqual(describeDifference(outcomes[0]!, outcomes[4]!, ['first', 'last']), []);
  });

  test('a case that leaves the guest is refused, and the cases behind it run', () => {
    const set = rax(BigInt(HIDDEN + DOORBELL));
    const good = sequence('0401', { set: rax(1n) });
    for (const access of ['8800', '8a00']) {
      const [refused, next] = kvm.run([sequence(access, { set }), good]);
      assert.equal(refused!.ending.kind, 'refused');
      assert.deepEqual(describeDifference(next!, kvm.run([good])[0]!, ['behind', 'alone']), []);
    }
  });

  test('code that changes itself runs as changed, and the next case has its own', () => {
    // mov byte [rip+1], 0x42; mov al, 0x41
    const code = 'c6050100000042 b041';
    for (let i = 0; i < 2; i++) {
      const { state, memory } = run(code);
      assert.equal(state.gprNumber(Gpr.RAX), 0x42);
      assert.deepEqual(memory, [{ address: CODE_ADDRESS + 8, bytes: Uint8Array.of(0x42) }]);
    }
    assert.equal(run('9090909090909090').state.gprNumber(Gpr.RAX), 0);
  });

  test('instructions cross a page, and end where the code pages do', () => {
    const across = run('48b8efcdab8967452301', { at: CODE_ADDRESS + 0xffb });
    assert.equal(across.state.gpr(Gpr.RAX), 0x0123_4567_89ab_cdefn);
    assertEnding('90', { at: CODE_END - 1 }, pageFault(PageFaultError.FETCH, CODE_END), 1);
    assertEnding('48b8ef', { at: CODE_END - 3 }, pageFault(PageFaultError.FETCH, CODE_END));
  });

  test('FS and GS bases are used, and can be changed', () => {
    // mov eax, fs:[8]; wrgsbase rcx
    const { state } = run('648b042508000000 f3480faed9', {
      data: [{ address: DATA_ADDRESS + 8, bytes: Uint8Array.of(0x78, 0x56, 0x34, 0x12) }],
      set: (s) => {
        s.set(FS_BASE, BigInt(DATA_ADDRESS));
        s.setGpr(Gpr.RCX, 0x1234_5678_9000n);
      },
    });
    assert.equal(state.gprNumber(Gpr.RAX), 0x1234_5678);
    assert.equal(state.get(GS_BASE), 0x1234_5678_9000n);
  });

  test('good, faulting and other cases mixed over several batches give what each gives alone', () => {
    const kinds = [
      sequence('0401', { fill: 5, set: rax(0x7fn) }),
      sequence('8b00', { set: rax(0n) }),
      sequence('0f05'),
      sequence('488907 0f0b', { fill: 7, set: (s) => s.setGprNumber(Gpr.RDI, DATA_ADDRESS + 0x20) }),
      sequence('fd f7f1'),
      sequence('0f28c1', { set: (s) => s.u8.fill(7, OFFSET.zmm, OFFSET.zmm + 128) }),
    ];
    const alone = kinds.map((one) => kvm.run([one])[0]!);
    const many = Array.from({ length: 700 }, (_, i) => (i * i) % kinds.length);
    for (const [i, outcome] of kvm.run(many.map((kind) => kinds[kind]!)).entries())
      assert.deepEqual(describeDifference(outcome, alone[many[i]!]!, ['many', 'alone']), [], `case ${i}`);
  });

  test('more different backgrounds than fit into the guest at a time', () => {
    const cases = Array.from({ length: 100 }, (_, i) =>
      sequence('488b00', { fill: i + 1, set: rax(BigInt(DATA_ADDRESS)) }),
    );
    const values = kvm.run(cases).map(({ state }) => state.gpr(Gpr.RAX));
    const again = kvm.run(cases.toReversed()).map(({ state }) => state.gpr(Gpr.RAX));
    assert.deepEqual(values, again.toReversed());
    assert.equal(new Set(values).size, 100);
  });

  test('a case that is none is refused before anything runs', () => {
    assert.throws(() => run('90', { at: CODE_END }), RangeError);
    assert.throws(() => run('90', { set: (s) => (s.u32[OFFSET.mxcsr >> 2] = 0x8000_0000) }), RangeError);
    assert.throws(() => run('90', { data: [{ address: 0x1000, bytes: Uint8Array.of(1) }] }), RangeError);
    assert.deepEqual(run('90').ending, { kind: 'end' });
  });

  test('random cases come out the same in another order', () => {
    const random = new Random(20);
    const cases = Array.from({ length: 1000 }, () => randomSequence(random).sequence);
    const once = kvm.run(cases);
    const again = kvm.run(cases.toReversed()).reverse();
    for (const [i, outcome] of once.entries())
      assert.deepEqual(
        describeDifference(outcome, again[i]!, ['once', 'again'], kvm.tolerance),
        [],
        formatCase(cases[i]!),
      );
    const kinds = new Set<string | number>(
      once.map(({ ending }) => (ending.kind === 'exception' ? ending.vector : ending.kind)),
    );
    for (const kind of ['end', Vector.PF, Vector.UD, Vector.GP])
      assert.ok(kinds.has(kind), `none ends by ${kind}`);
  });

  test('a case that divides by zero becomes small and still does', () => {
    const random = new Random(21);
    const { sequence: given } = randomSequence(random);
    const set = (state: X86ThreadContext) => state.copyFrom(given.state, RegClass.fpu);
    const large = sequence('4801c3 90 31c9 4889d8 f7f1 0f0b', {
      at: CODE_ADDRESS + 3,
      data: given.data,
      fill: 9,
      set,
    });
    const smallest = minimize(large, (candidate) => {
      const { ending } = kvm.run([candidate])[0]!;
      return ending.kind === 'exception' && ending.vector === Vector.DE;
    });
    assert.equal(formatCase(smallest), 'case\ncode 414000 f7f1\n');
  });
});
