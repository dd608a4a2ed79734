/** Parameters of a local APIC, and the registers that firmware would have set. */
import { bool, declareParams, frequency, int, type ParamInputs } from '../../../sim/params.ts';
import { PIO_DEVICE_PARAMS } from '../../pio-device.ts';
import { WORD } from './local-apic-registers.ts';

export const LOCAL_APIC_PARAMS = declareParams({
  ...PIO_DEVICE_PARAMS,
  id: int({ default: 0, min: 0, max: 254, description: 'APIC id after reset' }),
  bootstrap: bool({ default: true, description: "whether this is the bootstrap processor's" }),
  virtualWire: bool({
    default: false,
    description: 'whether RESET leaves it as a PC firmware does: enabled, LINT0 is the 8259, LINT1 is NMI',
  }),
  busClock: frequency({ default: '1GHz', min: '1MHz', description: "the timer's clock before its divider" }),
});
export type LocalApicParams = ParamInputs<typeof LOCAL_APIC_PARAMS>;

/** Words that firmware leaves in the bootstrap processor's APIC: virtual wire mode (MP specification 1.4, §3.6.2.2). */
export const VIRTUAL_WIRE = [
  [WORD.svr, 0x1ff],
  [WORD.lvtLint0, 0x8700],
  [WORD.lvtLint1, 0x8400],
] as const;
