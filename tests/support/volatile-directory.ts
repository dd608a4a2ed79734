// A place for many checkpoints.

import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';

/** In memory where there is such a place, since waiting for a disk is no part of a test. Removed at the end of the test. */
export function volatileDirectory(t: Pick<TestContext, 'after'>): string {
  const parent = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
  const directory = mkdtempSync(join(parent, 'hypertick-test-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}
