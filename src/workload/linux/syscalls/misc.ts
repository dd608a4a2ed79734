/**
 * What fits nowhere else: uname(2), sysinfo(2), getrandom(2), prctl(2), membarrier(2), getpriority(2),
 * capget(2).
 */
import { NS_PER_SECOND } from '../clock.ts';
import { Errno } from '../errno.ts';
import { LAST_SIGNAL } from '../signals.ts';
import type { SyscallCall, SyscallMap } from '../syscall.ts';
import type { Thread } from '../thread.ts';

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

/** prctl(2) operations. */
const Prctl = {
  setPdeathsig: 1,
  getPdeathsig: 2,
  getDumpable: 3,
  setDumpable: 4,
  getKeepcaps: 7,
  setKeepcaps: 8,
  setName: 15,
  getName: 16,
  getSeccomp: 21,
  capbsetRead: 23,
  setTimerslack: 29,
  getTimerslack: 30,
  setChildSubreaper: 36,
  setNoNewPrivs: 38,
  getNoNewPrivs: 39,
  setThpDisable: 41,
  getThpDisable: 42,
  setVma: 0x5356_4d41,
} as const;
const COMM_BYTES = 16;
const DEFAULT_TIMERSLACK_NS = 50_000;

function prctl(call: SyscallCall): number {
  const { memory } = call.process;
  switch (call.i32(0)) {
    case Prctl.setName: {
      const bytes = memory.readCString(call.addr(1), COMM_BYTES) ?? memory.read(call.addr(1), COMM_BYTES - 1);
      call.thread.name = Buffer.from(bytes).toString('latin1');
      return 0;
    }
    case Prctl.getName: {
      const bytes = new Uint8Array(COMM_BYTES);
      bytes.set(Buffer.from(call.thread.name, 'latin1').subarray(0, COMM_BYTES - 1));
      memory.write(call.addr(1), bytes);
      return 0;
    }
    case Prctl.getPdeathsig:
      memory.writeI32(call.addr(1), 0);
      return 0;
    case Prctl.setPdeathsig:
      return call.size(1) <= LAST_SIGNAL ? 0 : -Errno.EINVAL;
    case Prctl.getDumpable:
    case Prctl.capbsetRead:
      return 1;
    case Prctl.getTimerslack:
      return DEFAULT_TIMERSLACK_NS;
    case Prctl.setDumpable:
    case Prctl.getKeepcaps:
    case Prctl.setKeepcaps:
    case Prctl.getSeccomp:
    case Prctl.setTimerslack:
    case Prctl.setChildSubreaper:
    case Prctl.setNoNewPrivs:
    case Prctl.getNoNewPrivs:
    case Prctl.setThpDisable:
    case Prctl.getThpDisable:
    case Prctl.setVma:
      return 0;
    default:
      return -Errno.EINVAL;
  }
}

const Membarrier = { query: 0, supported: 0x1ff } as const;

/** With one CPU every system call is a barrier between the threads. */
function membarrier(call: SyscallCall): number {
  const command = call.i32(0);
  if (command === Membarrier.query) return Membarrier.supported;
  const known = (command & Membarrier.supported) === command && (command & (command - 1)) === 0;
  return known ? 0 : -Errno.EINVAL;
}

const PRIO_PROCESS = 0;

function niceTarget(call: SyscallCall): Thread | undefined {
  const who = call.i32(1);
  return call.i32(0) === PRIO_PROCESS && who !== 0 ? call.process.threads.get(who) : call.thread;
}

const CAP_VERSION_3 = 0x2008_0522;

/** Capabilities: root has all, others none; struct header is version and pid, data three masks, twice. */
function capget(call: SyscallCall): number {
  const { memory, credentials } = call.process;
  if (memory.readU32(call.addr(0)) !== CAP_VERSION_3) {
    memory.writeU32(call.addr(0), CAP_VERSION_3);
    return call.addr(1) === 0 ? 0 : -Errno.EINVAL;
  }
  if (call.addr(1) === 0) return 0;
  const masks = credentials.euid === 0 ? [0xffff_ffff, 0x1ff] : [0, 0];
  masks.forEach((mask, half) => {
    [mask, mask, 0].forEach((value, i) => {
      memory.writeU32(call.addr(1) + 12 * half + 4 * i, value);
    });
  });
  return 0;
}

export const miscSyscalls = {
  uname,
  sysinfo,
  getrandom,
  prctl,
  membarrier,
  getpriority(call) {
    const target = niceTarget(call);
    return target === undefined ? -Errno.ESRCH : 20 - target.nice;
  },
  setpriority(call) {
    const target = niceTarget(call);
    if (target === undefined) return -Errno.ESRCH;
    const nice = Math.max(-20, Math.min(19, call.i32(2)));
    if (nice < target.nice && call.process.credentials.euid !== 0) return -Errno.EACCES;
    target.nice = nice;
    return 0;
  },
  personality: () => 0,
  capget,
  capset: () => -Errno.EPERM,
  sethostname: () => -Errno.EPERM,
  setdomainname: () => -Errno.EPERM,
  ioprio_get: () => 0,
  ioprio_set: () => 0,
} satisfies SyscallMap;
