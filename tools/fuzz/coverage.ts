// How often each variant of each row has been compared: executed on both sides with the same outcome. What stands behind a
// fault or a jump does not count, nor what a case has in common with one that cannot be compared.

import { PageFaultError, Vector } from '../../src/arch/x86/exceptions.ts';
import type { RandomCase } from './random-sequence.ts';
import type { Outcome, Sequence } from './sequence.ts';
import { type Variant, variantName } from './variants.ts';

/** Executed so often, a variant has been looked at. */
export const ENOUGH = 1000;

/** Exceptions that are told behind the instruction: RIP is that of the next one. SDM vol. 3 table 6-1. */
const TRAPS: ReadonlySet<number> = new Set([Vector.DB, Vector.BP, Vector.OF]);

/** Counts by number of the variant, in the order given. */
export interface CoverageCounts {
  readonly generated: readonly number[];
  readonly compared: readonly number[];
  /** Of those compared, the ones that have not ended their case by an exception. */
  readonly completed: readonly number[];
}

export class Coverage {
  readonly #variants: readonly Variant[];
  readonly #numbers: ReadonlyMap<Variant, number>;
  readonly #generated: number[];
  readonly #compared: number[];
  readonly #completed: number[];

  constructor(variants: readonly Variant[]) {
    this.#variants = variants;
    this.#numbers = new Map(variants.map((variant, i) => [variant, i]));
    this.#generated = variants.map(() => 0);
    this.#compared = variants.map(() => 0);
    this.#completed = variants.map(() => 0);
  }

  get counts(): CoverageCounts {
    return { generated: this.#generated, compared: this.#compared, completed: this.#completed };
  }

  /** Counts a case. @param outcome on which all executors agree; undefined: they do not, or some cannot tell */
  count({ sequence, variants = [] }: RandomCase, outcome: Outcome | undefined): void {
    const { completed, ended } =
      outcome === undefined ? NOTHING : certainlyExecuted(sequence, variants, outcome);
    for (const [i, variant] of variants.entries()) {
      const number = variant === undefined ? undefined : this.#numbers.get(variant);
      if (number === undefined) continue;
      this.#generated[number]!++;
      if (i < completed) this.#completed[number]!++;
      if (i < ended) this.#compared[number]!++;
    }
  }

  /** Adds what another process has counted, of the same variants. */
  add({ generated, compared, completed }: CoverageCounts): void {
    for (let i = 0; i < this.#variants.length; i++) {
      this.#generated[i]! += generated[i]!;
      this.#compared[i]! += compared[i]!;
      this.#completed[i]! += completed[i]!;
    }
  }

  /** One line per variant, separated by tabs, the rarest first, below a line that names the columns. */
  table(): string {
    const order = this.#variants.map((_, i) => i).sort((a, b) => this.#compared[a]! - this.#compared[b]!);
    const lines = order.map((i) =>
      [this.#compared[i], this.#completed[i], this.#generated[i], variantName(this.#variants[i]!)].join('\t'),
    );
    const names = 'compared\tcompleted\tgenerated\tinstruction\tencoding\toperands\tplace\tsize\tprefix';
    return `${[names, ...lines].join('\n')}\n`;
  }

  /** One line: how many variants, what the rarest has, how many have too few. */
  summary(): string {
    const count = (isSo: (compared: number) => boolean) => this.#compared.filter(isSo).length;
    const least = this.#compared.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
    return (
      `${this.#variants.length} variants, each compared at least ${least} times: ` +
      `${count((n) => n < ENOUGH)} less than ${ENOUGH} times, ${count((n) => n === 0)} never`
    );
  }
}

/** Numbers of instructions, from the first one. */
interface Executed {
  /** So many have been executed to their end, */
  readonly completed: number;
  /** and so many together with the one that has raised an exception. */
  readonly ended: number;
}

const NOTHING: Executed = { completed: 0, ended: 0 };

/** How many instructions have been executed whatever jumps have done: those behind one that may jump are not counted. */
function certainlyExecuted(
  { codeAddress, instructions }: Sequence,
  variants: readonly (Variant | undefined)[],
  { ending, state, memory }: Outcome,
): Executed {
  if (ending.kind === 'timeout' || ending.kind === 'refused') return NOTHING;
  const starts: number[] = [];
  let end = codeAddress;
  for (const { length } of instructions) {
    starts.push(end);
    end += length;
  }
  if (memory.some(({ address, bytes }) => address < end && codeAddress < address + bytes.length))
    return NOTHING;
  const jump = variants.findIndex((variant) => variant === undefined || mayJump(variant));
  const straight = jump < 0 ? instructions.length : jump + 1;
  if (ending.kind !== 'exception') return { completed: straight, ended: straight };
  const at = starts.indexOf(state.ripNumber);
  if (at < 0 || at >= straight) return { completed: straight, ended: straight };
  const isFetch = ending.vector === Vector.PF && (ending.errorCode & PageFaultError.FETCH) !== 0;
  return { completed: at, ended: isFetch || TRAPS.has(ending.vector) ? at : at + 1 };
}

/** Whether an instruction goes elsewhere than to the next one. */
function mayJump({ form: { instruction, operands } }: Variant): boolean {
  return (
    /^(JMP|CALL|RET|IRET|SYSCALL)/.test(instruction.mnemonic) ||
    operands.some(({ source }) => source === 'relative')
  );
}
