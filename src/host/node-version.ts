/*
 * Which Node versions the simulator is tested with. `node:ffi` is experimental: a later Node may change it.
 */

/** Versions from `min` up to but not including `below` are tested. */
export const TESTED_NODE = { min: '26.10.0', below: '27.0.0' } as const;

/** Whether a version such as `v26.10.0` is in the tested range. */
export function isTestedNode(version: string): boolean {
  return compare(version, TESTED_NODE.min) >= 0 && compare(version, TESTED_NODE.below) < 0;
}

function compare(a: string, b: string): number {
  const left = parts(a);
  const right = parts(b);
  for (const [i, part] of left.entries()) {
    const difference = part - right[i]!;
    if (difference !== 0) return difference;
  }
  return 0;
}

function parts(version: string): number[] {
  const match = /^v?(\d+)\.(\d+)\.(\d+)/.exec(version);
  if (match === null) throw new Error(`not a version: ${version}`);
  return match.slice(1).map(Number);
}
