// Runs pieces of code on the processor of this machine: silicon.c is compiled, given a file of records, and returns
// each with the registers, flags, memory and exception that the code left.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { otherProcessor } from '../../support/reference-processor.ts';

const RECORD_BYTES = 0x300;
const AT = {
  code: 0,
  gpr: 0x40,
  rip: 0xc0,
  rflags: 0xc8,
  selector: 0xd0,
  vector: 0xd4,
  errorCode: 0xd8,
  address: 0xe0,
  memory: 0x100,
};
const CODE_BYTES = 64;
export const MEMORY_BYTES = 512;
const UD2 = [0x0f, 0x0b];

/**
 * What a piece of code starts from. Memory is the beginning of the data area, the rest of which is zero; `is32` is
 * compatibility mode.
 */
export interface Piece {
  readonly code: readonly number[];
  readonly gpr: readonly bigint[];
  readonly rflags: number;
  readonly memory: Uint8Array;
  readonly is32: boolean;
}

/** What it left: `vector` is #UD at the end of the code where nothing went wrong. */
export interface Outcome {
  readonly gpr: readonly bigint[];
  readonly rip: bigint;
  readonly rflags: number;
  readonly vector: number;
  readonly errorCode: number;
  readonly address: bigint;
  readonly memory: Uint8Array;
}

/** The code with the UD2 at its end. */
export function withEnd(code: readonly number[]): Uint8Array {
  if (code.length + UD2.length > CODE_BYTES) throw new RangeError('the code is too long for a record');
  const bytes = new Uint8Array(CODE_BYTES).fill(0x90);
  bytes.set([...code, ...UD2]);
  return bytes;
}

/** The compiled runner, in a directory of its own until it is closed. */
export class Silicon {
  readonly #directory = mkdtempSync(join(tmpdir(), 'silicon-'));
  readonly #program = join(this.#directory, 'run');

  constructor() {
    const source = join(import.meta.dirname, 'silicon.c');
    const { status, stderr } = spawnSync('gcc', ['-O1', '-o', this.#program, source]);
    if (status !== 0) throw new Error(`gcc: ${stderr}`);
  }

  /** Runs all pieces on this machine's processor. */
  run(pieces: readonly Piece[]): Outcome[] {
    const file = join(this.#directory, 'records');
    writeFileSync(file, encode(pieces));
    const { status, signal } = spawnSync(this.#program, [file], { timeout: 20_000 });
    if (status !== 0) throw new Error(`silicon runner: status ${status}, signal ${signal}`);
    const results = readFileSync(file);
    return pieces.map((_, i) => decode(results.subarray(i * RECORD_BYTES, (i + 1) * RECORD_BYTES)));
  }

  close(): void {
    rmSync(this.#directory, { recursive: true });
  }
}

function encode(pieces: readonly Piece[]): Uint8Array {
  const all = new Uint8Array(pieces.length * RECORD_BYTES);
  for (const [i, { code, gpr, rflags, memory, is32 }] of pieces.entries()) {
    const bytes = all.subarray(i * RECORD_BYTES, (i + 1) * RECORD_BYTES);
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    bytes.set(withEnd(code), AT.code);
    for (const [register, value] of gpr.entries()) view.setBigUint64(AT.gpr + 8 * register, value, true);
    view.setUint32(AT.rflags, rflags, true);
    view.setUint32(AT.selector, is32 ? 0x23 : 0x33, true);
    bytes.set(memory, AT.memory);
  }
  return all;
}

function decode(bytes: Uint8Array): Outcome {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  return {
    gpr: Array.from({ length: 16 }, (_, i) => view.getBigUint64(AT.gpr + 8 * i, true)),
    rip: view.getBigUint64(AT.rip, true),
    rflags: view.getUint32(AT.rflags, true),
    vector: view.getUint32(AT.vector, true),
    errorCode: view.getUint32(AT.errorCode, true),
    address: view.getBigUint64(AT.address, true),
    memory: bytes.slice(AT.memory, AT.memory + MEMORY_BYTES),
  };
}

function cpuinfo(key: string): string {
  const line = readFileSync('/proc/cpuinfo', 'utf8').match(new RegExp(`^${key}\\s*: (.*)$`, 'm'));
  return line?.[1] ?? '';
}

/** Why code cannot be run here; false where it can. */
export function noSilicon(): string | false {
  return otherProcessor() || (spawnSync('gcc', ['--version']).status === 0 ? false : 'no gcc');
}

/** Features of this processor, and whether it is the one whose undefined flags we follow: AMD family 19h and later. */
export function siliconFeatures(): ReadonlySet<string> {
  return new Set(cpuinfo('flags').split(' '));
}

export function isReferenceSilicon(): boolean {
  return cpuinfo('vendor_id') === 'AuthenticAMD' && Number(cpuinfo('cpu family')) >= 25;
}
