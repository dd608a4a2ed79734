// What cannot be compared: instructions that the host's processor has and the functional CPU does not, which raise #UD there
// (src/arch/x86/isa/missing.ts); and far transfers.

import { Vector } from '../../src/arch/x86/exceptions.ts';
import { missingInstruction, type SplitCode } from '../../src/arch/x86/isa/missing.ts';
import { areaPatches, CODE_BYTES, slotAddress } from './address-space.ts';
import { codeAtRip } from './code-at-rip.ts';
import { hasLeftOut, isLeftOut } from './random-bytes.ts';
import type { Outcome, Sequence } from './sequence.ts';

/** Beginnings of opcodes, with values of the `reg` field of ModRM, if not all. */
interface Transfer {
  readonly opcode: readonly number[];
  readonly reg?: readonly number[];
  readonly what: string;
}

/** Far transfers: selectors stand for something else in KVM's guest, which has its own descriptor table, than under Linux. */
const FAR_TRANSFERS: readonly Transfer[] = [
  { opcode: [0xff], reg: [3, 5], what: 'CALL FAR, JMP FAR' },
  { opcode: [0xca], what: 'RETF' },
  { opcode: [0xcb], what: 'RETF' },
  { opcode: [0xcf], what: 'IRET' },
];

function matches({ opcode, reg }: Transfer, code: SplitCode): boolean {
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
  const codeEnd = BigInt(slotAddress(sequence.codeAddress) + CODE_BYTES);
  if (ending.kind === 'exception' && ending.vector === Vector.PF && ending.address === codeEnd) return true;
  const { prefixes, opcode } = codeAtRip(sequence, actual);
  return missingInstruction(Uint8Array.from([...prefixes, ...opcode])) !== undefined;
}
