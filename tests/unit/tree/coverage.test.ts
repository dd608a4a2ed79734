// docs/coverage.md is data: this checks that what it names is there. A test that is renamed takes its row along.

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ROOT } from '../../support/hypertick.ts';
import { METAL_GUESTS } from '../../support/metal.ts';

interface Row {
  readonly what: string;
  readonly shown: string;
  readonly tests: readonly { readonly file: string; readonly titles: readonly string[] }[];
  readonly guests: readonly string[];
}

const SHOWN = new Set(['scripted', 'KVM', 'hardware']);

/** The rows of all tables: | what | shown | `file`: “title”, “title”; `file`: … | guest guest | */
function rowsOf(text: string): Row[] {
  const lines = text.split('\n').filter((line) => line.startsWith('| ') && !/^\| (what|---) \|/.test(line));
  return lines.map((line) => {
    const [, what = '', shown = '', tests = '', guests = ''] = line
      .split(/(?<!\\)\|/)
      .map((cell) => cell.trim());
    return {
      what,
      shown,
      tests: [...tests.matchAll(/`([^`]+)`: ((?:“[^”]+”(?:, )?)+)/g)].map(([, file = '', titles = '']) => ({
        file,
        titles: [...titles.matchAll(/“([^”]+)”/g)].map(([, title = '']) => title),
      })),
      guests: guests.split(' ').filter((name) => name !== ''),
    };
  });
}

const rows = rowsOf(readFileSync(join(ROOT, 'docs', 'coverage.md'), 'utf8'));

test('every row says where it is shown, and by what', () => {
  assert.ok(rows.length > 50);
  for (const { what, shown, tests, guests } of rows) {
    assert.deepEqual(
      shown.split(', ').filter((place) => !SHOWN.has(place)),
      [],
      what,
    );
    assert.ok(tests.length + guests.length > 0, what);
  }
});

test('every test that is named exists', () => {
  const absent: string[] = [];
  for (const { file, titles } of rows.flatMap((row) => row.tests)) {
    const path = join(ROOT, 'tests', `${file}.test.ts`);
    const text = existsSync(path) ? readFileSync(path, 'utf8') : '';
    const isTitle = (title: string): boolean =>
      [`'${title}'`, `"${title}"`, `\`${title}\``].some((t) => text.includes(t));
    absent.push(...titles.filter((title) => !isTitle(title)).map((title) => `${file}: ${title}`));
  }
  assert.deepEqual(absent, []);
});

test('every guest that is named exists, and every guest is named', () => {
  const named = new Set(rows.flatMap((row) => row.guests));
  assert.deepEqual([...named].sort(), [...new Set(METAL_GUESTS.map(({ image }) => image))].sort());
});
