// Encodings in which something about prefixes, registers or ModRM is to be decided, as assembler would write them and as it
// would not. Hexadecimal, one a line of the table; what they do, or that they are none, the processor says.

/** 64-bit mode. */
const TABLE_64 = `
90 | 41 90 | 49 90 | 66 41 90 | 66 90 | f3 90 | f3 41 90
66 48 05 01 02 03 04 | 48 66 05 01 02 | 40 b4 12 | b4 12
f2 f3 0f bd c3 | f3 f2 0f bd c3 | f2 0f bc c3 | 66 f3 0f bc c3
f2 66 0f 38 f1 c3 | 66 f2 48 0f 38 f1 c3 | 66 f2 0f 38 f1 c3 | 66 f3 0f b8 c3
f0 01 07 | f0 01 c0 | f0 87 07 | f0 0f a3 07 | f0 03 07 | f0 39 07 | f0 0f ab 07 | f0 ff 37 | f0 90 | f0 8b 07
66 66 66 66 66 66 66 66 66 66 66 66 66 66 90 | 66 66 66 66 66 66 66 66 66 66 66 66 66 66 66 90
66 c4 e2 68 f2 c3 | 48 c4 e2 68 f2 c3 | f3 c4 e2 68 f2 c3 | f0 c4 e2 68 f2 c3 | 67 c4 e2 68 f2 07 | 64 c4 e2 68 f2 c3
c4 e2 6c f2 c3 | c4 e2 68 f2 c3 | c4 e2 e8 f2 c3 | c4 e2 69 f2 c3 | c4 c2 68 f2 c1 | c4 62 68 f2 c1 | c4 e2 30 f2 c3
c4 e3 7b f0 c3 05 | c4 e3 6b f0 c3 05 | c4 e3 fb f0 c3 45 | c4 a2 68 f2 07 | c5 e8 f2 c3 | c4 e4 68 f2 c3
c4 e0 68 f2 c3 | 0f 38 f2 c3 | c4 e2 68 f3 cb | c4 e2 68 f3 c3 | c4 e2 68 f3 e3
66 0f 38 f0 07 | f3 0f 38 f0 07 | 0f 38 f0 c3 | 66 0f 38 f6 c3 | 66 48 0f 38 f6 c3 | f3 48 0f 38 f6 c3 | 66 f3 0f 38 f6 c3
0f 1e fa | f3 0f 1e fa | f3 0f 1e fb | f3 0f 1e c8 | f3 48 0f 1e c8 | 66 0f 1f 44 00 00 | 0f 18 c0 | 0f 18 38 | 0f 1c 00
f3 0f ae e8 | 0f ae e8 | 0f ae ef | 0f ae f1 | 0f ae ff | 66 0f ae ff | f2 0f ae e8 | 66 0f c3 07 | 0f c3 c0
d6 | 06 | 0e | 16 | 1e | 07 | 17 | 1f | 27 | 2f | 37 | 3f | 60 | 61 | 62 07 | 9a | ea | ce | d4 0a | d5 0a | 82 c0 01
0f 0b | 0f b9 c0 | 0f ff c0 | 0f 37 | 0f 04 | 0f 24 c0 | 0f 26 c0 | 0f 36 | 0f 0c | 0f 20 c8 | 0f 20 28 | 0f 20 00 | 0f 22 c0 | 0f 21 e0
f6 c8 05 | f7 0f 05 00 00 00 | c0 f0 03 | fe d0 | fe 17 | ff ff | 8e c8 | 8c f0 | 8c f8 | 8e f0 | 8d c0 | 8f c8 | c6 c8 01 | c7 08 01 00 00 00
66 0f b7 c3 | 66 0f bf c3 | 48 0f b7 c3 | 66 63 c3 | 63 c3 | 48 63 c3 | 66 48 63 c3 | 66 0f c8 | 48 0f c8 | 49 0f c8
67 e3 00 | 66 98 | 98 | 48 98 | 66 99 | 99 | 48 99 | 66 f2 0f 38 f0 c4 | 0f c7 c8 | 0f c7 0f | 48 0f c7 0f | 48 0f c7 4f 08
88 e0 | 40 88 e0 | 0f b6 fc | 40 0f b6 fc | 0f 94 c4 | 86 e0 | 00 fc | 0f c0 e0 | 0f b0 e4 | 44 88 e8 | 41 88 f4
66 2e 36 3e 26 8b 07 | 48 40 8b 07 | 40 48 8b 07 | 67 48 8b 07 | f2 48 8b 07 | f3 89 07
`;

/** Compatibility mode: VEX beside LES and LDS, INC and DEC in place of REX, registers above 7 that are not there. */
const TABLE_32 = `
c4 e2 68 f2 c3 | c4 e2 e8 f2 c3 | c4 e2 28 f2 c3 | c4 c2 68 f2 c3 | c4 e3 7b f0 c3 05 | c4 e3 fb f0 c3 25 | c5 e8 f2 c3
67 8b 07 | 67 8b 47 08 | 63 d8 | 66 63 d8 | 63 1f | 40 | 48 | 66 41 | 66 4f | 0f a0 | 66 06 | 1e | 0e | 16 | 66 1e
66 60 | 66 61 | 60 61 | 62 1f | 66 62 1f | d6 | ce | 82 c0 01 | 80 c4 01 | d4 00 | 0f c7 0f | f3 0f ae c0
2e 8b 07 | 36 8b 07 | 26 8b 07 | 3e 8b 07 | 66 c8 08 00 01 | c8 08 00 03 | 66 c9 | c9 | 9c 58 | 66 9c 66 58
`;

function parse(table: string): number[][] {
  return table
    .trim()
    .split(/[|\n]/)
    .map((line) =>
      line
        .trim()
        .split(' ')
        .map((byte) => Number.parseInt(byte, 16)),
    );
}

export const ODD_ENCODINGS_64: readonly (readonly number[])[] = parse(TABLE_64);
export const ODD_ENCODINGS_32: readonly (readonly number[])[] = parse(TABLE_32);
