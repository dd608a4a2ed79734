/**
 * Segment registers and 8-byte segment descriptors. Attributes are kept in the VMX access-rights format
 * (SDM vol. 3 §24.4.1, table 24-2), which is the descriptor's bits 40–55 plus "unusable"; the descriptor
 * format is SDM vol. 3 §3.4.5, figure 3-8.
 */

/**
 * One segment register. `limit` is in bytes (granularity already applied), `attributes` as
 * `SegmentAttribute`.
 */
export type Segment = {
  readonly selector: number;
  readonly base: bigint;
  readonly limit: number;
  readonly attributes: number;
};

/** Bits of `Segment.attributes`. */
export const SegmentAttribute = {
  TYPE: 0x0f,
  /** Type bits of code and data segments (SDM vol. 3 table 3-1). */
  ACCESSED: 0x01,
  WRITABLE: 0x02,
  READABLE: 0x02,
  EXPAND_DOWN: 0x04,
  CONFORMING: 0x04,
  CODE: 0x08,
  /** Descriptor type: 1 = code or data, 0 = system. */
  S: 0x10,
  DPL: 0x60,
  DPL_SHIFT: 5,
  P: 0x80,
  RESERVED: 0xfffe_0f00,
  AVL: 0x1000,
  L: 0x2000,
  DB: 0x4000,
  G: 0x8000,
  UNUSABLE: 0x1_0000,
} as const;

/** System-segment types in long mode and legacy mode (SDM vol. 3 table 3-2). */
export const SystemType = {
  TSS16_AVAILABLE: 1,
  LDT: 2,
  TSS16_BUSY: 3,
  TSS_AVAILABLE: 9,
  TSS_BUSY: 11,
  CALL_GATE: 12,
  INTERRUPT_GATE: 14,
  TRAP_GATE: 15,
} as const;

/** Attributes taken apart. */
export type SegmentAttributes = {
  readonly type: number;
  readonly s: boolean;
  readonly dpl: number;
  readonly present: boolean;
  readonly avl: boolean;
  readonly l: boolean;
  readonly db: boolean;
  readonly g: boolean;
  readonly unusable: boolean;
};

const A = SegmentAttribute;

export function packAttributes(a: SegmentAttributes): number {
  return (
    (a.type & A.TYPE) |
    (a.s ? A.S : 0) |
    ((a.dpl & 3) << A.DPL_SHIFT) |
    (a.present ? A.P : 0) |
    (a.avl ? A.AVL : 0) |
    (a.l ? A.L : 0) |
    (a.db ? A.DB : 0) |
    (a.g ? A.G : 0) |
    (a.unusable ? A.UNUSABLE : 0)
  );
}

export function unpackAttributes(attributes: number): SegmentAttributes {
  return {
    type: attributes & A.TYPE,
    s: (attributes & A.S) !== 0,
    dpl: (attributes & A.DPL) >>> A.DPL_SHIFT,
    present: (attributes & A.P) !== 0,
    avl: (attributes & A.AVL) !== 0,
    l: (attributes & A.L) !== 0,
    db: (attributes & A.DB) !== 0,
    g: (attributes & A.G) !== 0,
    unusable: (attributes & A.UNUSABLE) !== 0,
  };
}

const code64 = (dpl: number): number =>
  A.G | A.L | A.P | A.S | (dpl << A.DPL_SHIFT) | A.CODE | A.READABLE | A.ACCESSED;
const data = (dpl: number): number => A.G | A.DB | A.P | A.S | (dpl << A.DPL_SHIFT) | A.WRITABLE | A.ACCESSED;
const FLAT = { selector: 0, base: 0n, limit: 0xffff_ffff } as const;

/** Segments that come up again and again; spread them and set the selector. */
export const SegmentPreset = {
  kernelCode64: { ...FLAT, attributes: code64(0) },
  kernelData: { ...FLAT, attributes: data(0) },
  userCode64: { ...FLAT, attributes: code64(3) },
  userData: { ...FLAT, attributes: data(3) },
  unusable: { selector: 0, base: 0n, limit: 0, attributes: A.UNUSABLE },
  /** After reset (SDM vol. 3 table 9-1): present, writable, 64 KiB. */
  realMode: { selector: 0, base: 0n, limit: 0xffff, attributes: A.P | A.S | A.WRITABLE | A.ACCESSED },
  realModeCode: {
    selector: 0,
    base: 0n,
    limit: 0xffff,
    attributes: A.P | A.S | A.CODE | A.READABLE | A.ACCESSED,
  },
  resetLdtr: { selector: 0, base: 0n, limit: 0xffff, attributes: A.P | SystemType.LDT },
  resetTr: { selector: 0, base: 0n, limit: 0xffff, attributes: A.P | SystemType.TSS_BUSY },
} as const satisfies Record<string, Segment>;

/** Limit field of a descriptor to bytes: with G set the unit is 4 KiB and the low 12 bits are ones. */
function scaleLimit(field: number, granular: boolean): number {
  return granular ? ((field << 12) | 0xfff) >>> 0 : field;
}

/**
 * Decodes an 8-byte code, data or system descriptor. A descriptor that is not present comes back with its
 * attributes as stored; loading one is the caller's fault to raise.
 */
export function decodeDescriptor(lo: number, hi: number, selector = 0): Segment {
  const attributes = (hi >>> 8) & 0xf0ff;
  const limitField = (lo & 0xffff) | (hi & 0xf_0000);
  return {
    selector,
    base: BigInt(((lo >>> 16) | ((hi & 0xff) << 16) | (hi & 0xff00_0000)) >>> 0),
    limit: scaleLimit(limitField, (attributes & A.G) !== 0),
    attributes,
  };
}

/**
 * Encodes a segment as descriptor halves. Bits 63:32 of the base do not fit (system descriptors of long
 * mode add them, descriptors.ts). An unusable segment becomes the null descriptor.
 * @throws RangeError where the limit cannot be expressed with the given granularity
 */
export function encodeDescriptor(segment: Segment): { lo: number; hi: number } {
  const { attributes } = segment;
  if (attributes & A.UNUSABLE) return { lo: 0, hi: 0 };
  const granular = (attributes & A.G) !== 0;
  const limitField = granular ? segment.limit >>> 12 : segment.limit;
  if (limitField > 0xf_ffff || scaleLimit(limitField, granular) !== segment.limit) {
    throw new RangeError(
      `limit 0x${segment.limit.toString(16)} does not fit a descriptor with G=${Number(granular)}`,
    );
  }
  const base = Number(BigInt.asUintN(32, segment.base));
  return {
    lo: ((limitField & 0xffff) | ((base & 0xffff) << 16)) >>> 0,
    hi:
      (((base >>> 16) & 0xff) |
        ((attributes & 0xf0ff) << 8) |
        (limitField & 0xf_0000) |
        (base & 0xff00_0000)) >>>
      0,
  };
}
