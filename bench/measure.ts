// What the benchmarks share: peers in C, medians and means, the table.

import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

export const ROOT = join(import.meta.dirname, '..');

/** A line of the table. */
export interface Row {
  readonly what: string;
  readonly result: string;
  readonly aim: string;
}

/**
 * @param source path from the root of the project
 * @param flags for the compiler, behind `-O2 -static`
 */
export function compile(source: string, program: string, flags: readonly string[] = []): void {
  execFileSync('cc', ['-O2', '-static', ...flags, '-o', program, join(ROOT, source)]);
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export function geometricMean(values: readonly number[]): number {
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}

/** A line of a Markdown table. */
export function tableLine(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`;
}

export function printTable(rows: readonly Row[]): void {
  console.log(tableLine(['what', 'result', 'aim']));
  console.log(tableLine(['---', '---', '---']));
  for (const { what, result, aim } of rows) console.log(tableLine([what, result, aim]));
}
