// The engines of the functional CPU against the host's processor: random cases of a fixed seed. `npm run fuzz` runs more.

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { runCampaign } from '../../tools/fuzz/campaign.ts';
import { FunctionalExecutor } from '../../tools/fuzz/functional-executor.ts';
import { runJobs } from '../../tools/fuzz/jobs.ts';
import { KvmExecutor } from '../../tools/fuzz/kvm-executor.ts';
import { isNotSimulated } from '../../tools/fuzz/not-simulated.ts';
import { randomBytesSource } from '../../tools/fuzz/random-bytes.ts';
import type { CodeSource } from '../../tools/fuzz/random-sequence.ts';
import { rowSource } from '../../tools/fuzz/row-source.ts';
import { allVariants } from '../../tools/fuzz/variants.ts';
import { otherProcessor } from '../support/reference-processor.ts';

/** QEMU's emulated processor is no oracle: it knows no #AC and no #XM, and its undefined flags are its own. */
function reasonToSkip(): string | false {
  if (!existsSync('/dev/kvm')) return 'no /dev/kvm on this host';
  const other = otherProcessor();
  if (other !== false) return other;
  return /QEMU|TCG/.test(readFileSync('/proc/cpuinfo', 'utf8')) && 'the processor is an emulated one';
}

const skip = reasonToSkip();

describe('interpreter and translator do what the processor does', { skip }, () => {
  let kvm: KvmExecutor;
  before(() => {
    kvm = new KvmExecutor({ tickNs: 20_000_000 });
  });
  after(() => kvm.close());

  function assertAgree(source: CodeSource, count: number): void {
    const subjects = (['never', 'always'] as const).map((translate) => new FunctionalExecutor({ translate }));
    const options = {
      seed: 1,
      count,
      maxFailures: 5,
      maxInstructions: 4,
      source,
      isExpected: isNotSimulated,
    };
    assert.deepEqual(runCampaign(kvm, subjects, options).failures, []);
  }

  test('with instructions out of the encoding rows', () => {
    assertAgree(rowSource(allVariants()), 5000);
  });

  test('in two processes, and all their cases are counted', async () => {
    const plan = {
      seed: 3,
      count: 1300,
      engine: 'both',
      reference: 'kvm',
      randomBytes: false,
      instructions: 4,
      failures: 5,
    } as const;
    let told = 0;
    const listener = { progress: (cases: number) => (told += cases), found: () => {} };
    const { count, failures, coverage } = await runJobs(plan, 2, listener);
    assert.deepEqual(failures, []);
    assert.deepEqual([count, told], [1300, 1300]);
    // Each case begins with a variant; nearly all are compared.
    const { compared } = coverage.counts;
    assert.ok(compared.reduce((sum, one) => sum + one) > 1300);
  });

  test('with bytes without meaning', () => assertAgree(randomBytesSource, 2000));
});
