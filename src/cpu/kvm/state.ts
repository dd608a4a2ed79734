// The state machine of a KVM CPU (gem5: BaseKvmCPU::Status). A tick event drives it; whatever
// `mayFollow` does not allow cannot happen, and stops the simulator if it does.
//
//   Idle ──activate──▶ Running ──exit──▶ RunningService ──answered──▶ RunningServiceCompletion
//    ▲                    ▲                   │      │                        │
//    │                    └── nothing to do ──┘      ▼                        │ next tick: KVM retires the
//    └── halt, suspend, drain             RunningMmioPending ──last answer──▶─┘ instruction and runs on

import { panic } from '../../sim/trouble.ts';

/**
 * - `Idle`: not scheduled: the guest is halted, suspended or drained;
 * - `Running`: will enter the guest at the next tick;
 * - `RunningService`: the guest exited and needs service at the next tick;
 * - `RunningMmioPending`: timing-mode requests are in flight: no ticks until the last has answered;
 * - `RunningServiceCompletion`: serviced; KVM must be entered once more so that it retires the instruction.
 */
export type KvmCpuState =
  | 'Idle'
  | 'Running'
  | 'RunningService'
  | 'RunningMmioPending'
  | 'RunningServiceCompletion';

/** Whether a transition is legal. Hot path. */
export function mayFollow(from: KvmCpuState, to: KvmCpuState): boolean {
  switch (from) {
    case 'Idle':
      return to === 'Idle' || to === 'Running';
    case 'Running':
    case 'RunningServiceCompletion':
      return to !== 'RunningServiceCompletion';
    case 'RunningService':
      return to !== 'RunningService';
    case 'RunningMmioPending':
      return to === 'RunningServiceCompletion' || to === 'Running' || to === 'Idle';
  }
}

/** The current state and the only way to change it. */
export class KvmCpuStateMachine {
  readonly #path: string;
  #state: KvmCpuState = 'Idle';

  /** @param path of the CPU, for the message of an illegal transition. */
  constructor(path: string) {
    this.#path = path;
  }

  get state(): KvmCpuState {
    return this.#state;
  }

  /** Changes the state; one that is not legal is a panic that names both states. */
  to(next: KvmCpuState): void {
    if (!mayFollow(this.#state, next))
      panic(this.#path, `illegal KVM CPU state transition ${this.#state} -> ${next}`);
    this.#state = next;
  }
}
