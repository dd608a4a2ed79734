/**
 * Statistics of a Linux process.
 */
import { scalar, statGroup, vector } from '../../sim/stats/group.ts';
import { SYSCALL_NAMES } from './syscall-rows.ts';

export class ProcessStats extends statGroup({
  numSyscalls: scalar('system calls'),
  syscalls: vector('system calls by name', SYSCALL_NAMES, undefined, { nozero: true, total: false }),
  numPageFaults: scalar('page faults that were made good'),
  numMajorFaults: scalar('page faults among them that read a file'),
  numSignals: scalar('signals delivered'),
  numContextSwitches: scalar('switches between threads'),
  numThreads: scalar('threads started, the first one included'),
}) {}
