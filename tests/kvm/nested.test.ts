// A guest that is a hypervisor: saved and restored while its own guest executes, it prints what it prints undisturbed.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { hasFeature } from '../../src/arch/x86/cpuid.ts';
import { Kvm } from '../../src/cpu/kvm/kvm.ts';
import { named } from '../../src/cpu/kvm/x86/cpuid-names.ts';
import { kvmIsMissing } from '../support/hypertick.ts';
import { expectedOf, MomentsMachine, upToLastLine } from '../support/moments-machine.ts';
import { Random } from '../support/random.ts';
import { volatileDirectory } from '../support/volatile-directory.ts';

const OPTIONS = { image: 'nested', features: '+svm', irqchip: 'kernel' } as const;
const EXPECTED = expectedOf(OPTIONS.image);
const SEED = 3;
const MOMENTS = 24;
/** What the guest's guest reads from the machine itself. */
const READ_IN_GUEST = { exits: 5, to: 'port 0x61 in' } as const;
/** `flags` of the saved state, its first two bytes: the guest's guest executes. Linux: KVM_STATE_NESTED_GUEST_MODE. */
const GUEST_MODE = 1;

function whySkipped(): string | undefined {
  const missing = kvmIsMissing();
  if (missing !== false) return missing;
  const kvm = Kvm.open();
  const offersSvm = hasFeature(named(kvm.supportedCpuid), 'svm');
  kvm.close();
  return offersSvm ? undefined : "this host's KVM offers guests no SVM";
}

test('a hypervisor is saved while its guest executes, and goes on in a new machine', {
  skip: whySkipped() ?? false,
}, async (t) => {
  const directory = `${volatileDirectory(t)}/cpt`;
  const random = new Random(SEED);
  let machine = new MomentsMachine(after, OPTIONS).boot();
  let before = '';
  let inItsGuest = 0;
  for (let i = 0; i < MOMENTS; i++) {
    const anyTime = { ticks: BigInt(random.below(40_000)) * 1_000_000n };
    const moment = i % 4 === 0 ? READ_IN_GUEST : anyTime;
    if (!(await machine.run(moment, before))) break;
    await machine.simulator.checkpoint(directory);
    inItsGuest += isInGuestMode(directory) ? 1 : 0;
    before += machine.text;
    machine.simulator.close();
    machine = new MomentsMachine(after, OPTIONS);
    machine.simulator.restore(directory);
  }
  while (await machine.run(undefined, before));
  assert.equal(upToLastLine(before + machine.text), EXPECTED);
  t.diagnostic(`${inItsGuest} moments in the guest's guest`);
  assert.ok(inItsGuest >= 3, `${inItsGuest} moments`);
});

/** Whether a checkpoint was taken while the guest's guest executed. */
function isInGuestMode(directory: string): boolean {
  const saved: unknown = JSON.parse(readFileSync(join(directory, 'objects', 'board.cpu.json'), 'utf8'));
  const { nested } = (saved as { state: { nested: string } }).state;
  return (Uint8Array.fromHex(nested.slice(0, 2))[0]! & GUEST_MODE) !== 0;
}
