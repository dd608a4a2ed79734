/**
 * PciFunction: what every PCI function has: a configuration space with the type 0 header, BARs, an interrupt pin. Devices
 * extend it. PCI Local Bus Specification 3.0, chapter 6.
 */
import { OutputPin } from '../../sim/pin.ts';
import { SimObject } from '../../sim/sim-object.ts';
import {
  bit,
  type RegisterBank,
  RegisterFile,
  type RegisterHook,
  type RegisterTable,
  reg,
} from '../register-file.ts';
import { PciBar, type PciBarDeclaration } from './pci-bar.ts';
import { capabilityList, type PciCapability } from './pci-capability.ts';
import { msiMessage } from './pci-msi.ts';

/** Where a function is. */
export interface PciAddress {
  readonly bus?: number;
  readonly device: number;
  readonly fn?: number;
}

export interface PciIdentity {
  readonly vendor: number;
  readonly device: number;
  readonly revision?: number;
  /** Class, subclass, programming interface: 0x060000 is a host bridge. */
  readonly classCode: number;
  readonly subsystemVendor?: number;
  readonly subsystem?: number;
  /** INTA is 1, INTD 4; 0: it does not interrupt. */
  readonly interruptPin?: 0 | 1 | 2 | 3 | 4;
  readonly isMultiFunction?: boolean;
  readonly bars?: readonly PciBarDeclaration[];
  /** What it can do beyond the header, in the order of the list that software walks. */
  readonly capabilities?: readonly PciCapability[];
  /** Registers of its own, from 0x40 on. */
  readonly registers?: RegisterTable;
  readonly hooks?: Readonly<Record<string, RegisterHook>>;
}

export const PCI_CONFIG_SIZE_BYTES = 0x100;

const COMMAND = {
  at: 0x04,
  sizeBytes: 2,
  writable: 0x0547,
  doc: 'command',
  fields: {
    ioSpace: bit(0),
    memorySpace: bit(1),
    busMaster: bit(2),
    parityError: bit(6),
    serr: bit(8),
    interruptDisable: bit(10),
  },
} as const;
const STATUS = {
  at: 0x06,
  sizeBytes: 2,
  access: 'w1c',
  writable: 0xf900,
  doc: 'status',
  fields: { interrupt: bit(3), capabilities: bit(4) },
} as const;

/** The type 0 header, without the BARs: PCI 3.0 figure 6-1. */
export function pciHeader(identity: PciIdentity) {
  const { vendor, device, revision = 0, classCode, subsystemVendor = 0, subsystem = 0 } = identity;
  const { interruptPin = 0, isMultiFunction = false } = identity;
  const fixed = (at: number, sizeBytes: 1 | 2 | 4, reset: number, doc: string) =>
    reg({ at, sizeBytes, access: 'ro', reset, doc });
  return {
    vendorId: fixed(0x00, 2, vendor, 'vendor'),
    deviceId: fixed(0x02, 2, device, 'device'),
    command: reg(COMMAND),
    status: reg(STATUS),
    revisionId: fixed(0x08, 1, revision, 'revision'),
    programmingInterface: fixed(0x09, 1, classCode & 0xff, 'programming interface'),
    subclass: fixed(0x0a, 1, (classCode >> 8) & 0xff, 'subclass'),
    baseClass: fixed(0x0b, 1, (classCode >> 16) & 0xff, 'class'),
    cacheLineSize: reg({ at: 0x0c, doc: 'cache line size in double words' }),
    latencyTimer: reg({ at: 0x0d, doc: 'latency timer' }),
    headerType: fixed(0x0e, 1, isMultiFunction ? 0x80 : 0, 'header type 0; bit 7: several functions'),
    subsystemVendorId: fixed(0x2c, 2, subsystemVendor, 'subsystem vendor'),
    subsystemId: fixed(0x2e, 2, subsystem, 'subsystem'),
    interruptLine: reg({ at: 0x3c, doc: 'interrupt line: a byte for software' }),
    interruptPin: fixed(0x3d, 1, interruptPin, 'interrupt pin'),
  };
}
type PciHeader = ReturnType<typeof pciHeader>;

/** The two address spaces that BARs are in. */
export type PciSpace = 'io' | 'memory';

/** Where an access ends up. */
export interface Place {
  readonly bank: RegisterBank;
  readonly offset: number;
}

/** What a function is attached to. */
export interface PciBus extends SimObject {
  attach(fn: PciFunction): void;
}

export class PciFunction extends SimObject {
  readonly bus: number;
  readonly device: number;
  readonly fn: number;
  /** The configuration space: 256 bytes. */
  readonly config: RegisterFile<PciHeader & RegisterTable>;
  readonly bars: readonly PciBar[];
  /** INTx: level-triggered. */
  readonly intx = new OutputPin();

  constructor(parent: PciBus, name: string, { bus = 0, device, fn = 0 }: PciAddress, identity: PciIdentity) {
    super(parent, name);
    this.bus = bus;
    this.device = device;
    this.fn = fn;
    this.bars = (identity.bars ?? []).map((declared) => new PciBar(declared));
    const { capabilities = [] } = identity;
    let table: PciHeader & RegisterTable = { ...pciHeader(identity), ...identity.registers };
    for (const { registers } of this.bars) table = { ...table, ...registers };
    table = { ...table, ...capabilityList(capabilities) };
    const drive = { write: () => this.#drive() };
    const hooks = { ...identity.hooks, command: drive, msiControl: drive };
    const options = { sizeBytes: PCI_CONFIG_SIZE_BYTES };
    this.config = this.state('config', new RegisterFile<PciHeader & RegisterTable>(table, hooks, options));
    if (capabilities.length > 0) this.config.setField('status', 'capabilities', 1);
    parent.attach(this);
  }

  /** Bus, device and function as requests carry them: PCI Express Base Specification, requester id. */
  get sourceId(): number {
    return (this.bus << 8) | (this.device << 3) | this.fn;
  }

  override restored(): void {
    this.#drive();
  }

  /**
   * The function wants an interrupt, or no longer does: Interrupt Status, and INTx unless software has disabled it, in the
   * command register or by enabling MSI (§6.8.1.3).
   */
  protected setInterrupt(wanted: boolean): void {
    this.config.setField('status', 'interrupt', wanted ? 1 : 0);
    this.#drive();
  }

  /** Whether software lets it read and write memory. */
  protected get isBusMaster(): boolean {
    return this.config.field('command', 'busMaster') !== 0;
  }

  /** What is mapped at an address; undefined: nothing of this function, or its decoder is off. */
  decode(space: PciSpace, address: number): Place | undefined {
    if (this.config.field('command', space === 'io' ? 'ioSpace' : 'memorySpace') === 0) return undefined;
    for (const bar of this.bars) {
      if (bar.space !== space) continue;
      const offset = address - bar.base((name) => this.config.get(name));
      if (offset >= 0 && offset < bar.sizeBytes) return { bank: bar.declared.bank, offset };
    }
    return undefined;
  }

  #drive(): void {
    const isDisabled = this.config.field('command', 'interruptDisable') !== 0;
    const isPending = this.config.field('status', 'interrupt') !== 0;
    this.intx.set(isPending && !isDisabled && msiMessage(this.config) === undefined);
  }
}
