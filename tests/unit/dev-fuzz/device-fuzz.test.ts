// Random accesses of every size to every device: nothing throws, nothing storms, nothing grows, and a machine that was
// saved and restored goes on as the one that was not. All of it from one seed.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Random } from '../../support/random.ts';
import { type Access, FuzzPc } from './fuzz-pc.ts';

const SEED = 0x5eed_0d13;
const ACCESSES = 200_000;
const BETWEEN_CHECKPOINTS = 20_000;
/** The 64 KiB of the test device in a checkpoint, in hexadecimal. */
const TEST_MEMORY_DIGITS = 2 * 65_536;
/** Accesses that a restored machine makes side by side with the original. */
const SIDE_BY_SIDE = 300;
const SIZES = [1, 1, 1, 2, 2, 4, 4, 4, 8, 3, 5] as const;
const TYPED = 'ls -l\r\x03\x01~';

/** What software does next. */
type Step =
  | { readonly kind: 'access'; readonly access: Access }
  | { readonly kind: 'msr'; readonly index: number; readonly value: bigint | undefined }
  | { readonly kind: 'pass'; readonly ticks: number }
  | { readonly kind: 'interrupt' }
  | { readonly kind: 'type'; readonly text: string };

class Script {
  readonly #random: Random;
  readonly #ranges: readonly { readonly start: number; readonly sizeBytes: number }[][];

  constructor(seed: number, pc: FuzzPc) {
    this.#random = new Random(seed);
    this.#ranges = pc.devices.map((device) => [...device.addrRanges()]);
  }

  next(timing: boolean): Step {
    const random = this.#random;
    const dice = random.below(100);
    if (dice < 4) return { kind: 'pass', ticks: this.#ticks() };
    if (dice < 6) return { kind: 'interrupt' };
    if (dice < 7) return { kind: 'type', text: TYPED };
    if (dice < 9) {
      const index = random.oneIn(8) ? random.pick([0x1b, 0x6e0]) : 0x800 + random.below(0x40);
      return { kind: 'msr', index, value: random.oneIn(2) ? undefined : this.#value64() };
    }
    return { kind: 'access', access: this.#access(timing) };
  }

  #access(timing: boolean): Access {
    const random = this.#random;
    const device = random.below(this.#ranges.length);
    const { start, sizeBytes: length } = random.pick(this.#ranges[device]!);
    const sizeBytes = random.pick(SIZES);
    const isTiming = timing && random.oneIn(16);
    const value = random.oneIn(2) ? undefined : this.#value(sizeBytes);
    return { device, addr: start + this.#offset(length), sizeBytes, value, isTiming };
  }

  /** Mostly where registers are; sometimes anywhere, or across an edge. */
  #offset(length: number): number {
    const random = this.#random;
    const dice = random.below(16);
    if (dice === 0) return -1 - random.below(7);
    if (dice === 1) return length - 1 - random.below(Math.min(8, length));
    if (dice === 2) return random.u32() % length;
    // Functions of a PCI bus are 2 KiB apart.
    if (dice === 3) return (random.below(3) * 0x800 + random.below(0x100)) % length;
    const near = random.below(Math.min(length, dice < 8 ? 0x10 : 0x400));
    return random.oneIn(3) ? near : near & ~3;
  }

  #value(sizeBytes: number): number {
    const random = this.#random;
    const limit = 2 ** (8 * Math.min(sizeBytes, 6));
    const dice = random.below(8);
    if (dice === 0) return 0;
    if (dice === 1) return limit - 1;
    if (dice === 2) return 2 ** random.below(8 * Math.min(sizeBytes, 6));
    if (dice < 6) return random.below(0x100);
    return (random.u32() * 0x1_0000 + random.below(0x1_0000)) % limit;
  }

  #value64(): bigint {
    const random = this.#random;
    if (random.oneIn(2)) return BigInt(random.below(0x100));
    return (BigInt(random.u32()) << (random.oneIn(2) ? 32n : 0n)) | BigInt(random.u32());
  }

  /** Mostly microseconds, sometimes long enough for everything slow. */
  #ticks(): number {
    const random = this.#random;
    const dice = random.below(64);
    if (dice === 0) return 2_000_000_000 + random.u32();
    return dice < 16 ? random.below(100_000_000) : random.below(2_000_000);
  }
}

function perform(pc: FuzzPc, step: Step): string {
  switch (step.kind) {
    case 'access':
      return pc.access(step.access);
    case 'msr':
      return pc.msr(step.index, step.value);
    case 'pass':
      pc.pass(step.ticks);
      return '';
    case 'interrupt':
      return String(pc.takeInterrupt());
    case 'type':
      pc.type(step.text);
      return '';
  }
}

/** What was done, for the message of a failure. */
const told = (step: Step): string =>
  JSON.stringify(step, (_key, value) => (typeof value === 'bigint' ? `0x${value.toString(16)}` : value));

function attempt(pc: FuzzPc, step: Step, where: string): string {
  try {
    return perform(pc, step);
  } catch (error) {
    throw new Error(`${where}: ${told(step)}`, { cause: error });
  }
}

test(`${ACCESSES} random accesses throw nothing, start no storm, keep no memory, and survive checkpoints`, () => {
  let pc = new FuzzPc();
  const script = new Script(SEED, pc);
  let largest = 0;
  for (let done = 0; done < ACCESSES; ) {
    const goal = Math.min(ACCESSES, done + BETWEEN_CHECKPOINTS);
    while (done < goal) {
      const step = script.next(true);
      attempt(pc, step, `access ${done}`);
      if (step.kind === 'access') done++;
    }
    pc.drain();
    // Nothing is left but timers: one event for each thing that can happen by itself.
    assert.ok(pc.root.eventQueue.size <= 24, `${pc.root.eventQueue.size} events are scheduled`);
    pc.forgetInput();
    const saved = pc.save();
    largest = Math.max(largest, JSON.stringify(saved).length);
    const copy = new FuzzPc();
    copy.restore(saved);
    assert.deepEqual(copy.save(), saved, `restored after ${done} accesses`);
    for (const machine of [pc, copy]) machine.start();
    for (let i = 0; i < SIDE_BY_SIDE; i++) {
      const step = script.next(false);
      const where = `step ${i} after the checkpoint at ${done}`;
      assert.equal(attempt(copy, step, where), attempt(pc, step, where), `${where}: ${told(step)}`);
    }
    assert.deepEqual(copy.save(), pc.save(), `side by side after ${done} accesses`);
    // The copy goes on: what a checkpoint forgets shows sooner or later.
    pc = copy;
  }
  assert.ok(largest < 65_536 + TEST_MEMORY_DIGITS, `a state of ${largest} characters`);
});

test('the machine that is fuzzed has every device of src/dev', async () => {
  const { readdirSync, readFileSync } = await import('node:fs');
  const sources = new URL('../../../src/dev/', import.meta.url);
  const declared = readdirSync(sources, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .flatMap((file) => [
      ...readFileSync(new URL(file, sources), 'utf8').matchAll(/^export class (\w+) extends PioDevice/gm),
    ])
    .map(([, name]) => name!)
    .sort();
  assert.deepEqual(
    [...new Set(new FuzzPc().devices.map((device) => device.constructor.name))].sort(),
    declared,
  );
});
