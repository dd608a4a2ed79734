/**
 * Hyper-V's interface for guests: its MSRs, hypercalls, and the pages of a synthetic interrupt controller (SynIC).
 * Microsoft, Hypervisor Top-Level Functional Specification (TLFS), "Feature and Interface Discovery", "Hypercall
 * Interface", "Virtual Interrupt Control", "Inter-Partition Communication", "Timers".
 */

/** Synthetic interrupt sources (SINTs) of a virtual processor. */
export const SINT_COUNT = 16;
const SYNTHETIC_TIMERS = 4;
const CRASH_PARAMETERS = 5;

/** Numbers of MSRs that the simulator itself reads or writes. */
export const HyperVMsr = {
  /** Reference time in units of 100 ns; read-only. */
  TIME_REF_COUNT: 0x4000_0020,
  SCONTROL: 0x4000_0080,
  SIEFP: 0x4000_0082,
  SIMP: 0x4000_0083,
  EOM: 0x4000_0084,
} as const;

/** Bit 0 of SCONTROL, SIMP and SIEFP: the SynIC, or its page, is enabled. Pages have their address above bit 11. */
export const SYNIC_ENABLE = 1n;
const SINT_MASKED = 1n << 16n;
/** The guest may tell of a crash. */
const CRASH_NOTIFY = 1n << 63n;

export interface HyperVMsrDescription {
  readonly index: number;
  readonly name: string;
  /** Value at power-on; absent means zero. */
  readonly reset?: bigint;
}

const each = (
  count: number,
  describe: (n: number) => readonly HyperVMsrDescription[],
): HyperVMsrDescription[] => Array.from({ length: count }, (_, n) => describe(n)).flat();

/**
 * The MSRs that hold state, in an order in which they can be written: the hypercall page needs to know that there is an
 * operating system, and a timer's count starts it unless its configuration, which comes next, is still that of a stopped one.
 */
export const HYPER_V_MSRS: readonly HyperVMsrDescription[] = [
  { index: 0x4000_0000, name: 'GUEST_OS_ID' },
  { index: 0x4000_0001, name: 'HYPERCALL' },
  { index: 0x4000_0010, name: 'VP_RUNTIME' },
  { index: 0x4000_0021, name: 'REFERENCE_TSC' },
  { index: 0x4000_0073, name: 'VP_ASSIST_PAGE' },
  { index: HyperVMsr.SCONTROL, name: 'SCONTROL' },
  { index: HyperVMsr.SIEFP, name: 'SIEFP' },
  { index: HyperVMsr.SIMP, name: 'SIMP' },
  ...each(SINT_COUNT, (n) => [{ index: 0x4000_0090 + n, name: `SINT${n}`, reset: SINT_MASKED }]),
  ...each(SYNTHETIC_TIMERS, (n) => [
    { index: 0x4000_00b1 + 2 * n, name: `STIMER${n}_COUNT` },
    { index: 0x4000_00b0 + 2 * n, name: `STIMER${n}_CONFIG` },
  ]),
  ...each(CRASH_PARAMETERS, (n) => [{ index: 0x4000_0100 + n, name: `CRASH_P${n}` }]),
  { index: 0x4000_0105, name: 'CRASH_CTL', reset: CRASH_NOTIFY },
];

/** Call codes of hypercalls, bits 15:0 of their input value. */
export const HypercallCode = { POST_MESSAGE: 0x5c, SIGNAL_EVENT: 0x5d } as const;

/** Bit 16 of the input value: the parameters are in registers, not in memory. */
export const HYPERCALL_FAST = 1n << 16n;

/** `HV_STATUS_*`, bits 15:0 of a hypercall's result value. */
export const HyperVStatus = {
  SUCCESS: 0,
  INVALID_HYPERCALL_CODE: 2,
  INVALID_HYPERCALL_INPUT: 3,
  INVALID_ALIGNMENT: 4,
  INVALID_PARAMETER: 5,
  INVALID_CONNECTION_ID: 0x12,
  INSUFFICIENT_BUFFERS: 0x13,
} as const;
export type HyperVStatus = (typeof HyperVStatus)[keyof typeof HyperVStatus];

/** A message slot (`HV_MESSAGE`): one for each SINT in the message page. Type 0 says that the slot is free. */
export const MESSAGE_SLOT = {
  sizeBytes: 256,
  type: 0,
  payloadSize: 4,
  flags: 5,
  /** Port that it came by, u64. */
  port: 8,
  payload: 16,
} as const;
export const MESSAGE_PAYLOAD_BYTES = 240;
/** Of the slot's flags: more messages wait for it to become free. */
export const MESSAGE_PENDING = 1;
/** Each SINT has 2048 event flags in the event flags page. */
export const EVENT_FLAGS_BYTES = 256;

/** Input parameters of HvPostMessage; the payload follows. */
export const POST_MESSAGE_INPUT = { connection: 0, type: 8, payloadSize: 12, payload: 16 } as const;

/** A message on its way to a SINT. */
export interface SynicMessage {
  /** Not 0. */
  readonly type: number;
  readonly port: number;
  /** At most {@link MESSAGE_PAYLOAD_BYTES}. */
  readonly payload: Uint8Array;
}

/** The synthetic interrupt controller of a virtual processor, as ports see it. */
export interface Synic {
  /**
   * Puts a message into the SINT's slot and raises the SINT.
   * @returns false while the slot is occupied, in which case the guest is told that more waits, or while there is no page
   */
  postMessage(sint: number, message: SynicMessage): boolean;
  /** Sets an event flag of the SINT, and raises it if the flag was clear. Without a page nothing happens. */
  setEventFlag(sint: number, flag: number): void;
  /** Raises the SINT, as the guest has configured it. */
  raise(sint: number): void;
}

/** What hypercalls reach: the ports that the guest's connections lead to. */
export interface HyperVPorts {
  postMessage(connection: number, type: number, payload: Uint8Array): HyperVStatus;
  /** @param flag number of the event flag, counted from the port's own */
  signalEvent(connection: number, flag: number): HyperVStatus;
  /** The guest has made message slots free: what waits may be posted again. */
  endOfMessage(): void;
}

/** A guest's side of the interface: whoever has ports connects them here. */
export interface HyperVPartition {
  /** By index of the virtual processor. */
  readonly synics: readonly Synic[];
  connect(ports: HyperVPorts): void;
}
