/**
 * Queued invalidation: a ring of descriptors in memory that software fills and the hardware empties. VT-d specification §6.5.2.
 * As nothing is cached there is nothing to invalidate; what is left are errors, order, and telling software how far it has come.
 */
import type { RegisterFile } from '../../register-file.ts';
import type { EventMessage } from './event-message.ts';
import type { FaultLog } from './fault-log.ts';
import type { GuestTables } from './guest-tables.ts';
import type { VTD_REGISTERS } from './registers.ts';

const PAGE_BYTES = 0x1000;
const DESCRIPTOR_BYTES = 16;

/** Descriptors by type: bits that are reserved, by word, and a field that must not be zero (the granularity). */
interface Descriptor {
  readonly reserved: readonly [number, number, number, number];
  readonly required: number;
}
const WAIT = 5;
const DESCRIPTORS: Readonly<Record<number, Descriptor>> = {
  // Context cache: G, domain id, source id, function mask.
  1: { reserved: [0x0000_ffc0, 0xfffc_0000, 0xffff_ffff, 0xffff_ffff], required: 0x30 },
  // IOTLB: G, drains, domain id, address mask, hint, address.
  2: { reserved: [0x0000_ff00, 0xffff_ffff, 0x0000_0f80, 0], required: 0x30 },
  // Interrupt entry cache: G, index mask, index.
  4: { reserved: [0x07ff_ffe0, 0xffff_0000, 0xffff_ffff, 0xffff_ffff], required: 0 },
  // Wait: interrupt flag, status write, fence; status data and address.
  [WAIT]: { reserved: [0xffff_ff80, 0, 0x3, 0], required: 0 },
};
const INTERRUPT_FLAG = 1 << 4;
const STATUS_WRITE = 1 << 5;

export class InvalidationQueue {
  readonly #regs: RegisterFile<typeof VTD_REGISTERS>;
  readonly #tables: GuestTables;
  readonly #faults: FaultLog;
  readonly #event: EventMessage;

  constructor(
    regs: RegisterFile<typeof VTD_REGISTERS>,
    tables: GuestTables,
    faults: FaultLog,
    event: EventMessage,
  ) {
    this.#regs = regs;
    this.#tables = tables;
    this.#faults = faults;
    this.#event = event;
  }

  /** Empties the queue up to its tail; an error stops it there until software has cleared the error. */
  process(): void {
    const regs = this.#regs;
    const tail = regs.get('queueTail');
    const sizeBytes = PAGE_BYTES << regs.field('queueAddressLow', 'size');
    if (this.#isRunning && tail >= sizeBytes) this.#faults.report('queueError');
    while (this.#isRunning && regs.get('queueHead') !== tail) {
      if (this.#execute(regs.get('queueHead')))
        regs.set('queueHead', (regs.get('queueHead') + DESCRIPTOR_BYTES) % sizeBytes);
      else this.#faults.report('queueError');
    }
  }

  get #isRunning(): boolean {
    const isEnabled = this.#regs.field('globalStatus', 'queuedInvalidation') !== 0;
    return isEnabled && this.#regs.field('faultStatus', 'queueError') === 0;
  }

  /** false: no such descriptor, or no memory where it should be. */
  #execute(head: number): boolean {
    const base =
      this.#regs.get('queueAddressHigh') * 2 ** 32 + ((this.#regs.get('queueAddressLow') & ~0xfff) >>> 0);
    const read = this.#tables.read(base + head, DESCRIPTOR_BYTES);
    if (read === undefined) return false;
    const words = [0, 4, 8, 12].map((at) => read.getUint32(at, true));
    const [low = 0, data = 0, addressLow = 0, addressHigh = 0] = words;
    const type = low & 0xf;
    const descriptor = DESCRIPTORS[type];
    if (descriptor === undefined) return false;
    if (words.some((word, i) => (word & descriptor.reserved[i]!) !== 0)) return false;
    if (descriptor.required !== 0 && (low & descriptor.required) === 0) return false;
    if (type !== WAIT) return true;
    if ((low & STATUS_WRITE) !== 0) this.#tables.write32(addressHigh * 2 ** 32 + addressLow, data);
    if ((low & INTERRUPT_FLAG) !== 0) this.#complete();
    return true;
  }

  /** As long as software has not cleared the last completion, another says no more. */
  #complete(): void {
    if (this.#regs.field('completionStatus', 'wait') !== 0) return;
    this.#regs.setField('completionStatus', 'wait', 1);
    this.#event.raise();
  }
}
