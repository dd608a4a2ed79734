// Cases that simulated processors once got wrong, with what a Zen 4 says of them under KVM: `npm run fuzz -- --replay` prints them so.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { describeDifference } from '../../../tools/fuzz/difference.ts';
import { FunctionalExecutor } from '../../../tools/fuzz/functional-executor.ts';
import { parseCases } from '../../../tools/fuzz/sequence-text.ts';

const CASES = parseCases(readFileSync(join(import.meta.dirname, 'found.txt'), 'utf8'));

describe('cases that were wrong once', () => {
  for (const translate of ['never', 'always'] as const)
    test(`translate ${translate}`, () => {
      const executor = new FunctionalExecutor({ translate });
      for (const { sequence, outcome } of CASES) {
        assert.ok(outcome !== undefined);
        const [actual] = executor.run([sequence]);
        const code = sequence.instructions.map((bytes) => Buffer.from(bytes).toString('hex')).join(' ');
        assert.deepEqual(describeDifference(outcome, actual!, ['Zen 4', executor.name]), [], code);
      }
    });
});
