/** Random numbers for RDRAND and RDSEED: the same sequence in every run with the same seed. */

/** 32 bits each time: a counter of golden-ratio steps, scrambled (the finalizer of MurmurHash3). */
export function randomNumbers(seed: number): () => number {
  let counter = seed | 0;
  return () => {
    counter = (counter + 0x9e37_79b9) | 0;
    let bits = counter;
    bits = Math.imul(bits ^ (bits >>> 16), 0x85eb_ca6b);
    bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2_ae35);
    return bits ^ (bits >>> 16);
  };
}
