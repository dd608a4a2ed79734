/**
 * Resource limits of the process. getrlimit(2), prlimit(2); defaults as a Debian login has them.
 */

import type { MemoryLimits } from './demand-paging.ts';
import { Errno } from './errno.ts';

/** Resource numbers on x86-64. */
export const Rlimit = {
  cpu: 0,
  fsize: 1,
  data: 2,
  stack: 3,
  core: 4,
  rss: 5,
  nproc: 6,
  nofile: 7,
  memlock: 8,
  as: 9,
  locks: 10,
  sigpending: 11,
  msgqueue: 12,
  nice: 13,
  rtprio: 14,
  rttime: 15,
} as const;

export const RLIMIT_COUNT = 16;
export const RLIM_INFINITY = 0xffff_ffff_ffff_ffffn;

/** A pair of limits; RLIM_INFINITY = unlimited. */
export interface Limit {
  readonly soft: bigint;
  readonly hard: bigint;
}

const UNLIMITED: Limit = { soft: RLIM_INFINITY, hard: RLIM_INFINITY };
const NONE: Limit = { soft: 0n, hard: 0n };
const PROCESSES: Limit = { soft: 4096n, hard: 4096n };

const DEFAULTS: Readonly<Partial<Record<number, Limit>>> = {
  [Rlimit.stack]: { soft: 8n << 20n, hard: RLIM_INFINITY },
  [Rlimit.core]: { soft: 0n, hard: RLIM_INFINITY },
  [Rlimit.nproc]: PROCESSES,
  [Rlimit.nofile]: { soft: 1024n, hard: 1_048_576n },
  [Rlimit.memlock]: { soft: 8n << 20n, hard: 8n << 20n },
  [Rlimit.sigpending]: PROCESSES,
  [Rlimit.msgqueue]: { soft: 819_200n, hard: 819_200n },
  [Rlimit.nice]: NONE,
  [Rlimit.rtprio]: NONE,
};

export class ResourceLimits {
  readonly #limits: Limit[] = Array.from({ length: RLIMIT_COUNT }, (_, i) => DEFAULTS[i] ?? UNLIMITED);

  /** The pair, or undefined for a number that is no resource. */
  get(resource: number): Limit | undefined {
    return this.#limits[resource];
  }

  /** The soft limit; Infinity = unlimited. */
  soft(resource: number): number {
    const { soft } = this.#limits[resource]!;
    return soft === RLIM_INFINITY ? Infinity : Number(soft);
  }

  /** 0 or −errno. Raising a hard limit is refused, also to root: a program's limits are the simulator's. */
  set(resource: number, limit: Limit): number {
    const current = this.#limits[resource];
    if (current === undefined || limit.soft > limit.hard) return -Errno.EINVAL;
    if (limit.hard > current.hard) return -Errno.EPERM;
    this.#limits[resource] = limit;
    return 0;
  }
}

/** The limits that the address space asks for, as they are at the time. */
export function memoryLimits(limits: ResourceLimits): MemoryLimits {
  return {
    get stackBytes() {
      return limits.soft(Rlimit.stack);
    },
    get dataBytes() {
      return limits.soft(Rlimit.data);
    },
    get addressSpaceBytes() {
      return limits.soft(Rlimit.as);
    },
  };
}
