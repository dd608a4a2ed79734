/**
 * stats.json: a list of dumps, each with its tick and the statistics as a tree of groups. A statistic is an
 * object with `type`, `unit`, `description` and `value`, or their counterparts; a missing value is null,
 * with `unavailable` saying why.
 */
import type { Json } from '../state.ts';
import { type Result, Unavailable } from './kinds.ts';
import type { GroupSnapshot, StatRow, StatSnapshot } from './snapshot.ts';

/** One dump as a JSON value. */
export function snapshotToJson(snapshot: StatSnapshot): Json {
  return { tick: String(snapshot.tick), stats: groupToJson(snapshot.root) };
}

function groupToJson(group: GroupSnapshot): Json {
  const entries: [string, Json][] = [
    ...group.stats.map((row) => [row.name, rowToJson(row)] as [string, Json]),
    ...[...group.groups].map(([name, sub]) => [name, groupToJson(sub)] as [string, Json]),
  ];
  return Object.fromEntries(entries.filter(([, value]) => !isEmpty(value)));
}

function isEmpty(value: Json): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0;
}

function rowToJson(row: StatRow): Json {
  const head = { type: row.kind, unit: row.unit, description: row.description };
  switch (row.kind) {
    case 'scalar':
      return { ...head, ...resultToJson(row.value) };
    case 'vector':
      return {
        ...head,
        ...resultToJson(row.total),
        elements: Object.fromEntries(
          row.elements.map(({ name, value }) => [name, resultToJson(value).value]),
        ),
      };
    case 'distribution':
      return {
        ...head,
        ...row.shape,
        samples: row.samples,
        mean: finite(row.mean),
        stdev: finite(row.stdev),
        minValue: row.minValue,
        maxValue: row.maxValue,
        underflows: row.underflows,
        overflows: row.overflows,
        buckets: row.buckets,
      };
  }
}

/** Integers that a Number cannot hold are strings. */
function resultToJson(result: Result): { readonly value: Json; readonly unavailable?: string } {
  if (result instanceof Unavailable) return { value: null, unavailable: result.why };
  if (typeof result === 'number') return { value: finite(result) };
  const number = Number(result);
  return { value: Number.isSafeInteger(number) ? number : String(result) };
}

function finite(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}
