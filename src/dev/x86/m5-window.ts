/**
 * gem5's pseudo-instructions by address: a window of 64 KiB in which a load calls function number `address[15:8]`
 * (gem5: util/m5/src/abi/x86/m5op_addr.S, include/gem5/asm/generic/m5ops.h). Arguments are in the guest's registers, as in
 * a call of the System V ABI; the value loaded is the result. Works in every CPU that has MMIO, KVM's above all.
 */
import { AddrRange, type PhysAddr } from '../../mem/addr.ts';
import { Command, type Packet } from '../../mem/packet.ts';
import type { ParamInputs } from '../../sim/params.ts';
import type { SimObject } from '../../sim/sim-object.ts';
import { PIO_DEVICE_PARAMS, PioDevice } from '../pio-device.ts';

/** Where gem5's library for x86 expects the window. */
export const M5_WINDOW_BASE = 0xffff_0000 as PhysAddr;
export const M5_WINDOW_SIZE = 0x1_0000;

/** What stands behind the window; it knows which CPU is making the access. */
export interface PseudoInstructions {
  /**
   * Executes a pseudo-instruction for the CPU whose access is being served.
   * @param fn the function number, 0 to 255
   * @returns the 64-bit result for RAX; undefined if there is no such function
   */
  call(fn: number): bigint | undefined;
}

export class M5Window extends PioDevice {
  readonly #range: AddrRange;
  readonly #pseudoInstructions: PseudoInstructions;

  constructor(
    parent: SimObject,
    name: string,
    {
      base = M5_WINDOW_BASE,
      pseudoInstructions,
      ...given
    }: {
      readonly base?: PhysAddr;
      readonly pseudoInstructions: PseudoInstructions;
    } & ParamInputs<typeof PIO_DEVICE_PARAMS>,
  ) {
    super(parent, name);
    this.pioLatency = this.resolveParams(PIO_DEVICE_PARAMS, given).pioLatency;
    this.#range = AddrRange.ofSize(base, M5_WINDOW_SIZE);
    this.#pseudoInstructions = pseudoInstructions;
  }

  override addrRanges(): readonly AddrRange[] {
    return [this.#range];
  }

  /** An access is one call, whatever its size: it must not be taken apart as registers are. */
  protected override access(packet: Packet): void {
    if (!packet.isRead && !packet.isWrite) {
      packet.makeError(Command.BadAddressError);
      return;
    }
    const fn = ((packet.addr - this.#range.start) >>> 8) & 0xff;
    const result = this.#pseudoInstructions.call(fn);
    if (result === undefined) this.warnOnce(`pseudo-instruction ${fn} is unknown: it does nothing`);
    if (packet.isRead) putLittleEndian(packet.data, result ?? 0n);
    packet.makeResponse();
  }
}

function putLittleEndian(data: Uint8Array, value: bigint): void {
  let rest = BigInt.asUintN(64, value);
  for (let i = 0; i < data.length; i++) {
    data[i] = Number(rest & 0xffn);
    rest >>= 8n;
  }
}
