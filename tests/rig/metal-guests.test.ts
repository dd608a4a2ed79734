// The bare-metal guests that PVM's emulation of ring 0 cannot execute, where the processor itself executes ring 0.
// tests/conformance/metal-guests.test.ts runs the others.

import { describe, test } from 'node:test';
import { assertRight, METAL_GUESTS, reasonAgainst, titleOf } from '../support/metal.ts';

describe('bare-metal guests that PVM cannot execute', () => {
  for (const guest of METAL_GUESTS.filter(({ notPvm }) => notPvm !== undefined))
    test(titleOf(guest), { skip: reasonAgainst(guest) }, (t) => assertRight(t, guest));
});
