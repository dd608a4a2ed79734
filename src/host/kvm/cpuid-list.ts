/*
 * Lists of CPUID entries (`struct kvm_cpuid2`), as objects and as bytes.
 */
import { Errno, HostError } from '../errors.ts';
import { ioctl } from '../ioctl.ts';
import { KvmCpuid2, KvmCpuidEntry2 } from './abi-x86.ts';

/** One leaf (and sub-leaf) of CPUID; see SDM vol. 2A, "CPUID". */
export interface CpuidEntry {
  /** EAX on input: the leaf. */
  readonly function: number;
  /** ECX on input: the sub-leaf, if `flags` says that it matters. */
  readonly index: number;
  /** `KvmCpuidFlag` bits. */
  readonly flags: number;
  readonly eax: number;
  readonly ebx: number;
  readonly ecx: number;
  readonly edx: number;
}

/** Entries a list may have: KVM_MAX_CPUID_ENTRIES. */
const MAX_ENTRIES = 256;
/** No leaf: the last one that a processor can have is cfff_ffffh. */
const UNTOUCHED = 0xffff_ffff;
const WORDS = KvmCpuidEntry2.size / 4;
const HEAD_WORDS = KvmCpuid2.size / 4;

/** Reads a list by an ioctl that fills it. */
export function cpuidFromKvm(fd: number, request: number, name: string): CpuidEntry[] {
  const list = new Uint32Array(HEAD_WORDS + MAX_ENTRIES * WORDS).fill(UNTOUCHED);
  list[0] = MAX_ENTRIES;
  list[1] = 0;
  ioctl(fd, request, list, name);
  // Linux 6.1 does not say how many entries KVM_GET_CPUID2 gives: those that it left alone are none.
  const starts = Array.from({ length: list[0]! }, (_, i) => HEAD_WORDS + i * WORDS);
  const end = starts.findIndex((at) => list[at] === UNTOUCHED && list[at + 1] === UNTOUCHED);
  return starts.slice(0, end < 0 ? undefined : end).map((at) => {
    const [leaf, index, flags, eax, ebx, ecx, edx] = list.subarray(at, at + 7);
    return { function: leaf!, index: index!, flags: flags!, eax: eax!, ebx: ebx!, ecx: ecx!, edx: edx! };
  });
}

/** The bytes of a list, for `KVM_SET_CPUID2`. */
export function cpuidToKvm(entries: readonly CpuidEntry[]): Uint32Array {
  if (entries.length > MAX_ENTRIES) {
    throw new HostError(
      `KVM_SET_CPUID2(${entries.length} entries)`,
      Errno.E2BIG,
      `at most ${MAX_ENTRIES} entries`,
    );
  }
  const list = new Uint32Array(HEAD_WORDS + entries.length * WORDS);
  list[0] = entries.length;
  for (const [i, entry] of entries.entries()) {
    const { function: leaf, index, flags, eax, ebx, ecx, edx } = entry;
    list.set([leaf, index, flags, eax, ebx, ecx, edx], HEAD_WORDS + i * WORDS);
  }
  return list;
}
