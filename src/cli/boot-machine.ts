// What `boot` simulates: a PcBoard that boots an image or goes on from a checkpoint, and what its exit events mean.

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { dumpAll } from '../arch/x86/dump.ts';
import { RegClass } from '../arch/x86/thread-context.ts';
import { SystemEventCause } from '../cpu/kvm/x86/exit-reports.ts';
import { TEST_EXIT_CAUSE } from '../dev/x86/test-exit.ts';
import { probeHost } from '../host/probe.ts';
import { ExitCause, type ExitEvent } from '../sim/exit-event.ts';
import { writeOutput } from '../sim/output-file.ts';
import type { Simulator } from '../sim/simulator.ts';
import { FatalError } from '../sim/trouble.ts';
import { PcBoard, type PcBoardOptions, PcExitCause } from '../system/pc-board.ts';
import type { BootRequest } from '../workload/boot/index.ts';
import { M5ExitCause } from '../workload/pseudo-instructions.ts';
import type { SerialPlugs } from './serial-plugs.ts';
import type { Attempt, Ending, Machine, Surroundings } from './session.ts';
import { say } from './terminal.ts';

export type BootImage = Omit<BootRequest, 'memory' | 'layout'>;

export interface BootMachineOptions {
  readonly board: PcBoardOptions;
  readonly plugs: SerialPlugs;
  /** Undefined: a checkpoint is restored. */
  readonly image: BootImage | undefined;
  readonly restore: string | undefined;
  readonly outdir: string;
}

/** The status of a guest that ended without giving one. The test-exit port gives odd ones only. */
const GUEST_DIED = 122;

/** Linux needs more of a processor than an emulator of kernel code has: it stops without a word. */
function warnOfEmulation(): void {
  const { kvm } = probeHost();
  if (kvm.available && kvm.flavour === 'pvm')
    say(
      'warn: this KVM emulates kernel code, and not all of it: Linux does not come up here; see hypertick doctor',
    );
}

export class BootMachine implements Machine {
  readonly board: PcBoard;
  readonly #options: BootMachineOptions;
  /** What ended the guest, where that is no orderly end. */
  #death: string | undefined;

  constructor({ root }: Surroundings, options: BootMachineOptions) {
    this.#options = options;
    this.board = new PcBoard(root, 'board', { ...options.board, serial: options.plugs.backends });
    if (options.image !== undefined && this.board.boot(options.image).kind === 'linux') warnOfEmulation();
  }

  get cpu() {
    return this.board.cpu;
  }

  prepare(simulator: Simulator): void {
    const { restore, plugs } = this.#options;
    plugs.quit = () => simulator.requestExit();
    if (restore !== undefined) simulator.restore(restore);
    plugs.begin();
  }

  /** gem5's standard library answers the events of pseudo-instructions in the same way. */
  handle(event: ExitEvent, simulator: Simulator): Ending | undefined | Promise<undefined> {
    const { cause, code } = event;
    switch (cause) {
      case TEST_EXIT_CAUSE:
        return { status: code & 0xff, cause, code };
      case M5ExitCause.exit:
      case PcExitCause.powerOff:
        return { status: 0, cause, code };
      case M5ExitCause.fail:
        return { status: code & 0xff || 1, cause, code };
      case M5ExitCause.panic:
        return this.#died(event, 'the guest says that it panicked');
      case PcExitCause.reset:
      case SystemEventCause.reset:
        return this.#died(event, 'the guest reset the machine');
      case SystemEventCause.crash:
        return this.#died(event, 'the guest tells its hypervisor that it crashed');
      case PcExitCause.tripleFault:
        return this.#died(event, 'the processor shut down after a triple fault');
      case PcExitCause.haltedForGood:
        return this.#died(
          event,
          'the guest halted for good: HLT with interrupts off, or INIT without STARTUP',
        );
      case ExitCause.queueEmpty:
        return this.#died(event, 'the guest halted for good: it waits for an interrupt that cannot come');
      case M5ExitCause.workBegin:
        simulator.stats.reset();
        return undefined;
      case M5ExitCause.workEnd:
        simulator.stats.dump();
        return undefined;
      case M5ExitCause.checkpoint:
        return this.#checkpoint(event, simulator);
      case M5ExitCause.switchCpu:
        say('the guest asked for another CPU model; there is none yet');
        return undefined;
      case ExitCause.limitReached:
      case ExitCause.userInterrupt:
        return undefined;
      default:
        throw new FatalError(`${this.board.path}: ${cause}`);
    }
  }

  /** The state of a guest that died, or that the processor could not go on with, is left for its author. */
  report({ failure }: Ending, attempt: Attempt): void {
    // What the guest has said stands in front of what is said about it.
    this.#options.plugs.flush();
    const how = this.#death ?? (failure instanceof FatalError ? failure.message : undefined);
    const path = join(this.#options.outdir, 'crash.txt');
    if (how === undefined) {
      attempt(() => rmSync(path, { force: true }));
      return;
    }
    const isWritten = attempt(() => {
      writeOutput(
        path,
        `${how}\ntick ${this.board.curTick}\n\n${dumpAll(this.cpu.readState(RegClass.all))}\n`,
      );
      return true;
    });
    // A failure is said when everything else is done.
    if (this.#death !== undefined) say(isWritten ? `${how}; see ${path}` : how);
    else if (isWritten) say(`the state of the processor is in ${path}`);
  }

  #died({ cause }: ExitEvent, how: string): Ending {
    this.#death = how;
    return { status: GUEST_DIED, cause };
  }

  /** As gem5 names them. */
  async #checkpoint({ tick }: ExitEvent, simulator: Simulator): Promise<undefined> {
    await simulator.checkpoint(join(this.#options.outdir, `cpt.${tick}`));
  }
}
