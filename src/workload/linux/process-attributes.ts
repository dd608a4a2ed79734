/**
 * What prctl(2) and personality(2) keep for a process. Nothing here changes how the simulator works: programs
 * read back what they set.
 */
export class ProcessAttributes {
  /** PR_SET_PDEATHSIG: a parent that dies is not simulated. */
  parentDeathSignal = 0;
  /** PR_SET_DUMPABLE */
  dumpable = 1;
  /** PR_SET_NO_NEW_PRIVS: for ever. */
  noNewPrivileges = false;
  /** PR_SET_THP_DISABLE */
  hugePagesDisabled = false;
  /** PR_SET_CHILD_SUBREAPER */
  childSubreaper = false;
  /** PER_*, of which only the number is kept. */
  personality = 0;
  /** Barriers of membarrier(2) that the process has registered for, as bits of their commands. */
  membarriers = 0;
}
