// What an architecture adds to BaseKvmCpu: register transfer, the meaning of its exits, interrupts, addresses of its own.

import type { PhysAddr } from '../../mem/addr.ts';
import type { Ticks } from '../../sim/tick.ts';
import { panic } from '../../sim/trouble.ts';
import { BaseCpu } from '../base-cpu.ts';
import type { Vcpu } from './vcpu-parts.ts';

export abstract class KvmCpuHooks<TC, V extends Vcpu> extends BaseCpu<TC> {
  /** The thread context itself; some classes may be stale. */
  protected abstract readonly context: TC;
  /** A new vCPU exists: give it CPUID and the like. */
  protected abstract setUpVcpu(vcpu: V): void;
  /** Thread context → KVM, right before an entry; a half entry executes nothing new. */
  protected abstract storeState(classes: number, halfEntry: boolean): void;
  /** KVM → thread context. */
  protected abstract loadState(classes: number): void;
  /** Serves an exit that this class does not know; returns its duration. It sets the next state by {@link served}. */
  protected abstract serveExit(reason: number): Ticks;
  /** The whole state as text, for messages. */
  abstract dump(): string;
  /** Whether the guest can be entered as the thread context says; what is in the way is served otherwise. */
  protected prepareEntry(): boolean {
    return true;
  }
  /** The guest was entered and has come back, by an exit or a signal, at this host time: KVM's registers are the valid ones. */
  protected entered(_bySignal: boolean, _nowNs: number): void {}
  /** Whether nothing is half delivered: the thread context, once read, is the whole truth. */
  protected isArchDrained(): boolean {
    return true;
  }
  /** The last look before the entry, at this host time: interrupts. May suspend the CPU. */
  protected deliverInterrupts(_nowNs: number): void {}
  /** Whether something is pending that would end a halt at once. */
  protected isWakeupPending(): boolean {
    return false;
  }
  /** Where an access to a guest-physical address goes: some addresses mean something else to each CPU. */
  translateAccess(address: PhysAddr): PhysAddr {
    return address;
  }
  /** Where a port is, for coalesced port writes. */
  translatePort(port: number): PhysAddr {
    return panic(this.path, `port ${port}: this architecture has none`);
  }
}
