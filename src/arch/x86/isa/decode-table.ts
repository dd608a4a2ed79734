/**
 * The opcode maps, put together from the encoding rows: for each opcode the forms that may be meant, the most specific
 * first. Forms of features that the processor does not have are left out, so that LZCNT is BSR where it is unknown, as on
 * hardware (SDM vol. 2A "LZCNT").
 */

import type { Form } from './encoding.ts';
import type { Instruction } from './instruction.ts';
import { RAISING } from './units.ts';

/** The maps without VEX, then those with it. */
const MAPS = 8;
/** Number of the first map with VEX. */
export const VEX_MAP = 4;
const OPCODES = 256;
/** Numbers of the register whose low three bits are in the opcode. */
const OPCODE_REGISTERS = 8;

export interface OpcodeEntry {
  readonly hasModrm: boolean;
  /** By ModRM.reg (or all in the first list, where there is no ModRM). */
  readonly byReg: readonly (readonly Form[])[];
}

export class DecodeTable {
  readonly #entries: (OpcodeEntry | undefined)[] = [];
  /** All forms, by their `id`. */
  readonly forms: Form[];

  /**
   * @param instructions the whole instruction set; forms are numbered in its order
   * @param features CPUID features that the processor has, by their names in /proc/cpuinfo
   */
  constructor(instructions: readonly Instruction[], features: ReadonlySet<string>) {
    this.forms = instructions.flatMap(({ forms }) => forms);
    const byOpcode = new Map<number, Form[]>();
    for (const [id, form] of this.forms.entries()) {
      form.id = id;
      const feature = form.formFeature ?? form.instruction.feature;
      if (feature !== undefined && !features.has(feature)) continue;
      const inOpcode = form.operands.some(({ source }) => source === 'opcode');
      for (let i = 0; i < (inOpcode ? OPCODE_REGISTERS : 1); i++) {
        const map = form.map + (form.vexL === undefined ? 0 : VEX_MAP);
        const key = map * OPCODES + form.opcode + i;
        byOpcode.set(key, [...(byOpcode.get(key) ?? []), form]);
      }
    }
    for (const form of RAISING.values()) form.id = this.forms.push(form) - 1;
    for (let key = 0; key < MAPS * OPCODES; key++) {
      const forms = byOpcode.get(key);
      this.#entries.push(forms === undefined ? undefined : entryOf(forms));
    }
  }

  /** The forms of an opcode; undefined: there are none. */
  entry(map: number, opcode: number): OpcodeEntry | undefined {
    return this.#entries[map * OPCODES + opcode];
  }
}

function entryOf(forms: readonly Form[]): OpcodeEntry {
  const sorted = [...forms].sort((a, b) => specificity(b) - specificity(a));
  const hasModrm = forms.some((form) => form.hasModrm);
  const byReg = Array.from({ length: hasModrm ? 8 : 1 }, (_, reg) =>
    sorted.filter(({ extension }) => extension === undefined || extension === reg),
  );
  return { hasModrm, byReg };
}

/** How much a form demands: of several that match, the one that demands most is meant. */
function specificity(form: Form): number {
  const prefix = { any: 0, np: 1, '66': 2, f3: 4, f2: 4 }[form.prefix];
  const rest = [form.rmExtension, form.rexW, form.rexB, form.modrmKind, form.extension];
  return 8 * prefix + rest.filter((value) => value !== undefined).length;
}
