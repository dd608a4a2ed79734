// What the benchmarks share: peers in C, medians, the table.

import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

export const ROOT = join(import.meta.dirname, '..');

/** A line of the table. */
export interface Row {
  readonly what: string;
  readonly result: string;
  readonly aim: string;
}

/** @param source path from the root of the project */
export function compile(source: string, program: string): void {
  execFileSync('cc', ['-O2', '-static', '-o', program, join(ROOT, source)]);
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export function printTable(rows: readonly Row[]): void {
  console.log('| what | result | aim |\n| --- | --- | --- |');
  for (const { what, result, aim } of rows) console.log(`| ${what} | ${result} | ${aim} |`);
}
