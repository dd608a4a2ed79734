/**
 * How a process ends: by exit(2) or by a signal, wait(2).
 */
import { codeName, SignalCode, type SignalInfo, signalName } from './signals.ts';

/** How the process ended. */
export type ProcessEnd =
  | { readonly kind: 'exited'; readonly status: number }
  | {
      readonly kind: 'signaled';
      readonly signal: number;
      /** 'SIGSEGV' */
      readonly name: string;
      /** siginfo's si_code by name, such as 'SEGV_MAPERR'. */
      readonly code: string;
      /** si_addr of a fault; rounded where it is no user address. */
      readonly address: number | undefined;
      readonly tid: number;
    };

/** gem5's words for the end of an emulated process. */
export const EXIT_CAUSE = 'exiting with last active thread context';

/** The end by the default action of a signal, which was delivered to thread `tid`. */
export function endBySignal({ signal, code, address }: SignalInfo, tid: number): ProcessEnd {
  return {
    kind: 'signaled',
    signal,
    name: signalName(signal),
    code: codeName(signal, code),
    address: address === undefined || code === SignalCode.SI_KERNEL ? undefined : Number(address),
    tid,
  };
}
