/**
 * IRR, ISR and TMR of a local APIC, and the priorities that follow from them: which interrupt may be taken, and when one in
 * service ends. Intel SDM vol. 3A §10.8.3 (priorities), §10.8.4 (acceptance), §10.8.5 (EOI).
 *
 * Each is a set of the 256 vectors: eight words from that of vectors 0–31 on. A vector's class is its bits 7:4.
 */
import { WORD } from './local-apic-registers.ts';

const IRR = WORD.irr0;
const ISR = WORD.isr0;
const TMR = WORD.tmr0;

export class VectorRegisters {
  readonly #words: Uint32Array;

  /** @param words the registers of the APIC */
  constructor(words: Uint32Array) {
    this.#words = words;
  }

  /** A request. A second one of the same vector falls together with the first. */
  request(vector: number, isLevel: boolean): void {
    add(this.#words, IRR, vector);
    if (isLevel) add(this.#words, TMR, vector);
    else remove(this.#words, TMR, vector);
  }

  isRequested(vector: number): boolean {
    return has(this.#words, IRR, vector);
  }

  /** Whether the last request of the vector was level-triggered. */
  isLevel(vector: number): boolean {
    return has(this.#words, TMR, vector);
  }

  /** The processor takes a request: it is in service now. */
  take(vector: number): void {
    remove(this.#words, IRR, vector);
    add(this.#words, ISR, vector);
  }

  /** The highest interrupt in service ends; its vector, −1 if there is none. */
  end(): number {
    const vector = highest(this.#words, ISR);
    if (vector >= 0) remove(this.#words, ISR, vector);
    return vector;
  }

  /** PPR: the task's priority, or the class of the interrupt in service if that is higher. */
  get processorPriority(): number {
    const task = this.#words[WORD.tpr]!;
    const inService = classOf(highest(this.#words, ISR));
    return classOf(task) >= inService ? task : inService;
  }

  /** The highest request if its class is above the processor's priority; else −1. Hot path. */
  get deliverable(): number {
    const vector = highest(this.#words, IRR);
    return classOf(vector) > classOf(this.processorPriority) ? vector : -1;
  }

  /** APR, by which processors bid for lowest-priority interrupts (§10.6.2.4). */
  get arbitrationPriority(): number {
    const task = this.#words[WORD.tpr]!;
    const requested = classOf(highest(this.#words, IRR));
    const inService = classOf(highest(this.#words, ISR));
    const taskClass = classOf(task);
    if (taskClass >= requested && taskClass > inService) return task;
    return Math.max(taskClass, requested, inService);
  }
}

/** The class of a vector or priority, in place; that of no vector (−1) is the lowest. */
function classOf(vector: number): number {
  return vector < 0 ? 0 : vector & 0xf0;
}

function highest(words: Uint32Array, base: number): number {
  for (let i = 7; i >= 0; i--) {
    const word = words[base + i]!;
    if (word !== 0) return 32 * i + 31 - Math.clz32(word);
  }
  return -1;
}

function has(words: Uint32Array, base: number, vector: number): boolean {
  return ((words[base + (vector >>> 5)]! >>> (vector & 31)) & 1) !== 0;
}

function add(words: Uint32Array, base: number, vector: number): void {
  words[base + (vector >>> 5)]! |= 1 << (vector & 31);
}

function remove(words: Uint32Array, base: number, vector: number): void {
  words[base + (vector >>> 5)]! &= ~(1 << (vector & 31));
}
