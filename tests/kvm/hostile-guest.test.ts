// Guests that mean no good, on a whole PC under the host's KVM: however they end, it is an exit event or one line, never an
// error of ours; and whatever they do, they can be interrupted. All of it from one seed.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { HOSTILE_KINDS, type HostileGuest, hostileGuest } from '../support/hostile-guest.ts';
import { runHostile } from '../support/hostile-machine.ts';
import { kvmIsMissing } from '../support/hypertick.ts';
import { Random } from '../support/random.ts';

const SEED = 0x1057_11e5;
const RUNS_OF_A_KIND = 30;
const LIMITS = { maxTicks: 3e9, hostMs: 60 };

describe('hostile guests', { skip: kvmIsMissing() }, () => {
  for (const kind of HOSTILE_KINDS)
    test(`${RUNS_OF_A_KIND} of the kind ${kind} end with an exit event or with one line`, async () => {
      for (let i = 0; i < RUNS_OF_A_KIND; i++) {
        const random = new Random(SEED + i);
        const guest = hostileGuest(random, kind);
        const irqchip = random.oneIn(5) ? 'kernel' : 'simulated';
        const memoryMode = random.oneIn(4) ? 'timingNoncaching' : 'atomicNoncaching';
        try {
          await runHostile(guest, random, LIMITS, { irqchip, memoryMode });
        } catch (error) {
          const code = guest.code.toHex();
          throw new Error(`seed ${SEED + i}: ${guest.mode} mode, ${irqchip}, ${memoryMode}: ${code}`, {
            cause: error,
          });
        }
      }
    });

  const RESTLESS: Record<string, readonly number[]> = {
    'a jump to itself, interrupts off': [0xfa, 0xeb, 0xfe],
    // mov ecx, -1; mov esi, 0x200000; mov edi, esi; rep movsb
    'one instruction that takes for ever': [
      0xb9, 0xff, 0xff, 0xff, 0xff, 0xbe, 0, 0, 0x20, 0, 0x89, 0xf7, 0xf3, 0xa4,
    ],
    // in al, dx; jmp to the start
    'a port that is read for ever': [0xec, 0xeb, 0xfd],
    // mov edi, 0xfee00300; mov eax, 0x40040; mov [edi], eax; jmp back: its own interrupt, not accepted
    'interrupts to itself, without end': [
      ...[0xbf, 0x00, 0x03, 0xe0, 0xfe, 0xb8, 0x40, 0x00, 0x04, 0x00],
      ...[0x89, 0x07, 0xeb, 0xfc],
    ],
    // m5_work_begin in a loop: an exit event each time
    'exit events without end': [0xbb, 0x00, 0x5a, 0xff, 0xff, 0x8b, 0x03, 0xeb, 0xfc],
  };
  for (const [name, code] of Object.entries(RESTLESS))
    for (const irqchip of ['simulated', 'kernel'] as const)
      test(`${name}: stops when it is told to, irqchip ${irqchip}`, async () => {
        const guest: HostileGuest = {
          kind: 'devices',
          mode: 'protected',
          code: Uint8Array.from(code),
          hasHandlers: false,
          memoryIsNoise: false,
          registersAreNoise: false,
        };
        const { how } = await runHostile(
          guest,
          new Random(SEED),
          { maxTicks: 1e15, hostMs: 40 },
          { irqchip },
        );
        assert.match(how, /user interrupt received$|workbegin$/);
      });
});
