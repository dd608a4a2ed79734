// A PC that runs a bare-metal guest and is disturbed at pseudo-random moments. The guest `checkpoint` folds all that it computes,
// reads from devices and is interrupted by into one checksum, and prints it every ten rounds: string I/O, memory-mapped I/O,
// timer interrupts and HLT go on all the time. `nested` is a hypervisor, and prints a checksum of what its guest computes.

import { readFileSync } from 'node:fs';
import type { KvmCpuState } from '../../src/cpu/kvm/state.ts';
import { X86KvmCpu } from '../../src/cpu/kvm/x86/x86-kvm-cpu.ts';
import { MemoryBackend } from '../../src/dev/serial/char-backend.ts';
import { Root } from '../../src/sim/root.ts';
import { Simulator } from '../../src/sim/simulator.ts';
import { asTick } from '../../src/sim/tick.ts';
import { kvmProcessor } from '../../src/system/kvm-processor.ts';
import { PcBoard, type PcBoardOptions } from '../../src/system/pc-board.ts';
import { expectedText, imageOf } from './metal.ts';

/** The first line that is not waited for. */
const LAST_LINE = /^round 20: .*\n/m;

/** What a guest prints when nobody disturbs it, and what it has to print when somebody does. */
export const expectedOf = (image: string): string => upToLastLine(expectedText({ image }));

const LIMIT = asTick(3_600_000_000_000_000n);
const IS_ENOUGH = 'the guest has printed enough';
const IS_MOMENT = 'a moment has come';

export interface MomentsOptions extends Pick<PcBoardOptions, 'irqchip' | 'memoryMode'> {
  readonly image?: string;
  /** Features of the processor. */
  readonly features?: string;
}

/**
 * When to interrupt the guest: after so much simulated time, or at its so-manieth exit for I/O from now; with `to`, of those
 * whose trace says so, as in "port 0x61 in".
 */
export type Moment = { readonly ticks: bigint } | { readonly exits: number; readonly to?: string };

export class MomentsMachine {
  readonly root: Root;
  readonly board: PcBoard;
  readonly simulator: Simulator;
  /** Exits for I/O so far. */
  exits = 0;
  readonly #image: string;
  readonly #com1 = new MemoryBackend();
  #exitsToMoment = Number.POSITIVE_INFINITY;
  /** How the trace of the exits that count ends. */
  #counted = '';

  /** @param spares how many CPUs there are beside the first */
  constructor(
    after: (hook: () => void) => void,
    { image = 'checkpoint', features = '', ...options }: MomentsOptions,
    spares = 0,
  ) {
    this.#image = image;
    this.root = new Root({
      warnSink: () => {},
      debugFlags: 'KvmIO',
      traceSink: (line) => this.#countExit(line),
    });
    this.#com1.end();
    this.board = new PcBoard(this.root, 'board', {
      memorySize: '4MiB',
      serial: [this.#com1],
      processor: kvmProcessor({ features }, ...Array.from({ length: spares }, () => ({}))),
      ...options,
    });
    this.simulator = new Simulator(this.root);
    after(() => this.simulator.close());
  }

  boot(): this {
    const image = this.#image;
    this.board.boot({ image: readFileSync(imageOf({ image })), name: image });
    return this;
  }

  /** Of the CPU that executes. */
  get cpuState(): KvmCpuState {
    const { cpu } = this.board;
    return cpu instanceof X86KvmCpu ? cpu.kvmState : 'Idle';
  }

  get text(): string {
    return this.#com1.text;
  }

  /**
   * Runs to the next moment.
   * @param before what other machines have printed before this one
   * @returns false when the guest has printed enough
   */
  async run(moment: Moment | undefined, before = ''): Promise<boolean> {
    const { exits = Number.POSITIVE_INFINITY, to = '' } =
      moment !== undefined && 'exits' in moment ? moment : {};
    this.#exitsToMoment = exits;
    this.#counted = to;
    const isTime = moment !== undefined && 'ticks' in moment;
    const maxTick = isTime ? asTick(this.root.curTick + moment.ticks) : LIMIT;
    this.#isEnough = () => LAST_LINE.test(before + this.text);
    const { cause } = await this.simulator.runUntilExit({ maxTick });
    if (this.#isEnough()) return false;
    if (cause === IS_MOMENT || isTime) return true;
    throw new Error(`${cause} after ${before + this.text}`);
  }

  #isEnough = (): boolean => false;

  #countExit(line: string): void {
    this.exits++;
    if (line.endsWith(this.#counted) && --this.#exitsToMoment === 0) this.simulator.requestExit(IS_MOMENT);
    // The text grows by exits only; looking at each would cost more than the guest.
    if (this.exits % 64 === 0 && this.#isEnough()) this.simulator.requestExit(IS_ENOUGH);
  }
}

/** The text without the lines of figures for readers, which begin with #, up to the last line that is waited for. */
export function upToLastLine(text: string): string {
  const lines = text.replace(/^#.*\n/gm, '');
  const found = LAST_LINE.exec(lines);
  return found === null ? lines : lines.slice(0, found.index + found[0].length);
}
