// What exits cost by kind, here and in a C program that only serves them: the same guests under both, in alternation,
// each run in a process of its own. Prints a Markdown table; bench/README.md keeps results.
//
// usage: npm exec -- node bench/exits.ts [RUNS [FIRST [LAST]]]      of the guests FIRST to LAST, counted from 0

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BATCHES, GUESTS, type Guest, imageOf } from './exits/guests.ts';
import { compile, tableLine } from './measure.ts';

interface Cost {
  readonly nsPerIteration: number;
  readonly exitsPerIteration: number;
}

/** The runs that others on the host disturbed least. */
interface Comparison {
  readonly ours: Cost;
  readonly peer: Cost;
}

function compare(directory: string, index: number, guest: Guest, runs: number): Comparison {
  const image = join(directory, 'image');
  writeFileSync(image, imageOf(guest));
  const { iterations, zone } = guest;
  const zoneArguments =
    zone === undefined ? [] : [zone.isPort ? 'pio' : 'mmio', String(zone.start), String(zone.sizeBytes)];
  const peerArguments = [image, String(iterations), String(BATCHES), ...zoneArguments];
  const machine = join(import.meta.dirname, 'exits/machine.ts');
  const ours: Cost[] = [];
  const peer: Cost[] = [];
  for (let i = 0; i < runs; i++) {
    peer.push(costFrom(join(directory, 'exits'), peerArguments));
    ours.push(costFrom(process.execPath, [...process.execArgv, machine, String(index)]));
  }
  return { ours: least(ours), peer: least(peer) };
}

function costFrom(program: string, args: readonly string[]): Cost {
  const output = execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  const [nsPerIteration = Number.NaN, exitsPerIteration = Number.NaN] = output.split(' ').map(Number);
  return { nsPerIteration, exitsPerIteration };
}

function least(costs: readonly Cost[]): Cost {
  return costs.reduce((a, b) => (b.nsPerIteration < a.nsPerIteration ? b : a));
}

/** Of guests that hardly ever exit, the difference per iteration says more. */
function row({ name }: Guest, { ours, peer }: Comparison): string {
  const more = ours.nsPerIteration - peer.nsPerIteration;
  const perExit = peer.exitsPerIteration < 0.5 ? '' : us(more / peer.exitsPerIteration);
  const cells = [
    name,
    us(ours.nsPerIteration),
    us(peer.nsPerIteration),
    us(more),
    peer.exitsPerIteration.toFixed(2),
    perExit,
    perExit === '' ? '' : '≤ 1',
  ];
  return tableLine(cells);
}

function us(ns: number): string {
  return (ns / 1000).toFixed(2);
}

const [runs = 5, first = 0, last = GUESTS.length - 1] = process.argv.slice(2).map(Number);
const directory = mkdtempSync(join(tmpdir(), 'hypertick-bench-'));
try {
  compile('bench/peers/exits.c', join(directory, 'exits'));
  console.log('| kind | µs | in C | more | exits | more per exit | aim |');
  console.log('| --- | --- | --- | --- | --- | --- | --- |');
  for (const [index, guest] of GUESTS.entries()) {
    if (index >= first && index <= last) console.log(row(guest, compare(directory, index, guest, runs)));
  }
} finally {
  rmSync(directory, { recursive: true });
}
