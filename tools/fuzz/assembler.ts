// As much of an x86-64 assembler as the guest code of kvm-harness.ts needs: bytes, labels, operands relative to RIP or to a
// base register. Encodings: SDM vol. 2A chapter 2.

const REL32_BYTES = 4;

export class Assembler {
  /** Virtual address of the first byte. */
  readonly base: number;
  readonly #bytes: number[] = [];
  readonly #labels = new Map<string, number>();
  readonly #fixups: { readonly at: number; readonly label: string; readonly next: number }[] = [];

  constructor(base: number) {
    this.base = base;
  }

  /** Virtual address of the next byte. */
  get here(): number {
    return this.base + this.#bytes.length;
  }

  label(name: string): void {
    this.#labels.set(name, this.here);
  }

  /** Virtual address of a label that has been passed. */
  addressOf(label: string): number {
    const address = this.#labels.get(label);
    if (address === undefined) throw new Error(`no label ${label}`);
    return address;
  }

  raw(...bytes: readonly number[]): void {
    this.#bytes.push(...bytes);
  }

  /** Fills up to a multiple of `bytes` with INT3. */
  align(bytes: number): void {
    while (this.#bytes.length % bytes !== 0) this.raw(0xcc);
  }

  /** `opcode` and the distance to a label: JMP, Jcc, CALL. */
  jump(opcode: readonly number[], label: string): void {
    this.raw(...opcode);
    this.#fixups.push({ at: this.#bytes.length, label, next: this.here + REL32_BYTES });
    this.raw(0, 0, 0, 0);
  }

  /**
   * `opcode`, a ModRM byte for an operand at an address, and an immediate.
   * @param reg the `reg` field of ModRM, 0 to 7; higher registers need their REX bit in `opcode`
   */
  atAddress(
    opcode: readonly number[],
    reg: number,
    address: number,
    immediate: readonly number[] = [],
  ): void {
    this.raw(...opcode, 0x05 | (reg << 3));
    this.raw(...le32(address - (this.here + REL32_BYTES + immediate.length)), ...immediate);
  }

  /** As {@link atAddress}, of a label. */
  atLabel(opcode: readonly number[], reg: number, label: string): void {
    this.raw(...opcode, 0x05 | (reg << 3));
    this.#fixups.push({ at: this.#bytes.length, label, next: this.here + REL32_BYTES });
    this.raw(0, 0, 0, 0);
  }

  /** `opcode` with an operand at a displacement from a base register (RAX to RDI). */
  atBase(opcode: readonly number[], reg: number, base: number, displacement: number): void {
    const RSP = 4;
    this.raw(...opcode, 0x80 | (reg << 3) | base, ...(base === RSP ? [0x24] : []), ...le32(displacement));
  }

  /** The machine code. */
  assemble(): Uint8Array {
    const bytes = Uint8Array.from(this.#bytes);
    for (const { at, label, next } of this.#fixups) bytes.set(le32(this.addressOf(label) - next), at);
    return bytes;
  }
}

/** 32 bits, least significant byte first. */
export function le32(value: number): number[] {
  if (value < -(2 ** 31) || value >= 2 ** 32) throw new RangeError(`${value} does not fit 32 bits`);
  return [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff);
}
