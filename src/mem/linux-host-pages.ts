/**
 * HostPages on Linux, for memory that is private and anonymous, as V8 maps WebAssembly memories. See
 * madvise(2), mprotect(2), and Documentation/virt/kvm/locking.rst for how KVM follows changes of the host's
 * mappings.
 */

import { HostError } from '../host/errors.ts';
import { nativeCallsAvailable } from '../host/ffi.ts';
import { Advice, addressOf, madvise, mprotect, Prot } from '../host/memory.ts';
import type { HostPages } from './host-pages.ts';

/** The pages of this host, or undefined where it cannot do better than plain memory. */
export function hostPagesIfAvailable(): HostPages | undefined {
  return process.platform === 'linux' && nativeCallsAvailable() ? new LinuxHostPages() : undefined;
}

export class LinuxHostPages implements HostPages {
  addressOf(buffer: SharedArrayBuffer): bigint {
    return addressOf(buffer);
  }

  adviseHugePages(address: bigint, sizeBytes: number): void {
    try {
      madvise(address, sizeBytes, Advice.HugePage);
    } catch (error) {
      // A kernel built without huge pages: slower, and nothing worse.
      if (!(error instanceof HostError && error.code === 'EINVAL')) throw error;
    }
  }

  discard(address: bigint, sizeBytes: number): void {
    madvise(address, sizeBytes, Advice.DontNeed);
  }

  /** A change of protection passes KVM's MMU notifier, which zaps what KVM derived from the old mapping. */
  dropSecondaryMappings(address: bigint, sizeBytes: number): void {
    mprotect(address, sizeBytes, Prot.Read);
    mprotect(address, sizeBytes, Prot.Read | Prot.Write);
  }
}
