/**
 * Suspend to RAM (S3) of a PC: what firmware does with the processors. INIT parks them; on waking, STARTUP sends the first one
 * to the waking vector that the operating system has left in FACS, in real mode (ACPI Specification 6.5 §5.2.10, §16.3.2).
 */
import { ALL_PROCESSORS, DeliveryMode, type InterruptBus } from '../arch/x86/interrupts.ts';
import type { SuspendToRam } from '../dev/x86/acpi-pm.ts';
import { hex, type PhysAddr } from '../mem/addr.ts';
import type { PhysicalMemory } from '../mem/physical-memory.ts';

/** Offset of Firmware_Waking_Vector in FACS. */
const WAKING_VECTOR = 12;
const PAGE_SHIFT = 12;
const REAL_MODE_PAGES = 0x100;

export interface SuspendWiring {
  readonly bus: Pick<InterruptBus, 'send'>;
  readonly memory: Pick<PhysicalMemory, 'readU32'>;
  /** Address of FACS. */
  readonly facs: () => number;
  /** The processor that resumes: its APIC id, and its local APIC. */
  readonly bootProcessor: { readonly id: number; readonly localApic: { awaitsStartup: boolean } };
  /** There is nowhere to go on; the reason is for people. */
  readonly lost: (reason: string) => void;
}

export function suspendToRam({ bus, memory, facs, bootProcessor, lost }: SuspendWiring): SuspendToRam {
  const send = (destination: number, deliveryMode: number, vector: number): void => {
    bus.send({ destination, isLogical: false, deliveryMode, vector, isLevel: false, assert: true });
  };
  /** After INIT the first processor executes the BIOS, which jumps to the vector; without one, STARTUP does the same. */
  const start = (page: number): void => {
    bootProcessor.localApic.awaitsStartup = true;
    send(bootProcessor.id, DeliveryMode.Startup, page);
  };
  return {
    suspend: () => send(ALL_PROCESSORS, DeliveryMode.Init, 0),
    resume: () => {
      const vector = memory.readU32((facs() + WAKING_VECTOR) as PhysAddr);
      const page = vector / 2 ** PAGE_SHIFT;
      if (vector === 0) lost('FACS has no waking vector');
      else if (!Number.isInteger(page) || page >= REAL_MODE_PAGES)
        lost(`the waking vector ${hex(vector)} is no page below 1 MiB`);
      else start(page);
    },
  };
}
