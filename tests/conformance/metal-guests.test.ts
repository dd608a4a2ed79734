// Bare-metal guests on the simulated PC: each prints what it finds, by the manuals; QEMU's software emulation is asked
// as well. tests/support/metal.ts says which guest runs where, and why not elsewhere.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { HYPERTICK, hypertick, kvmIsMissing, missing, run, scratchDirectory } from '../support/hypertick.ts';
import {
  assertRight,
  bootMetal,
  bootQemu,
  expectedQemuStatus,
  expectedStatus,
  expectedText,
  imageOf,
  METAL,
  METAL_GUESTS,
  type MetalGuest,
  QEMU,
  reasonAgainst,
  textOf,
  titleOf,
} from '../support/metal.ts';

const noKvm = kvmIsMissing();
const noQemu = missing(QEMU) === `${QEMU} is not installed` && `${QEMU} is not installed`;
const noCompiler = missing('/usr/bin/gcc') === '/usr/bin/gcc is not installed' && 'gcc is not installed';

/** Exit status at --max-ticks. */
const STOPPED = 124;

describe('bare-metal guests under KVM', () => {
  for (const guest of METAL_GUESTS)
    test(titleOf(guest), { skip: reasonAgainst(guest) }, (t) => assertRight(t, guest));
});

describe('bare-metal guests with timing accesses', () => {
  for (const guest of METAL_GUESTS.filter(({ image }) => /^(ports|mmio|pci|ioapic|checkpoint)/.test(image)))
    test(titleOf(guest), { skip: reasonAgainst(guest) }, (t) =>
      assertRight(t, guest, ['--memory-mode', 'timingNoncaching']),
    );
});

describe('bare-metal guests with the interrupt controllers of the kernel', () => {
  for (const guest of METAL_GUESTS.filter(({ kernelIrqchip }) => kernelIrqchip))
    test(titleOf(guest), { skip: reasonAgainst(guest) }, (t) =>
      assertRight(t, guest, ['--irqchip', 'kernel']),
    );
});

describe('bare-metal guests on QEMU', { skip: noQemu }, () => {
  for (const guest of METAL_GUESTS.filter(({ notQemu, notTcg }) => (notQemu ?? notTcg) === undefined))
    test(titleOf(guest), () => {
      const { stdout, stderr, status } = bootQemu(guest);
      assert.equal(textOf(stdout), expectedText(guest), stderr);
      assert.equal(status, expectedQemuStatus(guest), stderr);
    });
});

test('a guest that spins is ended by SIGINT', { skip: noKvm }, async (t) => {
  const guest: MetalGuest = { image: 'spin64' };
  const cwd = scratchDirectory(t);
  const child = spawn(HYPERTICK, ['boot', '--cpu', 'kvm', imageOf(guest)], {
    cwd,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  await once(child.stdout, 'data');
  child.kill('SIGINT');
  const [status] = (await once(child, 'exit')) as [number | null];
  assert.equal(status, 130);
});

/** When the legs of a run end, in simulated time, which is the host's while the guest computes. */
const LEGS = ['60ms', '230ms', '500ms', '900ms', '1400ms', '1h'];

describe('each leg of a run goes on where the checkpoint of the one before was taken', () => {
  for (const guest of METAL_GUESTS.filter(({ image }) => image === 'checkpoint'))
    test(titleOf(guest), { skip: reasonAgainst(guest) }, (t) => {
      const cwd = scratchDirectory(t);
      const texts: string[] = [];
      let status = STOPPED;
      let said = '';
      for (const [leg, end] of LEGS.entries()) {
        if (status !== STOPPED) break;
        const restore = leg === 0 ? [] : ['--restore', `leg${leg - 1}`];
        const options = ['--max-ticks', end, '--checkpoint-at', end, `leg${leg}`, ...restore];
        const outcome = leg === 0 ? bootMetal(guest, cwd, options) : hypertick(['boot', ...options], { cwd });
        texts.push(textOf(outcome.stdout));
        status = outcome.status;
        said = outcome.stderr;
      }
      assert.equal(texts.join(''), expectedText(guest), said);
      assert.equal(status, expectedStatus(guest));
      assert.ok(texts.length > 2, 'the guest ended before it was interrupted twice');
    });
});

test('every image is in the table and has its expected text', () => {
  const images = new Set(readdirSync(join(METAL, 'images')));
  assert.deepEqual([...images].sort(), [...new Set(METAL_GUESTS.map(({ image }) => image))].sort());
  const texts = new Set(METAL_GUESTS.map(({ image, text = image }) => `${text}.txt`));
  assert.deepEqual([...texts].sort(), readdirSync(join(METAL, 'expected')).sort());
});

test('the images are built bit for bit from their sources', { skip: noCompiler }, (t) => {
  const rebuilt = scratchDirectory(t);
  const { status, stderr } = run(join(METAL, 'build.sh'), [rebuilt]);
  assert.equal(status, 0, stderr);
  const files = readdirSync(join(METAL, 'images'));
  assert.deepEqual(readdirSync(rebuilt).sort(), files.sort());
  const changed = files.filter(
    (file) => !readFileSync(join(rebuilt, file)).equals(readFileSync(join(METAL, 'images', file))),
  );
  // build.sh says so when it is not the compiler that the checked-in images were built with.
  if (changed.length > 0 && stderr.startsWith('note: ')) t.skip(stderr.trim());
  else assert.deepEqual(changed, []);
});
