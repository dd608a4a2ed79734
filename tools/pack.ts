// Makes dist/ out of src/ for the published package: a few large files, since loading hundreds of modules takes longer than
// starting a program. Node would refuse to strip types below node_modules, too.

import { cpSync, mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { join } from 'node:path';
import { type Plugin, rollup } from '@rollup/wasm-node';

const ROOT = join(import.meta.dirname, '..');

/** A class with the name of something else is renamed: configurations and messages would call it so. */
const RENAMED_CLASS = /^(?:var|class) (\w+)\$\d+ (?:= class|extends|\{)/gm;
/** The statistics' vector: its class is named nowhere. */
const MAY_BE_RENAMED = new Set(['Vector']);

const TYPES_STRIPPED: Plugin = {
  name: 'types-stripped',
  transform: (source, file) =>
    file.endsWith('.ts') ? { code: stripTypeScriptTypes(source, { mode: 'strip' }), map: null } : null,
};

/** Bundles the command line into `target`/cli, which is replaced. All files lie where src/cli does: relative paths stay right. */
export async function bundle(target: string): Promise<void> {
  rmSync(target, { recursive: true, force: true });
  const bundled = await rollup({
    input: join(ROOT, 'src', 'cli', 'main.ts'),
    external: /^node:/,
    plugins: [TYPES_STRIPPED],
  });
  const { output } = await bundled.write({ dir: join(target, 'cli'), format: 'es' });
  await bundled.close();
  const renamed = output
    .flatMap((file) => (file.type === 'chunk' ? [...file.code.matchAll(RENAMED_CLASS)] : []))
    .find(([, name]) => !MAY_BE_RENAMED.has(name!));
  if (renamed !== undefined) throw new Error(`a class has the name of something else: ${renamed[1]}`);
}

/** The package as it is when it is installed, without npm: for measurements. Returns the path of its command. */
export async function installInto(directory: string): Promise<string> {
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  for (const name of ['bin', 'share', 'package.json'])
    cpSync(join(ROOT, name), join(directory, name), { recursive: true });
  symlinkSync(join(ROOT, 'node_modules'), join(directory, 'node_modules'));
  await bundle(join(directory, 'dist'));
  return join(directory, 'bin', 'hypertick');
}

if (import.meta.main) await bundle(join(ROOT, 'dist'));
