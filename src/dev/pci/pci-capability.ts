/** The list of capabilities in a function's configuration space: PCI Local Bus Specification 3.0, §6.7. */
import { type RegisterTable, reg } from '../register-file.ts';

export interface PciCapability {
  /** Prefix of its registers' names: `msi`. */
  readonly name: string;
  readonly id: number;
  /** Offset of its first byte, a multiple of 4 from 0x40 on. */
  readonly at: number;
  /** What follows the id and the pointer to the next capability. */
  readonly registers: RegisterTable;
}

/** The pointer at 0x34, and each capability with its id and the place of the next. */
export function capabilityList(capabilities: readonly PciCapability[]): RegisterTable {
  let table: RegisterTable = {};
  const pointer = (at: number, to: PciCapability | undefined, doc: string) =>
    reg({ at, access: 'ro', reset: to?.at ?? 0, doc });
  for (const [i, { name, id, at, registers }] of capabilities.entries()) {
    table = {
      ...table,
      [`${name}Id`]: reg({ at, access: 'ro', reset: id, doc: 'capability id' }),
      [`${name}Next`]: pointer(at + 1, capabilities[i + 1], 'next capability'),
      ...registers,
    };
  }
  return { ...table, capabilities: pointer(0x34, capabilities[0], 'first capability') };
}
