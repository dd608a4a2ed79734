/** Who can execute the instructions of a board. `best` is the fastest that this host offers: KVM, the only one so far. */
export const CPU_MODELS = ['best', 'kvm'] as const;

/** Who can execute a program. `best` is KVM where the host's works, else the functional CPU. */
export const PROGRAM_CPU_MODELS = ['best', 'kvm', 'functional'] as const;
export type ProgramCpuModel = (typeof PROGRAM_CPU_MODELS)[number];
