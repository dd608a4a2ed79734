/**
 * What small test kernels want of a machine that no PC has, QEMU's `pc-testdev`: a register and memory of which nothing is
 * fast, a hand on every interrupt line, and a way to make the host forget a page. Of kvm-unit-tests, `emulator`, `ioapic`
 * and `eventinj` use them.
 */
import { portAddress } from '../../arch/x86/address-spaces.ts';
import { asPhysAddr, type PhysAddr } from '../../mem/addr.ts';
import type { ParamInputs } from '../../sim/params.ts';
import { OutputPin } from '../../sim/pin.ts';
import type { SimObject } from '../../sim/sim-object.ts';
import { arrayCell } from '../../sim/state.ts';
import { PIO_DEVICE_PARAMS, PioDevice } from '../pio-device.ts';
import { type RegisterBank, RegisterFile, reg } from '../register-file.ts';

export const TEST_DATA_REGISTERS = {
  data: reg({ at: 0, sizeBytes: 4, doc: 'keeps what is written, at any offset and width' }),
};

export const TEST_FLUSH_REGISTERS = {
  flush: reg({
    at: 0,
    sizeBytes: 4,
    access: 'wo',
    doc: 'a physical address: the host forgets its mapping of that page, of which the guest notices nothing',
  }),
};

export const TEST_LINE_REGISTERS = {
  line: reg({ at: 0, access: 'wo', doc: 'level of an interrupt line: 0 is low, all else high' }),
};

const PAGE_SIZE = 4096;
/** Lines of an I/O APIC; the first 16 are the 8259s' too. */
const LINES = 24;
const MEMORY_BYTES = 0x1_0000;

/** RAM, as this device needs it. */
export interface Forgettable {
  contains(pa: PhysAddr, sizeBytes: number): boolean;
  /** The next access of the guest finds the page unmapped in the hypervisor. */
  dropSecondaryMappings(pa: PhysAddr, sizeBytes: number): void;
}

export interface PcTestdevWiring {
  /** First of the twelve ports of the registers. */
  readonly registerPort: number;
  /** First of the 24 ports of the interrupt lines. */
  readonly linePort: number;
  readonly memoryBase: number;
  readonly ram: Forgettable;
}

export class PcTestdev extends PioDevice {
  /** The interrupt lines, by number of the I/O APIC's input. */
  readonly lines: readonly OutputPin[] = Array.from({ length: LINES }, () => new OutputPin());
  readonly #levels = this.state('levels', arrayCell(new Uint8Array(LINES))).array;
  readonly #memory = this.state('memory', arrayCell(new Uint8Array(MEMORY_BYTES))).array;
  readonly #data = this.state('data', new RegisterFile(TEST_DATA_REGISTERS));
  readonly #ram: Forgettable;

  constructor(
    parent: SimObject,
    name: string,
    {
      registerPort,
      linePort,
      memoryBase,
      ram,
      ...given
    }: PcTestdevWiring & ParamInputs<typeof PIO_DEVICE_PARAMS>,
  ) {
    super(parent, name);
    this.pioLatency = this.resolveParams(PIO_DEVICE_PARAMS, given).pioLatency;
    this.#ram = ram;
    this.addBank(portAddress(registerPort), this.#data);
    // A part of an address is no address: other widths do nothing.
    this.addBank(portAddress(registerPort + 4), {
      sizeBytes: 4,
      read: () => 0,
      write: (_offset, sizeBytes, value) => {
        if (sizeBytes === 4) this.#forget(value);
      },
    });
    // QEMU splits accesses here into bytes; nobody can tell.
    this.addBank(portAddress(registerPort + 8), this.#data);
    this.addBank(
      portAddress(linePort),
      byteBank(
        LINES,
        () => 0,
        (n, level) => this.#drive(n, level),
      ),
    );
    const memory = this.#memory;
    this.addBank(
      asPhysAddr(memoryBase),
      byteBank(
        MEMORY_BYTES,
        (at) => memory[at]!,
        (at, value) => {
          memory[at] = value;
        },
      ),
    );
  }

  /** Lines that it does not hold high are left to their devices. */
  override restored(): void {
    for (const [n, line] of this.lines.entries()) line.set(this.#levels[n] !== 0);
  }

  #drive(n: number, level: number): void {
    this.#levels[n] = level === 0 ? 0 : 1;
    this.lines[n]!.set(level !== 0);
  }

  #forget(address: number): void {
    const page = asPhysAddr(address - (address % PAGE_SIZE));
    if (this.#ram.contains(page, PAGE_SIZE)) this.#ram.dropSecondaryMappings(page, PAGE_SIZE);
  }
}

/** A bank of single bytes, lowest first. */
function byteBank(
  sizeBytes: number,
  read: (offset: number) => number,
  write: (offset: number, value: number) => void,
): RegisterBank {
  return {
    sizeBytes,
    read: (offset, count) => {
      let value = 0;
      for (let i = 0; i < count; i++) value |= read(offset + i) << (8 * i);
      return value >>> 0;
    },
    write: (offset, count, value) => {
      for (let i = 0; i < count; i++) write(offset + i, (value >>> (8 * i)) & 0xff);
    },
  };
}
