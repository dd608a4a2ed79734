// The bare-metal guests that PVM's emulation of ring 0 cannot execute, where the processor itself executes ring 0.
// tests/conformance/metal-guests.test.ts runs the others.

import { describe, test } from 'node:test';
import { assertRight, METAL_GUESTS, reasonAgainst, titleOf } from '../support/metal.ts';
import { inTwoAttempts } from '../support/two-attempts.ts';

/** Guests that see where exactly an interrupt comes in, or measure time, which the host's load disturbs. */
const DEPENDS_ON_MOMENTS = /^(shadows|tsc-rate)/;

describe('bare-metal guests that PVM cannot execute', () => {
  for (const guest of METAL_GUESTS.filter(({ notPvm }) => notPvm !== undefined))
    test(titleOf(guest), { skip: reasonAgainst(guest) }, async (t) => {
      const boot = (): void => assertRight(t, guest);
      if (DEPENDS_ON_MOMENTS.test(guest.image)) await inTwoAttempts(titleOf(guest), boot);
      else boot();
    });
});
