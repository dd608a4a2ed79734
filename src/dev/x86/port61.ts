/**
 * System control port B of the PC, port 0x61: gate and output of counter 2, the refresh toggle that software measures
 * delays with. IBM PC/AT Technical Reference; Intel 82371SB data sheet §2.5.7 (NMI status and control).
 */
import { bit, reg } from '../register-file.ts';

export const PORT61_REGISTERS = {
  nmiSc: reg({
    at: 0,
    doc: 'NMI status and control',
    writable: 0x0f,
    fields: {
      timer2Gate: bit(0),
      speaker: bit(1),
      serrDisable: bit(2),
      iochkDisable: bit(3),
      refresh: bit(4),
      timer2Out: bit(5),
      iochk: bit(6),
      serr: bit(7),
    },
  }),
};

/** The clocks of the PIT from one refresh cycle of the memory to the next: 15 µs. The refresh bit toggles with each. */
export const REFRESH_CLOCKS = 18;
