// Runs the pieces of silicon.ts on the engine of the functional CPU.

import { Seg } from '../../../src/arch/x86/registers.ts';
import { SegmentAttribute, SegmentPreset } from '../../../src/arch/x86/segments.ts';
import { LinuxSelector } from '../../../src/arch/x86/user-mode.ts';
import { CODE, DATA, FunctionalMachine, PAGES } from '../../support/functional-machine.ts';
import { MEMORY_BYTES, type Outcome, type Piece, withEnd } from './silicon.ts';

const PAGE_BYTES = 4096;
/** More than any piece needs. */
const BUDGET = 1000;

export class EngineRunner {
  readonly #machine: FunctionalMachine;
  #code = '';

  /** @param translate by the interpreter, or by translated regions */
  constructor(translate: 'never' | 'always') {
    this.#machine = new FunctionalMachine({ translate });
    const data = { ...SegmentPreset.userData, selector: LinuxSelector.userData };
    for (const segment of [Seg.DS, Seg.ES]) this.#machine.tc.setSegment(segment, data);
  }

  run({ code, gpr, rflags, memory, is32 }: Piece): Outcome {
    const { tc, engine, memory: ram } = this.#machine;
    const key = code.join();
    if (key !== this.#code) ram.write(this.#machine.physical(CODE), withEnd(code));
    this.#code = key;
    for (let page = 0; page < PAGES; page++)
      ram.fill(this.#machine.physical(DATA + page * PAGE_BYTES), PAGE_BYTES, 0);
    ram.write(this.#machine.physical(DATA), memory);
    for (const [i, value] of gpr.entries()) tc.setGpr(i, value);
    tc.ripNumber = CODE;
    tc.rflags = rflags;
    setMode(this.#machine, is32);
    const end = engine.run(BUDGET);
    const left = {
      gpr: Array.from({ length: 16 }, (_, i) => tc.gpr(i)),
      rip: tc.rip,
      rflags: tc.rflags,
      memory: new Uint8Array(MEMORY_BYTES),
    };
    ram.read(this.#machine.physical(DATA), left.memory);
    if (end.kind !== 'exception') return { ...left, vector: -1, errorCode: 0, address: 0n };
    return { ...left, vector: end.vector, errorCode: end.errorCode, address: end.address };
  }
}

function setMode({ tc, engine }: FunctionalMachine, is32: boolean): void {
  if (is32 !== tc.in64BitMode) return;
  const { attributes } = SegmentPreset.userCode64;
  const code = is32
    ? {
        selector: LinuxSelector.sysretBase,
        attributes: (attributes & ~SegmentAttribute.L) | SegmentAttribute.DB,
      }
    : { selector: LinuxSelector.userCode, attributes };
  tc.setSegment(Seg.CS, { ...SegmentPreset.userCode64, ...code });
  engine.flushTlb();
}
