// Numbers from a seed, for fuzzers: splitmix32 (Steele, Lea, Flood 2014), 32 bits wide.

/** What is added for the next number, a "gamma": 2^32 divided by the golden ratio. */
const GOLDEN = 0x9e37_79b9;
/** Bits of a gamma that should differ from their neighbours: with fewer, successive numbers are too much alike. */
const LEAST_CHANGES = 12;

export class Random {
  #state: number;
  readonly #gamma: number;

  /** @param stream of the same seed, which are independent of each other */
  constructor(seed: number, stream = 0) {
    this.#gamma = stream === 0 ? GOLDEN : gammaOf(stream);
    this.#state = seed >>> 0;
  }

  /** 32 random bits, unsigned. */
  u32(): number {
    this.#state = (this.#state + this.#gamma) >>> 0;
    return mixed(this.#state);
  }

  /** 0 to n − 1. */
  below(n: number): number {
    return this.u32() % n;
  }

  /** True once in `n` times. */
  oneIn(n: number): boolean {
    return this.below(n) === 0;
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)] as T;
  }
}

function mixed(value: number): number {
  let z = value;
  z = Math.imul(z ^ (z >>> 16), 0x85eb_ca6b);
  z = Math.imul(z ^ (z >>> 13), 0xc2b2_ae35);
  return (z ^ (z >>> 16)) >>> 0;
}

/** An odd number, another one for nearly every stream. */
function gammaOf(stream: number): number {
  const gamma = mixed(stream) | 1;
  let changes = 0;
  for (let bits = gamma ^ (gamma >>> 1); bits !== 0; bits &= bits - 1) changes++;
  return (changes < LEAST_CHANGES ? gamma ^ 0xaaaa_aaaa : gamma) >>> 0;
}
