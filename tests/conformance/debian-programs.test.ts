// Real programs of a Debian system: the same bytes and the same exit status as natively.

import { test } from 'node:test';
import { assertSameAsNative } from '../support/compare.ts';
import { missing } from '../support/hypertick.ts';
import { debianPrograms } from '../support/programs.ts';

const TEN_MB = 10_000_000;

for (const { name, argv, how } of debianPrograms(TEN_MB))
  test(name, { skip: missing(argv[0]) }, (t) => assertSameAsNative(t, argv, how));
