// The console of `hypertick boot` on a terminal: raw keys, the escape key, real time. script(1) of util-linux gives the
// terminal.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { clockSector, ECHO, print } from '../support/flat-images.ts';
import { HYPERTICK, missing, scratchDirectory } from '../support/hypertick.ts';

const SCRIPT = '/usr/bin/script';
const CTRL_A = '\x01';
const CTRL_C = '\x03';

/** `hypertick boot` of this image on a terminal. */
function onTerminal(t: TestContext, image: Iterable<number>) {
  const cwd = scratchDirectory(t);
  writeFileSync(join(cwd, 'image'), Uint8Array.from(image));
  const command = `exec ${HYPERTICK} boot image --memory 16MiB 2> messages`;
  const child = spawn(SCRIPT, ['-qec', command, '/dev/null'], { cwd });
  const exited = once(child, 'exit');
  let shown = '';
  const waiting: (() => void)[] = [];
  child.stdout.on('data', (bytes: Buffer) => {
    shown += bytes.toString('latin1');
    for (const look of waiting) look();
  });
  return {
    type: (keys: string) => child.stdin.write(keys, 'latin1'),
    /** Resolves when the terminal shows exactly this, from the start. */
    async shows(text: string): Promise<void> {
      const { promise, resolve } = Promise.withResolvers<void>();
      const look = () => {
        if (shown.length >= text.length) resolve();
      };
      waiting.push(look);
      look();
      await promise;
      assert.equal(shown, text);
    },
    status: async (): Promise<number> => (await exited)[0],
  };
}

describe('the console on a terminal', { skip: missing(SCRIPT) }, () => {
  test('every key is the guest’s, Ctrl-C too, and nothing is echoed by the terminal', async (t) => {
    const console = onTerminal(t, [...print('>'), ...ECHO]);
    await console.shows('>');
    console.type(`a${CTRL_C}b${CTRL_A}${CTRL_A}`);
    await console.shows(`>a${CTRL_C}b${CTRL_A}`);
    console.type('q');
    assert.equal(await console.status(), 11);
  });

  test('Ctrl-A x ends the run', async (t) => {
    const console = onTerminal(t, [...print('>'), ...ECHO]);
    await console.shows('>');
    console.type(`${CTRL_A}x`);
    assert.equal(await console.status(), 130);
  });

  test('simulated time keeps to the host’s', async (t) => {
    const startMs = performance.now();
    const console = onTerminal(t, clockSector(100));
    assert.equal(await console.status(), 3);
    assert.ok(performance.now() - startMs >= 1000, 'a hundred interrupts, 10 ms apart');
  });
});
