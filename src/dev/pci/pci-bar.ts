/**
 * Base address registers of a PCI function: PCI Local Bus Specification 3.0, §6.2.5.1. A BAR is plain registers whose
 * low bits cannot be written: so software that writes ones reads back the size.
 */
import { type RegisterBank, type RegisterTable, reg } from '../register-file.ts';

/** What a function wants mapped. */
export interface PciBarDeclaration {
  /** 0 to 5; a 64-bit BAR takes the next one too. */
  readonly index: number;
  readonly kind: 'io' | 'memory' | 'memory64';
  readonly prefetchable?: boolean;
  /** The registers behind it. The BAR is as long as they are, rounded up to a power of two (16 bytes or 4 at least). */
  readonly bank: RegisterBank;
}

/** Offset of BAR 0 in the configuration space. */
const BARS_AT = 0x10;
const BAR_COUNT = 6;

export class PciBar {
  readonly declared: PciBarDeclaration;
  readonly sizeBytes: number;

  /** @throws RangeError if there is no such BAR */
  constructor(declared: PciBarDeclaration) {
    const { index, kind, bank } = declared;
    const last = kind === 'memory64' ? index + 1 : index;
    if (!Number.isInteger(index) || index < 0 || last >= BAR_COUNT) throw new RangeError(`no BAR ${index}`);
    this.declared = declared;
    const least = kind === 'io' ? 4 : 16;
    this.sizeBytes = 2 ** Math.ceil(Math.log2(Math.max(least, bank.sizeBytes)));
    if (this.sizeBytes > 2 ** 31) throw new RangeError(`BAR ${index} is longer than 2 GiB`);
  }

  get space(): 'io' | 'memory' {
    return this.declared.kind === 'io' ? 'io' : 'memory';
  }

  /** Bits 3:0: I/O or memory, 64 bits, prefetchable. */
  get #typeBits(): number {
    const { kind, prefetchable = false } = this.declared;
    if (kind === 'io') return 1;
    return (kind === 'memory64' ? 4 : 0) | (prefetchable ? 8 : 0);
  }

  /** Its registers in the configuration space: `bar2`, of a 64-bit BAR also `bar3`. */
  get registers(): RegisterTable {
    const { index, kind } = this.declared;
    const at = BARS_AT + 4 * index;
    const low = reg({
      at,
      sizeBytes: 4,
      reset: this.#typeBits,
      writable: ~(this.sizeBytes - 1) >>> 0,
      doc: `base address ${index}: ${kind}, ${this.sizeBytes} bytes`,
    });
    if (kind !== 'memory64') return { [`bar${index}`]: low };
    const high = reg({ at: at + 4, sizeBytes: 4, doc: `base address ${index}, bits 63:32` });
    return { [`bar${index}`]: low, [`bar${index + 1}`]: high };
  }

  /** Where it is mapped now, given the values of its registers. An exact Number or something beyond all windows. */
  base(get: (name: string) => number): number {
    const { index, kind } = this.declared;
    const low = (get(`bar${index}`) & ~(this.sizeBytes - 1)) >>> 0;
    return kind === 'memory64' ? get(`bar${index + 1}`) * 2 ** 32 + low : low;
  }
}
