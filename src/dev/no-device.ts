/**
 * NoDevice: answers what nobody else does, as an empty ISA bus or an aborted PCI cycle: reads give ones, writes vanish
 * (gem5: src/dev/isa_fake.hh). It belongs on the default port of a crossbar, or at ranges of its own.
 *
 * A crossbar sends it also what belongs to nobody as a whole, because it begins or ends at a device or crosses from one to
 * the next. Bound to the bus by `bytes`, it makes such an access byte by byte, as the bridge to a narrower bus does.
 */
import { type AddrRange, hex, type PhysAddr } from '../mem/addr.ts';
import { Command, Packet } from '../mem/packet.ts';
import { RequestPort } from '../mem/port.ts';
import type { ParamInputs } from '../sim/params.ts';
import type { SimObject } from '../sim/sim-object.ts';
import { scalar, statGroup } from '../sim/stats/group.ts';
import { panic } from '../sim/trouble.ts';
import { PIO_DEVICE_PARAMS, PioDevice } from './pio-device.ts';

class NoDeviceStats extends statGroup({
  numReads: scalar('reads of addresses at which nothing is'),
  numWrites: scalar('writes to addresses at which nothing is'),
}) {}

export class NoDevice extends PioDevice {
  readonly stats = this.addStats(new NoDeviceStats());
  /** To the bus that this is the default of; may be left unbound. */
  readonly bytes: RequestPort;
  readonly #byte = new Packet();
  #isTakingApart = false;
  #hasMissed = false;
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
    const atomicOnly = (): never => panic(this.path, 'a timing answer to an atomic access');
    this.bytes = new RequestPort(`${this.path}.bytes`, {
      recvTimingResp: atomicOnly,
      recvReqRetry: atomicOnly,
    });
  }

  override addrRanges(): readonly AddrRange[] {
    return this.#ranges;
  }

  protected override access(packet: Packet): void {
    if (!packet.isRead && !packet.isWrite) {
      packet.makeError(Command.BadAddressError);
      return;
    }
    if (this.bytes.isBound && packet.sizeBytes > 1) this.#takeApart(packet);
    else this.#miss(packet);
    packet.makeResponse();
  }

  #miss(packet: Packet): void {
    if (packet.isRead) packet.data.fill(0xff);
    if (this.#isTakingApart) this.#hasMissed = true;
    else this.#count(packet);
  }

  /** Each byte goes to whoever answers it, in ascending order; it comes back here if nobody does. */
  #takeApart(packet: Packet): void {
    this.#isTakingApart = true;
    this.#hasMissed = false;
    for (let i = 0; i < packet.sizeBytes; i++) {
      const byte = this.#byte.set(packet.cmd, (packet.addr + i) as PhysAddr, 1, packet.flags);
      byte.data[0] = packet.data[i]!;
      this.bytes.sendAtomic(byte);
      packet.data[i] = byte.isError ? 0xff : byte.data[0]!;
    }
    this.#isTakingApart = false;
    if (this.#hasMissed) this.#count(packet);
  }

  #count(packet: Packet): void {
    if (this.debug.MemoryAccess) this.trace('MemoryAccess', `nothing at ${hex(packet.addr)}: ${packet}`);
    if (packet.isWrite) this.stats.numWrites.inc();
    if (packet.isRead) this.stats.numReads.inc();
  }
}
