/** Encoding rows that many integer instructions have. SDM vol. 2D, appendix A. */

import { enc, type Form } from '../encoding.ts';
import { AL, Eb, Ev, Gb, Gv, Ib, IbSx, Iz, rAX } from '../operands.ts';

/** Forms of the n-th of the eight: 00, 08, … 38, and /n of the immediate group. */
export function groupForms(n: number): Form[] {
  const first = 8 * n;
  return [
    enc(first, Eb, Gb),
    enc(first + 1, Ev, Gv),
    enc(first + 2, Gb, Eb),
    enc(first + 3, Gv, Ev),
    enc(first + 4, AL, Ib),
    enc(first + 5, rAX, Iz),
    enc(0x80, Eb, Ib).ext(n),
    enc(0x81, Ev, Iz).ext(n),
    enc(0x82, Eb, Ib).ext(n).i64(),
    enc(0x83, Ev, IbSx).ext(n),
  ];
}
