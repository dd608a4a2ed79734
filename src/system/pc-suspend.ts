/**
 * Suspend to RAM (S3) of a PC: what firmware does with the processors. INIT parks them; on waking, STARTUP sends the first one
 * to the waking vector that the operating system has left in FACS, in real mode (ACPI Specification 6.5 §5.2.10, §16.3.2).
 * STARTUP knows pages only: in the BIOS's memory there is a jump for it.
 */
import { ALL_PROCESSORS, DeliveryMode, type InterruptBus } from '../arch/x86/interrupts.ts';
import type { SuspendToRam } from '../dev/x86/acpi-pm.ts';
import { hex, type PhysAddr } from '../mem/addr.ts';
import type { PhysicalMemory } from '../mem/physical-memory.ts';

/** Offset of Firmware_Waking_Vector in FACS. */
const WAKING_VECTOR = 12;
const PAGE_SHIFT = 12;
/** Beyond the reach of real mode. */
const VECTOR_LIMIT = 0x10_0000;
/** A page of the BIOS's memory. */
const JUMP_ADDRESS = 0xf_1000;
/** jmp ptr16:16 */
const FAR_JUMP = 0xea;

export interface SuspendWiring {
  readonly bus: Pick<InterruptBus, 'send'>;
  readonly memory: Pick<PhysicalMemory, 'readU32' | 'write'>;
  /** Address of FACS. */
  readonly facs: () => number;
  /** APIC id of the processor that resumes. */
  readonly bootProcessor: number;
  /** There is nowhere to go on; the reason is for people. */
  readonly lost: (reason: string) => void;
}

export function suspendToRam({ bus, memory, facs, bootProcessor, lost }: SuspendWiring): SuspendToRam {
  const send = (destination: number, deliveryMode: number, vector: number): void => {
    bus.send({ destination, isLogical: false, deliveryMode, vector, isLevel: false, assert: true });
  };
  return {
    suspend: () => send(ALL_PROCESSORS, DeliveryMode.Init, 0),
    resume: () => {
      const vector = memory.readU32((facs() + WAKING_VECTOR) as PhysAddr);
      if (vector === 0) return lost('FACS has no waking vector');
      if (vector >= VECTOR_LIMIT) return lost(`the waking vector ${hex(vector)} is not below 1 MiB`);
      const segment = vector >>> 4;
      const jump = Uint8Array.of(FAR_JUMP, vector & 0xf, 0, segment & 0xff, segment >>> 8);
      memory.write(JUMP_ADDRESS as PhysAddr, jump);
      send(bootProcessor, DeliveryMode.Startup, JUMP_ADDRESS >>> PAGE_SHIFT);
    },
  };
}
