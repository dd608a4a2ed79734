/**
 * prctl(2): a table of operations. Those that change how a program runs on real hardware only keep their value.
 */
import { Errno } from '../errno.ts';
import { LAST_CAPABILITY } from '../identity.ts';
import { LAST_SIGNAL } from '../signals.ts';
import type { ArgumentIndex, SyscallCall } from '../syscall.ts';
import { DEFAULT_TIMERSLACK_NS } from '../thread.ts';

const COMM_BYTES = 16;
const TSC_ENABLE = 1;
const TIMING_STATISTICAL = 0;
const MCE_KILL_DEFAULT = 2;
const AMBIENT = { isSet: 1, raise: 2, lower: 3, clearAll: 4 } as const;

/** Whether all arguments from this one to the fifth are 0, as the newer operations demand. */
function areZero(call: SyscallCall, from: ArgumentIndex): boolean {
  for (let i = from; i <= 4; i++) if (call.size(i as ArgumentIndex) !== 0) return false;
  return true;
}

function putInt(call: SyscallCall, value: number): number {
  call.process.memory.writeI32(call.addr(1), value);
  return 0;
}

function setName(call: SyscallCall): number {
  const { memory } = call.process;
  const bytes = memory.readCString(call.addr(1), COMM_BYTES) ?? memory.read(call.addr(1), COMM_BYTES - 1);
  call.thread.name = Buffer.from(bytes).toString('latin1');
  return 0;
}

function getName(call: SyscallCall): number {
  const bytes = new Uint8Array(COMM_BYTES);
  bytes.set(Buffer.from(call.thread.name, 'latin1').subarray(0, COMM_BYTES - 1));
  call.process.memory.write(call.addr(1), bytes);
  return 0;
}

/** No capability is ambient, and none becomes so. */
function ambient(call: SyscallCall): number {
  const operation = call.size(1);
  if (operation === AMBIENT.clearAll) return areZero(call, 2) ? 0 : -Errno.EINVAL;
  if (call.size(2) > LAST_CAPABILITY || !areZero(call, 3)) return -Errno.EINVAL;
  if (operation === AMBIENT.raise) return -Errno.EPERM;
  return operation === AMBIENT.isSet || operation === AMBIENT.lower ? 0 : -Errno.EINVAL;
}

/** prctl(2)'s numbers. */
const Prctl = {
  setPdeathsig: 1,
  getPdeathsig: 2,
  getDumpable: 3,
  setDumpable: 4,
  getKeepcaps: 7,
  setKeepcaps: 8,
  getTiming: 13,
  setTiming: 14,
  setName: 15,
  getName: 16,
  getSeccomp: 21,
  capbsetRead: 23,
  capbsetDrop: 24,
  getTsc: 25,
  setTsc: 26,
  getSecurebits: 27,
  setTimerslack: 29,
  getTimerslack: 30,
  mceKillGet: 34,
  setChildSubreaper: 36,
  getChildSubreaper: 37,
  setNoNewPrivs: 38,
  getNoNewPrivs: 39,
  getTidAddress: 40,
  setThpDisable: 41,
  getThpDisable: 42,
  capAmbient: 47,
  setVma: 0x5356_4d41,
} as const;

const OPERATIONS: Readonly<Record<number, (call: SyscallCall) => number>> = {
  [Prctl.setPdeathsig](call) {
    if (call.size(1) > LAST_SIGNAL) return -Errno.EINVAL;
    call.process.attributes.parentDeathSignal = call.size(1);
    return 0;
  },
  [Prctl.getPdeathsig]: (call) => putInt(call, call.process.attributes.parentDeathSignal),
  [Prctl.setDumpable](call) {
    if (call.size(1) > 1) return -Errno.EINVAL;
    call.process.attributes.dumpable = call.size(1);
    return 0;
  },
  [Prctl.getDumpable]: (call) => call.process.attributes.dumpable,
  [Prctl.setKeepcaps](call) {
    if (call.size(1) > 1) return -Errno.EINVAL;
    call.process.credentials.keepsCapabilities = call.size(1) === 1;
    return 0;
  },
  [Prctl.getKeepcaps]: (call) => Number(call.process.credentials.keepsCapabilities),
  [Prctl.setTiming]: (call) => (call.size(1) === TIMING_STATISTICAL ? 0 : -Errno.EINVAL),
  [Prctl.getTiming]: () => TIMING_STATISTICAL,
  [Prctl.setName]: setName,
  [Prctl.getName]: getName,
  [Prctl.getSeccomp]: () => 0,
  [Prctl.capbsetRead](call) {
    if (call.size(1) > LAST_CAPABILITY) return -Errno.EINVAL;
    return Number((call.process.credentials.bounding >> BigInt(call.size(1))) & 1n);
  },
  [Prctl.capbsetDrop](call) {
    return call.size(1) > LAST_CAPABILITY
      ? -Errno.EINVAL
      : call.process.credentials.dropBounding(call.size(1));
  },
  [Prctl.setTsc]: (call) => (call.size(1) === TSC_ENABLE ? 0 : -Errno.EINVAL),
  [Prctl.getTsc]: (call) => putInt(call, TSC_ENABLE),
  [Prctl.getSecurebits]: () => 0,
  [Prctl.setTimerslack](call) {
    call.thread.timerSlackNs = call.size(1) || DEFAULT_TIMERSLACK_NS;
    return 0;
  },
  [Prctl.getTimerslack]: (call) => call.thread.timerSlackNs,
  [Prctl.mceKillGet]: (call) => (areZero(call, 1) ? MCE_KILL_DEFAULT : -Errno.EINVAL),
  [Prctl.setChildSubreaper](call) {
    call.process.attributes.childSubreaper = call.size(1) !== 0;
    return 0;
  },
  [Prctl.getChildSubreaper]: (call) => putInt(call, Number(call.process.attributes.childSubreaper)),
  [Prctl.setNoNewPrivs](call) {
    if (call.size(1) !== 1 || !areZero(call, 2)) return -Errno.EINVAL;
    call.process.attributes.noNewPrivileges = true;
    return 0;
  },
  [Prctl.getNoNewPrivs]: (call) =>
    areZero(call, 1) ? Number(call.process.attributes.noNewPrivileges) : -Errno.EINVAL,
  [Prctl.getTidAddress](call) {
    call.process.memory.writeNumber64(call.addr(1), call.thread.clearChildTid);
    return 0;
  },
  [Prctl.setThpDisable](call) {
    if (!areZero(call, 2)) return -Errno.EINVAL;
    call.process.attributes.hugePagesDisabled = call.size(1) !== 0;
    return 0;
  },
  [Prctl.getThpDisable]: (call) =>
    areZero(call, 1) ? Number(call.process.attributes.hugePagesDisabled) : -Errno.EINVAL,
  [Prctl.capAmbient]: ambient,
  // Names of mappings show in /proc/self/maps alone.
  [Prctl.setVma]: () => 0,
};

export function prctl(call: SyscallCall): number {
  return OPERATIONS[call.u32(0)]?.(call) ?? -Errno.EINVAL;
}
