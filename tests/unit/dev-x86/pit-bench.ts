/** A bench for the 8254: programming it as software does, at given clocks of its 1.193182 MHz. */
import { Pit8254, type Pit8254Params } from '../../../src/dev/x86/pit8254.ts';
import type { Root } from '../../../src/sim/root.ts';
import { Accessor, Probe, quietRoot, runTo } from './pc-bench.ts';

/** The first tick of a clock of the timer. */
export const tickOf = (clock: number) => (BigInt(clock) * 10n ** 12n + 1_193_181n) / 1_193_182n;

const LOW_HIGH = 0x30;
export const BCD = 0x01;

export function pitBench(params: Pit8254Params = {}, root: Root = quietRoot()) {
  const pit = new Pit8254(root, 'pit', params);
  const irq0 = new Probe();
  pit.out0.connect(irq0);
  const io = new Accessor(pit);
  const at = (clock: number) => runTo(root, tickOf(clock));
  /** Writes a whole count of two bytes, least significant first. */
  const count = (counter: number, value: number) => {
    io.out(0x40 + counter, value & 0xff);
    io.out(0x40 + counter, value >> 8);
  };
  const program = (counter: number, mode: number, value: number, extra = 0) => {
    io.out(0x43, (counter << 6) | LOW_HIGH | (mode << 1) | extra);
    count(counter, value);
  };
  const read = (counter: number) => {
    io.out(0x43, counter << 6);
    const low = io.in(0x40 + counter);
    return low | (io.in(0x40 + counter) << 8);
  };
  const status = (counter: number) => {
    io.out(0x43, 0xe0 | (2 << counter));
    return io.in(0x40 + counter);
  };
  const out = (counter: number) => (status(counter) & 0x80) !== 0;
  const gate2 = (level: boolean) => io.out(0x61, level ? 1 : 0);
  return { root, pit, irq0, io, at, count, program, read, status, out, gate2 };
}

export type PitBench = ReturnType<typeof pitBench>;

/** OUT of a counter at each of the given clocks: H or L. */
export function levels(b: PitBench, counter: number, clocks: readonly number[]): string {
  return clocks
    .map((clock) => {
      b.at(clock);
      return b.out(counter) ? 'H' : 'L';
    })
    .join('');
}

export const range = (from: number, count: number) => Array.from({ length: count }, (_, i) => from + i);

/** The clocks at which the pin for IRQ0 rises, up to `last`. */
export function edges(b: PitBench, last: number): number[] {
  const clocks: number[] = [];
  b.irq0.onChange = () => {
    if (b.irq0.level) clocks.push(clockOf(b.root));
  };
  b.at(last);
  return clocks;
}

/** The clock that the present belongs to. */
export function clockOf(root: Root): number {
  return Number((root.curTick * 1_193_182n) / 10n ** 12n);
}
