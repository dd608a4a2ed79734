// The programs whose CPU time bench/functional.ts compares: small ones in C, which use nothing beyond x86-64-v2, and
// programs of the system on top of them.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { generatedText } from '../../tests/support/inputs.ts';
import { compile, ROOT } from '../measure.ts';

/** Something to run: the same command natively and on every simulator. */
export interface Program {
  readonly name: string;
  /** How its ratios enter the means; a start-up has a row only. */
  readonly kind: 'C' | 'system' | 'start-up';
  readonly command: readonly [string, ...string[]];
  /** Creates what the command names. */
  prepare(): void;
}

const SOURCES = 'bench/programs/functional';
const C_PROGRAMS = [
  'integer-loop',
  'sieve',
  'quicksort',
  'pointer-chase',
  'matrix-multiply',
  'sha256',
  'bytecode',
];

/** The system's, not another that PATH may name first: they are Debian's builds for the first x86-64. */
const PYTHON = '/usr/bin/python3';
const GZIP = '/usr/bin/gzip';
const GZIP_INPUT_BYTES = 8e6;

/** All programs. @param work in per cent of what takes about a second natively */
export function programsIn(directory: string, work: number): readonly Program[] {
  const percent = String(work);
  const input = join(directory, 'input');
  return [
    ...C_PROGRAMS.map((name) => cProgram(name, directory, percent)),
    {
      name: 'python',
      kind: 'system',
      command: [PYTHON, join(ROOT, SOURCES, 'mixed.py'), percent],
      prepare: nothing,
    },
    {
      name: 'gzip',
      kind: 'system',
      command: [GZIP, '-9', '--stdout', '--no-name', input],
      prepare: () => writeFileSync(input, generatedText(Math.ceil((GZIP_INPUT_BYTES * work) / 100))),
    },
    { name: 'start-up', kind: 'start-up', command: [PYTHON, '-c', 'pass'], prepare: nothing },
  ];
}

function cProgram(name: string, directory: string, percent: string): Program {
  const program = join(directory, name);
  return {
    name,
    kind: 'C',
    command: [program, percent],
    prepare: () => {
      mkdirSync(directory, { recursive: true });
      compile(join(SOURCES, `${name}.c`), program, ['-march=x86-64-v2']);
    },
  };
}

function nothing(): void {}
