/**
 * Quantities with units, as users write them: '3GHz', '32KiB', '10ms'. Binary prefixes (KiB, or K alone) and
 * decimal ones (kB) mean what they say. A unit is required, except that a plain number of bytes or 0 needs none.
 */
import { asTick, TICKS_PER_SECOND, type Tick } from './tick.ts';
import { FatalError } from './trouble.ts';

type Scale = Readonly<Record<string, number>>;

const SIZE_UNITS: Scale = {
  B: 1,
  kB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
  // As QEMU and most tools mean them.
  K: 2 ** 10,
  M: 2 ** 20,
  G: 2 ** 30,
  T: 2 ** 40,
};

/** Ticks per unit. */
const TIME_UNITS: Scale = {
  ps: 1,
  ns: 1e3,
  us: 1e6,
  µs: 1e6,
  ms: 1e9,
  s: TICKS_PER_SECOND,
  min: 60 * TICKS_PER_SECOND,
  h: 3600 * TICKS_PER_SECOND,
};

const FREQUENCY_UNITS: Scale = { Hz: 1, kHz: 1e3, MHz: 1e6, GHz: 1e9, THz: 1e12 };

/** What each parser accepts, for messages. */
export const LEGAL_SIZE =
  "a size such as '512MiB' (B, KiB or K, MiB or M, GiB or G, TiB or T, kB, MB, GB, TB)";
export const LEGAL_TIME = "a time such as '10ms' (ps, ns, us, ms, s, min, h)";
export const LEGAL_FREQUENCY = "a frequency such as '3GHz' (Hz, kHz, MHz, GHz, THz)";

/** Bytes. @throws FatalError with the legal form */
export function parseSize(text: string): number {
  const bytes = /^\d+$/.test(text.trim()) ? Number(text) : scaled(text, SIZE_UNITS);
  if (bytes === undefined || !Number.isSafeInteger(bytes)) illegal(text, LEGAL_SIZE);
  return bytes;
}

/** Simulated time. Whole ticks; '0' needs no unit. @throws FatalError with the legal form */
export function parseTime(text: string): Tick {
  const ticks = text.trim() === '0' ? 0n : exactTicks(text);
  if (ticks === undefined) illegal(text, LEGAL_TIME);
  try {
    return asTick(ticks);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return illegal(text, 'at most 2^64 - 1 ps, about 213 days');
  }
}

/** Hertz. @throws FatalError with the legal form */
export function parseFrequency(text: string): number {
  const hz = scaled(text, FREQUENCY_UNITS);
  if (hz === undefined || !(hz > 0) || !Number.isFinite(hz)) illegal(text, LEGAL_FREQUENCY);
  return hz;
}

function split(text: string, units: Scale): { digits: string; scale: number } | undefined {
  const match = /^\s*(\d+(?:\.\d+)?)\s*([A-Za-zµ]+)\s*$/.exec(text);
  const scale = match === null ? undefined : own(units, match[2]!);
  return scale === undefined ? undefined : { digits: match![1]!, scale };
}

function scaled(text: string, units: Scale): number | undefined {
  const parts = split(text, units);
  return parts === undefined ? undefined : Number((Number(parts.digits) * parts.scale).toPrecision(15));
}

/** Ticks as a bigint, so that '10000s' loses nothing; undefined unless it is a whole number of them. */
function exactTicks(text: string): bigint | undefined {
  const parts = split(text, TIME_UNITS);
  if (parts === undefined) return undefined;
  const [whole = '', fraction = ''] = parts.digits.split('.');
  const divisor = 10n ** BigInt(fraction.length);
  const ticks = BigInt(whole + fraction) * BigInt(parts.scale);
  return ticks % divisor === 0n ? ticks / divisor : undefined;
}

function own(units: Scale, name: string): number | undefined {
  return Object.hasOwn(units, name) ? units[name] : undefined;
}

function illegal(text: string, legal: string): never {
  throw new FatalError(`'${text}' is not ${legal}`);
}
