// `npm run fuzz`: random sequences, generated from the encoding rows, on the functional CPU and on the host's processor under
// KVM. Cases that come out differently are made small and printed; `--replay` of node tools/fuzz/main.ts runs them again.

import { parseArgs } from 'node:util';
import { INSTRUCTIONS } from '../../src/arch/x86/isa/instructions.ts';
import { Random } from '../../tests/support/random.ts';
import { Coverage } from './coverage.ts';
import { X87_POINTERS } from './difference.ts';
import { Comparison, type Disagreement } from './disagreement.ts';
import { excludedFromFuzzing } from './excluded.ts';
import { FunctionalExecutor } from './functional-executor.ts';
import { KvmExecutor } from './kvm-executor.ts';
import { minimize } from './minimize.ts';
import { randomSequence } from './random-sequence.ts';
import { encodeVariant, type Variant, variantsOf } from './row-source.ts';
import { formatCase } from './sequence-text.ts';

const ROUND = 2048;
const ALL = { has: () => true } as unknown as ReadonlySet<string>;

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    count: { type: 'string', default: '100000' },
    engine: { type: 'string', default: 'interpreter' },
    only: { type: 'string' },
    coverage: { type: 'boolean', default: false },
    instructions: { type: 'string', default: '4' },
    failures: { type: 'string', default: '10' },
  },
});

/** The variants to draw from. */
function chosenVariants(): Variant[] {
  const wanted = values.only?.toUpperCase().split(',');
  return INSTRUCTIONS.filter(({ mnemonic }) => wanted?.includes(mnemonic) ?? true)
    .filter((instruction) => excludedFromFuzzing(instruction) === undefined)
    .flatMap(({ forms }) => forms)
    .filter(({ in64 }) => in64)
    .flatMap((form) => variantsOf(form));
}

function main(): number {
  const variants = chosenVariants();
  if (variants.length === 0) {
    console.error(`no instruction is called ${values.only}`);
    return 1;
  }
  const oracle = new KvmExecutor();
  const translate = values.engine === 'translator' ? 'always' : 'never';
  const subject = new FunctionalExecutor({ translate, features: ALL });
  const comparison = new Comparison(oracle, subject, { registers: X87_POINTERS });
  const random = new Random(Number(values.seed));
  const coverage = new Coverage(variants);
  const count = Number(values.count);
  let found = 0;
  for (let done = 0; done < count && found < Number(values.failures); done += ROUND) {
    const cases = Array.from({ length: Math.min(ROUND, count - done) }, () =>
      randomSequence(random, {
        maxInstructions: Number(values.instructions),
        source: (context) => {
          const variant = random.pick(variants);
          coverage.count(variant);
          return encodeVariant(variant, context);
        },
      }),
    );
    const disagreements = comparison.run(
      cases.map(({ sequence }) => sequence),
      cases.map(({ undefinedFlags }) => undefinedFlags),
    );
    for (const disagreement of disagreements.slice(0, Number(values.failures) - found)) {
      found++;
      report(comparison, disagreement, cases[disagreement.index]!.undefinedFlags);
    }
    process.stderr.write(`\r${Math.min(done + ROUND, count)} of ${count} cases, ${found} disagreements `);
  }
  process.stderr.write('\n');
  if (values.coverage) console.log(coverage.report());
  console.log(
    `${count} cases of seed ${values.seed}: ${found} disagreements, ${comparison.unconfirmed} seen once only`,
  );
  oracle.close();
  return found === 0 ? 0 : 1;
}

function report(comparison: Comparison, { sequence }: Disagreement, flags: number): void {
  const small = minimize(sequence, (candidate) => comparison.runOne(candidate, flags) !== undefined);
  const again = comparison.runOne(small, flags);
  console.log(formatCase(small) + (again?.lines ?? []).map((line) => `# ${line}\n`).join(''));
}

process.exitCode = main();
