// The rules of tools/check.ts: the tree keeps them, and each of them notices a file that does not.

import assert from 'node:assert/strict';
import { dirname } from 'node:path';
import { describe, test } from 'node:test';
import { check, checkCheckout, importsOf, readTree } from '../../../tools/check.ts';

const root = dirname(dirname(dirname(import.meta.dirname)));

describe('the tree', () => {
  test('keeps the house rules', () => assert.deepEqual(check(readTree(root)), []));
  test('does not say where it was checked out or where its packages came from', () =>
    assert.deepEqual(checkCheckout(root), []));
});

describe('the house rules notice', () => {
  const head = '// A file.\n';
  const cases: Record<string, { path?: string; text: string; complaint: RegExp }> = {
    'an import of a higher layer': {
      path: 'src/sim/a.ts',
      text: `${head}import { Kvm } from '../cpu/kvm/kvm.ts';\n`,
      complaint: /layer sim must not import src\/cpu\/kvm\/kvm\.ts/,
    },
    'an import of a sibling layer': {
      path: 'src/dev/a.ts',
      text: `${head}import type { BaseCpu } from '../cpu/base-cpu.ts';\n`,
      complaint: /layer dev must not import/,
    },
    'a lazy import of a higher layer': {
      path: 'src/host/a.ts',
      text: `${head}const m = await import('../sim/tick.ts');\n`,
      complaint: /layer host must not import/,
    },
    'a folder that is no layer': { path: 'src/util/a.ts', text: head, complaint: /src\/util is not a layer/ },
    'a run-time dependency': { text: `${head}import x from 'left-pad';\n`, complaint: /package left-pad/ },
    'a second user of node:ffi': {
      path: 'src/host/memory.ts',
      text: `${head}const ffi = await import('node:ffi');\n`,
      complaint: /only src\/host\/ffi\.ts/,
    },
    'a file of 500 lines': { text: head.repeat(500), complaint: /501 lines/ },
    'a line of 131 columns': { text: `// ${'x'.repeat(128)}\n`, complaint: /131 columns/ },
    'unfinished work': { text: `// ${'TO'}DO: more\n`, complaint: /unfinished/ },
    'a focused test': { text: `${head}test.${'only'}('x', f);\n`, complaint: /`skip` option/ },
    'a bare catch': { text: `${head}try { f(); } catch ${'{'} }\n`, complaint: /swallows/ },
    'an untyped value': { text: `${head}const x: ${'any'} = 1;\n`, complaint: /give it a type/ },
    'module-level mutable state': { text: `${head}export let count = 0;\n`, complaint: /mutable state/ },
    'a missing head': { text: 'export const x = 1;\n', complaint: /without a comment/ },
    'a test that no suite runs': { path: 'tests/misc/a.test.ts', text: head, complaint: /no suite/ },
  };
  for (const [name, { path = 'src/sim/a.ts', text, complaint }] of Object.entries(cases)) {
    test(name, () => {
      const problems = check([{ path, text }]);
      assert.equal(problems.length, 1);
      assert.match(problems[0] ?? '', complaint);
    });
  }

  test('a cycle of value imports, but not one closed by a type', () => {
    const a = { path: 'src/sim/a.ts', text: `${head}import { b } from './b.ts';\n` };
    const value = { path: 'src/sim/b.ts', text: `${head}import { a } from './a.ts';\n` };
    const type = { path: 'src/sim/b.ts', text: `${head}import type { A } from './a.ts';\n` };
    assert.match(
      check([a, value]).join(),
      /import cycle src\/sim\/a\.ts > src\/sim\/b\.ts > src\/sim\/a\.ts/,
    );
    assert.deepEqual(check([a, type]), []);
  });
});

test('imports are found however they are written', () => {
  const text = `import type { A } from './a.ts';
import {
  b,
  c,
} from './b.ts';
export * from './c.ts';
import './d.ts';
const e = import('./e.ts');
`;
  assert.deepEqual(importsOf(text), ['./a.ts', './b.ts', './c.ts', './d.ts', './e.ts']);
  assert.deepEqual(importsOf(text, true), ['./b.ts', './c.ts', './d.ts']);
});
