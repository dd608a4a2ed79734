/**
 * The register page of a local APIC, and the rules of its two entrances: aligned 32-bit accesses to memory in xAPIC mode,
 * RDMSR and WRMSR in x2APIC mode. Intel SDM vol. 3A §10.4.1, §10.12.1.2. The words lie as in KVM's kvm_lapic_state.
 */
import type { RegisterBank, RegisterHook } from '../../register-file.ts';
import {
  LOCAL_APIC_REGISTERS,
  LOCAL_APIC_WORDS,
  type LocalApicRegister,
  type LocalApicRegisterName,
  WORD,
  X2APIC_FIRST_MSR,
} from './local-apic-registers.ts';

const PAGE_SIZE = 0x1000;
const ONES = 0xffff_ffff;

interface Slot {
  readonly declared: LocalApicRegister;
  readonly hook: RegisterHook;
}

export type LocalApicHooks = { readonly [K in LocalApicRegisterName]?: RegisterHook };

export class LocalApicPage implements RegisterBank {
  readonly sizeBytes = PAGE_SIZE;
  /** The register at offset 16 × i is word i. */
  readonly words = new Uint32Array(LOCAL_APIC_WORDS);
  readonly #slots: readonly (Slot | undefined)[];
  readonly #isMapped: () => boolean;
  readonly #illegalRegister: () => void;

  /**
   * @param hooks of registers that do something; `write` gets the new value of the register and the one before
   * @param isMapped whether the page is there: only in xAPIC mode
   * @param illegalRegister software has touched a reserved register in memory
   */
  constructor(hooks: LocalApicHooks, isMapped: () => boolean, illegalRegister: () => void) {
    const slots: (Slot | undefined)[] = new Array(LOCAL_APIC_WORDS).fill(undefined);
    for (const [name, declared] of Object.entries(LOCAL_APIC_REGISTERS)) {
      slots[declared.at >>> 4] = { declared, hook: hooks[name as LocalApicRegisterName] ?? {} };
    }
    this.#slots = slots;
    this.#isMapped = isMapped;
    this.#illegalRegister = illegalRegister;
  }

  /** The registers of RESET and INIT (SDM vol. 3A §10.4.7.1); hooks are not called. */
  reset(): void {
    this.words.fill(0);
    for (const { at, reset } of Object.values(LOCAL_APIC_REGISTERS)) this.words[at >>> 4] = reset;
  }

  /** Parts of a register can be read; what spans two, or lies beside one, reads as zero. */
  read(offset: number, sizeBytes: number): number {
    if (!this.#isMapped()) return ONES >>> (32 - 8 * sizeBytes);
    const slot = this.#mappedSlot(offset);
    const skipped = offset & 15;
    if (slot === undefined || skipped + sizeBytes > 4) return 0;
    return (readSlot(slot, this.words) >>> (8 * skipped)) & (ONES >>> (32 - 8 * sizeBytes));
  }

  /** Stores other than aligned ones of 32 bits are undefined: they do nothing. */
  write(offset: number, sizeBytes: number, value: number): void {
    if (!this.#isMapped() || sizeBytes !== 4 || (offset & 15) !== 0) return;
    const slot = this.#mappedSlot(offset);
    if (slot !== undefined && slot.declared.access !== 'ro') writeSlot(slot, this.words, value);
  }

  /** A register as an MSR: the ICR has 64 bits, the id is a number. undefined: #GP. */
  readMsr(index: number): bigint | undefined {
    const slot = this.#slots[index - X2APIC_FIRST_MSR];
    if (slot === undefined || slot.declared.msr === 'none' || slot.declared.msr === 'wo') return undefined;
    const word = readSlot(slot, this.words);
    if (slot.declared === LOCAL_APIC_REGISTERS.id) return BigInt(word >>> 24);
    if (slot.declared !== LOCAL_APIC_REGISTERS.icr) return BigInt(word);
    return (BigInt(this.words[WORD.icrHigh]!) << 32n) | BigInt(word);
  }

  /** False: #GP, because the register is not there or cannot be written, or a reserved bit is set. */
  writeMsr(index: number, value: bigint): boolean {
    const slot = this.#slots[index - X2APIC_FIRST_MSR];
    if (slot === undefined || slot.declared.msr === 'none' || slot.declared.msr === 'ro') return false;
    const low = Number(value & 0xffff_ffffn);
    const high = Number(value >> 32n);
    if ((low & ~(slot.declared.writable | slot.declared.ignored)) !== 0) return false;
    if (slot.declared === LOCAL_APIC_REGISTERS.icr) this.words[WORD.icrHigh] = high;
    else if (high !== 0) return false;
    writeSlot(slot, this.words, low);
    return true;
  }

  #mappedSlot(offset: number): Slot | undefined {
    const slot = this.#slots[offset >>> 4];
    if (slot?.declared.isMapped === true) return slot;
    this.#illegalRegister();
    return undefined;
  }
}

function readSlot({ declared, hook }: Slot, words: Uint32Array): number {
  if (hook.read !== undefined) return hook.read();
  return declared.access === 'wo' ? 0 : words[declared.at >>> 4]!;
}

function writeSlot({ declared, hook }: Slot, words: Uint32Array, value: number): void {
  const { at, access, writable } = declared;
  const previous = words[at >>> 4]!;
  const next = ((previous & ~writable) | (value & writable)) >>> 0;
  if (access !== 'wo') words[at >>> 4] = next;
  hook.write?.(next, previous);
}
