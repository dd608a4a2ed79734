/** What can be wrong with a request: VT-d specification, appendix "Fault Reason Encodings". */

export const FaultReason = {
  rootEntryNotPresent: 0x01,
  contextEntryNotPresent: 0x02,
  contextEntryInvalid: 0x03,
  addressTooWide: 0x04,
  noWritePermission: 0x05,
  noReadPermission: 0x06,
  pageTableAccess: 0x07,
  rootTableAccess: 0x08,
  contextTableAccess: 0x09,
  rootEntryReserved: 0x0a,
  contextEntryReserved: 0x0b,
  pageTableReserved: 0x0c,
  translationType: 0x0d,
  /** The page table leads to where interrupt messages go. */
  interruptRange: 0x0e,
  interruptRequestReserved: 0x20,
  interruptIndex: 0x21,
  interruptEntryNotPresent: 0x22,
  interruptTableAccess: 0x23,
  interruptEntryReserved: 0x24,
  compatibilityFormat: 0x25,
  interruptSource: 0x26,
} as const;
export type FaultReason = (typeof FaultReason)[keyof typeof FaultReason];

/** A request that is blocked. */
export interface Fault {
  readonly reason: FaultReason;
  /** Software does not want to hear of it: it has set Fault Processing Disable, and the reason heeds that. */
  readonly isSilent: boolean;
}

/** Of reasons that FPD has no say in, or with FPD clear. */
export const loud = (reason: FaultReason): Fault => ({ reason, isSilent: false });
