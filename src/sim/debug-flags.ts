/**
 * Debug flags: what `--debug-flags` can switch on. Names are gem5's where gem5 has the flag.
 * An object asks `this.debug.KvmRun` (a plain boolean) before it makes the text of a trace line.
 */
import { FatalError } from './trouble.ts';

/** Every flag with what it shows. */
export const DEBUG_FLAGS = {
  Checkpoint: 'saving and restoring of objects; also dumps the CPU state',
  Context: 'thread contexts: activation, suspension, halting',
  Drain: 'draining and resuming',
  Event: 'events as they are served',
  ExecEnable: 'executed instructions',
  Faults: 'exceptions, page faults and traps',
  Kvm: 'the KVM CPU: states, capabilities, set-up',
  KvmContext: 'state transfer between thread context and KVM',
  KvmInt: 'interrupts injected into KVM',
  KvmIO: 'memory-mapped and port I/O that leaves KVM',
  KvmRun: 'each entry into and exit from the guest',
  KvmTimer: 'timers that end a run in the guest',
  Loader: 'loading of programs',
  MemoryAccess: 'accesses of the physical memory',
  MMU: 'address translation',
  PseudoInst: 'pseudo-instructions (m5 ops) of the guest',
  Stats: 'reset and dump of statistics',
  SyscallBase: 'system calls by name and result',
  SyscallVerbose: 'details of system calls',
  ThreadSwitch: 'scheduling of guest threads',
  Vma: 'virtual memory areas of processes',
  XBar: 'crossbars: routing and retries',
} as const;

export type DebugFlag = keyof typeof DEBUG_FLAGS;

/** Flags that stand for several. */
export const COMPOUND_FLAGS: Readonly<Record<string, readonly DebugFlag[]>> = {
  All: Object.keys(DEBUG_FLAGS) as DebugFlag[],
  Exec: ['ExecEnable', 'Faults'],
  KvmAll: ['Kvm', 'KvmContext', 'KvmInt', 'KvmIO', 'KvmRun', 'KvmTimer'],
  SyscallAll: ['SyscallBase', 'SyscallVerbose'],
};

/** Which flags are on; a plain object, so that asking costs one load. */
export type DebugFlags = Record<DebugFlag, boolean>;

/** All flags off. */
export function noDebugFlags(): DebugFlags {
  return Object.fromEntries(Object.keys(DEBUG_FLAGS).map((name) => [name, false])) as DebugFlags;
}

/**
 * Switches flags by a list such as `Kvm,-KvmIO`, from left to right; a minus switches off.
 * @throws FatalError naming the unknown flag and those that are spelt alike
 */
export function applyDebugFlags(flags: DebugFlags, list: string): void {
  for (const item of list.split(',').map((part) => part.trim())) {
    if (item === '') continue;
    const on = !item.startsWith('-');
    for (const flag of membersOf(on ? item : item.slice(1))) flags[flag] = on;
  }
}

/** The flags that a name stands for. */
function membersOf(name: string): readonly DebugFlag[] {
  if (Object.hasOwn(DEBUG_FLAGS, name)) return [name as DebugFlag];
  if (Object.hasOwn(COMPOUND_FLAGS, name)) return COMPOUND_FLAGS[name]!;
  const near = nearNames(name, [...Object.keys(DEBUG_FLAGS), ...Object.keys(COMPOUND_FLAGS)]);
  const hint = near.length > 0 ? `did you mean ${near.join(' or ')}?` : `known: ${knownFlags()}`;
  throw new FatalError(`--debug-flags: unknown flag '${name}'; ${hint}`);
}

function knownFlags(): string {
  return [...Object.keys(DEBUG_FLAGS), ...Object.keys(COMPOUND_FLAGS)].join(', ');
}

/** Up to three names that `name` may have been meant for, nearest first. */
export function nearNames(name: string, known: readonly string[]): string[] {
  const wanted = name.toLowerCase();
  return known
    .map((other) => ({ other, distance: likeness(wanted, other.toLowerCase()) }))
    .filter(({ distance }) => distance <= Math.max(1, Math.floor(wanted.length / 3)))
    .sort((a, b) => a.distance - b.distance)
    .slice(0, 3)
    .map(({ other }) => other);
}

/** Edit distance; a true prefix counts as one edit. */
function likeness(a: string, b: string): number {
  if (a !== '' && b.startsWith(a)) return a === b ? 0 : 1;
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const above = row;
    row = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitute = above[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(substitute, above[j]! + 1, row[j - 1]! + 1));
    }
  }
  return row[b.length]!;
}
