// BaseCpu: what every CPU model is to the rest of the simulator, whoever executes the instructions.
// Roles and names follow gem5's BaseCPU and ThreadContext; one hardware thread per CPU.

import type { X86ThreadContext } from '../arch/x86/thread-context.ts';
import type { RequestPort } from '../mem/port.ts';
import { SimObject } from '../sim/sim-object.ts';
import { booleanCell, choiceCell } from '../sim/state.ts';
import { panic } from '../sim/trouble.ts';
import { InstructionEvents } from './instruction-events.ts';
import type { UserModeOs } from './user-mode-os.ts';

const THREAD_STATUSES = ['active', 'suspended', 'halted'] as const;
/** Whether a thread has work: `suspended` until an interrupt, `halted` for good. A drained CPU's thread may be active. */
export type ThreadStatus = (typeof THREAD_STATUSES)[number];

/** What belongs to the hardware thread, whichever CPU model executes it. */
export class HardwareThread {
  status: ThreadStatus = 'halted';
  readonly instructionEvents = new InstructionEvents();
  /** Simulated time, in ticks, that CPUs have spent executing it. */
  busyTicks = 0;
}

/** A CPU with one hardware thread whose architectural state is a `TC`. */
export abstract class BaseCpu<TC = X86ThreadContext> extends SimObject {
  /** The emulated operating system in syscall-emulation mode; undefined in full-system mode. */
  os: UserModeOs | undefined;
  readonly thread = new HardwareThread();
  #isSwitchedOut = false;

  /** @param switchedOut whether another CPU executes the thread at first */
  constructor(parent: SimObject, name: string, switchedOut = false) {
    super(parent, name);
    this.#isSwitchedOut = switchedOut;
    const status = choiceCell<ThreadStatus>('halted', THREAD_STATUSES);
    this.state('status', {
      save: () => this.thread.status,
      restore: (saved) => {
        status.restore(saved);
        this.thread.status = status.value;
      },
    });
    this.state('instructionEvents', this.thread.instructionEvents);
    const isSwitchedOut = booleanCell();
    this.state('switchedOut', {
      save: () => this.#isSwitchedOut,
      restore: (saved) => {
        isSwitchedOut.restore(saved);
        this.#isSwitchedOut = isSwitchedOut.value;
      },
    });
  }

  /** The port through which instructions reach memory and devices. */
  abstract get dataPort(): RequestPort;

  /** Whether another CPU executes the thread that this one would. */
  get isSwitchedOut(): boolean {
    return this.#isSwitchedOut;
  }

  /**
   * Ends the simulation loop with this cause after `insts` more instructions of the thread. gem5: scheduleInstStop.
   * @throws FatalError if this CPU cannot count instructions
   */
  scheduleInstStop(insts: number, cause: string, code = 0): void {
    const { instructionEvents } = this.thread;
    instructionEvents.schedule({ insts: instructionEvents.count + insts, cause, code });
  }

  /** Gives the thread away. The system is drained. */
  switchOut(): void {
    if (this.#isSwitchedOut) panic(this.path, 'switched out twice');
    this.#isSwitchedOut = true;
  }

  /**
   * Goes on with the thread of a CPU that has been switched out: architectural state, instruction counts, place in the
   * system.
   */
  takeOverFrom(old: BaseCpu<TC>): void {
    if (!old.isSwitchedOut) panic(this.path, `takes over from ${old.path}, which is not switched out`);
    this.#isSwitchedOut = false;
    this.os = old.os;
    this.thread.status = old.thread.status;
    this.thread.instructionEvents.takeOver(old.thread.instructionEvents);
    this.thread.busyTicks = old.thread.busyTicks;
    // Operating systems are emulated for x86 only.
    this.os?.cpuChanged(this as unknown as BaseCpu);
  }

  /**
   * The thread context with the register classes of the mask `classes` (`RegClass`) brought up to date, for
   * reading. Other classes may be stale. Valid until the simulation goes on.
   */
  abstract readState(classes: number): TC;

  /** The same for reading and writing: the classes are given back to the executing engine before it runs. */
  abstract modifyState(classes: number): TC;

  /**
   * True where the registers may be replaced wholesale by another thread's: no instruction is half done and no
   * exit waits for its service.
   */
  abstract get canSwitchThread(): boolean;

  /** Makes an idle CPU run: its thread got work. Harmless when it runs already. */
  abstract activateContext(): void;

  /** Takes the CPU out of execution until {@link activateContext}. Harmless when it is idle already. */
  abstract suspendContext(): void;

  /** Ends the thread: as suspend, and an interrupt does not wake it. */
  abstract haltContext(): void;

  /** Gets the CPU out of the guest as soon as possible and activates a suspended thread. Any thread may call it. */
  abstract wakeup(): void;

  /**
   * The emulated operating system has changed or removed translations of this span: a model that caches them itself forgets
   * them. KVM is told by other means.
   */
  translationsChanged(_virtualAddress: number, _sizeBytes: number): void {}

  /** What this CPU has to say of the last exception of user code, for the record of a crash: one line. */
  get faultNote(): string | undefined {
    return undefined;
  }

  /** Simulated time, in ticks, that has been spent executing the thread. */
  abstract get busyTicks(): number;
}
