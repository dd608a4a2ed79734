/**
 * Calls that tell and change who the process is: setresuid(2) and its kin, getgroups(2), capget(2), capset(2).
 */
import { Errno } from '../errno.ts';
import { Capability, type CapabilitySets, type IdSet } from '../identity.ts';
import type { ArgumentIndex, SyscallCall, SyscallMap } from '../syscall.ts';

/** Writes real, effective and saved id. */
function writeIds(call: SyscallCall, { real, effective, saved }: IdSet): number {
  [real, effective, saved].forEach((id, i) => {
    call.process.memory.writeU32(call.addr(i as ArgumentIndex), id);
  });
  return 0;
}

/** NGROUPS_MAX */
const MOST_GROUPS = 65_536;

function getGroups(call: SyscallCall): number {
  const { groups } = call.process.credentials;
  const size = call.i32(0);
  if (size < 0 || (size > 0 && size < groups.length)) return -Errno.EINVAL;
  if (size > 0) {
    groups.forEach((group, i) => {
      call.process.memory.writeU32(call.addr(1) + 4 * i, group);
    });
  }
  return groups.length;
}

function setGroups(call: SyscallCall): number {
  const { credentials, memory } = call.process;
  const [size, va] = [call.u32(0), call.addr(1)];
  if (!credentials.has(Capability.setgid)) return -Errno.EPERM;
  if (size > MOST_GROUPS) return -Errno.EINVAL;
  credentials.groups = Array.from({ length: size }, (_, i) => memory.readU32(va + 4 * i)).sort(
    (a, b) => a - b,
  );
  return 0;
}

/** Versions of the capability structures, and how many 32-bit words of each mask they carry. */
const CAPABILITY_WORDS: ReadonlyMap<number, number> = new Map([
  [0x1998_0330, 1],
  [0x2007_1026, 2],
  [0x2008_0522, 2],
]);
const LATEST_VERSION = 0x2008_0522;

/** struct __user_cap_header_struct: version and pid. The words per mask, or −EINVAL and the version to use. */
function capabilityWords(call: SyscallCall): number {
  const { memory } = call.process;
  const words = CAPABILITY_WORDS.get(memory.readU32(call.addr(0)));
  if (words === undefined) memory.writeU32(call.addr(0), LATEST_VERSION);
  return words ?? -Errno.EINVAL;
}

/** Order of the masks in struct __user_cap_data_struct. */
const MASKS = ['effective', 'permitted', 'inheritable'] as const;

function capget(call: SyscallCall): number {
  const { memory, credentials, threads } = call.process;
  const [headerVa, dataVa] = [call.addr(0), call.addr(1)];
  const words = capabilityWords(call);
  if (dataVa === 0 && (words < 0 || memory.readI32(headerVa + 4) >= 0)) return 0;
  if (words < 0) return words;
  const pid = memory.readI32(headerVa + 4);
  if (pid < 0) return -Errno.EINVAL;
  if (pid !== 0 && !threads.has(pid)) return -Errno.ESRCH;
  for (let word = 0; word < words; word++) {
    MASKS.forEach((name, i) => {
      const bits = credentials.capabilities[name] >> BigInt(32 * word);
      memory.writeU32(dataVa + 12 * word + 4 * i, Number(bits & 0xffff_ffffn));
    });
  }
  return 0;
}

function capset(call: SyscallCall): number {
  const { memory, credentials } = call.process;
  const [headerVa, dataVa] = [call.addr(0), call.addr(1)];
  const words = capabilityWords(call);
  if (words < 0) return words;
  const pid = memory.readI32(headerVa + 4);
  if (pid !== 0 && pid !== call.thread.tid) return -Errno.EPERM;
  const wanted: CapabilitySets = { effective: 0n, permitted: 0n, inheritable: 0n };
  for (let word = 0; word < words; word++) {
    MASKS.forEach((name, i) => {
      wanted[name] |= BigInt(memory.readU32(dataVa + 12 * word + 4 * i)) << BigInt(32 * word);
    });
  }
  return credentials.setCapabilities(wanted);
}

export const identitySyscalls = {
  getuid: ({ process }) => process.credentials.users.real,
  geteuid: ({ process }) => process.credentials.users.effective,
  getgid: ({ process }) => process.credentials.groupIds.real,
  getegid: ({ process }) => process.credentials.groupIds.effective,
  getresuid: (call) => writeIds(call, call.process.credentials.users),
  getresgid: (call) => writeIds(call, call.process.credentials.groupIds),
  setuid: (call) =>
    call.process.credentials.changeUsers((ids, privileged) => ids.set(call.u32(0), privileged)),
  setgid: (call) =>
    call.process.credentials.changeGroups((ids, privileged) => ids.set(call.u32(0), privileged)),
  setreuid: (call) =>
    call.process.credentials.changeUsers((ids, privileged) =>
      ids.setRealEffective(call.u32(0), call.u32(1), privileged),
    ),
  setregid: (call) =>
    call.process.credentials.changeGroups((ids, privileged) =>
      ids.setRealEffective(call.u32(0), call.u32(1), privileged),
    ),
  setresuid: (call) =>
    call.process.credentials.changeUsers((ids, privileged) =>
      ids.setAll(call.u32(0), call.u32(1), call.u32(2), privileged),
    ),
  setresgid: (call) =>
    call.process.credentials.changeGroups((ids, privileged) =>
      ids.setAll(call.u32(0), call.u32(1), call.u32(2), privileged),
    ),
  setfsuid(call) {
    const { credentials } = call.process;
    return credentials.users.setFs(call.u32(0), credentials.has(Capability.setuid));
  },
  setfsgid(call) {
    const { credentials } = call.process;
    return credentials.groupIds.setFs(call.u32(0), credentials.has(Capability.setgid));
  },
  getgroups: getGroups,
  setgroups: setGroups,
  capget,
  capset,
} satisfies SyscallMap;
