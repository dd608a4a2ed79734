// Statistics for people: single values out of a snapshot, and the short account of a run that `demo` and
// `run --summary` print.

import type { GroupSnapshot, StatSnapshot } from '../sim/stats/snapshot.ts';
import { describeRows } from './options.ts';

/** The number behind a path such as `system.cpu.numVMExits`; undefined if there is none or it is unavailable. */
export function statistic(snapshot: StatSnapshot, path: string): number | undefined {
  const names = path.split('.');
  const name = names.pop();
  let group: GroupSnapshot | undefined = snapshot.root;
  for (const part of names) group = group?.groups.get(part);
  const row = group?.stats.find((candidate) => candidate.name === name);
  if (row?.kind !== 'scalar') return undefined;
  return typeof row.value === 'object' || Number.isNaN(row.value) ? undefined : Number(row.value);
}

/** Reasons for an exit from the guest by the statistic that counts them. */
const EXIT_REASONS: Readonly<Record<string, string>> = {
  numUserSyscalls: 'system calls',
  numUserExceptions: 'page faults and other exceptions',
  numExitSignal: 'timer and other signals',
  numHalt: 'halts',
  numIO: 'port I/O',
  numMMIO: 'memory-mapped I/O',
  numHypercalls: 'hypercalls',
};
/** In syscall emulation the stub itself leaves by these, so that they only repeat what the others say. */
const STUB_EXITS = ['numIO', 'numMMIO'];

/**
 * A few lines on what the simulator saw.
 * @param cpus paths of the CPUs that took turns, or of the only one
 * @param notes further rows
 */
export function summary(
  snapshot: StatSnapshot,
  cpus: readonly string[],
  notes: readonly (readonly [string, string])[] = [],
): string {
  const ofAll = (name: string): number | undefined => {
    const values = cpus.flatMap((cpu) => statistic(snapshot, `${cpu}.${name}`) ?? []);
    return values.length === 0 ? undefined : values.reduce((sum, one) => sum + one, 0);
  };
  const hostSeconds = statistic(snapshot, 'hostSeconds') ?? 0;
  const inGuest = ofAll('hostSecondsInGuest') ?? 0;
  const exits = ofAll('numVMExits');
  const indent = exits === undefined ? '' : '  ';
  const reasons = Object.entries(EXIT_REASONS)
    .filter(([name]) => !STUB_EXITS.includes(name) || !ofAll('numUserSyscalls'))
    .map(([name, text]) => [`${indent}${text}`, count(ofAll(name) ?? 0)] as const)
    .filter(([, value]) => value !== '0');
  const instructions = ofAll('commitStats0.numInsts');
  const simSeconds = statistic(snapshot, 'simSeconds') ?? 0;
  const rows: (readonly [string, string])[] = [
    ['simulated time', seconds(simSeconds)],
    [
      'host time',
      `${seconds(hostSeconds)} (${ratio(hostSeconds, simSeconds)} host seconds per simulated second)`,
    ],
    ['time in the guest', `${seconds(inGuest)} (${percent(inGuest, hostSeconds)} of the host time)`],
    [
      'instructions',
      instructions === undefined ? 'not counted: this host has no counter for them' : count(instructions),
    ],
    ...(exits === undefined ? [] : [['exits from the guest', count(exits)] as const]),
    ...reasons,
    ...notes,
  ];
  return describeRows(rows, Infinity);
}

const seconds = (value: number): string => `${value.toFixed(3)} s`;
const count = (value: number): string => Math.round(value).toLocaleString('en');
const ratio = (a: number, b: number): string => (b === 0 ? '-' : (a / b).toFixed(2));
const percent = (part: number, whole: number): string =>
  whole === 0 ? '-' : `${((100 * part) / whole).toFixed(1)} %`;
