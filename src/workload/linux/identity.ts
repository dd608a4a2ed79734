/**
 * Who the process is: user and group ids, supplementary groups, capabilities. credentials(7), capabilities(7).
 * Changes are bookkeeping for the program: its files are opened as the user who runs the simulator.
 */
import { Errno } from './errno.ts';
import type { Credentials } from './process-options.ts';

/** Capabilities that calls ask for. */
export const Capability = { setgid: 6, setuid: 7, setpcap: 8, sysNice: 23 } as const;

/** CAP_CHECKPOINT_RESTORE, the last one. */
export const LAST_CAPABILITY = 40;
const ALL_CAPABILITIES = (1n << BigInt(LAST_CAPABILITY + 1)) - 1n;

/** "Leave this id as it is": −1 as uid_t. */
const KEEP = 0xffff_ffff;

/** The ids of one kind, users or groups. */
export class IdSet {
  real: number;
  effective: number;
  saved: number;
  /** For access to files. */
  fs: number;

  constructor(real: number, effective: number) {
    this.real = real;
    this.effective = effective;
    this.saved = effective;
    this.fs = effective;
  }

  /** setuid(2): all of them for the privileged, else the effective one. */
  set(id: number, privileged: boolean): number {
    if (id === KEEP) return -Errno.EINVAL;
    if (!privileged) return this.#assign(KEEP, id, KEEP, id === this.real || id === this.saved);
    return this.#assign(id, id, id, true);
  }

  /** setreuid(2). */
  setRealEffective(real: number, effective: number, privileged: boolean): number {
    const allowed =
      privileged ||
      ([KEEP, this.real, this.effective].includes(real) && (effective === KEEP || this.#has(effective)));
    const follows = real !== KEEP || (effective !== KEEP && effective !== this.real);
    return this.#assign(
      real,
      effective,
      follows ? (effective === KEEP ? this.effective : effective) : KEEP,
      allowed,
    );
  }

  /** setresuid(2). */
  setAll(real: number, effective: number, saved: number, privileged: boolean): number {
    const allowed = privileged || [real, effective, saved].every((id) => id === KEEP || this.#has(id));
    return this.#assign(real, effective, saved, allowed);
  }

  /** setfsuid(2): the former one, whether or not the new one is allowed. */
  setFs(id: number, privileged: boolean): number {
    const former = this.fs;
    if (id !== KEEP && (privileged || id === former || this.#has(id))) this.fs = id;
    return former;
  }

  #has(id: number): boolean {
    return id === this.real || id === this.effective || id === this.saved;
  }

  #assign(real: number, effective: number, saved: number, allowed: boolean): number {
    if (!allowed) return -Errno.EPERM;
    if (real !== KEEP) this.real = real;
    if (effective !== KEEP) this.effective = effective;
    if (saved !== KEEP) this.saved = saved;
    this.fs = this.effective;
    return 0;
  }
}

/** Capability masks, one bit each. */
export interface CapabilitySets {
  effective: bigint;
  permitted: bigint;
  inheritable: bigint;
}

export class Identity implements Credentials {
  readonly users: IdSet;
  readonly groupIds: IdSet;
  groups: readonly number[];
  readonly capabilities: CapabilitySets;
  /** What capabilities of files could give: execve's business, kept for PR_CAPBSET_READ. */
  bounding = ALL_CAPABILITIES;
  /** PR_SET_KEEPCAPS: who ceases to be root keeps its permitted capabilities. */
  keepsCapabilities = false;

  constructor({ uid, euid, gid, egid, groups }: Credentials) {
    this.users = new IdSet(uid, euid);
    this.groupIds = new IdSet(gid, egid);
    this.groups = groups;
    const all = euid === 0 ? ALL_CAPABILITIES : 0n;
    this.capabilities = { effective: all, permitted: all, inheritable: 0n };
  }

  get uid(): number {
    return this.users.real;
  }

  get euid(): number {
    return this.users.effective;
  }

  get gid(): number {
    return this.groupIds.real;
  }

  get egid(): number {
    return this.groupIds.effective;
  }

  has(capability: number): boolean {
    return ((this.capabilities.effective >> BigInt(capability)) & 1n) !== 0n;
  }

  /** PR_CAPBSET_DROP */
  dropBounding(capability: number): number {
    if (!this.has(Capability.setpcap)) return -Errno.EPERM;
    this.bounding &= ~(1n << BigInt(capability));
    return 0;
  }

  /** Changes the user ids; capabilities follow, "Effect of user ID changes on capabilities". */
  changeUsers(change: (users: IdSet, privileged: boolean) => number): number {
    const { users, capabilities } = this;
    const wasRoot = isRoot(users);
    const wasEffective = users.effective === 0;
    const result = change(users, this.has(Capability.setuid));
    if (result !== 0) return result;
    if (wasRoot && !isRoot(users)) {
      if (!this.keepsCapabilities) capabilities.permitted = 0n;
      capabilities.effective = 0n;
    }
    if (wasEffective && users.effective !== 0) capabilities.effective = 0n;
    if (!wasEffective && users.effective === 0) capabilities.effective = capabilities.permitted;
    return 0;
  }

  changeGroups(change: (groups: IdSet, privileged: boolean) => number): number {
    return change(this.groupIds, this.has(Capability.setgid));
  }

  /** capset(2): capabilities can be given up, and taken up where permitted; never won. */
  setCapabilities({ effective, permitted, inheritable }: CapabilitySets): number {
    const current = this.capabilities;
    const wins = (permitted & ~current.permitted) | (effective & ~permitted);
    const inherits = inheritable & ~(current.inheritable | current.permitted);
    const unbounded = inheritable & ~(current.inheritable | this.bounding);
    if (wins !== 0n || unbounded !== 0n || (inherits !== 0n && !this.has(Capability.setpcap))) {
      return -Errno.EPERM;
    }
    Object.assign(current, { effective, permitted, inheritable });
    return 0;
  }
}

function isRoot({ real, effective, saved }: IdSet): boolean {
  return real === 0 || effective === 0 || saved === 0;
}
