/**
 * The process's source of randomness: xoshiro128** 1.1 (Blackman and Vigna, prng.di.unimi.it), seeded, so
 * that a run can be repeated. What getrandom(2) and AT_RANDOM give out is reproducible on purpose: it
 * protects no secret.
 */

export class SeededRandom {
  readonly #state: Uint32Array;

  /** @param state four words, not all zero */
  constructor(state: readonly [number, number, number, number]) {
    this.#state = Uint32Array.from(state);
  }

  /** Spreads a seed over the whole state with splitmix64, as the authors of xoshiro advise. */
  static fromSeed(seed: number): SeededRandom {
    let x = BigInt(seed);
    const next = () => {
      x = BigInt.asUintN(64, x + 0x9e37_79b9_7f4a_7c15n);
      let z = BigInt.asUintN(64, (x ^ (x >> 30n)) * 0xbf58_476d_1ce4_e5b9n);
      z = BigInt.asUintN(64, (z ^ (z >> 27n)) * 0x94d0_49bb_1331_11ebn);
      return z ^ (z >> 31n);
    };
    const [a, b] = [next(), next()];
    const low = (z: bigint) => Number(z & 0xffff_ffffn);
    return new SeededRandom([low(a), low(a >> 32n), low(b), low(b >> 32n)]);
  }

  /** The four state words; writing them restores the generator. */
  get state(): Uint32Array {
    return this.#state;
  }

  /** The next 32 bits, unsigned. */
  nextU32(): number {
    const s = this.#state;
    const [s0, s1, s2, s3] = [s[0]!, s[1]!, s[2]!, s[3]!];
    const result = Math.imul(rotateLeft(Math.imul(s1, 5), 7), 9) >>> 0;
    const t2 = s2 ^ s0;
    const t3 = s3 ^ s1;
    s[1] = s1 ^ t2;
    s[0] = s0 ^ t3;
    s[2] = t2 ^ (s1 << 9);
    s[3] = rotateLeft(t3, 11);
    return result;
  }

  /** Fills `into`; each word gives four bytes, the lowest first. */
  fill(into: Uint8Array): void {
    for (let i = 0; i < into.length; i += 4) {
      const word = this.nextU32();
      for (let b = 0; b < 4 && i + b < into.length; b++) into[i + b] = word >>> (8 * b);
    }
  }
}

function rotateLeft(x: number, k: number): number {
  return (x << k) | (x >>> (32 - k));
}
