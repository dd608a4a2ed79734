/**
 * stats.txt, byte for byte in gem5's layout (src/base/stats/text.cc), which users' scripts parse:
 *
 *   name (40, left) value (12, right) share (10, right) running share (10, right) # description (Unit)
 */
import { type Result, Unavailable } from './kinds.ts';
import type { DistributionRow, GroupSnapshot, StatRow, StatSnapshot, VectorRow } from './snapshot.ts';

const NAME_WIDTH = 40;
const VALUE_WIDTH = 12;
const SHARE_WIDTH = 10;
/** What stands between a statistic's name and its element's. */
const SEPARATOR = '::';

/** One dump as the text that gem5 appends to stats.txt for it. */
export function formatText(snapshot: StatSnapshot): string {
  const lines: string[] = [];
  formatGroup(lines, '', snapshot.root);
  return [
    '',
    '---------- Begin Simulation Statistics ----------',
    ...lines,
    '',
    '---------- End Simulation Statistics   ----------',
    '',
  ].join('\n');
}

function formatGroup(lines: string[], prefix: string, group: GroupSnapshot): void {
  for (const row of group.stats) formatRow(lines, prefix + row.name, row);
  for (const [name, sub] of group.groups) formatGroup(lines, `${prefix}${name}.`, sub);
}

function formatRow(lines: string[], name: string, row: StatRow): void {
  switch (row.kind) {
    case 'scalar':
      pushLine(lines, row, name, row.value);
      break;
    case 'vector':
      formatVector(lines, name, row);
      break;
    case 'distribution':
      formatDistribution(lines, name, row);
  }
}

/** The percentage columns of a row: of the whole, and summed up so far. */
interface Share {
  readonly pdf: number;
  readonly cdf: number;
}

function pushLine(lines: string[], row: StatRow, name: string, value: Result, share?: Share): void {
  const unavailable = value instanceof Unavailable;
  const { format } = row;
  if (format.nozero && !unavailable && Number(value) === 0) return;
  if (format.nonan && typeof value === 'number' && Number.isNaN(value)) return;
  const percent = (part: number | undefined) => (part === undefined ? '' : `${toFixedEven(part * 100, 2)}%`);
  const note = unavailable ? ` [unavailable: ${value.why}]` : '';
  lines.push(
    `${name.padEnd(NAME_WIDTH)} ${formatValue(value, format.precision).padStart(VALUE_WIDTH)} ` +
      `${percent(share?.pdf).padStart(SHARE_WIDTH)} ${percent(share?.cdf).padStart(SHARE_WIDTH)} ` +
      `# ${row.description}${note} (${row.unit})`,
  );
}

function formatVector(lines: string[], name: string, row: VectorRow): void {
  const { elements, format, total } = row;
  // A vector of one element goes by its own name, without total.
  if (elements.length === 1) {
    pushLine(lines, row, name, elements[0]!.value);
    return;
  }
  const whole = total instanceof Unavailable ? 0 : Number(total);
  const shares = new Shares(format.pdf ? whole : 0);
  for (const element of elements) {
    const { value } = element;
    const share = value instanceof Unavailable ? undefined : shares.next(Number(value));
    pushLine(lines, row, name + SEPARATOR + element.name, value, share);
  }
  if (format.total ?? true) pushLine(lines, row, `${name}${SEPARATOR}total`, total);
}

function formatDistribution(lines: string[], name: string, row: DistributionRow): void {
  if (row.format.nozero && row.samples === 0) return;
  const line = (part: string, value: number, share?: Share) =>
    pushLine(lines, row, name + SEPARATOR + part, value, share);
  line('samples', row.samples);
  line('mean', row.mean);
  line('stdev', row.stdev);
  const total = row.buckets.reduce((sum, count) => sum + count, row.underflows + row.overflows);
  const shares = new Shares(total);
  line('underflows', row.underflows, shares.next(row.underflows));
  const { min, max, bucketSize } = row.shape;
  for (const [i, count] of row.buckets.entries()) {
    const low = i * bucketSize + min;
    const high = Math.min(low + bucketSize - 1, max);
    const range = low < high ? `${formatGeneral(low)}-${formatGeneral(high)}` : formatGeneral(low);
    line(range, count, shares.next(count));
  }
  line('overflows', row.overflows, shares.next(row.overflows));
  line('min_value', row.minValue);
  line('max_value', row.maxValue);
  line('total', total);
}

/** Turns counts into percentages of a whole; none of a whole of zero. */
class Shares {
  readonly #whole: number;
  #cdf = 0;

  constructor(whole: number) {
    this.#whole = whole;
  }

  next(count: number): Share | undefined {
    if (this.#whole === 0) return undefined;
    const pdf = count / this.#whole;
    this.#cdf += pdf;
    return { pdf, cdf: this.#cdf };
  }
}

/** Whole numbers without a fraction, others with six digits or `precision`; `nan` where there is no value. */
export function formatValue(value: Result, precision?: number): string {
  if (value instanceof Unavailable) return 'nan';
  if (typeof value === 'bigint') return precision ? `${value}.${'0'.repeat(precision)}` : String(value);
  if (Number.isNaN(value)) return 'nan';
  if (!Number.isFinite(value)) return value < 0 ? '-inf' : 'inf';
  return toFixedEven(value, precision ?? (Number.isInteger(value) ? 0 : 6));
}

/** C's `%.*f`: exact, ties to even; Number.toFixed rounds ties up and gives up at 1e21. */
function toFixedEven(value: number, digits: number): string {
  if (Math.abs(value) >= 2 ** 53) return formatValue(BigInt(value), digits);
  const rounded = value.toFixed(digits);
  const exact = Math.abs(value).toFixed(100);
  const point = exact.indexOf('.');
  const isTie = /^50*$/.test(exact.slice(point + 1 + digits));
  const lastDigit = Number(rounded.at(-1));
  if (!isTie || lastDigit % 2 === 0) return rounded;
  // The other neighbour of the tie: cut the magnitude off instead of rounding it up.
  const cut = exact.slice(0, digits === 0 ? point : point + 1 + digits);
  return value < 0 ? `-${cut}` : cut;
}

/** C++'s default for a double in a stream, `%g`: six significant digits. */
function formatGeneral(value: number): string {
  const shortest = Number(value.toPrecision(6));
  const exponent = shortest === 0 ? 0 : Math.floor(Math.log10(Math.abs(shortest)));
  if (exponent >= -4 && exponent < 6) return String(shortest);
  const [mantissa, power = ''] = shortest.toExponential().split('e');
  return `${mantissa}e${power[0]}${power.slice(1).padStart(2, '0')}`;
}
