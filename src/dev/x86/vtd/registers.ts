/**
 * Registers of the remapping hardware: Intel Virtualization Technology for Directed I/O, architecture specification, chapter
 * "Register Descriptions" (revision 3: §11.4). Registers of 64 bits are two of 32. Legacy mode only: no scalable mode, no
 * device TLBs, no posted interrupts, no advanced fault log.
 */
import { bit, bits, reg } from '../../register-file.ts';

/** Fault recording registers that there are, and their place. */
export const FAULT_RECORDS = 8;
export const FAULT_RECORDS_AT = 0x220;
/** IVA_REG and IOTLB_REG, whose place ECAP_REG tells. */
const IOTLB_AT = 0xf0;
/** Addresses of memory have as many bits, and so have those of devices. */
export const ADDRESS_BITS = 48;
/** Levels of a second-level page table that can be walked; a bit n of SAGAW stands for n + 2. */
export const PAGE_TABLE_LEVELS = [3, 4] as const;

/** CAP_REG. ND: domain ids of 16 bits. */
const CAPABILITY_LOW =
  6 | // ND
  (1 << 5) | // PLMR
  (1 << 6) | // PHMR
  PAGE_TABLE_LEVELS.reduce((sagaw, levels) => sagaw | (1 << (8 + levels - 2)), 0) |
  ((ADDRESS_BITS - 1) << 16) | // MGAW
  (1 << 22) | // ZLR
  (((FAULT_RECORDS_AT / 16) & 0xff) << 24); // FRO
/** SLLPS: pages of 2 MiB and 1 GiB. PSI with a mask of up to 18 bits. DWD, DRD: nothing is on its way at an invalidation. */
const CAPABILITY_HIGH = (3 << 2) | (1 << 7) | ((FAULT_RECORDS - 1) << 8) | (18 << 16) | (1 << 22) | (1 << 23);
/** ECAP_REG: C, QI, IR, PT, SC, IRO; MHMV is 15. */
const EXTENDED_LOW =
  (1 << 0) | (1 << 1) | (1 << 3) | (1 << 6) | (1 << 7) | ((IOTLB_AT / 16) << 8) | (15 << 20);
export const EXTENDED_INTERRUPT_MODE = 1 << 4;

const word = (at: number, doc: string, writable?: number) =>
  reg({ at, sizeBytes: 4, doc, ...(writable === undefined ? {} : { writable }) });
const fixed = (at: number, doc: string, reset = 0) => reg({ at, sizeBytes: 4, access: 'ro', reset, doc });
/** Protected memory begins and ends at multiples of 2 MiB. */
const protectedLow = (at: number, doc: string) => word(at, doc, 0xffe0_0000);
const HIGH_ADDRESS = 2 ** (ADDRESS_BITS - 32) - 1;

const EVENT_CONTROL = {
  sizeBytes: 4,
  reset: 0x8000_0000,
  writable: 0x8000_0000,
  fields: { pending: bit(30), mask: bit(31) },
} as const;

export const VTD_REGISTERS = {
  version: fixed(0x000, 'VER: 1.0', 0x10),
  capabilityLow: fixed(0x008, 'CAP, bits 31:0', CAPABILITY_LOW >>> 0),
  capabilityHigh: fixed(0x00c, 'CAP, bits 63:32', CAPABILITY_HIGH >>> 0),
  extendedLow: fixed(0x010, 'ECAP, bits 31:0; EIM (4) if a parameter says so', EXTENDED_LOW),
  extendedHigh: fixed(0x014, 'ECAP, bits 63:32'),
  globalCommand: reg({ at: 0x018, sizeBytes: 4, access: 'wo', doc: 'GCMD: global command' }),
  globalStatus: reg({
    at: 0x01c,
    sizeBytes: 4,
    access: 'ro',
    doc: 'GSTS: global status',
    fields: {
      compatibilityFormat: bit(23),
      interruptTable: bit(24),
      interruptRemapping: bit(25),
      queuedInvalidation: bit(26),
      rootTable: bit(30),
      translation: bit(31),
    },
  }),
  rootTableLow: word(0x020, 'RTADDR, bits 31:0: root table', 0xffff_f000),
  rootTableHigh: word(0x024, 'RTADDR, bits 63:32', HIGH_ADDRESS),
  contextCommandLow: word(0x028, 'CCMD, bits 31:0: context-cache invalidation'),
  contextCommandHigh: reg({
    at: 0x02c,
    sizeBytes: 4,
    writable: 0xe000_0003,
    doc: 'CCMD, bits 63:32',
    fields: { actual: bits(28, 27), requested: bits(30, 29), invalidate: bit(31) },
  }),
  faultStatus: reg({
    at: 0x034,
    sizeBytes: 4,
    access: 'w1c',
    writable: 0x11,
    doc: 'FSTS: fault status; PPF and FRI follow the fault recording registers',
    fields: {
      overflow: bit(0),
      pending: bit(1),
      queueError: bit(4),
      recordIndex: bits(15, 8),
    },
  }),
  faultControl: reg({ at: 0x038, doc: 'FECTL: fault event control', ...EVENT_CONTROL }),
  faultData: word(0x03c, 'FEDATA'),
  faultAddress: word(0x040, 'FEADDR', 0xffff_fffc),
  faultUpperAddress: word(0x044, 'FEUADDR'),
  faultLogLow: fixed(0x058, 'AFLOG, bits 31:0: there is no advanced fault log'),
  faultLogHigh: fixed(0x05c, 'AFLOG, bits 63:32'),
  protectedMemory: reg({
    at: 0x064,
    sizeBytes: 4,
    writable: 0x8000_0000,
    doc: 'PMEN: protected memory enable',
    fields: { status: bit(0), enable: bit(31) },
  }),
  lowBase: protectedLow(0x068, 'PLMBASE: protected low memory, base'),
  lowLimit: protectedLow(0x06c, 'PLMLIMIT: and last 2 MiB'),
  highBaseLow: protectedLow(0x070, 'PHMBASE, bits 31:0: protected high memory, base'),
  highBaseHigh: word(0x074, 'PHMBASE, bits 63:32', HIGH_ADDRESS),
  highLimitLow: protectedLow(0x078, 'PHMLIMIT, bits 31:0: and last 2 MiB'),
  highLimitHigh: word(0x07c, 'PHMLIMIT, bits 63:32', HIGH_ADDRESS),
  queueHead: fixed(0x080, 'IQH: invalidation queue, head'),
  queueHeadHigh: fixed(0x084, 'IQH, bits 63:32'),
  queueTail: word(0x088, 'IQT: invalidation queue, tail', 0x7_fff0),
  queueTailHigh: fixed(0x08c, 'IQT, bits 63:32'),
  queueAddressLow: reg({
    at: 0x090,
    sizeBytes: 4,
    writable: 0xffff_f007,
    doc: 'IQA, bits 31:0: invalidation queue, address and size in pages as a power of two',
    fields: { size: bits(2, 0) },
  }),
  queueAddressHigh: word(0x094, 'IQA, bits 63:32', HIGH_ADDRESS),
  completionStatus: reg({
    at: 0x09c,
    sizeBytes: 4,
    access: 'w1c',
    writable: 1,
    doc: 'ICS: invalidation completion status',
    fields: { wait: bit(0) },
  }),
  completionControl: reg({ at: 0x0a0, doc: 'IECTL: invalidation event control', ...EVENT_CONTROL }),
  completionData: word(0x0a4, 'IEDATA'),
  completionAddress: word(0x0a8, 'IEADDR', 0xffff_fffc),
  completionUpperAddress: word(0x0ac, 'IEUADDR'),
  interruptTableLow: reg({
    at: 0x0b8,
    sizeBytes: 4,
    writable: 0xffff_f80f,
    doc: 'IRTA, bits 31:0: interrupt remapping table; EIME; 2^(S + 1) entries',
    fields: { size: bits(3, 0), extended: bit(11) },
  }),
  interruptTableHigh: word(0x0bc, 'IRTA, bits 63:32', HIGH_ADDRESS),
  invalidateAddressLow: reg({
    at: IOTLB_AT,
    sizeBytes: 4,
    access: 'wo',
    doc: 'IVA, bits 31:0: address of an invalidation',
  }),
  invalidateAddressHigh: reg({ at: IOTLB_AT + 4, sizeBytes: 4, access: 'wo', doc: 'IVA, bits 63:32' }),
  iotlbLow: word(IOTLB_AT + 8, 'IOTLB, bits 31:0: IOTLB invalidation'),
  iotlbHigh: reg({
    at: IOTLB_AT + 12,
    sizeBytes: 4,
    writable: 0xb003_ffff,
    doc: 'IOTLB, bits 63:32',
    fields: { actual: bits(26, 25), requested: bits(29, 28), invalidate: bit(31) },
  }),
};

/** One fault recording register, FRCD. */
export const FAULT_RECORD_REGISTERS = {
  infoLow: fixed(0x0, 'FI, bits 31:12: page of a DMA request'),
  infoHigh: fixed(0x4, 'FI, bits 63:32; of an interrupt request its index in 31:16'),
  source: reg({
    at: 0x8,
    sizeBytes: 4,
    access: 'ro',
    doc: 'who made the request',
    fields: { id: bits(15, 0) },
  }),
  reason: reg({
    at: 0xc,
    sizeBytes: 4,
    access: 'w1c',
    writable: 0x8000_0000,
    doc: 'fault reason, kind of request',
    fields: { reason: bits(7, 0), read: bit(30), fault: bit(31) },
  }),
};
