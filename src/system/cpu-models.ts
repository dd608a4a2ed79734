/** Who can execute the instructions. `best` is the fastest that this host offers: KVM, the only one so far. */
export const CPU_MODELS = ['best', 'kvm'] as const;
