// The saved state of a whole tree, to be compared.

import type { SimObject } from '../../src/sim/sim-object.ts';
import type { Json } from '../../src/sim/state.ts';

/** What a checkpoint would hold of each object, by path. */
export function stateOf(root: SimObject): Record<string, Record<string, Json>> {
  const cells = (object: SimObject) =>
    Object.fromEntries([...object.stateCells].map(([name, cell]) => [name, cell.save()]));
  return Object.fromEntries([...root.descendants()].map((object) => [object.path, cells(object)]));
}
