// Test reporter for node:test that says what went wrong and nothing else: failures with their reason and place,
// passes are only counted. Writes the counts as JSON to the file that TEST_TALLY names.

import { writeFileSync } from 'node:fs';
import { relative } from 'node:path';
import type { TestEvent } from 'node:test/reporters';
import { inspect } from 'node:util';

/** How a suite went. */
export interface Tally {
  passed: number;
  failed: number;
  skipped: { name: string; reason: string }[];
}

/** The reporter, in the form that `--test-reporter` wants. */
export default async function* report(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const tally: Tally = { passed: 0, failed: 0, skipped: [] };
  const path: string[] = [];
  for await (const event of source) {
    if (event.type === 'test:start') {
      path.length = event.data.nesting;
      path.push(event.data.name);
    } else if (event.type === 'test:pass' && event.data.details.type !== 'suite') {
      const { skip } = event.data;
      if (skip === undefined || skip === false) tally.passed++;
      else tally.skipped.push({ name: event.data.name, reason: skip === true ? 'no reason given' : skip });
    } else if (event.type === 'test:fail') {
      const { details, file, line, nesting, name } = event.data;
      const { cause, failureType } = details.error as Error & { failureType?: string };
      if (failureType === 'subtestsFailed') continue;
      tally.failed++;
      const place = file === undefined ? '' : ` (${relative(process.cwd(), file)}:${line})`;
      const reason = describe(cause ?? details.error);
      yield `FAILED ${[...path.slice(0, nesting), name].join(' > ')}${place}\n${indent(reason)}\n`;
    } else if (event.type === 'test:stdout' || event.type === 'test:stderr') {
      yield event.data.message;
    }
  }
  if (process.env.TEST_TALLY) writeFileSync(process.env.TEST_TALLY, JSON.stringify(tally));
}

/** The error as a person wants to read it: message and difference, and the frames of our own files. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return inspect(error);
  const frames = (error.stack ?? '').split('\n').filter((line) => /^\s+at .*file:/.test(line));
  return [error.message, ...frames].join('\n');
}

const indent = (text: string): string => text.replace(/^/gm, '    ');
