/**
 * Trace lines of system calls, as strace(1) writes them: `read(0, 0x7fff0010, 4096) = 12`.
 */
import { errnoName } from './errno.ts';
import type { ArgumentIndex, SyscallCall } from './syscall.ts';
import { findSyscall } from './syscall-rows.ts';
import { GuestFault } from './user-memory.ts';

/** Longest piece of a string that is shown. */
const MAX_STRING_BYTES = 128;

/** How an argument is shown, by the letter in the table's signature. */
const SHOW: Readonly<Record<string, (call: SyscallCall, i: ArgumentIndex) => string>> = {
  d: (call, i) => String(call.i32(i)),
  u: (call, i) => String(call.size(i)),
  l: (call, i) => String(call.i64(i)),
  p: (call, i) => (call.addr(i) === 0 ? 'NULL' : `0x${call.u64(i).toString(16)}`),
  s: (call, i) => (call.addr(i) === 0 ? 'NULL' : `0x${call.u64(i).toString(16)}`),
  x: (call, i) => `0x${call.u32(i).toString(16)}`,
  o: (call, i) => `0${call.u32(i).toString(8)}`,
};

/** Name and arguments of the call. @param verbose strings are shown themselves, not their addresses */
export function describeCall(call: SyscallCall, verbose: boolean): string {
  const row = findSyscall(call.nr);
  if (row === undefined) return `syscall_${call.nr}()`;
  const args = [...row.signature].map((letter, index) => {
    const i = index as ArgumentIndex;
    return verbose && letter === 's' ? quoted(call, i) : SHOW[letter]!(call, i);
  });
  return `${row.name}(${args.join(', ')})`;
}

/** '0', '-1 ENOENT', '0x7f…' for results that look like addresses. */
export function showResult(result: number | bigint): string {
  const value = Number(result);
  if (value < 0 && value >= -4095) return `-1 ${errnoName(-value)}`;
  return value >= 0x1_0000_0000 ? `0x${BigInt.asUintN(64, BigInt(result)).toString(16)}` : String(result);
}

function quoted(call: SyscallCall, i: ArgumentIndex): string {
  try {
    const bytes = call.process.memory.readCString(call.addr(i), 4096);
    if (bytes === undefined) return SHOW.p!(call, i);
    const shown = Buffer.from(bytes.subarray(0, MAX_STRING_BYTES)).toString('latin1');
    return JSON.stringify(shown) + (bytes.length > MAX_STRING_BYTES ? '…' : '');
  } catch (error) {
    if (error instanceof GuestFault) return SHOW.p!(call, i);
    throw error;
  }
}
