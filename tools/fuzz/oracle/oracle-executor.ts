// Executes cases on the oracle: instruction by instruction, without generated code.

import { PageFaultError, Vector } from '../../../src/arch/x86/exceptions.ts';
import { DecodeTable } from '../../../src/arch/x86/isa/decode-table.ts';
import { INSTRUCTIONS } from '../../../src/arch/x86/isa/instructions.ts';
import { Cr4, Rflags } from '../../../src/arch/x86/registers.ts';
import type { X86ThreadContext } from '../../../src/arch/x86/thread-context.ts';
import {
  AREA_BYTES,
  areaBackground,
  areaChanges,
  buildPageTable,
  END_ADDRESS,
  fillArea,
  slotAddress,
} from '../address-space.ts';
import type { Executor } from '../executor.ts';
import { ALL_FEATURES, X87_AND_SSE } from '../functional-executor.ts';
import type { Ending, Outcome, Sequence } from '../sequence.ts';
import { copyUserState, emptyState, enterEnvironment, FIXED_RFLAGS, USER_RFLAGS } from '../user-state.ts';
import { OracleProcessor, type Stop } from './oracle-processor.ts';

const AREA_BASE = 0x10_0000;
const TABLES_BASE = 0x1000;
const PAGE = 4096;
/**
 * Instructions after which a case has timed out. The engine of the functional CPU counts in the same way: given the same limit,
 * it times out at the same instruction.
 */
export const ORACLE_LIMIT = 1000;

export class OracleExecutor implements Executor {
  readonly name = 'oracle';
  readonly tolerance = {};
  readonly #ram = new Uint8Array(AREA_BASE + AREA_BYTES);
  readonly #area = this.#ram.subarray(AREA_BASE);
  readonly #tc: X86ThreadContext = emptyState();
  readonly #environment: X86ThreadContext = emptyState();
  readonly #processor: OracleProcessor;

  constructor() {
    const view = new DataView(this.#ram.buffer);
    let tables = TABLES_BASE;
    const { root } = buildPageTable(
      {
        readU64: (address) => view.getBigUint64(address, true),
        writeU64: (address, value) => view.setBigUint64(address, value, true),
      },
      () => {
        tables += PAGE;
        return tables - PAGE;
      },
      AREA_BASE,
    );
    enterEnvironment(this.#environment, { pageTableRoot: root, xcr0: X87_AND_SSE, cr4: Cr4.FSGSBASE });
    const table = new DecodeTable(INSTRUCTIONS, ALL_FEATURES);
    this.#processor = new OracleProcessor(this.#tc, this.#ram, table);
  }

  run(cases: readonly Sequence[]): Outcome[] {
    return cases.map((sequence) => this.#runOne(sequence));
  }

  close(): void {
    // Nothing outside this process is held.
  }

  #runOne(sequence: Sequence): Outcome {
    const tc = this.#tc;
    fillArea(this.#area, areaBackground(sequence.fill), sequence);
    const before = this.#area.slice();
    tc.u8.set(this.#environment.u8);
    copyUserState(tc, sequence.state);
    tc.ripNumber = sequence.codeAddress;
    const ending = this.#ending(this.#processor.run(ORACLE_LIMIT));
    const state = emptyState();
    copyUserState(state, tc);
    state.rflags = (tc.rflags & USER_RFLAGS & ~Rflags.RF) | FIXED_RFLAGS;
    return { ending, state, memory: areaChanges(before, this.#area, slotAddress(sequence.codeAddress)) };
  }

  #ending(stop: Stop): Ending {
    switch (stop.kind) {
      case 'exception': {
        const { vector, errorCode, address } = stop.exception;
        const isFetch = vector === Vector.PF && (errorCode & PageFaultError.FETCH) !== 0;
        if (isFetch && this.#tc.ripNumber === END_ADDRESS) return { kind: 'end' };
        return { kind: 'exception', vector, errorCode, address };
      }
      case 'syscall':
        return { kind: 'syscall' };
      case 'limit':
        return { kind: 'timeout' };
      default:
        return { kind: 'refused', reason: stop.kind };
    }
  }
}
