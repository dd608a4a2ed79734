// General-purpose instructions that tell of the machine or change how the engine goes on: flags beyond the status flags,
// traps, segments, identification, and what control registers forbid. Expected values are the manual's (SDM vol. 2).

import { deepEqual, equal } from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Vector } from '../../../src/arch/x86/exceptions.ts';
import { Cr4, Rflags, Seg } from '../../../src/arch/x86/registers.ts';
import { SegmentAttribute, SegmentPreset } from '../../../src/arch/x86/segments.ts';
import { OFFSET } from '../../../src/arch/x86/state-layout.ts';
import { CODE, DATA, FunctionalMachine } from '../../support/functional-machine.ts';

type Options = ConstructorParameters<typeof FunctionalMachine>[0];
const UD2 = [0x0f, 0x0b];
const TSC_AUX = 0xc000_0103;
const NON_CANONICAL = 0x8000_0000_0000_0000n;

/** Runs code until it faults or asks for something; it ends in UD2. */
function run(
  code: readonly number[],
  prepare: (machine: FunctionalMachine) => void = () => {},
  options: Options = {},
) {
  const machine = new FunctionalMachine(options);
  machine.load([...code, ...UD2]);
  prepare(machine);
  const end = machine.engine.run(1000);
  const { tc } = machine;
  const vector = end.kind === 'exception' || end.kind === 'interrupt' ? end.vector : -1;
  const errorCode = end.kind === 'exception' ? end.errorCode : 0;
  return { machine, tc, kind: end.kind, vector, errorCode, at: tc.ripNumber - CODE };
}

function setCr4(tc: FunctionalMachine['tc'], mask: number, isSet: boolean): void {
  const old = tc.get(OFFSET.cr4);
  tc.set(OFFSET.cr4, isSet ? old | BigInt(mask) : old & ~BigInt(mask));
}

function pushFlags(machine: FunctionalMachine, flags: number): void {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setUint32(0, flags, true);
  machine.write(machine.tc.gprNumber(4), bytes);
}

describe('flags that are more than status flags', () => {
  test('POPF sets NT and ID; RF is cleared, IF and IOPL stay', () => {
    const { tc } = run([0x9d], (machine) => pushFlags(machine, -1 & ~(Rflags.TF | Rflags.AC)));
    equal(tc.rflags, 0x202 | 0x8d5 | Rflags.DF | Rflags.NT | Rflags.ID);
  });

  test('an access that is not aligned faults as soon as POPF has set AC, and no more when it has cleared it', () => {
    const load = [0x8b, 0x83, 0x01, 0x00, 0x00, 0x00]; // mov eax, [rbx + 1]
    const prepare = (flags: number) => (machine: FunctionalMachine) => {
      machine.tc.setGpr(3, BigInt(DATA));
      pushFlags(machine, flags);
    };
    const faulted = run([...load, 0x9d, ...load], prepare(Rflags.AC));
    deepEqual([faulted.vector, faulted.errorCode, faulted.at], [Vector.AC, 0, 7]);
    equal(run([...load, 0x9d, ...load], prepare(0)).vector, Vector.UD);
  });

  test('POPF that sets TF traps behind the instruction that follows it', () => {
    const { vector, at } = run([0x9d, 0x90, 0x90], (machine) => pushFlags(machine, Rflags.TF));
    deepEqual([vector, at], [Vector.DB, 2]);
  });
});

describe('traps and software interrupts', () => {
  test('INT3 and INT1 leave RIP behind them', () => {
    deepEqual(
      [run([0x90, 0xcc]), run([0xf1])].map(({ kind, vector, at }) => [kind, vector, at]),
      [
        ['exception', Vector.BP, 2],
        ['exception', Vector.DB, 1],
      ],
    );
  });

  test('INT n says which interrupt is wanted', () => {
    deepEqual(
      [0x03, 0x80, 0xff].map((n) => run([0xcd, n])).map(({ kind, vector, at }) => [kind, vector, at]),
      [
        ['interrupt', 3, 2],
        ['interrupt', 0x80, 2],
        ['interrupt', 0xff, 2],
      ],
    );
  });

  test('a trap leaves no fault behind: what follows runs', () => {
    const machine = new FunctionalMachine();
    machine.load([0xcc, 0x8b, 0x03, 0x40, 0xb7, 0x05, ...UD2]); // int3; mov eax, [rbx]; mov dil, 5
    machine.tc.setGpr(3, BigInt(DATA));
    machine.engine.run(10);
    const end = machine.engine.run(10);
    deepEqual([end.kind, machine.tc.gprNumber(7)], ['exception', 5]);
  });
});

describe('repeated string instructions', () => {
  test('they count as one instruction, however many rounds they take', () => {
    const machine = new FunctionalMachine();
    machine.load([0xf3, 0xaa, 0x90, ...UD2]); // rep stosb; nop
    machine.tc.setGpr(1, 13_000n);
    machine.tc.setGpr(7, BigInt(DATA));
    while (machine.tc.gprNumber(1) > 0) machine.engine.run(1);
    deepEqual([machine.engine.executed, machine.tc.ripNumber], [1, CODE + 2]);
    equal(machine.tc.gprNumber(7), DATA + 13_000);
    machine.engine.run(1);
    equal(machine.engine.executed, 2);
  });
});

describe('identification, counters and random numbers', () => {
  test('CPUID answers to EAX and ECX, and zero-extends', () => {
    const { tc } = run(
      [0x0f, 0xa2],
      (machine) => {
        for (const index of [0, 1, 2, 3]) machine.tc.setGpr(index, 0xffff_ffff_0000_0007n + BigInt(index));
      },
      { cpuid: (leaf, subleaf) => [leaf, 0x8000_0001, subleaf, 4] },
    );
    deepEqual(
      [0, 3, 1, 2].map((index) => tc.gpr(index)),
      [7n, 0x8000_0001n, 8n, 4n],
    );
  });

  test('RDTSC and RDTSCP read the counter, unless CR4.TSD forbids it', () => {
    const options: Options = { readTsc: () => [0x8000_0001, 0x1234] };
    const { tc } = run([0x0f, 0x01, 0xf9], (machine) => machine.tc.setMsr(TSC_AUX, 77n), options);
    deepEqual([tc.gpr(0), tc.gpr(2), tc.gpr(1)], [0x8000_0001n, 0x1234n, 77n]);
    for (const code of [[0x0f, 0x31], [0x0f, 0x01, 0xf9]]) // biome-ignore format: one line
      equal(run(code, (machine) => setCr4(machine.tc, Cr4.TSD, true), options).vector, Vector.GP);
  });

  test('RDPID reads TSC_AUX', () => {
    equal(run([0xf3, 0x0f, 0xc7, 0xf8], (machine) => machine.tc.setMsr(TSC_AUX, 5n)).tc.gpr(0), 5n);
  });

  test('RDRAND gives numbers of its size, the same in every run, and sets CF alone', () => {
    const code = [0x48, 0x0f, 0xc7, 0xf0, 0x0f, 0xc7, 0xf1, 0x66, 0x0f, 0xc7, 0xfa]; // rdrand rax; rdrand ecx; rdseed dx
    const registers = () => {
      const { tc } = run(code, (machine) => {
        for (const index of [0, 1, 2]) machine.tc.setGpr(index, -1n);
        machine.tc.rflags = 0x202 | 0x8d5;
      });
      equal(tc.rflags, 0x203);
      return [0, 1, 2].map((index) => tc.gpr(index));
    };
    const [rax, rcx, rdx] = registers();
    deepEqual([rcx! >> 32n, rdx! >> 16n], [0n, 0xffff_ffff_ffffn]);
    equal(new Set([rax! >> 32n, rax! & 0xffff_ffffn, rcx]).size, 3);
    deepEqual(registers(), [rax, rcx, rdx]);
  });
});

describe('segments', () => {
  const writeFsBase = [0xf3, 0x48, 0x0f, 0xae, 0xd0]; // wrfsbase rax

  test('WRFSBASE moves what lies in FS; RDFSBASE and its form of 32 bits read it', () => {
    const code = [
      ...writeFsBase,
      0x64,
      0x8b,
      0x1c,
      0x25,
      8,
      0,
      0,
      0,
      0xf3,
      0x48,
      0x0f,
      0xae,
      0xc1,
      0xf3,
      0x0f,
      0xae,
      0xc2,
    ];
    const { tc } = run(code, (machine) => {
      machine.tc.setGpr(0, BigInt(DATA));
      machine.tc.setGpr(2, -1n);
      machine.write(DATA + 8, Uint8Array.of(0x78, 0x56, 0x34, 0x12));
    });
    deepEqual([tc.gpr(3), tc.gpr(1), tc.gpr(2)], [0x1234_5678n, BigInt(DATA), BigInt(DATA)]);
  });

  test('a base that is not canonical is #GP; without CR4.FSGSBASE there are no such instructions', () => {
    equal(run(writeFsBase, (machine) => machine.tc.setGpr(0, NON_CANONICAL)).vector, Vector.GP);
    const off = run(writeFsBase, (machine) => setCr4(machine.tc, Cr4.FSGSBASE, false));
    deepEqual([off.vector, off.at], [Vector.UD, 0]);
  });

  test('a null selector makes a data segment unusable; SS cannot have one', () => {
    const { tc, vector, at, errorCode } = run([0x31, 0xc0, 0x8e, 0xe8, 0x8e, 0xd0]); // xor eax, eax; mov gs, eax; mov ss, eax
    equal(tc.segment(Seg.GS).attributes, SegmentAttribute.UNUSABLE);
    deepEqual([vector, errorCode, at], [Vector.GP, 0, 4]);
  });

  test('LFS loads a register and the segment behind it in memory, or nothing at all', () => {
    const load = (selector: number) =>
      run([0x0f, 0xb4, 0x03], (machine) => {
        machine.tc.setGpr(3, BigInt(DATA));
        machine.write(DATA, Uint8Array.of(0x78, 0x56, 0x34, 0x12, selector, 0));
      });
    const loaded = load(0x2b);
    deepEqual([loaded.tc.gpr(0), loaded.tc.segment(Seg.FS).selector], [0x1234_5678n, 0x2b]);
    const refused = load(0x13);
    deepEqual([refused.vector, refused.errorCode, refused.tc.gpr(0)], [Vector.GP, 0x10, 0n]);
  });

  test('a segment that is not present is #NP with its selector', () => {
    const { P } = SegmentAttribute;
    const absent = { ...SegmentPreset.userData, attributes: SegmentPreset.userData.attributes & ~P };
    const { vector, errorCode } = run([0xb8, 0x43, 0, 0, 0, 0x8e, 0xe0], undefined, {
      descriptor: () => absent,
    });
    deepEqual([vector, errorCode], [Vector.NP, 0x40]);
  });

  test('CR4.UMIP hides the system tables and registers', () => {
    // sgdt, sidt, smsw, sldt, str
    const codes = [[0x0f, 0x01, 0x03], [0x0f, 0x01, 0x0b], [0x0f, 0x01, 0xe0], [0x0f, 0x00, 0xc0], [0x0f, 0x00, 0xc8]]; // biome-ignore format: one line
    const vectors = (isOn: boolean) =>
      codes.map(
        (code) =>
          run(code, ({ tc }) => {
            tc.setGpr(3, BigInt(DATA));
            setCr4(tc, Cr4.UMIP, isOn);
          }).vector,
      );
    deepEqual(
      vectors(true),
      codes.map(() => Vector.GP),
    );
    deepEqual(
      vectors(false),
      codes.map(() => Vector.UD),
    );
  });

  test('SGDT stores a limit of 16 bits and a base of 64', () => {
    const { machine } = run([0x0f, 0x01, 0x03], ({ tc }) => {
      tc.setGpr(3, BigInt(DATA));
      tc.set(OFFSET.gdtr, 0x1122_3344_5566_7788n);
      tc.set(OFFSET.gdtr + 8, 0x7fn);
    });
    deepEqual([...machine.read(DATA, 10)], [0x7f, 0, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11]);
  });
});
