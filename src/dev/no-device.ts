/**
 * NoDevice: answers what nobody else does, as an empty ISA bus or an aborted PCI cycle: reads give ones, writes vanish
 * (gem5: src/dev/isa_fake.hh). It belongs on the default port of a crossbar, or at ranges of its own.
 */
import { type AddrRange, hex } from '../mem/addr.ts';
import { Command, type Packet } from '../mem/packet.ts';
import type { ParamInputs } from '../sim/params.ts';
import type { SimObject } from '../sim/sim-object.ts';
import { scalar, statGroup } from '../sim/stats/group.ts';
import { PIO_DEVICE_PARAMS, PioDevice } from './pio-device.ts';

class NoDeviceStats extends statGroup({
  numReads: scalar('reads of addresses at which nothing is'),
  numWrites: scalar('writes to addresses at which nothing is'),
}) {}

export class NoDevice extends PioDevice {
  readonly stats = this.addStats(new NoDeviceStats());
  readonly #ranges: readonly AddrRange[];

  /** @param options ranges: to be asked for by address; none by default, for a crossbar's default port */
  constructor(
    parent: SimObject,
    name: string,
    {
      ranges = [],
      ...given
    }: { readonly ranges?: readonly AddrRange[] } & ParamInputs<typeof PIO_DEVICE_PARAMS> = {},
  ) {
    super(parent, name);
    this.pioLatency = this.resolveParams(PIO_DEVICE_PARAMS, given).pioLatency;
    this.#ranges = ranges;
  }

  override addrRanges(): readonly AddrRange[] {
    return this.#ranges;
  }

  protected override access(packet: Packet): void {
    if (!packet.isRead && !packet.isWrite) {
      packet.makeError(Command.BadAddressError);
      return;
    }
    if (this.debug.MemoryAccess) this.trace('MemoryAccess', `nothing at ${hex(packet.addr)}: ${packet}`);
    if (packet.isWrite) this.stats.numWrites.inc();
    if (packet.isRead) {
      this.stats.numReads.inc();
      packet.data.fill(0xff);
    }
    packet.makeResponse();
  }
}
