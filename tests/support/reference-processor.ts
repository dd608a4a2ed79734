// The processor whose answers the simulated one gives where the manuals leave a choice: undefined flags, orders of faults,
// approximations. Comparisons with silicon are made on it alone.

import { readFileSync } from 'node:fs';

/** Why the host's processor is not to be compared with; false where it is. For the `skip` option of a test. */
export function otherProcessor(): string | false {
  if (process.arch !== 'x64' || process.platform !== 'linux') return 'not x86-64 Linux';
  const cpuinfo = readFileSync('/proc/cpuinfo', 'utf8');
  const value = (key: string): string => cpuinfo.match(new RegExp(`^${key}\\s*: (.*)$`, 'm'))?.[1] ?? '';
  // Family 19h is Zen 3 and Zen 4; only the latter has AVX-512.
  const isFamily = value('vendor_id') === 'AuthenticAMD' && value('cpu family') === '25';
  const isZen4 = isFamily && value('flags').split(' ').includes('avx512f');
  return isZen4 ? false : 'the processor is not the AMD Zen 4 whose answers are compared';
}
