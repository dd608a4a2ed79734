// How often each variant of each row has been executed: what the fuzzer has looked at, and what it has not.

import { type Variant, variantName } from './row-source.ts';

export class Coverage {
  readonly #counts: Map<Variant, number>;

  constructor(variants: readonly Variant[]) {
    this.#counts = new Map(variants.map((variant) => [variant, 0]));
  }

  count(variant: Variant): void {
    this.#counts.set(variant, (this.#counts.get(variant) ?? 0) + 1);
  }

  /** One line per variant, separated by tabs, the rarest first; and a line with the sum. */
  report(): string {
    const rows = [...this.#counts].sort((a, b) => a[1] - b[1]);
    const least = rows[0]?.[1] ?? 0;
    const lines = rows.map(([variant, count]) => `${count}\t${variantName(variant)}`);
    return [...lines, `${rows.length} variants, at least ${least} times each`].join('\n');
  }
}
