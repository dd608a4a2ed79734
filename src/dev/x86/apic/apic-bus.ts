/**
 * The bus between the APICs of one system: which local APICs a message is for, and which of them gets one of lowest
 * priority. Intel SDM vol. 3A §10.6.2 (destinations), §10.8.1 (acceptance), §10.11 (MSI).
 */
import {
  DeliveryMode,
  type InterruptBus,
  type InterruptMessage,
  messageFromMsi,
} from '../../../arch/x86/interrupts.ts';
import { asPhysAddr } from '../../../mem/addr.ts';
import type { SimObject } from '../../../sim/sim-object.ts';
import { PIO_DEVICE_PARAMS, PioDevice, type PioDeviceParams } from '../../pio-device.ts';
import type { RegisterBank } from '../../register-file.ts';

/** A local APIC, as the bus sees it. */
export interface InterruptTarget {
  /** Whether a destination names this APIC, by its id or by its logical id. */
  matches(destination: number, isLogical: boolean): boolean;
  /** Among the targets of a lowest-priority message the one with the lowest value gets it. */
  readonly arbitrationPriority: number;
  /** Takes a message that is for it; false: it refuses. */
  accept(message: InterruptMessage): boolean;
}

/** An I/O APIC, as the bus sees it. */
export interface EoiListener {
  /** A processor has finished a level-triggered interrupt. */
  endOfInterrupt(vector: number): void;
}

export class ApicBus implements InterruptBus {
  readonly #targets: InterruptTarget[] = [];
  readonly #listeners: EoiListener[] = [];

  attach(target: InterruptTarget): void {
    this.#targets.push(target);
  }

  attachIoApic(listener: EoiListener): void {
    this.#listeners.push(listener);
  }

  /**
   * @param except the sender of a message that is for all others
   * @returns false if no APIC accepted it
   */
  send(message: InterruptMessage, except?: InterruptTarget): boolean {
    if (message.deliveryMode === DeliveryMode.LowestPriority) {
      return this.#lowest(message, except)?.accept(message) ?? false;
    }
    let accepted = false;
    for (const target of this.#targets) {
      if (target === except || !target.matches(message.destination, message.isLogical)) continue;
      if (target.accept(message)) accepted = true;
    }
    return accepted;
  }

  broadcastEoi(vector: number): void {
    for (const listener of this.#listeners) listener.endOfInterrupt(vector);
  }

  /** Of equals the first attached wins: the manual leaves it open, and a simulation has to repeat itself. */
  #lowest(
    { destination, isLogical }: InterruptMessage,
    except?: InterruptTarget,
  ): InterruptTarget | undefined {
    let lowest: InterruptTarget | undefined;
    for (const target of this.#targets) {
      if (target === except || !target.matches(destination, isLogical)) continue;
      if (lowest === undefined || target.arbitrationPriority < lowest.arbitrationPriority) lowest = target;
    }
    return lowest;
  }
}

const MSI_BASE = 0xfee0_0000;
const MSI_SIZE = 0x10_0000;

/**
 * Where stores of devices become interrupts: message-signaled interrupts. Processors turn
 * accesses to their local APICs into others (see `localApicAddress`), so that the two uses of these addresses do not meet.
 */
export class MsiWindow extends PioDevice {
  constructor(parent: SimObject, name: string, bus: InterruptBus, given: PioDeviceParams = {}) {
    super(parent, name);
    this.pioLatency = this.resolveParams(PIO_DEVICE_PARAMS, given).pioLatency;
    this.addBank(asPhysAddr(MSI_BASE), new MsiBank(bus));
  }
}

/** An MSI is one aligned store of 32 bits; other accesses find nothing. */
class MsiBank implements RegisterBank {
  readonly sizeBytes = MSI_SIZE;
  readonly #bus: InterruptBus;

  constructor(bus: InterruptBus) {
    this.#bus = bus;
  }

  read(_offset: number, sizeBytes: number): number {
    return 0xffff_ffff >>> (32 - 8 * sizeBytes);
  }

  write(offset: number, sizeBytes: number, data: number): void {
    if (sizeBytes === 4 && offset % 4 === 0) this.#bus.send(messageFromMsi(MSI_BASE + offset, data));
  }
}
