// Single instructions, executed by this machine's processor (silicon.c, compiled when a test asks for it) and by the engine of
// the functional CPU, from the same state: what comes of it is compared by the tests.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readFxsave, writeFxsave } from '../../src/arch/x86/fxsave.ts';
import { CODE, FunctionalMachine, PAGES } from './functional-machine.ts';
import { otherProcessor } from './reference-processor.ts';

export const MEMORY_BYTES = 640;
/** Offsets in the state as silicon.c has it: 16 general registers, RFLAGS, the address of the memory, FXSAVE64's area, memory. */
const AT = { rflags: 128, memoryAt: 136, fx: 144, memory: 656 } as const;
const STATE_BYTES = AT.memory + MEMORY_BYTES;
const INPUT_HEAD = 24;
const OUTPUT_HEAD = 16;
const NO_VECTOR = -1;

/** Registers and some memory. RSP is not set on silicon. */
export class MachineState {
  readonly bytes: Uint8Array;
  readonly view: DataView;

  constructor(bytes: Uint8Array = new Uint8Array(STATE_BYTES)) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  gpr(index: number): bigint {
    return this.view.getBigUint64(8 * index, true);
  }

  setGpr(index: number, value: bigint): void {
    this.view.setBigUint64(8 * index, value, true);
  }

  get rflags(): number {
    return this.view.getUint32(AT.rflags, true);
  }

  set rflags(value: number) {
    this.view.setUint32(AT.rflags, value, true);
  }

  get memoryAt(): number {
    return this.view.getUint32(AT.memoryAt, true);
  }

  set memoryAt(address: number) {
    this.view.setUint32(AT.memoryAt, address, true);
  }

  /** FXSAVE64's area, and the memory: views. */
  get fx(): Uint8Array {
    return this.bytes.subarray(AT.fx, AT.memory);
  }

  get memory(): Uint8Array {
    return this.bytes.subarray(AT.memory);
  }
}

export interface InstructionCase {
  readonly code: Uint8Array;
  readonly state: MachineState;
}

/** What came of a case: the vector of an exception (−1: none) and the state behind it, which silicon tells only without one. */
export interface Outcome {
  readonly vector: number;
  /** Of a page fault; else 0. */
  readonly address: bigint;
  readonly state: MachineState;
}

let cpuFlags: ReadonlySet<string> | undefined;

/** Features of this processor, by their names in /proc/cpuinfo; none where it is no x86-64 Linux. */
export function hostFeatures(): ReadonlySet<string> {
  if (cpuFlags === undefined) {
    const isLinux = process.platform === 'linux' && process.arch === 'x64';
    const line = isLinux ? /^flags\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8')) : null;
    cpuFlags = new Set(line?.[1]?.trim().split(/\s+/) ?? []);
  }
  return cpuFlags;
}

let gcc: boolean | undefined;

/** Why instructions cannot be executed on this processor; false if they can. For the `skip` option of a test. */
export function whyNoSilicon(features: readonly string[] = []): string | false {
  const missing = ['fxsr', ...features].filter((name) => !hostFeatures().has(name));
  if (missing.length > 0) return `a processor with ${missing.join(', ')}`;
  const other = otherProcessor();
  if (other !== false) return other;
  gcc ??= spawnSync('gcc', ['--version']).status === 0;
  return gcc ? false : 'gcc';
}

/** The program of silicon.c. */
export class Silicon {
  readonly #directory = mkdtempSync(join(tmpdir(), 'silicon-'));
  readonly #program = join(this.#directory, 'silicon');

  constructor() {
    const source = join(import.meta.dirname, 'silicon.c');
    const { status, stderr } = spawnSync('gcc', ['-O1', '-Wall', '-o', this.#program, source]);
    if (status !== 0) throw new Error(`gcc: ${stderr}`);
  }

  run(cases: readonly InstructionCase[]): Outcome[] {
    const size = INPUT_HEAD + STATE_BYTES;
    const input = new Uint8Array(cases.length * size);
    for (const [i, { code, state }] of cases.entries()) {
      input.set(code, i * size);
      input[i * size + 16] = code.length;
      input.set(state.bytes, i * size + INPUT_HEAD);
    }
    const { status, signal, stdout } = spawnSync(this.#program, { input, maxBuffer: 2 * input.length });
    const outputs = Math.floor(stdout.length / (OUTPUT_HEAD + STATE_BYTES));
    if (status !== 0) throw new Error(`ended by ${signal ?? status} at case ${outputs} of ${cases.length}`);
    return cases.map((_, i) => {
      const bytes = stdout.subarray(i * (OUTPUT_HEAD + STATE_BYTES), (i + 1) * (OUTPUT_HEAD + STATE_BYTES));
      return {
        vector: Number(bytes.readBigInt64LE(0)),
        address: bytes.readBigUInt64LE(8),
        state: new MachineState(Uint8Array.prototype.slice.call(bytes, OUTPUT_HEAD)),
      };
    });
  }

  dispose(): void {
    rmSync(this.#directory, { recursive: true });
  }
}

const JUMP_TO_NEXT = [0xeb, 0];

/**
 * The engine as a processor for such cases. For the interpreter the code of many cases lies side by side, so that it is decoded
 * at once; translated, an instruction is a region with a jump behind it.
 */
export class EngineProcessor {
  readonly machine: FunctionalMachine;
  readonly #behind: readonly number[];

  constructor(how: 'interpreted' | 'translated') {
    const translates = how === 'translated';
    this.machine = new FunctionalMachine({ translate: translates ? 'always' : 'never' });
    this.#behind = translates ? JUMP_TO_NEXT : [];
  }

  run(cases: readonly InstructionCase[]): Outcome[] {
    const outcomes: Outcome[] = [];
    let addresses = new Map<string, number>();
    for (const [i, { code, state }] of cases.entries()) {
      const key = code.join();
      if (!addresses.has(key)) addresses = this.#place(cases, i);
      outcomes.push(this.#execute(addresses.get(key)!, state));
    }
    return outcomes;
  }

  /** Writes the code of as many cases from the n-th on as there is room for. */
  #place(cases: readonly InstructionCase[], first: number): Map<string, number> {
    const addresses = new Map<string, number>();
    const bytes: number[] = [];
    for (let i = first; i < cases.length && bytes.length < PAGES * 4096 - 32; i++) {
      const { code } = cases[i]!;
      const key = code.join();
      if (addresses.has(key)) continue;
      addresses.set(key, CODE + bytes.length);
      bytes.push(...code, ...this.#behind);
    }
    this.machine.load(bytes);
    return addresses;
  }

  #execute(rip: number, before: MachineState): Outcome {
    const { tc, engine } = this.machine;
    for (let i = 0; i < 16; i++) if (i !== 4) tc.setGpr(i, before.gpr(i));
    tc.rflags = before.rflags | 2;
    readFxsave(before.fx, tc);
    this.machine.write(before.memoryAt, before.memory);
    tc.ripNumber = rip;
    const end = engine.run(this.#behind.length === 0 ? 1 : 2);
    const after = new MachineState();
    for (let i = 0; i < 16; i++) if (i !== 4) after.setGpr(i, tc.gpr(i));
    after.rflags = tc.rflags;
    after.memoryAt = before.memoryAt;
    writeFxsave(tc, after.fx);
    after.memory.set(this.machine.read(before.memoryAt, MEMORY_BYTES));
    if (end.kind !== 'exception') return { vector: NO_VECTOR, address: 0n, state: after };
    return { vector: end.vector, address: end.address, state: after };
  }
}

/** Bytes of FXSAVE64's area that are compared: not the mask of MXCSR, nor what is reserved. */
function isCompared(at: number): boolean {
  if (at >= 28 && at < 32) return false;
  if (at >= 32 && at < 160) return at % 16 < 10;
  return at < 416;
}

const FX_COMPARED: readonly number[] = Array.from({ length: 416 }, (_, at) => at).filter(isCompared);

/** In what two states differ, for a message; undefined: in nothing. `flags`: the bits of RFLAGS that are compared. */
export function difference(a: MachineState, b: MachineState, flags: number): string | undefined {
  for (let i = 0; i < 16; i++)
    if (i !== 4 && a.gpr(i) !== b.gpr(i)) return `r${i}: ${a.gpr(i).toString(16)}, ${b.gpr(i).toString(16)}`;
  if (((a.rflags ^ b.rflags) & flags) !== 0)
    return `rflags: ${a.rflags.toString(16)}, ${b.rflags.toString(16)}`;
  const [fxA, fxB] = [a.fx, b.fx];
  for (const at of FX_COMPARED) if (fxA[at] !== fxB[at]) return describe('fxsave', fxA, fxB, at);
  const [memoryA, memoryB] = [a.memory, b.memory];
  for (let at = 0; at < MEMORY_BYTES; at++)
    if (memoryA[at] !== memoryB[at]) return describe('memory', memoryA, memoryB, at);
  return undefined;
}

/** The 16 bytes around the difference. */
function describe(what: string, a: Uint8Array, b: Uint8Array, at: number): string {
  const start = at - (at % 16);
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes.subarray(start, start + 16)).toString('hex');
  return `${what}+${start}: ${hex(a)}, ${hex(b)}`;
}
