/**
 * Records without decoding: of all instructions with the same head (instruction-head.ts) one is decoded, and its record is
 * the template of the others', in which only addresses, displacement and immediate are set anew.
 */

import { BASE_RIP, type Decoded, OperandKind } from '../../arch/x86/isa/decoded.ts';
import { InstructionHead } from '../../arch/x86/isa/instruction-head.ts';
import { RECORD, RECORD_BYTES } from './layout.ts';
import { RecordWriter } from './record-writer.ts';
import { immediateClass, type Shape, shapeDependsOnImmediate } from './shapes.ts';

const TWO_32 = 2 ** 32;
const WORDS = RECORD_BYTES / 4;
const [HANDLER, RIP, NEXT_RIP] = [RECORD.handler / 4, RECORD.rip / 4, RECORD.nextRip / 4];
const [IMMEDIATE, DISPLACEMENT] = [RECORD.immediate / 4, RECORD.displacement / 4];
/** Of the first hash table; it doubles when it is half full. */
const FIRST_PLACES = 2 ** 12;
/** More heads than any program has: all are forgotten, so that code without end does not take memory without end. */
const MOST_TEMPLATES = 2 ** 15;
/** Words of a place in the hash table: the head's bytes (two words), and the number of the template plus one. */
const PLACE = 3;

/** Operands with bytes behind the head of which templates know nothing. */
const TOO_RARE: ReadonlySet<string> = new Set(['offset', 'farPointer']);

interface Template {
  readonly decoded: Decoded;
  /** The record, where address and immediate are zero unless the head implies them. */
  readonly words: Uint32Array;
  readonly lengthBytes: number;
  /** Where displacement and immediate are, from the instruction's first byte on, and how long: 0, where there are none. */
  readonly displacementAt: number;
  readonly displacementBytes: number;
  readonly immediateAt: number;
  readonly immediateBytes: number;
  /** What is added to the displacement (POP with RSP as base). */
  readonly bias: number;
  readonly isRipRelative: boolean;
  /** The immediate is a branch target. */
  readonly isRelative: boolean;
  /** By the class of the immediate, where the shape depends on it; else one, at 0. */
  readonly shapes: (Shape | undefined)[];
  readonly dependsOnImmediate: boolean;
}

export class Templates {
  /** Of the instruction found last: its length, and what handler and effects it has. */
  lengthBytes = 0;
  readonly #head: InstructionHead;
  readonly #templates: Template[] = [];
  #places = new Int32Array(FIRST_PLACES * PLACE);
  readonly #scratch = new ArrayBuffer(RECORD_BYTES);
  readonly #scratchWriter = new RecordWriter(this.#scratch);

  constructor(table: ConstructorParameters<typeof InstructionHead>[0]) {
    this.#head = new InstructionHead(table);
  }

  /**
   * Writes the record of the instruction at `at` if there is a template for it; `lengthBytes` is its length then. The count of
   * remaining instructions is not written. Hot path.
   * @param bytes of which 15 may be looked at
   * @param words the engine's memory, and `record` the index of the record's first word
   * @returns undefined: it has to be decoded
   */
  write(
    bytes: Uint8Array,
    at: number,
    is64: boolean,
    rip: number,
    words: Uint32Array,
    record: number,
  ): Shape | undefined {
    if (!this.#head.scan(bytes, at, is64)) return undefined;
    const template = this.#ofHead();
    if (template === undefined) return undefined;
    const { immediateBytes, displacementBytes, lengthBytes } = template;
    const low = immediateBytes === 0 ? 0 : signedAt(bytes, at + template.immediateAt, immediateBytes);
    const shape =
      template.shapes[template.dependsOnImmediate ? immediateClass(template.decoded.form, low) : 0];
    if (shape === undefined) return undefined;
    for (let i = 0; i < WORDS; i++) words[record + i] = template.words[i]!;
    const nextRip = rip + lengthBytes;
    words[record + HANDLER] = shape.handler;
    words[record + RIP] = rip;
    words[record + RIP + 1] = Math.floor(rip / TWO_32);
    words[record + NEXT_RIP] = nextRip;
    words[record + NEXT_RIP + 1] = Math.floor(nextRip / TWO_32);
    if (displacementBytes !== 0) {
      const displacement = signedAt(bytes, at + template.displacementAt, displacementBytes) + template.bias;
      const value = template.isRipRelative ? nextRip + displacement : displacement;
      words[record + DISPLACEMENT] = value;
      words[record + DISPLACEMENT + 1] = Math.floor(value / TWO_32);
    }
    if (immediateBytes !== 0) {
      const value = template.isRelative ? nextRip + low : low;
      words[record + IMMEDIATE] = value;
      words[record + IMMEDIATE + 1] =
        immediateBytes === 8 ? signedAt(bytes, at + template.immediateAt + 4, 4) : Math.floor(value / TWO_32);
    }
    this.lengthBytes = lengthBytes;
    return shape;
  }

  /** Takes note of an instruction that had to be decoded, if it is of a kind that templates can be made of. */
  add(bytes: Uint8Array, at: number, decoded: Decoded, shape: Shape): void {
    if (!this.#head.scan(bytes, at, decoded.is64)) return;
    const known = this.#ofHead();
    const template = known ?? this.#templateOf(decoded, shape);
    if (template === undefined) return;
    const { immediateAt, immediateBytes, shapes } = template;
    const immediate = immediateBytes === 0 ? 0 : signedAt(bytes, at + immediateAt, immediateBytes);
    shapes[template.dependsOnImmediate ? immediateClass(decoded.form, immediate) : 0] = shape;
    if (known === undefined) this.#enter(template);
  }

  /** How many heads it knows. */
  get count(): number {
    return this.#templates.length;
  }

  /** Forgets all: the same bytes mean something else now. */
  clear(): void {
    this.#templates.length = 0;
    this.#places = new Int32Array(FIRST_PLACES * PLACE);
  }

  /** The template of instructions with the head that was scanned. */
  #ofHead(): Template | undefined {
    const number = this.#places[this.#placeOf(this.#head.low, this.#head.high) + 2]!;
    return number === 0 ? undefined : this.#templates[number - 1];
  }

  /** Where a head is in the hash table, or, if it is not, where it belongs. */
  #placeOf(low: number, high: number): number {
    const places = this.#places;
    const last = places.length / PLACE - 1;
    let hash = Math.imul(low ^ Math.imul(high, 0x9e37_79b1), 0x85eb_ca6b);
    hash ^= hash >>> 15;
    for (let i = hash & last; ; i = (i + 1) & last) {
      const place = i * PLACE;
      if (places[place + 2] === 0 || (places[place] === low && places[place + 1] === high)) return place;
    }
  }

  #enter(template: Template): void {
    const { low, high } = this.#head;
    if (this.#templates.length === MOST_TEMPLATES) this.clear();
    this.#templates.push(template);
    this.#fill(low, high, this.#templates.length);
    if (this.#templates.length * 2 * PLACE <= this.#places.length) return;
    const old = this.#places;
    this.#places = new Int32Array(2 * old.length);
    for (let at = 0; at < old.length; at += PLACE)
      if (old[at + 2] !== 0) this.#fill(old[at]!, old[at + 1]!, old[at + 2]!);
  }

  #fill(low: number, high: number, number: number): void {
    this.#places.set([low, high, number], this.#placeOf(low, high));
  }

  /** Of the instruction whose head was scanned. Undefined: not for instructions like this. */
  #templateOf(decoded: Decoded, shape: Shape): Template | undefined {
    const { form, operands, lengthBytes } = decoded;
    const { lengthBytes: displacementAt, displacementBytes } = this.#head;
    const immediateAt = displacementAt + displacementBytes;
    const immediateBytes = lengthBytes - immediateAt;
    const behind = form.operands.filter(({ source }) => source === 'immediate' || source === 'relative');
    if (![0, 1, 2, 4, 8].includes(immediateBytes) || behind.length !== (immediateBytes === 0 ? 0 : 1))
      return undefined;
    if (form.operands.some(({ source }) => TOO_RARE.has(source))) return undefined;
    if (form.instruction.literal && immediateBytes > 1) return undefined;
    const isRelative = operands.some(({ kind }) => kind === OperandKind.relative);
    if (isRelative && decoded.operandBits !== 64) return undefined;
    const memory = operands.find((operand) => operand.memory !== undefined)?.memory;
    if (displacementBytes !== 0 && memory === undefined) return undefined;
    return {
      decoded,
      words: this.#imageOf(decoded, shape, displacementBytes !== 0, immediateBytes !== 0),
      lengthBytes,
      displacementAt,
      displacementBytes,
      immediateAt,
      immediateBytes,
      bias: form.isAfterPop && memory?.base === RSP ? decoded.operandBits / 8 : 0,
      isRipRelative: memory?.base === BASE_RIP,
      isRelative,
      shapes: [],
      dependsOnImmediate: immediateBytes !== 0 && shapeDependsOnImmediate(decoded),
    };
  }

  #imageOf(
    decoded: Decoded,
    { handler }: Shape,
    hasDisplacement: boolean,
    hasImmediate: boolean,
  ): Uint32Array {
    const scratch = new Uint32Array(this.#scratch);
    scratch.fill(0);
    this.#scratchWriter.write(0, decoded, handler, 0, 0);
    if (hasDisplacement) scratch.fill(0, DISPLACEMENT, DISPLACEMENT + 2);
    if (hasImmediate) scratch.fill(0, IMMEDIATE, IMMEDIATE + 2);
    return scratch.slice();
  }
}

const RSP = 4;

/** A signed number of 1, 2 or 4 bytes; of 8 bytes the low half. */
function signedAt(bytes: Uint8Array, at: number, sizeBytes: number): number {
  if (sizeBytes === 1) return (bytes[at]! << 24) >> 24;
  const half = bytes[at]! | (bytes[at + 1]! << 8);
  if (sizeBytes === 2) return (half << 16) >> 16;
  return half | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
}
