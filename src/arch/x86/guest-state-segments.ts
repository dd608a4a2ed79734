/**
 * Segment registers as VMX wants them: the rules of Intel SDM vol. 3 §26.3.1.2 as rows, and the small
 * corrections that make segments legal which other processors and simulators hold otherwise.
 */

import { has, hex, implies, isCanonical, type Rule, type State } from './guest-state-rule.ts';
import { Cr0, SEGMENT_NAMES, Seg } from './registers.ts';
import { type Segment, SegmentAttribute, SystemType } from './segments.ts';
import type { X86ThreadContext } from './thread-context.ts';

const A = SegmentAttribute;

const SEGMENTS = '26.3.1.2';
type SegmentTest = (segment: Segment, s: State) => boolean;
type SegmentRow = readonly [says: string, field: keyof Segment, holds: SegmentTest];

const isUsable = (segment: Segment): boolean => !has(segment.attributes, A.UNUSABLE);
const type = (segment: Segment): number => segment.attributes & A.TYPE;
const dpl = (segment: Segment): number => (segment.attributes & A.DPL) >>> A.DPL_SHIFT;
const rpl = (segment: Segment): number => segment.selector & 3;
const TABLE_INDICATOR = 4;

/** G must be 0 if any of the limit's bits 11:0 is 0, and 1 if any of bits 31:20 is 1. */
const granularityFits: SegmentTest = ({ limit, attributes }) =>
  has(attributes, A.G) ? (limit & 0xfff) === 0xfff : limit <= 0xf_ffff;

/** Rows that hold for every usable segment, system segments included. */
const COMMON_ROWS: readonly SegmentRow[] = [
  ['is present', 'attributes', ({ attributes }) => has(attributes, A.P)],
  ['has reserved access rights zero', 'attributes', ({ attributes }) => !has(attributes, A.RESERVED)],
  ['has a limit that fits G', 'limit', granularityFits],
];
const codeOrData: SegmentRow = [
  'is code or data (S = 1)',
  'attributes',
  ({ attributes }) => has(attributes, A.S),
];
const system: SegmentRow = [
  'is a system segment (S = 0)',
  'attributes',
  ({ attributes }) => !has(attributes, A.S),
];
const base32: SegmentRow = ['has base bits 63:32 zero', 'base', ({ base }) => base >> 32n === 0n];
const canonicalBase: SegmentRow = [
  'has a canonical base',
  'base',
  ({ base }, { options }) => isCanonical(base, options),
];

const accessedReadable: SegmentRow = [
  'is accessed, and readable if it is code',
  'attributes',
  (segment) =>
    has(type(segment), A.ACCESSED) && implies(has(type(segment), A.CODE), has(type(segment), A.READABLE)),
];
const privilegeOfData: SegmentRow = [
  'has DPL at or above RPL without unrestricted guest',
  'attributes',
  (segment, s) => s.options.unrestrictedGuest || type(segment) > 11 || dpl(segment) >= rpl(segment),
];
const dataRows: readonly SegmentRow[] = [accessedReadable, privilegeOfData, codeOrData, ...COMMON_ROWS];

/** CS type 3 is a data segment in CS: real mode under "unrestricted guest". */
const isDataCs = (s: State): boolean => type(s.segments[Seg.CS]!) === 3;

const CS_ROWS: readonly SegmentRow[] = [
  [
    'is accessed code, or with unrestricted guest type 3',
    'attributes',
    (cs, s) => [9, 11, 13, 15].includes(type(cs)) || (type(cs) === 3 && s.options.unrestrictedGuest),
  ],
  [
    'has the DPL that its type and SS demand',
    'attributes',
    (cs, s) => {
      const ss = dpl(s.segments[Seg.SS]!);
      if (isDataCs(s)) return dpl(cs) === 0;
      return has(type(cs), A.CONFORMING) ? dpl(cs) <= ss : dpl(cs) === ss;
    },
  ],
  [
    'has D/B zero in 64-bit mode',
    'attributes',
    (cs, s) => !(s.ia32e && has(cs.attributes, A.L) && has(cs.attributes, A.DB)),
  ],
  codeOrData,
  ...COMMON_ROWS,
  base32,
];

/** SS.DPL is the CPL, so these two hold of an unusable SS too. */
const SS_ALWAYS_ROWS: readonly SegmentRow[] = [
  [
    'has DPL = RPL without unrestricted guest',
    'attributes',
    (ss, s) => s.options.unrestrictedGuest || dpl(ss) === rpl(ss),
  ],
  [
    'has the RPL of CS without unrestricted guest',
    'selector',
    (ss, s) => s.options.unrestrictedGuest || rpl(ss) === rpl(s.segments[Seg.CS]!),
  ],
  [
    'has DPL 0 in real mode',
    'attributes',
    (ss, s) => implies(isDataCs(s) || !has(s.cr0, Cr0.PE), dpl(ss) === 0),
  ],
];
const SS_ROWS: readonly SegmentRow[] = [
  ['is writable, accessed data', 'attributes', (ss) => type(ss) === 3 || type(ss) === 7],
  codeOrData,
  ...COMMON_ROWS,
  base32,
];

const LDTR_ROWS: readonly SegmentRow[] = [
  ['has TI zero', 'selector', ({ selector }) => !has(selector, TABLE_INDICATOR)],
  ['is an LDT', 'attributes', (ldtr) => type(ldtr) === SystemType.LDT],
  system,
  ...COMMON_ROWS,
  canonicalBase,
];

const TR_ROWS: readonly SegmentRow[] = [
  ['is usable', 'attributes', (tr) => isUsable(tr)],
  ['has TI zero', 'selector', ({ selector }) => !has(selector, TABLE_INDICATOR)],
  [
    'is a busy TSS',
    'attributes',
    (tr, s) => type(tr) === SystemType.TSS_BUSY || (!s.ia32e && type(tr) === SystemType.TSS16_BUSY),
  ],
  system,
  ...COMMON_ROWS,
  canonicalBase,
];

/** In virtual-8086 mode everything follows from the selector. */
const V86_ROWS: readonly SegmentRow[] = [
  ['has base = selector × 16', 'base', ({ base, selector }) => base === BigInt(selector << 4)],
  ['has limit 0xffff', 'limit', ({ limit }) => limit === 0xffff],
  ['has access rights 0xf3', 'attributes', ({ attributes }) => attributes === 0xf3],
];

type When = (segment: Segment, s: State) => boolean;
const outsideV86: When = (_, s) => !s.v86;
const usableOutsideV86: When = (segment, s) => !s.v86 && isUsable(segment);
const inV86: When = (_, s) => s.v86;
const usable: When = (segment) => isUsable(segment);
const always: When = () => true;

/** Which rows apply to which segment, and when. FS and GS have canonical bases even when unusable. */
const ROWS_BY_SEGMENT: readonly (readonly [
  segments: readonly number[],
  when: When,
  rows: readonly SegmentRow[],
])[] = [
  [[Seg.CS], outsideV86, CS_ROWS],
  [[Seg.SS], outsideV86, SS_ALWAYS_ROWS],
  [[Seg.SS], usableOutsideV86, SS_ROWS],
  [[Seg.DS, Seg.ES], usableOutsideV86, [...dataRows, base32]],
  [[Seg.FS, Seg.GS], usableOutsideV86, dataRows],
  [[Seg.FS, Seg.GS], always, [canonicalBase]],
  [[Seg.ES, Seg.CS, Seg.SS, Seg.DS, Seg.FS, Seg.GS], inV86, V86_ROWS],
  [[Seg.LDTR], usable, LDTR_ROWS],
  [[Seg.TR], always, TR_ROWS],
];

/** The rules of every segment register, each named with its segment. */
export const SEGMENT_RULES: readonly Rule[] = ROWS_BY_SEGMENT.flatMap(([segments, when, rows]) =>
  segments.flatMap((index) =>
    rows.map(
      ([says, field, holds]): Rule => ({
        rule: `${SEGMENT_NAMES[index]!.toUpperCase()} ${says}`,
        section: SEGMENTS,
        holds: (s) => !when(s.segments[index]!, s) || holds(s.segments[index]!, s),
        value: (s) => hex(s.segments[index]![field]),
      }),
    ),
  ),
);

/**
 * Corrects what loading a segment sets and a saved state may lack: the accessed bit of usable code and data
 * segments, the busy bit of TR, and SS.DPL, which is the CPL, where a non-conforming CS says otherwise.
 * Unusable segments keep everything but that DPL.
 */
export function legalizeSegments(tc: X86ThreadContext): void {
  for (const [index] of SEGMENT_NAMES.entries()) {
    const segment = tc.segment(index);
    if (!isUsable(segment)) continue;
    let attributes = segment.attributes;
    if (has(attributes, A.S)) attributes |= A.ACCESSED;
    else if (index === Seg.TR) attributes |= BUSY;
    if (attributes !== segment.attributes) tc.setSegment(index, { ...segment, attributes });
  }
  const cs = tc.segment(Seg.CS);
  const ss = tc.segment(Seg.SS);
  const isNonConforming = has(cs.attributes, A.CODE) && !has(cs.attributes, A.CONFORMING);
  if (!isNonConforming || dpl(cs) === dpl(ss)) return;
  tc.setSegment(Seg.SS, { ...ss, attributes: (ss.attributes & ~A.DPL) | (cs.attributes & A.DPL) });
}

/** Distinguishes a busy TSS type from an available one, 16-bit (3, 1) and 64-bit (11, 9) alike. */
const BUSY = 2;
