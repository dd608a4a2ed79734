/**
 * Units of statistics, spelt as gem5 spells them in stats.txt (src/base/stats/units.hh).
 */
export type StatUnit = string & { readonly __brand: 'StatUnit' };

const named = (name: string) => name as StatUnit;

export const Unit = {
  Count: named('Count'),
  Cycle: named('Cycle'),
  Tick: named('Tick'),
  Second: named('Second'),
  Byte: named('Byte'),
  Bit: named('Bit'),
  Ratio: named('Ratio'),
  Unspecified: named('Unspecified'),
} as const;

/** One unit per another: `(Tick/Second)`. */
export function rate(of: StatUnit, per: StatUnit): StatUnit {
  return named(`(${of}/${per})`);
}
