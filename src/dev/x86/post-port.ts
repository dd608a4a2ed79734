/**
 * The diagnostic port 0x80, which firmware writes progress codes to and Linux uses as a delay (`outb_p`), and port 0xed,
 * the other delay port. Both keep the last byte, as the unused DMA page registers do that decode there on a PC.
 */
import { portAddress } from '../../arch/x86/address-spaces.ts';
import type { ParamInputs } from '../../sim/params.ts';
import type { SimObject } from '../../sim/sim-object.ts';
import { PIO_DEVICE_PARAMS, PioDevice } from '../pio-device.ts';
import { RegisterFile, reg } from '../register-file.ts';

export const POST_PORT_REGISTERS = {
  code: reg({ at: 0, doc: 'last code' }),
};

export class PostPort extends PioDevice {
  readonly #code = this.state('code', new RegisterFile(POST_PORT_REGISTERS));
  readonly #delay = this.state('delay', new RegisterFile(POST_PORT_REGISTERS));

  constructor(parent: SimObject, name: string, given: ParamInputs<typeof PIO_DEVICE_PARAMS> = {}) {
    super(parent, name);
    this.pioLatency = this.resolveParams(PIO_DEVICE_PARAMS, given).pioLatency;
    this.addBank(portAddress(0x80), this.#code);
    this.addBank(portAddress(0xed), this.#delay);
  }

  /** What was last written to port 0x80. */
  get lastCode(): number {
    return this.#code.get('code');
  }
}
