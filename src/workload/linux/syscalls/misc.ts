/**
 * What fits nowhere else: uname(2), sysinfo(2), getrandom(2), membarrier(2), personality(2).
 */
import { NS_PER_SECOND } from '../clock.ts';
import { Errno } from '../errno.ts';
import type { SyscallCall, SyscallMap } from '../syscall.ts';
import { prctl } from './prctl.ts';

/** struct new_utsname: six fields of 65 bytes. */
const UTS_FIELD_BYTES = 65;
const UTS_NAME = [
  'Linux',
  'hypertick',
  '6.1.0-hypertick',
  '#1 SMP PREEMPT_DYNAMIC 2026-01-01',
  'x86_64',
  '(none)',
];

function uname(call: SyscallCall): number {
  const bytes = new Uint8Array(UTS_FIELD_BYTES * UTS_NAME.length);
  UTS_NAME.forEach((text, i) => {
    bytes.set(Buffer.from(text, 'latin1'), i * UTS_FIELD_BYTES);
  });
  call.process.memory.write(call.addr(0), bytes);
  return 0;
}

/** struct sysinfo: uptime 0, loads 8, totalram 32, freeram 40, …, procs (u16) 80, mem_unit (u32) 104. */
function sysinfo(call: SyscallCall): number {
  const { clock, threads, ram } = call.process;
  const bytes = new Uint8Array(112);
  const view = new DataView(bytes.buffer);
  view.setBigInt64(0, BigInt(Math.floor(clock.monotonicNs / NS_PER_SECOND)), true);
  view.setBigInt64(32, BigInt(ram.totalFrames * 4096), true);
  view.setBigInt64(40, BigInt(ram.freeFrames * 4096), true);
  view.setUint16(80, threads.size, true);
  view.setUint32(104, 1, true);
  call.process.memory.write(call.addr(0), bytes);
  return 0;
}

const GRND_KNOWN = 7;
const GRND_RANDOM = 2;
const GRND_INSECURE = 4;
/** Bytes made at a time. */
const RANDOM_CHUNK_BYTES = 65_536;

function getrandom(call: SyscallCall): number {
  const [va, length, flags] = [call.addr(0), Math.min(call.size(1), 0x7fff_ffff), call.u32(2)];
  const both = GRND_RANDOM | GRND_INSECURE;
  if ((flags & ~GRND_KNOWN) !== 0 || (flags & both) === both) return -Errno.EINVAL;
  for (let done = 0; done < length; done += RANDOM_CHUNK_BYTES) {
    const bytes = new Uint8Array(Math.min(RANDOM_CHUNK_BYTES, length - done));
    call.process.randomBytes(bytes);
    call.process.memory.write(va + done, bytes);
  }
  return length;
}

/** Commands of membarrier(2); those for the own process need the registration at twice their number. */
const Membarrier = { query: 0, supported: 0x1ff } as const;
const MEMBARRIER_PRIVATE_EXPEDITED = 0xa8;

/** With one CPU every system call is a barrier between the threads. */
function membarrier(call: SyscallCall): number {
  const [command, flags] = [call.i32(0), call.u32(1)];
  const { attributes } = call.process;
  if (flags !== 0) return -Errno.EINVAL;
  if (command === Membarrier.query) return Membarrier.supported;
  const known = (command & Membarrier.supported) === command && (command & (command - 1)) === 0;
  if (!known) return -Errno.EINVAL;
  attributes.membarriers |= command;
  const isPrivate = (command & MEMBARRIER_PRIVATE_EXPEDITED) !== 0;
  return isPrivate && (attributes.membarriers & (command << 1)) === 0 ? -Errno.EPERM : 0;
}

const PERSONALITY_QUERY = 0xffff_ffff;

export const miscSyscalls = {
  uname,
  sysinfo,
  getrandom,
  prctl,
  membarrier,
  /** Only the number is kept: all programs run as PER_LINUX. */
  personality(call) {
    const { attributes } = call.process;
    const former = attributes.personality;
    if (call.u32(0) !== PERSONALITY_QUERY) attributes.personality = call.u32(0);
    return former;
  },
  sethostname: () => -Errno.EPERM,
  setdomainname: () => -Errno.EPERM,
} satisfies SyscallMap;
