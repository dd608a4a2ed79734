// The version of this installation, from the package.json that came with it.

import { readFileSync } from 'node:fs';

/** For example '0.1.0'. */
export function version(): string {
  const description: unknown = JSON.parse(
    readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
  );
  return (description as { version: string }).version;
}
