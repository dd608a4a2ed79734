// BaseCpu: what every CPU model is to the rest of the simulator, whoever executes the instructions.
// Roles and names follow gem5's BaseCPU and ThreadContext; one hardware thread per CPU.

import type { X86ThreadContext } from '../arch/x86/thread-context.ts';
import { SimObject } from '../sim/sim-object.ts';
import type { UserModeOs } from './user-mode-os.ts';

/** A CPU with one hardware thread whose architectural state is a `TC`. */
export abstract class BaseCpu<TC = X86ThreadContext> extends SimObject {
  /** The emulated operating system in syscall-emulation mode; undefined in full-system mode. */
  os: UserModeOs | undefined;

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

  /** Simulated time, in ticks, that this CPU has spent executing its thread. */
  abstract get busyTicks(): number;
}
