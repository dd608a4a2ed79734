/**
 * HostPages on Linux, for memory that is private and anonymous, as V8 maps WebAssembly memories. See
 * madvise(2), mprotect(2), Documentation/virt/kvm/locking.rst for how KVM follows changes of the host's
 * mappings, and Documentation/admin-guide/mm/pagemap.rst.
 */
import { closeSync, openSync, readSync } from 'node:fs';

import { HostError } from '../host/errors.ts';
import { nativeCallsAvailable } from '../host/ffi.ts';
import { Advice, addressOf, madvise, mprotect, Prot } from '../host/memory.ts';
import type { HostPages, HostSpan } from './host-pages.ts';
import { PAGE_SIZE } from './page-versions.ts';

/** The pages of this host, or undefined where it cannot do better than plain memory. */
export function hostPagesIfAvailable(): HostPages | undefined {
  return process.platform === 'linux' && nativeCallsAvailable() ? new LinuxHostPages() : undefined;
}

/** A word of 64 bits per page; its upper half says whether there is one: in memory (bit 63) or swapped out (bit 62). */
const PAGEMAP = '/proc/self/pagemap';
const PAGEMAP_WORD_BYTES = 8;
const PAGEMAP_EXISTS = 0xc000_0000;
const PAGEMAP_CHUNK_WORDS = 1 << 15;

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

  touched(address: bigint, sizeBytes: number): readonly HostSpan[] {
    let fd: number;
    try {
      fd = openSync(PAGEMAP, 'r');
    } catch (error) {
      // Without /proc nobody knows.
      if (!(error instanceof Error && 'code' in error)) throw error;
      return [{ address, sizeBytes }];
    }
    try {
      return readPagemap(fd, address, sizeBytes);
    } finally {
      closeSync(fd);
    }
  }
}

function readPagemap(fd: number, address: bigint, sizeBytes: number): HostSpan[] {
  const firstWord = Number(address / BigInt(PAGE_SIZE));
  const pages = sizeBytes / PAGE_SIZE;
  const words = new Uint32Array(2 * PAGEMAP_CHUNK_WORDS);
  const spans: HostSpan[] = [];
  let start = -1;
  const end = (page: number): void => {
    if (start >= 0)
      spans.push({ address: address + BigInt(start * PAGE_SIZE), sizeBytes: (page - start) * PAGE_SIZE });
    start = -1;
  };
  for (let at = 0; at < pages; at += PAGEMAP_CHUNK_WORDS) {
    const wanted = Math.min(PAGEMAP_CHUNK_WORDS, pages - at);
    const got = readSync(fd, words, 0, wanted * PAGEMAP_WORD_BYTES, (firstWord + at) * PAGEMAP_WORD_BYTES);
    for (let i = 0; i < wanted; i++) {
      // What the file does not tell may be there.
      const exists = i * PAGEMAP_WORD_BYTES >= got || (words[2 * i + 1]! & PAGEMAP_EXISTS) !== 0;
      if (!exists) end(at + i);
      else if (start < 0) start = at + i;
    }
  }
  end(pages);
  return spans;
}
