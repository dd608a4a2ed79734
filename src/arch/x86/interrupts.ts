/**
 * How a processor and its local APIC speak to each other, and how interrupt messages travel between APICs. CPU models
 * and devices know only these interfaces, not each other. Intel SDM vol. 3A chapter 10 (APIC), §6.3 (sources).
 */
import { ApicBase } from './registers.ts';

/** What a CPU asks of its interrupt controller between two instructions. Kinds in descending priority. */
export interface InterruptController {
  /** A new number after each change of what is below: with the same number there is nothing new to see. Hot path. */
  readonly revision: number;
  /** Whether anything below is pending. */
  readonly isPending: boolean;
  /** INIT: the processor resets and waits for STARTUP. */
  readonly hasInit: boolean;
  /** STARTUP, which counts only while the processor waits for it. */
  readonly hasStartup: boolean;
  readonly hasNmi: boolean;
  /** An external interrupt above the processor's priority (PPR); whether RFLAGS.IF lets it in is the CPU's matter. */
  readonly hasExternal: boolean;

  /** Takes the message and resets the controller, as {@link reset} does for INIT. */
  takeInit(): void;
  /** Returns the vector of the STARTUP message: execution begins at vector × 4096. */
  takeStartup(): number;
  takeNmi(): void;
  /**
   * Acknowledges the highest external interrupt and returns its vector: asking and updating the controller (IRR → ISR, or
   * the 8259's INTA cycle) is one step. undefined: it is gone in the meantime, or held back by the priority now.
   */
  takeExternal(): number | undefined;

  /** CR8: bits 7:4 of the task priority register. */
  cr8: number;
  /** IA32_APIC_BASE. Exact Number: 52 bits at most. */
  apicBase: number;
  /** An MSR of the APIC (x2APIC 0x800–0x83f, TSC deadline 0x6e0). undefined / false: the access is #GP. */
  readMsr(index: number): bigint | undefined;
  writeMsr(index: number, value: bigint): boolean;
  /** Whether MSRs of the APIC can be reached: without it CPUID hides x2APIC and TSC deadline. Set by the CPU. */
  msrsReachable: boolean;
  /** As the processor's RESET (or INIT, which keeps the APIC's identity) leaves it. */
  reset(init: boolean): void;
  /** Software has set the time-stamp counter: a TSC deadline is another instant now. */
  tscChanged?(): void;
}

const APIC_PAGE = 4096;

/** Offset of a physical address in the page of the local APIC; −1 if it is outside, or the APIC is disabled. */
export function apicOffset(address: number, apicBase: number): number {
  const offset = address - Math.floor(apicBase / APIC_PAGE) * APIC_PAGE;
  return offset >= 0 && offset < APIC_PAGE && (apicBase & ApicBase.ENABLE) !== 0 ? offset : -1;
}

/** What a local APIC tells its CPU, and what its timer needs of it. */
export interface InterruptedCpu {
  /** Something is pending: come out of the guest, or out of HLT. Harmless to repeat. */
  wakeup(): void;
  /** The time-stamp counter as the guest would read it now, and its frequency, for the TSC-deadline timer. */
  readTsc(): bigint;
  readonly tscHz: number;
}

/** Delivery modes as the ICR and the redirection entries encode them (SDM vol. 3A §10.6.1). */
export const DeliveryMode = {
  Fixed: 0,
  LowestPriority: 1,
  Smi: 2,
  Nmi: 4,
  Init: 5,
  Startup: 6,
  ExtInt: 7,
} as const;

/**
 * A destination that means every processor, physical or logical. Senders whose destinations have 8 bits (xAPIC, I/O APIC,
 * MSI) say 0xff, which {@link destinationFrom8Bits} turns into this; in x2APIC mode 0xff is a processor like another.
 */
export const ALL_PROCESSORS = 0xffff_ffff;

export function destinationFrom8Bits(destination: number): number {
  return destination === 0xff ? ALL_PROCESSORS : destination;
}

/** One interrupt message on the system bus (SDM vol. 3A §10.11.1 names the same fields for MSI). */
export interface InterruptMessage {
  /** 32 bits; {@link ALL_PROCESSORS} is a broadcast. */
  readonly destination: number;
  /** Logical destination (LDR, DFR) instead of an APIC id. */
  readonly isLogical: boolean;
  /** One of {@link DeliveryMode}. */
  readonly deliveryMode: number;
  readonly vector: number;
  readonly isLevel: boolean;
  /** For level-triggered INIT: assert or de-assert. */
  readonly assert: boolean;
}

/** Carries messages to the local APICs of one system, and end-of-interrupt broadcasts to the I/O APICs. */
export interface InterruptBus {
  /** Returns false if no APIC accepted it. */
  send(message: InterruptMessage): boolean;
  /** A local APIC has finished a level-triggered interrupt. */
  broadcastEoi(vector: number): void;
}

/**
 * An MSI write is a store to 0xfee0_0000–0xfeef_ffff (SDM vol. 3A §10.11). Its redirection hint (address bit 3) lets the
 * message go to the processor of the group that runs at the lowest priority.
 */
export function messageFromMsi(address: number, data: number): InterruptMessage {
  const mode = (data >>> 8) & 7;
  const isHinted = (address & 8) !== 0 && mode === DeliveryMode.Fixed;
  return {
    destination: destinationFrom8Bits((address >>> 12) & 0xff),
    isLogical: (address & 4) !== 0,
    deliveryMode: isHinted ? DeliveryMode.LowestPriority : mode,
    vector: data & 0xff,
    isLevel: (data & 0x8000) !== 0,
    assert: (data & 0x8000) === 0 || (data & 0x4000) !== 0,
  };
}
