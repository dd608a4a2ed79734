// Legacy port I/O: an IN, OUT, INS or OUTS that left the guest becomes one access per element. The elements lie one behind
// the other in kvm_run's data page; KVM moves them between there and the guest's memory or registers.
// Source: Linux Documentation/virt/kvm/api.rst, KVM_EXIT_IO.

import { portAddress } from '../../../arch/x86/address-spaces.ts';
import type { IoFields } from '../../../host/kvm/run.ts';
import type { PhysAddr } from '../../../mem/addr.ts';
import type { Ticks } from '../../../sim/tick.ts';

/** Reads or writes one element; returns how long it takes. */
export type AccessPort = (
  address: PhysAddr,
  data: Uint8Array,
  at: number,
  sizeBytes: number,
  isWrite: boolean,
) => Ticks;

/**
 * Serves a port exit.
 * @param bytes the whole kvm_run mapping
 * @returns the sum of the latencies: elements follow one another
 */
export function serveLegacyIo(io: IoFields, bytes: Uint8Array, access: AccessPort): Ticks {
  const { port, size, count, isOut, dataOffset } = io;
  const address = portAddress(port);
  let delay = 0;
  for (let at = dataOffset; at < dataOffset + size * count; at += size) {
    delay += access(address, bytes, at, size, isOut);
  }
  return delay as Ticks;
}
