/**
 * The PCI host bridge of a PC: configuration space, and the parts of memory and I/O space that belong to the bus. PCI Local Bus
 * Specification 3.0, §3.2.2.3.2 (configuration mechanism #1).
 *
 * Configuration space is reached by the PCI_CONFIG window and, through the ports of mechanism #1, from any CPU model.
 * Whatever no function answers reads as ones, as on a bus on which nobody claims the cycle.
 */
import {
  IO_SPACE_SIZE,
  PCI_CONFIG_ADDRESS_PORT,
  PCI_CONFIG_BASE,
  PCI_CONFIG_SIZE,
  portAddress,
} from '../../arch/x86/address-spaces.ts';
import { asPhysAddr } from '../../mem/addr.ts';
import { declareParams, int, type ParamInputs } from '../../sim/params.ts';
import type { SimObject } from '../../sim/sim-object.ts';
import { panic } from '../../sim/trouble.ts';
import {
  PCI_CONFIG_SIZE_BYTES,
  type PciBus,
  type PciFunction,
  type PciSpace,
  type Place,
} from '../pci/pci-function.ts';
import { PIO_DEVICE_PARAMS, PioDevice } from '../pio-device.ts';
import type { RegisterBank } from '../register-file.ts';
import { HostBridge, IsaBridge } from './pci-host-bridges.ts';
import { PciMechanism1 } from './pci-mechanism1.ts';
import type { ResetControl } from './reset-control.ts';

const PARAMS = declareParams({
  ...PIO_DEVICE_PARAMS,
  memoryBase: int({ default: 0xc000_0000, min: 0, description: 'where BARs of memory can be: start' }),
  memoryEnd: int({ default: 0xfec0_0000, min: 0, description: 'and end, exclusive' }),
  ioBase: int({
    default: 0x1000,
    min: 0,
    max: 0xffff,
    description: 'first port at which BARs of I/O space can be',
  }),
});
export type PciHostParams = ParamInputs<typeof PARAMS>;

export class PciHost extends PioDevice implements PciBus {
  readonly #functions = new Map<number, PciFunction>();
  readonly hostBridge: HostBridge;
  readonly isaBridge: IsaBridge;

  /** @param resetControl answers byte accesses of port 0xcf9 */
  constructor(parent: SimObject, name: string, resetControl: ResetControl, given: PciHostParams = {}) {
    super(parent, name);
    const { pioLatency, memoryBase, memoryEnd, ioBase } = this.resolveParams(PARAMS, given);
    this.pioLatency = pioLatency;
    const configuration = decodedBank(PCI_CONFIG_SIZE, (at) => this.#findConfig(at));
    this.addBank(PCI_CONFIG_BASE, configuration);
    const mechanism1 = new PciMechanism1(configuration, resetControl.registers);
    this.state('configAddress', mechanism1.address);
    this.addBank(portAddress(PCI_CONFIG_ADDRESS_PORT), mechanism1);
    const io = decodedBank(IO_SPACE_SIZE - ioBase, (at) => this.#findBar('io', ioBase + at));
    this.addBank(portAddress(ioBase), io);
    const memory = decodedBank(memoryEnd - memoryBase, (at) => this.#findBar('memory', memoryBase + at));
    this.addBank(asPhysAddr(memoryBase), memory);
    this.hostBridge = new HostBridge(this, 'hostBridge');
    this.isaBridge = new IsaBridge(this, 'isaBridge');
  }

  /** For PciFunction. */
  attach(fn: PciFunction): void {
    const at = fn.bus * 0x1_0000 + fn.device * 0x800 + fn.fn * 0x100;
    if (fn.bus > 255 || fn.device > 31 || fn.fn > 7 || this.#functions.has(at)) {
      panic(this.path, `no place for ${fn.path} at ${fn.bus}:${fn.device}.${fn.fn}`);
    }
    this.#functions.set(at, fn);
  }

  /** The functions, in the order of their making. */
  get functions(): readonly PciFunction[] {
    return [...this.#functions.values()];
  }

  #findConfig(at: number): Place | undefined {
    const offset = at % PCI_CONFIG_SIZE_BYTES;
    const fn = this.#functions.get(at - offset);
    return fn && { bank: fn.config, offset };
  }

  /** Two functions that software has mapped to one address: the one that was made first answers. */
  #findBar(space: PciSpace, address: number): Place | undefined {
    for (const fn of this.#functions.values()) {
      const place = fn.decode(space, address);
      if (place !== undefined) return place;
    }
    return undefined;
  }
}

/** A bank of which others have parts. An access that leaves its part is one of single bytes. */
function decodedBank(sizeBytes: number, find: (offset: number) => Place | undefined): RegisterBank {
  const whole = (offset: number, count: number): Place | undefined => {
    const place = find(offset);
    return place !== undefined && place.offset + count <= place.bank.sizeBytes ? place : undefined;
  };
  return {
    sizeBytes,
    read: (offset, count) => {
      const place = whole(offset, count);
      if (place !== undefined) return place.bank.read(place.offset, count);
      let value = 0;
      for (let i = 0; i < count; i++) {
        const part = find(offset + i);
        value |= (part === undefined ? 0xff : part.bank.read(part.offset, 1)) << (8 * i);
      }
      return value >>> 0;
    },
    write: (offset, count, value) => {
      const place = whole(offset, count);
      if (place !== undefined) place.bank.write(place.offset, count, value);
      else {
        for (let i = 0; i < count; i++) {
          const part = find(offset + i);
          part?.bank.write(part.offset, 1, (value >>> (8 * i)) & 0xff);
        }
      }
    },
  };
}
