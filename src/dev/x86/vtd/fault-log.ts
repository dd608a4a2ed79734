/**
 * Primary fault logging: fault recording registers, used in turn, and the fault status that follows them. VT-d specification,
 * §7.2.1, FSTS_REG and FRCD_REG.
 */
import { RegisterFile } from '../../register-file.ts';
import type { EventMessage } from './event-message.ts';
import type { FaultReason } from './fault.ts';
import { FAULT_RECORD_REGISTERS, FAULT_RECORDS, type VTD_REGISTERS } from './registers.ts';

/** What is recorded of a fault. */
export interface FaultRecord {
  readonly reason: FaultReason;
  readonly sourceId: number;
  readonly isRead: boolean;
  /** FI: page of a DMA request, or index of an interrupt request, in two words. */
  readonly infoLow: number;
  readonly infoHigh: number;
}

/** Bits of the fault status of which software is told by one interrupt: as long as one is set, another says no more. */
const ERRORS = ['overflow', 'pending', 'queueError'] as const;
type StatusError = (typeof ERRORS)[number];

export class FaultLog {
  readonly records: readonly RegisterFile<typeof FAULT_RECORD_REGISTERS>[];
  readonly #regs: RegisterFile<typeof VTD_REGISTERS>;
  readonly #event: EventMessage;
  readonly #next: { value: number };

  /** @param next index of the register that is used next: state of the owner */
  constructor(regs: RegisterFile<typeof VTD_REGISTERS>, event: EventMessage, next: { value: number }) {
    this.#regs = regs;
    this.#event = event;
    this.#next = next;
    this.records = Array.from(
      { length: FAULT_RECORDS },
      () => new RegisterFile(FAULT_RECORD_REGISTERS, { reason: { write: () => this.#recordCleared() } }),
    );
  }

  /** Records a fault; where software has not cleared the register whose turn it is, only that there was one too many. */
  record({ reason, sourceId, isRead, infoLow, infoHigh }: FaultRecord): void {
    if (this.#regs.field('faultStatus', 'overflow') !== 0) return;
    const index = this.#next.value % FAULT_RECORDS;
    const record = this.records[index]!;
    if (record.field('reason', 'fault') !== 0) {
      this.report('overflow');
      return;
    }
    record.set('infoLow', infoLow);
    record.set('infoHigh', infoHigh);
    record.set('source', sourceId);
    record.set('reason', reason);
    record.setField('reason', 'read', isRead ? 1 : 0);
    record.setField('reason', 'fault', 1);
    this.#next.value = (index + 1) % FAULT_RECORDS;
    if (this.#regs.field('faultStatus', 'pending') === 0)
      this.#regs.setField('faultStatus', 'recordIndex', index);
    this.report('pending');
  }

  /** Sets a bit of the fault status, and interrupts if it is the first. */
  report(error: StatusError): void {
    const isFirst = !this.#hasErrors;
    this.#regs.setField('faultStatus', error, 1);
    if (isFirst) this.#event.raise();
  }

  /** Software has written to the fault status. */
  statusWritten(): void {
    if (!this.#hasErrors) this.#event.withdraw();
  }

  get #hasErrors(): boolean {
    return ERRORS.some((error) => this.#regs.field('faultStatus', error) !== 0);
  }

  /** PPF is set while any register holds a fault. */
  #recordCleared(): void {
    if (this.records.some((record) => record.field('reason', 'fault') !== 0)) return;
    this.#regs.setField('faultStatus', 'pending', 0);
    this.statusWritten();
  }
}
