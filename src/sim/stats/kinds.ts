/**
 * The kinds of statistics, in gem5's terms (src/base/statistics.hh). Counting is a plain field increment;
 * everything else happens when statistics are dumped.
 */
import type { StatUnit } from './unit.ts';

/** A value that this host or configuration cannot give. Printed as `nan` (text) or null (JSON), with the reason. */
export class Unavailable {
  readonly why: string;
  constructor(why: string) {
    this.why = why;
  }
}

/** What a statistic amounts to: a Number, an exact integer, or the reason why there is none. */
export type Result = number | bigint | Unavailable;

/** How a statistic is shown; the names are gem5's flags. */
export interface StatFormat {
  /** Digits after the decimal point; without it 6, or none for whole numbers. */
  readonly precision?: number;
  /** Leave out while it is zero. */
  readonly nozero?: boolean;
  /** Leave out while it is not a number (an unavailable value is shown all the same). */
  readonly nonan?: boolean;
}

export interface VectorFormat extends StatFormat {
  /** Add a row `name::total`; default true. */
  readonly total?: boolean;
  /** Add the percentage of the whole, and the running sum of them. */
  readonly pdf?: boolean;
}

abstract class Stat {
  readonly description: string;
  readonly unit: StatUnit;

  constructor(description: string, unit: StatUnit) {
    this.description = description;
    this.unit = unit;
  }
}

/** Something with one result. */
export interface HasResult {
  result(): Result;
}

/** A counter. */
export class Scalar extends Stat implements HasResult {
  readonly format: StatFormat;
  value = 0;
  #unavailable: Unavailable | undefined;

  constructor(description: string, unit: StatUnit, format: StatFormat) {
    super(description, unit);
    this.format = format;
  }

  /** Hot path. */
  inc(by = 1): void {
    this.value += by;
  }

  /** From now on there is no such value, for this reason; undefined takes it back. */
  setUnavailable(why: string | undefined): void {
    this.#unavailable = why === undefined ? undefined : new Unavailable(why);
  }

  result(): Result {
    return this.#unavailable ?? this.value;
  }

  reset(): void {
    this.value = 0;
  }
}

/** One element of a vector. */
export class VectorElement {
  value = 0;

  /** Hot path. */
  inc(by = 1): void {
    this.value += by;
  }
}

/** Named counters; each is a property with its name: `stats.syncs.msr.inc()`. */
export class Vector extends Stat {
  readonly format: VectorFormat;
  readonly elementNames: readonly string[];
  readonly elements: readonly VectorElement[];
  #unavailable: Unavailable | undefined;

  constructor(description: string, names: readonly string[], unit: StatUnit, format: VectorFormat) {
    super(description, unit);
    this.format = format;
    this.elementNames = names;
    this.elements = names.map(() => new VectorElement());
    for (const [i, name] of names.entries()) {
      if (name in this) throw new RangeError(`a vector element cannot be called '${name}'`);
      Object.defineProperty(this, name, { value: this.elements[i], enumerable: true });
    }
  }

  total(): number {
    return this.elements.reduce((sum, { value }) => sum + value, 0);
  }

  setUnavailable(why: string | undefined): void {
    this.#unavailable = why === undefined ? undefined : new Unavailable(why);
  }

  get unavailable(): Unavailable | undefined {
    return this.#unavailable;
  }

  reset(): void {
    for (const element of this.elements) element.value = 0;
  }
}

/** Buckets of equal width: [min, min + bucketSize), …, up to max inclusive. */
export interface DistributionShape {
  readonly min: number;
  readonly max: number;
  readonly bucketSize: number;
}

/** How often which values occurred. */
export class Distribution extends Stat {
  readonly format: StatFormat;
  readonly shape: DistributionShape;
  readonly buckets: Float64Array;
  samples = 0;
  sum = 0;
  squares = 0;
  underflows = 0;
  overflows = 0;
  minValue = Infinity;
  maxValue = -Infinity;

  constructor(description: string, shape: DistributionShape, unit: StatUnit, format: StatFormat) {
    super(description, unit);
    if (!(shape.bucketSize > 0) || !(shape.max >= shape.min)) {
      throw new RangeError(`a distribution from ${shape.min} to ${shape.max} by ${shape.bucketSize}`);
    }
    this.format = format;
    this.shape = shape;
    this.buckets = new Float64Array(Math.ceil((shape.max - shape.min + 1) / shape.bucketSize));
  }

  /** Hot path. */
  sample(value: number, times = 1): void {
    const { min, max, bucketSize } = this.shape;
    if (value < min) this.underflows += times;
    else if (value > max) this.overflows += times;
    else this.buckets[Math.floor((value - min) / bucketSize)]! += times;
    if (value < this.minValue) this.minValue = value;
    if (value > this.maxValue) this.maxValue = value;
    this.samples += times;
    this.sum += value * times;
    this.squares += value * value * times;
  }

  reset(): void {
    this.buckets.fill(0);
    this.samples = this.sum = this.squares = this.underflows = this.overflows = 0;
    this.minValue = Infinity;
    this.maxValue = -Infinity;
  }
}

/** A value that somebody else keeps, read when dumped. Unavailable until it is connected. */
export class Value extends Stat implements HasResult {
  readonly format: StatFormat;
  #read: () => Result = () => new Unavailable('not connected');

  constructor(description: string, unit: StatUnit, format: StatFormat) {
    super(description, unit);
    this.format = format;
  }

  /** Says where the value comes from (gem5's `functor`). */
  functor(read: () => Result): void {
    this.#read = read;
  }

  result(): Result {
    return this.#read();
  }
}

/** Computed from other statistics when dumped. */
export class Formula extends Stat implements HasResult {
  readonly format: StatFormat;
  readonly #compute: () => Result;

  constructor(description: string, unit: StatUnit, compute: () => Result, format: StatFormat) {
    super(description, unit);
    this.format = format;
    this.#compute = compute;
  }

  result(): Result {
    return this.#compute();
  }
}

export type AnyStat = Scalar | Vector | Distribution | Value | Formula;

/** `a / b`; unavailable if one of them is, NaN for 0 / 0. For formulas. */
export function ratio(a: HasResult | Result, b: HasResult | Result): Result {
  const dividend = resultOf(a);
  const divisor = resultOf(b);
  if (dividend instanceof Unavailable) return dividend;
  if (divisor instanceof Unavailable) return divisor;
  return Number(dividend) / Number(divisor);
}

/** `a + b + …`; unavailable if one of them is. */
export function sum(...terms: readonly (HasResult | Result)[]): Result {
  let total = 0;
  for (const term of terms) {
    const value = resultOf(term);
    if (value instanceof Unavailable) return value;
    total += Number(value);
  }
  return total;
}

function resultOf(stat: HasResult | Result): Result {
  return typeof stat === 'object' && 'result' in stat ? stat.result() : stat;
}
