/**
 * The control flow of a region as a graph, and what WebAssembly's structured control needs of it: an order in which only loops
 * lead back, dominators, and where ways meet. Source: Norman Ramsey, "Beyond Relooper", ICFP 2022.
 */

import type { Block } from './blocks.ts';

export interface RegionNode {
  readonly block: Block;
  /** Position in reverse postorder; the entry is 0. */
  order: number;
  /** Nodes that control may go to, those outside the region left out. */
  readonly successors: RegionNode[];
  readonly predecessors: RegionNode[];
  dominator: RegionNode | undefined;
  /** Nodes whose immediate dominator this is. */
  readonly children: RegionNode[];
  isLoopHeader: boolean;
  /** Several ways that do not lead back meet here. */
  isMerge: boolean;
}

/**
 * Puts blocks into a graph.
 * @param entry where control enters
 * @param successorsOf addresses to which control may go from a block
 * @returns the nodes that can be reached, in reverse postorder
 */
export function buildGraph(
  entry: Block,
  blocks: ReadonlyMap<number, Block>,
  successorsOf: (block: Block) => readonly number[],
): RegionNode[] {
  const nodes = new Map<Block, RegionNode>();
  const postorder: RegionNode[] = [];
  const visit = (block: Block): RegionNode => {
    const known = nodes.get(block);
    if (known !== undefined) return known;
    const node: RegionNode = {
      block,
      order: -1,
      successors: [],
      predecessors: [],
      dominator: undefined,
      children: [],
      isLoopHeader: false,
      isMerge: false,
    };
    nodes.set(block, node);
    for (const rip of successorsOf(block)) {
      const next = blocks.get(rip);
      if (next === undefined) continue;
      const successor = visit(next);
      if (node.successors.includes(successor)) continue;
      node.successors.push(successor);
      successor.predecessors.push(node);
    }
    postorder.push(node);
    return node;
  };
  visit(entry);
  const ordered = postorder.reverse();
  for (const [i, node] of ordered.entries()) node.order = i;
  findDominators(ordered);
  findMeetings(ordered);
  return ordered;
}

/** Whether control that goes from one node to the other leads back to a loop that encloses it. */
export function isBackEdge(from: RegionNode, to: RegionNode): boolean {
  return to.order <= from.order && dominates(to, from);
}

/** Whether the edge enters a loop elsewhere than at its header: such a way leaves the region. */
export function isIrreducible(from: RegionNode, to: RegionNode): boolean {
  return to.order <= from.order && !dominates(to, from);
}

export function dominates(a: RegionNode, b: RegionNode): boolean {
  for (let node: RegionNode | undefined = b; node !== undefined; node = node.dominator) {
    if (node === a) return true;
    if (node.order < a.order) return false;
  }
  return false;
}

/** Cooper, Harvey, Kennedy: "A Simple, Fast Dominance Algorithm". */
function findDominators(ordered: readonly RegionNode[]): void {
  const [entry, ...rest] = ordered;
  for (let changed = true; changed; ) {
    changed = false;
    for (const node of rest) {
      let dominator: RegionNode | undefined;
      for (const before of node.predecessors) {
        if (before !== entry && before.dominator === undefined) continue;
        dominator = dominator === undefined ? before : commonDominator(dominator, before);
      }
      if (node.dominator === dominator) continue;
      node.dominator = dominator;
      changed = true;
    }
  }
  for (const node of rest) node.dominator?.children.push(node);
}

function commonDominator(a: RegionNode, b: RegionNode): RegionNode {
  let [x, y] = [a, b];
  while (x !== y) {
    while (x.order > y.order) x = x.dominator!;
    while (y.order > x.order) y = y.dominator!;
  }
  return x;
}

function findMeetings(ordered: readonly RegionNode[]): void {
  for (const node of ordered) {
    let forward = 0;
    for (const before of node.predecessors) {
      if (isBackEdge(before, node)) node.isLoopHeader = true;
      else if (!isIrreducible(before, node)) forward++;
    }
    node.isMerge = forward > 1;
  }
}
