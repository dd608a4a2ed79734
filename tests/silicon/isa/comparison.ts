// Compares what the engine and the processor of this machine left behind a piece of code.

import { STATUS_FLAGS } from '../../../src/arch/x86/isa/conditions.ts';
import { Rflags } from '../../../src/arch/x86/registers.ts';
import { EngineRunner } from './engine-runner.ts';
import { isReferenceSilicon, type Outcome, type Piece, type Silicon } from './silicon.ts';

/** A piece of code with what a failure is called by, and status flags that the manual leaves undefined behind it. */
export interface NamedPiece {
  readonly name: string;
  readonly piece: Piece;
  readonly undefinedFlags: number;
}

/** NT and ID stay set in the processes of silicon.c; AC and TF would disturb it. */
const COMPARED_FLAGS = STATUS_FLAGS | Rflags.DF | Rflags.IF | Rflags.IOPL;
const PAGE_FAULT = 14;
const UPPER_HALF = 1n << 63n;

/** Pieces of code, and what silicon left behind each; they are run there once. */
export class Comparison {
  readonly #pieces: readonly NamedPiece[];
  readonly #wanted: readonly Outcome[];

  constructor(silicon: Silicon, pieces: readonly NamedPiece[]) {
    this.#pieces = pieces;
    this.#wanted = silicon.run(pieces.map(({ piece }) => piece));
  }

  /** Runs every n-th of them on the engine; gives a line for each that differs. */
  differences(translate: 'never' | 'always', n = 1): string[] {
    const engine = new EngineRunner(translate);
    const knowsUndefined = isReferenceSilicon();
    const lines: string[] = [];
    for (const [i, { name, piece, undefinedFlags }] of this.#pieces.entries()) {
      if (i % n !== 0) continue;
      const compared = knowsUndefined ? COMPARED_FLAGS : COMPARED_FLAGS & ~undefinedFlags;
      const found = differences(engine.run(piece), this.#wanted[i]!, compared);
      if (found.length > 0) lines.push(`${name} [${hex(piece.code)}]: ${found.join('; ')}`);
    }
    return lines;
  }
}

function differences(got: Outcome, want: Outcome, comparedFlags: number): string[] {
  const found: string[] = [];
  const compare = (what: string, a: bigint | number, b: bigint | number) => {
    if (a !== b) found.push(`${what} is ${a.toString(16)} and not ${b.toString(16)}`);
  };
  for (let i = 0; i < 16; i++) compare(`r${i}`, got.gpr[i]!, want.gpr[i]!);
  compare('rip', got.rip, want.rip);
  compare('rflags', got.rflags & comparedFlags, want.rflags & comparedFlags);
  compare('vector', got.vector, want.vector);
  if (want.vector === PAGE_FAULT) compare('cr2', got.address, want.address);
  // The kernel's half of the address space is mapped there and not here.
  if (want.address < UPPER_HALF) compare('error code', got.errorCode, want.errorCode);
  const at = want.memory.findIndex((byte, i) => byte !== got.memory[i]);
  if (at >= 0) compare(`memory at ${at.toString(16)}`, got.memory[at]!, want.memory[at]!);
  return found;
}

export function hex(code: readonly number[]): string {
  return code.map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
}
