/**
 * Tables of the guest in memory, as the remapping hardware reads them: entries of two or four words, in RAM and nowhere else.
 * They are read functionally, whatever the memory mode is; how many there are is counted, for the time they take.
 */
import type { PhysAddr } from '../../../mem/addr.ts';
import { Command, Packet } from '../../../mem/packet.ts';
import type { RequestPort } from '../../../mem/port.ts';

/** What is RAM. */
export interface RamMap {
  contains(pa: PhysAddr, sizeBytes: number): boolean;
}

export class GuestTables {
  readonly #port: RequestPort;
  readonly #ram: RamMap;
  readonly #packet = new Packet();
  #reads = 0;

  constructor(port: RequestPort, ram: RamMap) {
    this.#port = port;
    this.#ram = ram;
  }

  /**
   * Reads an entry of 8 or 16 bytes.
   * @returns its words, lowest first, until the next call; undefined: there is no RAM
   */
  read(address: number, sizeBytes: 8 | 16): DataView | undefined {
    if (!this.#ram.contains(address as PhysAddr, sizeBytes)) return undefined;
    this.#reads++;
    const packet = this.#packet.set(Command.ReadReq, address as PhysAddr, sizeBytes);
    this.#port.sendFunctional(packet);
    const { buffer, byteOffset } = packet.data;
    return new DataView(buffer, byteOffset, sizeBytes);
  }

  /** Writes 32 bits; where there is no RAM, nothing. */
  write32(address: number, value: number): void {
    if (!this.#ram.contains(address as PhysAddr, 4)) return;
    const packet = this.#packet.set(Command.WriteReq, address as PhysAddr, 4);
    packet.setUint(value);
    this.#port.sendFunctional(packet);
  }

  /** Entries that have been read since last asked. */
  takeReads(): number {
    const reads = this.#reads;
    this.#reads = 0;
    return reads;
  }
}
