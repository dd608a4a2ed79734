// House rules of the source tree that the type checker and the linter do not know: which layer may import
// which, where unsafe code lives, how long a file may be. `node tools/check.ts` prints what breaks them;
// tests/unit/tree runs the same rules as a test.

import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

/** A source file: path relative to the root of the tree, with forward slashes, and its text. */
export interface SourceFile {
  path: string;
  text: string;
}

/** A rule looks at the whole tree and describes each violation in one line that starts with the file's path. */
type Rule = (files: readonly SourceFile[]) => string[];

/** The folders of src/ from the bottom up. A layer imports itself and lower ones; equals are siblings and strangers. */
const LAYER_LEVELS: Readonly<Record<string, number>> = {
  host: 0,
  sim: 1,
  mem: 2,
  arch: 3,
  cpu: 4,
  dev: 4,
  workload: 5,
  system: 6,
  cli: 7,
  web: 7,
};
const FFI_MODULE = 'src/host/ffi.ts';
const MAX_LINES = 450;
const MAX_COLUMNS = 130;
const SOURCE_FOLDERS = ['src', 'tests', 'tools', 'bench', 'examples'];
const TEST_FILE = /^tests\/((?:unit|silicon)(\/[\w-]+)?|kvm|cli|conformance|pack|rig)\/[\w-]+\.test\.ts$/;

/** Text that does not belong into a source file, and why. Character classes keep the table from matching itself. */
const UNWANTED: readonly { pattern: RegExp; why: string }[] = [
  { pattern: /\b(TO[D]O|FIX[M]E|HAC[K]|XX[X])\b/, why: 'unfinished work belongs into docs/status.md' },
  { pattern: /@ts-(ignor[e]|nochec[k])/, why: 'type errors are fixed, not silenced' },
  {
    pattern: /\b(it|test|describe)\.(ski[p]|onl[y]|tod[o])\b/,
    why: 'a test skips by its `skip` option, with a reason',
  },
  { pattern: /\bcatch\s*[{]/, why: 'a bare catch swallows every kind of error' },
  { pattern: /(:|\bas) an[y]\s*([;,)=\]>|&]|$)/, why: 'give it a type' },
  {
    pattern: /from 'node:proces[s]'/,
    why: 'importing it opens the standard streams, and makes them non-blocking for the guest: use the global',
  },
];

/** The module specifiers that a file imports; `valueOnly` leaves out `import type` and `export type`. */
export function importsOf(text: string, valueOnly = false): string[] {
  const statement = new RegExp(
    [
      /^(?:import|export)\s+(?<type>type\s)?[^'";]*?from\s+'(?<from>[^']+)'/,
      /^import\s+'(?<bare>[^']+)'/,
      /\bimport\(\s*'(?<dynamic>[^']+)'/,
    ]
      .map((form) => form.source)
      .join('|'),
    'gm',
  );
  const found: string[] = [];
  for (const { groups } of text.matchAll(statement)) {
    if (valueOnly && (groups?.type !== undefined || groups?.dynamic !== undefined)) continue;
    found.push(groups?.from ?? groups?.bare ?? groups?.dynamic ?? '');
  }
  return found;
}

const isRelative = (specifier: string): boolean => specifier.startsWith('.');
const resolveFrom = (path: string, specifier: string): string => normalize(join(dirname(path), specifier));
const inSrc = (file: SourceFile): boolean => file.path.startsWith('src/');
const isProduct = (file: SourceFile): boolean => !file.path.startsWith('tests/');
const layerOf = (path: string): string => path.split('/')[1] ?? '';

const importsGoDown: Rule = (files) =>
  files.filter(inSrc).flatMap((file) => {
    const from = layerOf(file.path);
    const level = LAYER_LEVELS[from];
    if (level === undefined) return [`${file.path}: src/${from} is not a layer`];
    return importsOf(file.text)
      .filter(isRelative)
      .map((specifier) => resolveFrom(file.path, specifier))
      .filter((target) => target.startsWith('src/') && layerOf(target) !== from)
      .filter((target) => (LAYER_LEVELS[layerOf(target)] ?? Infinity) >= level)
      .map((target) => `${file.path}: layer ${from} must not import ${target}`);
  });

const onlyNodeAndOurselves: Rule = (files) =>
  files.filter(inSrc).flatMap((file) =>
    importsOf(file.text)
      .filter((specifier) => !isRelative(specifier) && !specifier.startsWith('node:'))
      .map(
        (specifier) =>
          `${file.path}: imports the package ${specifier}; the simulator has no run-time dependency`,
      ),
  );

const relativeImportsAreTypeScript: Rule = (files) =>
  files.filter(isProduct).flatMap((file) =>
    importsOf(file.text)
      .filter((specifier) => isRelative(specifier) && !/\.(ts|json)$/.test(specifier))
      .map((specifier) => `${file.path}: write the extension .ts in '${specifier}'`),
  );

const oneFfiModule: Rule = (files) =>
  files
    .filter(
      (file) =>
        inSrc(file) && file.path !== FFI_MODULE && /['"]node:ffi['"]/.test(withoutComments(file.text)),
    )
    .map((file) => `${file.path}: only ${FFI_MODULE} may use node:ffi`);

const noImportCycles: Rule = (files) => {
  const graph = new Map(
    files.filter(inSrc).map((file) => [
      file.path,
      importsOf(file.text, true)
        .filter(isRelative)
        .map((specifier) => resolveFrom(file.path, specifier)),
    ]),
  );
  const done = new Set<string>();
  const problems: string[] = [];
  const visit = (path: string, trail: readonly string[]): void => {
    if (trail.includes(path)) {
      problems.push(`${path}: import cycle ${[...trail.slice(trail.indexOf(path)), path].join(' > ')}`);
    } else if (!done.has(path)) {
      for (const next of graph.get(path) ?? []) visit(next, [...trail, path]);
      done.add(path);
    }
  };
  for (const path of graph.keys()) visit(path, []);
  return problems;
};

const sizes: Rule = (files) =>
  files.flatMap((file) => {
    const lines = file.text.split('\n');
    const problems = lines.flatMap((line, index) =>
      isProduct(file) && line.length > MAX_COLUMNS
        ? [`${file.path}:${index + 1}: ${line.length} columns, at most ${MAX_COLUMNS}`]
        : [],
    );
    if (lines.length > MAX_LINES) problems.push(`${file.path}: ${lines.length} lines, at most ${MAX_LINES}`);
    return problems;
  });

const noUnwantedText: Rule = (files) =>
  files.flatMap((file) =>
    file.text
      .split('\n')
      .flatMap((line, index) =>
        UNWANTED.filter(({ pattern }) => pattern.test(line)).map(
          ({ why }) => `${file.path}:${index + 1}: ${why}`,
        ),
      ),
  );

const noModuleState: Rule = (files) =>
  files
    .filter((file) => inSrc(file) && /^(export )?(let|var) /m.test(file.text))
    .map((file) => `${file.path}: module-level mutable state; pass it through a constructor`);

const headsSayWhatLivesHere: Rule = (files) =>
  files
    .filter((file) => isProduct(file) && !/^(#!.*\n)?\/[/*]/.test(file.text))
    .map((file) => `${file.path}: begins without a comment that says what lives here`);

const testsAreWhereTheyAreRun: Rule = (files) =>
  files
    .filter((file) => file.path.endsWith('.test.ts') && !TEST_FILE.test(file.path))
    .map((file) => `${file.path}: no suite of tools/test.ts or tools/rig runs this file`);

const RULES: readonly Rule[] = [
  importsGoDown,
  onlyNodeAndOurselves,
  relativeImportsAreTypeScript,
  oneFfiModule,
  noImportCycles,
  sizes,
  noUnwantedText,
  noModuleState,
  headsSayWhatLivesHere,
  testsAreWhereTheyAreRun,
];

function withoutComments(text: string): string {
  return text.replace(/^\s*(\/\/|\*|\/\*).*$/gm, '');
}

/** Every violation in the given files, one line each. */
export function check(files: readonly SourceFile[]): string[] {
  return RULES.flatMap((rule) => rule(files));
}

/** All TypeScript files of the checkout at `root`. */
export function readTree(root: string): SourceFile[] {
  return SOURCE_FOLDERS.flatMap((folder) => listFiles(root, folder))
    .filter((path) => path.endsWith('.ts'))
    .map((path) => ({ path, text: readFileSync(join(root, path), 'utf8') }));
}

/** What a checkout must not carry along: where it happens to lie, and where its packages came from. */
export function checkCheckout(root: string): string[] {
  const kept = ['README.md', 'CHANGELOG.md', 'package.json', 'package-lock.json'];
  const folders = [...SOURCE_FOLDERS, 'bin', 'docs', '.ci'];
  const problems: string[] = [];
  for (const path of [...kept, ...folders.flatMap((folder) => listFiles(root, folder))]) {
    const text = readFileSync(join(root, path), 'latin1');
    if (text.includes(`${root}/`)) problems.push(`${path}: names the directory of this checkout`);
    if (path === 'package-lock.json' && text.includes('"resolved"'))
      problems.push(`${path}: records download addresses; see omit-lockfile-registry-resolved in .npmrc`);
  }
  return problems;
}

function listFiles(root: string, folder: string): string[] {
  try {
    return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

if (import.meta.main) {
  const root = dirname(dirname(fileURLToPath(import.meta.url)));
  const problems = [...check(readTree(root)), ...checkCheckout(root)];
  for (const problem of problems) console.log(problem);
  process.exitCode = problems.length === 0 ? 0 : 1;
}
