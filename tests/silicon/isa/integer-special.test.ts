// General-purpose instructions whose registers must point somewhere, and combinations of prefixes, against this machine's
// processor: string instructions, the stack, addresses, VEX, and what is no instruction at all.

import { equal } from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Rflags } from '../../../src/arch/x86/registers.ts';
import { CODE, DATA } from '../../support/functional-machine.ts';
import { Comparison, type NamedPiece } from './comparison.ts';
import { Dice, OPERAND, pieceOf } from './form-cases.ts';
import { ODD_ENCODINGS_32, ODD_ENCODINGS_64 } from './odd-encodings.ts';
import { isReferenceSilicon, noSilicon, type Piece, Silicon } from './silicon.ts';

const dice = new Dice(4711);
const NO_66 = 0x66;

/** Registers to be set, by number; flags, and words of memory by their offset in the data area. */
interface Setting {
  readonly gpr?: Readonly<Record<number, bigint>>;
  readonly rflags?: number;
  readonly words?: Readonly<Record<number, number>>;
}

function pieceWith(
  code: readonly number[],
  is32: boolean,
  { gpr = {}, rflags, words = {} }: Setting = {},
): NamedPiece {
  const base = pieceOf(code, is32, dice);
  const view = new DataView(base.memory.buffer);
  for (const [at, word] of Object.entries(words)) view.setUint32(Number(at), word, true);
  const mask = is32 ? 0xffff_ffffn : 0xffff_ffff_ffff_ffffn;
  const piece: Piece = {
    ...base,
    rflags: rflags ?? base.rflags,
    gpr: base.gpr.map((value, i) => (gpr[i] ?? value) & mask),
  };
  return { name: is32 ? 'compatibility mode' : '64-bit mode', piece, undefinedFlags: 0 };
}

let silicon: Silicon;

function compare(pieces: readonly NamedPiece[]): void {
  const comparison = new Comparison(silicon, pieces);
  equal(comparison.differences('never').join('\n'), '');
  equal(comparison.differences('always').join('\n'), '');
}

/** In both modes. */
function inBoth(code: readonly number[], setting: Setting = {}): NamedPiece[] {
  return [false, true].map((is32) => pieceWith(code, is32, setting));
}

const STRING_OPCODES = [0xa4, 0xa5, 0xa6, 0xa7, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf];

function stringPieces(is32: boolean): NamedPiece[] {
  const found: NamedPiece[] = [];
  // ES and SS in front of the source; 67 makes addresses of 32 bits, whose upper halves do not count.
  const before = is32 ? [[], [0x26], [0x36]] : [[], [0x67]];
  for (const opcode of STRING_OPCODES) {
    for (const size of is32 ? [[], [NO_66]] : [[], [NO_66], [0x48]]) {
      for (const repeat of [[], [0xf3], [0xf2]]) {
        for (const prefix of before) {
          for (const count of [0n, 1n, 7n]) {
            const upper = prefix[0] === 0x67 ? 0xabcd_0000_0000n : 0n;
            const legacy =
              size[0] === 0x48 ? [...prefix, ...repeat, ...size] : [...size, ...prefix, ...repeat];
            const gpr = {
              1: count | upper,
              6: BigInt(DATA + 0x40 + dice.below(64)) | upper,
              7: BigInt(OPERAND + dice.below(16)) | upper,
            };
            const direction = dice.below(2) === 0 ? 0 : Rflags.DF;
            found.push(pieceWith([...legacy, opcode], is32, { gpr, rflags: 0x202 | direction }));
          }
        }
      }
    }
  }
  return found;
}

/** Memory and accumulator all alike, so that repeated comparisons go on. */
function equalStrings(): NamedPiece[] {
  const words = Object.fromEntries(Array.from({ length: 128 }, (_, i) => [4 * i, 0x4141_4141]));
  const gpr = { 0: 0x4141_4141n, 1: 9n, 6: BigInt(DATA + 0x20), 7: BigInt(OPERAND) };
  return [0xa6, 0xa7, 0xae, 0xaf].flatMap((opcode) =>
    [0xf3, 0xf2].flatMap((repeat) => inBoth([repeat, opcode], { gpr, words })),
  );
}

/** POPF with the flags at the top of the stack; NT, ID, AC and TF would disturb the process. */
function flagPieces(): NamedPiece[] {
  const harmless = ~(Rflags.NT | Rflags.ID | Rflags.AC | Rflags.TF);
  return [0, -1, 0x3202, 0x8d5, 0x400, 0x1_0202, 0x2_0202].flatMap((flags) =>
    [[0x9d], [NO_66, 0x9d], [0x9d, 0x9c], [0x9d, NO_66, 0x9c]].flatMap((code) =>
      inBoth(code, { words: { 384: flags & harmless, 388: 0 } }),
    ),
  );
}

describe('strings, stack and encodings against silicon', { skip: noSilicon() }, () => {
  before(() => {
    silicon = new Silicon();
  });
  after(() => silicon.close());

  test('string instructions in all sizes, repeated or not, in both directions', () => {
    compare([...stringPieces(false), ...stringPieces(true), ...equalStrings()]);
  });

  test('a repeated string instruction that faults has done the rounds in front of the fault', () => {
    const gpr = { 0: 0n, 1: 9n, 6: BigInt(DATA + 0x20), 7: BigInt(DATA + 0x3ffc) };
    compare([0xa4, 0xa5, 0xaa, 0xab, 0xae].flatMap((opcode) => inBoth([0xf3, opcode], { gpr })));
  });

  test('XLAT adds AL without sign', () => {
    compare(
      [0x12n, 0xffn, 0x1280n].flatMap((al) => inBoth([0xd7], { gpr: { 0: al, 3: BigInt(DATA + 0x20) } })),
    );
  });

  test('returns, with bytes to leave out', () => {
    const words = { 384: CODE + 3, 388: 0 };
    const pieces = [0, 8, 0x7fff, 0xffff].flatMap((n) => inBoth([0xc2, n & 0xff, n >> 8], { words }));
    compare([...pieces, ...inBoth([0xc3, 0x90, 0x90], { words })]);
  });

  test('POPF changes the flags that ring 3 may change', () => {
    compare(flagPieces());
  });

  test('the stack pointer as operand, base and value', () => {
    // pop [rsp], pop [rsp + 16], push [rsp], push [rsp - 16], push rsp, pop rsp and others.
    const code = [
      [0x8f, 0x04, 0x24],
      [0x8f, 0x44, 0x24, 0x10],
      [0xff, 0x34, 0x24],
      [0xff, 0x74, 0x24, 0xf0],
      [0x54],
      [0x5c],
      [NO_66, 0x54],
      [NO_66, 0x5c],
      [NO_66, 0x8f, 0x44, 0x24, 0x08],
      [0xff, 0xf4],
      [0x8f, 0xc4],
      [0xe8, 0, 0, 0, 0],
      [0x58, 0x5b],
      [0xff, 0x14, 0x24],
      [0x87, 0x24, 0x24],
      [0x0f, 0xa8],
      [NO_66, 0x0f, 0xa8],
    ];
    const words = { 384: DATA + 0x140, 388: 0 };
    compare(code.flatMap((bytes) => inBoth(bytes, { words })));
  });

  test('addresses: SIB, displacements, RIP, 16 bits', () => {
    const pieces: NamedPiece[] = [];
    for (let sib = 0; sib < 256; sib += 3) {
      const mod = dice.below(3);
      const length = mod === 1 ? 1 : mod === 2 || (sib & 7) === 5 ? 4 : 0;
      const displacement = [0x81, 0x92, 0xa3, 0x94].slice(0, length);
      const lea = [0x8d, (mod << 6) | 0x0c, sib, ...displacement];
      pieces.push(pieceWith(lea, true), pieceWith([0x48 | dice.below(8), ...lea], false));
      pieces.push(pieceWith([0x67, 0x40 | dice.below(16), ...lea], false));
    }
    for (let rm = 0; rm < 8; rm++) {
      const direct = rm === 6 ? [0x34, 0x92] : [];
      for (const tail of [
        [0x08 | rm, ...direct],
        [0x48 | rm, 0x85],
        [0x88 | rm, 0x21, 0x83],
      ])
        pieces.push(pieceWith([0x67, 0x8d, ...tail], true));
    }
    for (const code of [
      [0x48, 0x8d, 0x05, 0xf0, 0xff, 0xff, 0xff],
      [0x67, 0x48, 0x8d, 0x05, 0xf0, 0xff, 0x0f, 0x80],
      [0x8b, 0x05, 0xf0, 0, 0, 0],
    ])
      pieces.push(pieceWith(code, false));
    compare(pieces);
  });

  test('descriptors that Linux gives to programs', { skip: !isReferenceSilicon() }, () => {
    const selectors = [0n, 3n, 0x10n, 0x23n, 0x28n, 0x2bn, 0x30n, 0x33n, 0xf8n];
    // lar eax, cx; lar ax, cx; lar rax, rcx; lsl; verr; verw; mov gs, ecx and what it holds then
    const code = [
      [0x0f, 0x02, 0xc1],
      [NO_66, 0x0f, 0x02, 0xc1],
      [0x48, 0x0f, 0x02, 0xc1],
      [0x0f, 0x03, 0xc1],
      [0x48, 0x0f, 0x03, 0xc1],
      [0x0f, 0x00, 0xe1],
      [0x0f, 0x00, 0xe9],
      [0x8e, 0xe9, 0x8c, 0xe8],
    ];
    compare(
      selectors.flatMap((selector) => code.map((bytes) => pieceWith(bytes, false, { gpr: { 1: selector } }))),
    );
  });

  test('prefixes, ModRM fields and bytes that are no instruction', { skip: !isReferenceSilicon() }, () => {
    compare([
      ...ODD_ENCODINGS_64.map((code) => pieceWith(code, false)),
      ...ODD_ENCODINGS_32.map((code) => pieceWith(code, true)),
    ]);
  });
});
