/**
 * A port by which a test program ends the simulation with a status, QEMU's `isa-debug-exit`: the status of the process
 * becomes (value << 1) | 1, never 0, so that a machine that just shuts down cannot be taken for a test that passed.
 */
import type { PhysAddr } from '../../mem/addr.ts';
import { declareParams, int, type ParamInputs } from '../../sim/params.ts';
import type { SimObject } from '../../sim/sim-object.ts';
import { PIO_DEVICE_PARAMS, PioDevice } from '../pio-device.ts';
import { reg } from '../register-file.ts';

/** Cause of the exit event. */
export const TEST_EXIT_CAUSE = 'isa-debug-exit';

export const TEST_EXIT_REGISTERS = {
  exit: reg({ at: 0, sizeBytes: 4, access: 'wo', doc: 'ends the simulation with status value << 1 | 1' }),
};

export const TEST_EXIT_PARAMS = declareParams({
  ...PIO_DEVICE_PARAMS,
  ioSize: int({ default: 4, min: 1, max: 4, description: 'ports taken, from the base on' }),
});

export class TestExit extends PioDevice {
  constructor(
    parent: SimObject,
    name: string,
    { base, ...given }: { readonly base: PhysAddr } & ParamInputs<typeof TEST_EXIT_PARAMS>,
  ) {
    super(parent, name);
    const params = this.resolveParams(TEST_EXIT_PARAMS, given);
    this.pioLatency = params.pioLatency;
    // Nothing is kept: each write is a value of its own, wherever in the ports it begins.
    this.addBank(base, {
      sizeBytes: params.ioSize,
      read: () => 0,
      write: (_offset, _sizeBytes, value) => this.root.exitSimLoop(TEST_EXIT_CAUSE, value * 2 + 1),
    });
  }
}
