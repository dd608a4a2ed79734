// Input data for conformance tests, made from a fixed seed.

/** Marsaglia's xorshift32 (2003): small, and good enough to make files that do not compress to nothing. */
function* xorshift32(seed: number): Generator<number> {
  for (let x = seed; ; ) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    yield x >>> 0;
  }
}

const SYLLABLES =
  'ba be bi bo bu da de di do du ka ke ki ko ku la le li lo lu ma me mi mo mu na ne ni no nu'.split(' ');

/** Lines of made-up words, `sizeBytes` long. */
export function generatedText(sizeBytes: number): Buffer {
  const text = Buffer.alloc(sizeBytes, '\n');
  let length = 0;
  for (const random of xorshift32(2026)) {
    const syllable = SYLLABLES[random % SYLLABLES.length] ?? '';
    const end = (random >>> 8) % 11 === 0 ? '\n' : (random >>> 8) % 3 === 0 ? ' ' : '';
    length += text.write(syllable + end, length, 'latin1');
    if (length >= sizeBytes - 3) break;
  }
  return text;
}

/** Half text, half noise, in pieces of 64 KiB: something for every path of a compressor. */
export function generatedFile(sizeBytes: number): Buffer {
  const bytes = generatedText(sizeBytes);
  const noise = xorshift32(1);
  for (let piece = 0; piece < sizeBytes; piece += 131_072)
    for (let i = piece; i < Math.min(piece + 65_536, sizeBytes); i++) bytes[i] = noise.next().value ?? 0;
  return bytes;
}
