import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { DEVICES, DOCUMENT, renderDevices } from '../../../tools/device-table.ts';

const SOURCES = join(import.meta.dirname, '../../../src/dev');

test('docs/devices.md is current: node tools/device-table.ts makes it', () => {
  assert.equal(readFileSync(DOCUMENT, 'utf8'), renderDevices());
});

test('every register table of src/dev is in the document', async () => {
  const shown = new Set(DEVICES.flatMap(({ banks }) => banks.map(([, table]) => table)));
  const missing: string[] = [];
  for (const file of readdirSync(SOURCES, { recursive: true, encoding: 'utf8' })) {
    if (!file.endsWith('.ts')) continue;
    const text = readFileSync(join(SOURCES, file), 'utf8');
    const names = [...text.matchAll(/^export const ([A-Z0-9_]+(?:_REGISTERS|_WINDOW|_HEADER)) =/gm)].map(
      (m) => m[1]!,
    );
    if (names.length === 0) continue;
    const module: Readonly<Record<string, never>> = await import(join(SOURCES, file));
    for (const name of names) if (!shown.has(module[name]!)) missing.push(`${file}: ${name}`);
  }
  assert.deepEqual(missing, []);
});

test('every device that the document describes is where it says', () => {
  for (const { file } of DEVICES)
    assert.match(readFileSync(join(SOURCES, file), 'utf8'), /^export class /m, file);
});
