// Runs single instructions on the processor of this machine: silicon.c is compiled, given a file of records
// and returns each with the registers, flags and memory that the instruction left.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { otherProcessor } from '../../support/reference-processor.ts';

const RECORD_BYTES = 1024;
const AT = {
  code: 0,
  length: 0x10,
  signal: 0x14,
  rax: 0x18,
  rflags: 0x20,
  rbx: 0x28,
  memory: 0x40,
  fxsave: 0x200,
};
const MEMORY_BYTES = AT.fxsave - AT.memory;

/** One instruction with its operands; after a run with its results. `memory` is where rdi points. */
export class SiliconCase {
  readonly bytes: Uint8Array;
  readonly view: DataView;

  constructor(bytes = new Uint8Array(RECORD_BYTES)) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, RECORD_BYTES);
  }

  /** A case with the state of FNINIT and default MXCSR. */
  static of(code: readonly number[]): SiliconCase {
    const it = new SiliconCase();
    it.bytes.set(code, AT.code);
    it.bytes[AT.length] = code.length;
    it.view.setBigUint64(AT.rflags, 0x202n, true);
    it.view.setUint16(AT.fxsave, 0x37f, true);
    it.mxcsr = 0x1f80;
    return it;
  }

  get signal(): number {
    return this.view.getUint32(AT.signal, true);
  }
  set signal(value: number) {
    this.view.setUint32(AT.signal, value, true);
  }
  /** The instruction. */
  get code(): Uint8Array {
    return this.bytes.subarray(AT.code, AT.code + this.bytes[AT.length]!);
  }
  get mxcsr(): number {
    return this.view.getUint32(AT.fxsave + 24, true);
  }
  set mxcsr(value: number) {
    this.view.setUint32(AT.fxsave + 24, value, true);
  }
  get rax(): bigint {
    return this.view.getBigUint64(AT.rax, true);
  }
  set rax(value: bigint) {
    this.view.setBigUint64(AT.rax, value, true);
  }
  get rbx(): bigint {
    return this.view.getBigUint64(AT.rbx, true);
  }
  set rbx(value: bigint) {
    this.view.setBigUint64(AT.rbx, value, true);
  }
  get rflags(): number {
    return this.view.getUint32(AT.rflags, true);
  }
  set rflags(value: number) {
    this.view.setUint32(AT.rflags, value, true);
  }
  get memory(): Uint8Array {
    return this.bytes.subarray(AT.memory, AT.memory + MEMORY_BYTES);
  }
  get fxsave(): Uint8Array {
    return this.bytes.subarray(AT.fxsave);
  }
  /** XMM0 to XMM15, the bytes of one. */
  xmm(index: number): Uint8Array {
    return this.bytes.subarray(AT.fxsave + 160 + 16 * index, AT.fxsave + 176 + 16 * index);
  }

  /** The bytes of MM0 to MM7: the image has registers from the top of the stack on. */
  mmx(index: number): Uint8Array {
    const top = (this.bytes[AT.fxsave + 3]! >> 3) & 7;
    const at = AT.fxsave + 32 + 16 * ((index - top) & 7);
    return this.bytes.subarray(at, at + 8);
  }
}

/** The compiled runner, in a directory of its own. */
export class Silicon {
  readonly #directory: string;

  constructor() {
    this.#directory = mkdtempSync(join(tmpdir(), 'silicon-'));
    const source = join(import.meta.dirname, 'silicon.c');
    const { status, stderr } = spawnSync('gcc', ['-O1', '-o', join(this.#directory, 'run'), source]);
    if (status === 0) return;
    this.close();
    throw new Error(`gcc: ${stderr}`);
  }

  /** Runs the cases in order, each in place. */
  run(cases: readonly SiliconCase[]): void {
    const file = join(this.#directory, 'records');
    const all = new Uint8Array(cases.length * RECORD_BYTES);
    for (const [i, one] of cases.entries()) all.set(one.bytes, i * RECORD_BYTES);
    writeFileSync(file, all);
    const { status, stderr } = spawnSync(join(this.#directory, 'run'), [file], { timeout: 20_000 });
    if (status !== 0) throw new Error(`silicon runner: status ${status}: ${stderr}`);
    const results = readFileSync(file);
    for (const [i, one] of cases.entries()) {
      one.bytes.set(results.subarray(i * RECORD_BYTES, (i + 1) * RECORD_BYTES));
    }
  }

  close(): void {
    rmSync(this.#directory, { recursive: true });
  }
}

/** Compiles the runner, runs the cases, each in place, and leaves nothing behind. */
export function runOnSilicon(cases: readonly SiliconCase[]): void {
  const silicon = new Silicon();
  try {
    silicon.run(cases);
  } finally {
    silicon.close();
  }
}

const HAS_GCC = spawnSync('gcc', ['--version']).status === 0;

function cpuinfo(key: string): string {
  const line = readFileSync('/proc/cpuinfo', 'utf8').match(new RegExp(`^${key}\\s*: (.*)$`, 'm'));
  return line?.[1] ?? '';
}

/** Why instructions cannot be run here; false where they can. */
export function noSilicon(feature = 'sse4_1'): string | false {
  const other = otherProcessor();
  if (other !== false) return other;
  if (!HAS_GCC) return 'no gcc';
  return cpuinfo('flags').split(' ').includes(feature) ? false : `the processor has no ${feature}`;
}

/** Why bits that the manuals leave to the maker cannot be compared: they are AMD Zen 4's. False on it. */
export function otherVendor(): string | false {
  return noSilicon();
}
