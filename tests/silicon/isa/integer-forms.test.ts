// Every form of every general-purpose instruction, in all operand sizes, with registers and memory, over values at the edges:
// what the interpreter and the translator make of it is what this machine's processor makes of it, flags included.

import { equal } from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Form } from '../../../src/arch/x86/isa/encoding.ts';
import { INTEGER } from '../../../src/arch/x86/isa/integer/index.ts';
import { CODE } from '../../support/functional-machine.ts';
import { Comparison, type NamedPiece } from './comparison.ts';
import { Dice, type Encoding, encode, encodingsOf, pieceOf, SKIPPED, SKIPPED_32 } from './form-cases.ts';
import { isReferenceSilicon, noSilicon, type Piece, Silicon, siliconFeatures } from './silicon.ts';
import { isResultUndefined, undefinedFlagsOf } from './undefined-flags.ts';

/** Not to be had from a process without more ado; integer-special.test.ts and integer-system.test.ts have most of them. */
const ELSEWHERE: Readonly<Record<string, readonly string[]>> = {
  'need registers that point somewhere': ['MOVS', 'STOS', 'LODS', 'SCAS', 'CMPS', 'XLAT', 'RET', 'POPF'],
  'need selectors: cpu-functional/far.test.ts has them': ['JMP FAR', 'CALL FAR', 'RETF', 'IRET'],
  'ask the operating system': ['SYSCALL', 'INT', 'INT1'],
  'tell of this machine': ['CPUID', 'RDTSC', 'RDTSCP', 'RDRAND', 'RDSEED', 'RDPID', 'XGETBV'],
  'tell of this kernel': ['SLDT', 'STR', 'SMSW', 'SGDT', 'SIDT', 'LAR', 'LSL', 'VERR', 'VERW'],
  'need an area: xsave.test.ts has them': ['XSAVE', 'XSAVEOPT', 'XSAVEC', 'XRSTOR'],
  'change segments that the process needs': ['LDS', 'RDFSBASE', 'RDGSBASE', 'WRFSBASE', 'WRGSBASE'],
};
const LEFT_OUT = new Set(Object.values(ELSEWHERE).flat());

function isLeftOut(form: Form): boolean {
  const { mnemonic } = form.instruction;
  const writesSegment = form.operands[0]?.file === 'segment' && mnemonic !== 'PUSH';
  return LEFT_OUT.has(mnemonic) || writesSegment;
}

function isHere(form: Form, features: ReadonlySet<string>): boolean {
  const feature = form.formFeature ?? form.instruction.feature;
  return feature === undefined || features.has(feature);
}

/** A branch is followed by an instruction that it leaves out, or its target register leads behind it. */
function withContinuation(encoding: Encoding, dice: Dice): Piece {
  const { form, is32 } = encoding;
  const code = encode(encoding);
  const isRelative = form.operands.some(({ source }) => source === 'relative');
  const piece = pieceOf(isRelative ? [...code, ...(is32 ? SKIPPED_32 : SKIPPED)] : code, is32, dice);
  if (isRelative || !['JMP', 'CALL'].includes(form.instruction.mnemonic)) return piece;
  const target = BigInt(CODE + code.length);
  const gpr = piece.gpr.map((value, i) => ([0, 2, 3, 9].includes(i) ? target : value));
  new DataView(piece.memory.buffer).setBigUint64(0x100, target, true);
  return { ...piece, gpr };
}

function piecesOf(is32: boolean): NamedPiece[] {
  const features = siliconFeatures();
  const dice = new Dice(is32 ? 32 : 64);
  const knowsUndefined = isReferenceSilicon();
  const found: NamedPiece[] = [];
  for (const form of INTEGER.flatMap(({ forms }) => forms)) {
    const isThere = is32 ? form.inCompatibility : form.in64;
    if (!isThere || isLeftOut(form) || !isHere(form, features)) continue;
    const { mnemonic } = form.instruction;
    for (const [number, encoding] of encodingsOf(form, is32).entries()) {
      // Most is the same in both modes.
      if (is32 && form.in64 && number % 3 !== 0) continue;
      if (!knowsUndefined && isResultUndefined(mnemonic, encoding.operandBits)) continue;
      const count = is32 || form.operands.some(({ source }) => source === 'immediate') ? 1 : 2;
      for (let i = 0; i < count; i++) {
        found.push({
          name: `${mnemonic} ${form}, ${encoding.operandBits} bits`,
          piece: withContinuation(encoding, dice),
          undefinedFlags: undefinedFlagsOf(mnemonic),
        });
      }
    }
  }
  return found;
}

/** Limits of segments are not looked at: of addresses beyond 4 GiB, which are #SS there, the upper bits are dropped. */
function isBeyondLimit(line: string): boolean {
  return /^(ENTER|LEAVE) /.test(line) && line.includes('vector is e and not c');
}

describe('general-purpose instructions against silicon', { skip: noSilicon() }, () => {
  let silicon: Silicon;
  before(() => {
    silicon = new Silicon();
  });
  after(() => silicon.close());

  for (const is32 of [false, true]) {
    test(is32 ? 'compatibility mode' : '64-bit mode', () => {
      const comparison = new Comparison(silicon, piecesOf(is32));
      for (const translate of ['never', 'always'] as const) {
        const lines = comparison
          .differences(translate, translate === 'never' ? 1 : 3)
          .filter((line) => !isBeyondLimit(line));
        equal(lines.map((line) => `translate ${translate}: ${line}`).join('\n'), '');
      }
    });
  }
});
