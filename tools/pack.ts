// Makes dist/ out of src/ for the published package: Node refuses to strip types below node_modules, so there
// the types are stripped beforehand. The code stays as written, types become blanks, imports of .ts become .js.

import { cpSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { dirname, join } from 'node:path';

/** The JavaScript of a module: types blanked out, so that lines and columns stay, and relative imports renamed. */
export function toJavaScript(source: string): string {
  return stripTypeScriptTypes(source, { mode: 'strip' })
    .replace(/(?<=\b(?:from|import)\s*\(?\s*)(['"])(\.{1,2}\/[^'"\n]+)\.ts\1/g, '$1$2.js$1')
    .replace(/(?<=\bnew URL\(\s*)(['"])(\.{1,2}\/[^'"\n]+)\.ts\1/g, '$1$2.js$1')
    .replace(/[ \t]+$/gm, '');
}

/** Writes the JavaScript of everything in `source` to `target`, which is replaced. */
export function emit(source: string, target: string): void {
  rmSync(target, { recursive: true, force: true });
  for (const file of globSync('**/*', { cwd: source, withFileTypes: true })) {
    if (!file.isFile()) continue;
    const from = join(file.parentPath, file.name);
    const to = join(target, from.slice(source.length + 1));
    mkdirSync(dirname(to), { recursive: true });
    if (from.endsWith('.ts'))
      writeFileSync(to.replace(/\.ts$/, '.js'), toJavaScript(readFileSync(from, 'utf8')));
    else cpSync(from, to);
  }
}

if (import.meta.main) {
  const root = join(import.meta.dirname, '..');
  emit(join(root, 'src'), join(root, 'dist'));
}
