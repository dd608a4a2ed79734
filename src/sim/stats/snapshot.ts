/**
 * A snapshot of all statistics of a tree of SimObjects as plain data, taken at one instant. The writers of
 * stats.txt and stats.json work on it, and so can anybody else.
 */
import type { SimObject } from '../sim-object.ts';
import type { Tick } from '../tick.ts';
import type { StatGroup } from './group.ts';
import {
  type AnyStat,
  Distribution,
  type DistributionShape,
  type Result,
  type StatFormat,
  Vector,
  type VectorFormat,
} from './kinds.ts';
import type { StatUnit } from './unit.ts';

interface RowBase {
  readonly name: string;
  readonly description: string;
  readonly unit: StatUnit;
}

export interface ScalarRow extends RowBase {
  readonly kind: 'scalar';
  readonly format: StatFormat;
  readonly value: Result;
}

export interface VectorRow extends RowBase {
  readonly kind: 'vector';
  readonly format: VectorFormat;
  readonly elements: readonly { readonly name: string; readonly value: Result }[];
  readonly total: Result;
}

export interface DistributionRow extends RowBase {
  readonly kind: 'distribution';
  readonly format: StatFormat;
  readonly shape: DistributionShape;
  readonly samples: number;
  readonly mean: number;
  readonly stdev: number;
  readonly underflows: number;
  readonly overflows: number;
  readonly minValue: number;
  readonly maxValue: number;
  readonly buckets: readonly number[];
}

export type StatRow = ScalarRow | VectorRow | DistributionRow;

/** Statistics of a group in order of declaration; groups in it by name, as gem5 orders them. */
export interface GroupSnapshot {
  readonly stats: readonly StatRow[];
  readonly groups: ReadonlyMap<string, GroupSnapshot>;
}

export interface StatSnapshot {
  readonly tick: Tick;
  readonly root: GroupSnapshot;
}

/** All statistics now. Counts that are brought up to date only for a dump are, first. */
export function takeSnapshot(root: SimObject): StatSnapshot {
  for (const object of root.descendants()) object.statistics.prepareDump();
  return { tick: root.curTick, root: snapshotObject(root) };
}

function snapshotObject(object: SimObject): GroupSnapshot {
  const own = snapshotGroup(object.statistics);
  const groups = new Map(own.groups);
  for (const [name, child] of object.children) {
    const below = snapshotObject(child);
    const same = groups.get(name);
    groups.set(name, same === undefined ? below : merge(same, below));
  }
  return { stats: own.stats, groups: sorted(groups) };
}

function snapshotGroup(group: StatGroup): GroupSnapshot {
  const stats = [...group.stats].map(([name, stat]) => rowOf(name, stat));
  const groups = [...group.groups].map(([name, sub]) => [name, snapshotGroup(sub)] as const);
  return { stats, groups: sorted(new Map(groups)) };
}

function merge(a: GroupSnapshot, b: GroupSnapshot): GroupSnapshot {
  return { stats: [...a.stats, ...b.stats], groups: sorted(new Map([...a.groups, ...b.groups])) };
}

function sorted(groups: ReadonlyMap<string, GroupSnapshot>): Map<string, GroupSnapshot> {
  return new Map([...groups].sort(([a], [b]) => (a < b ? -1 : 1)));
}

function rowOf(name: string, stat: AnyStat): StatRow {
  const base = { name, description: stat.description, unit: stat.unit };
  if (stat instanceof Vector) {
    const { unavailable, elements, elementNames, format } = stat;
    return {
      ...base,
      kind: 'vector',
      format,
      elements: elements.map(({ value }, i) => ({ name: elementNames[i]!, value: unavailable ?? value })),
      total: unavailable ?? stat.total(),
    };
  }
  if (stat instanceof Distribution) return distributionRow(base, stat);
  return { ...base, kind: 'scalar', format: stat.format, value: stat.result() };
}

function distributionRow(base: RowBase, stat: Distribution): DistributionRow {
  const { samples, sum, squares, underflows, overflows } = stat;
  return {
    ...base,
    kind: 'distribution',
    format: stat.format,
    shape: stat.shape,
    samples,
    mean: samples === 0 ? Number.NaN : sum / samples,
    stdev:
      samples === 0 ? Number.NaN : Math.sqrt((samples * squares - sum * sum) / (samples * (samples - 1))),
    underflows,
    overflows,
    minValue: samples === 0 ? 0 : stat.minValue,
    maxValue: samples === 0 ? 0 : stat.maxValue,
    buckets: [...stat.buckets],
  };
}
