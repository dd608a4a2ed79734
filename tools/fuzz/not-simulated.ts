// What cannot be compared: instructions that the host's processor has and the functional CPU does not, whose right answer is
// #UD; and far transfers.

import { Vector } from '../../src/arch/x86/exceptions.ts';
import { areaPatches, CODE_BYTES, slotAddress } from './address-space.ts';
import { type CodeAtRip, codeAtRip } from './code-at-rip.ts';
import { hasLeftOut, isLeftOut } from './random-bytes.ts';
import type { Outcome, Sequence } from './sequence.ts';

interface Unknown {
  /** What the opcode begins with. */
  readonly opcode: readonly number[];
  /** Values of the `reg` field of ModRM, if not all. */
  readonly reg?: readonly number[];
  readonly what: string;
}

const NOT_SIMULATED: readonly Unknown[] = [
  { opcode: [0xc4], what: 'AVX and others with VEX: not in x86-64-v2' },
  { opcode: [0xc5], what: 'AVX: not in x86-64-v2' },
  { opcode: [0x62], what: 'AVX-512: not in x86-64-v2' },
  { opcode: [0x0f, 0x78], what: 'EXTRQ, INSERTQ: SSE4a, AMD only' },
  { opcode: [0x0f, 0x79], what: 'EXTRQ, INSERTQ: SSE4a, AMD only' },
  { opcode: [0x0f, 0x2b], what: 'MOVNTSS, MOVNTSD: SSE4a, AMD only' },
  { opcode: [0x0f, 0x38, 0xcf], what: 'GF2P8MULB: GFNI, not in x86-64-v2' },
  { opcode: [0x0f, 0x3a, 0xce], what: 'GF2P8AFFINEQB: GFNI, not in x86-64-v2' },
  { opcode: [0x0f, 0x3a, 0xcf], what: 'GF2P8AFFINEINVQB: GFNI, not in x86-64-v2' },
  { opcode: [0x8f], what: 'XOP: AMD decodes its prefix, whether or not there are such instructions' },
  { opcode: [0x0f, 0x34], what: 'SYSENTER: #UD in the 64-bit mode of AMD; KVM emulates it' },
  { opcode: [0x0f, 0x35], what: 'SYSEXIT: #UD in the 64-bit mode of AMD; KVM emulates it' },
];

/** Far transfers: selectors stand for something else in KVM's guest, which has its own descriptor table, than under Linux. */
const FAR_TRANSFERS: readonly Unknown[] = [
  { opcode: [0xff], reg: [3, 5], what: 'CALL FAR, JMP FAR' },
  { opcode: [0xca], what: 'RETF' },
  { opcode: [0xcb], what: 'RETF' },
  { opcode: [0xcf], what: 'IRET' },
];

function matches({ opcode, reg }: Unknown, code: CodeAtRip): boolean {
  if (!opcode.every((byte, i) => code.opcode[i] === byte)) return false;
  const modrm = code.opcode[opcode.length] ?? 0;
  return reg === undefined || reg.includes((modrm >>> 3) & 7);
}

/** A jump into the middle of an instruction, and code that has changed itself, may come to what random code leaves out. */
function mayReachLeftOut(sequence: Sequence, { ending, state, memory }: Outcome): boolean {
  const [first, second] = codeAtRip(sequence, { ending, state, memory }).opcode;
  if (ending.kind === 'exception' && isLeftOut(first, second)) return true;
  const { address, bytes } = areaPatches(sequence).at(-1)!;
  const code = bytes.slice();
  for (const change of memory)
    for (const [i, byte] of change.bytes.entries()) {
      const at = change.address + i - address;
      if (at >= 0 && at < code.length) code[at] = byte;
    }
  return hasLeftOut(code);
}

/** Whether a case has come to such an instruction, or ended at a far transfer on either side. */
export function isNotSimulated(sequence: Sequence, expected: Outcome, actual: Outcome): boolean {
  for (const outcome of [expected, actual]) {
    if (mayReachLeftOut(sequence, outcome)) return true;
    const isException = outcome.ending.kind === 'exception';
    if (isException && FAR_TRANSFERS.some((far) => matches(far, codeAtRip(sequence, outcome)))) return true;
  }
  if (actual.ending.kind !== 'exception' || actual.ending.vector !== Vector.UD) return false;
  // The processor fetches the rest of what would be an instruction, where its length is known, before it refuses the opcode.
  const { ending } = expected;
  if (
    ending.kind === 'exception' &&
    ending.vector === Vector.PF &&
    ending.address === BigInt(slotAddress(sequence.codeAddress) + CODE_BYTES)
  )
    return true;
  const code = codeAtRip(sequence, actual);
  return NOT_SIMULATED.some((unknown) => matches(unknown, code));
}
