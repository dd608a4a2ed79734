/**
 * The control flow of a region as a graph, and what WebAssembly's structured control needs of it: an order in which only loops
 * lead back, dominators, and where ways meet. Source: Norman Ramsey, "Beyond Relooper", ICFP 2022.
 *
 * Above all entries stands a root without code. Ways that enter a loop elsewhere than at its head, which structured control
 * cannot express, lead there by the root: their targets are made its successors.
 */

import type { Block } from './blocks.ts';

export interface RegionNode {
  /** Undefined: the root. */
  readonly block: Block | undefined;
  /** Position in reverse postorder; the root is 0. */
  order: number;
  /** Nodes that control may go to, those outside the region left out. */
  readonly successors: RegionNode[];
  readonly predecessors: RegionNode[];
  dominator: RegionNode | undefined;
  /** Nodes whose immediate dominator this is. */
  readonly children: RegionNode[];
  isLoopHeader: boolean;
  /** Several ways that do not lead back meet here, or it is entered from the root. */
  isMerge: boolean;
}

/** The root's `successors` are the entries, in the given order, and then nodes that are only entered from inside. */
export interface RegionGraph {
  readonly root: RegionNode;
  /** In reverse postorder, the root first. */
  readonly nodes: readonly RegionNode[];
}

/**
 * Puts blocks into a graph.
 * @param entries where control may enter
 * @param successorsOf addresses to which control may go from a block
 */
export function buildGraph(
  entries: readonly Block[],
  blocks: ReadonlyMap<number, Block>,
  successorsOf: (block: Block) => readonly number[],
): RegionGraph {
  const fromRoot = [...entries];
  for (;;) {
    const graph = order(fromRoot, blocks, successorsOf);
    const sideways = graph.nodes.find(
      (node) =>
        !graph.root.successors.includes(node) && node.predecessors.some((from) => isSideways(from, node)),
    );
    if (sideways === undefined) {
      findMeetings(graph);
      return graph;
    }
    fromRoot.push(sideways.block!);
  }
}

/** Whether control that goes from one node to the other leads back to the head of a loop that encloses it. */
export function isBackEdge(from: RegionNode, to: RegionNode): boolean {
  return to.order <= from.order && dominates(to, from);
}

/** Whether the edge leads back to elsewhere than the head of an enclosing loop: by the root. */
export function isSideways(from: RegionNode, to: RegionNode): boolean {
  return to.order <= from.order && !dominates(to, from);
}

/** The most instructions that can be executed from a node on, up to the next head of a loop. */
export function longestWay({ nodes }: RegionGraph, from: RegionNode): number {
  const longest = new Map<RegionNode, number>();
  for (let i = nodes.length - 1; i >= from.order; i--) {
    const node = nodes[i]!;
    const further = node.successors
      .filter((next) => next.order > node.order && (!next.isLoopHeader || node.block === undefined))
      .map((next) => longest.get(next)!);
    longest.set(node, (node.block?.instructions.length ?? 0) + Math.max(0, ...further));
  }
  return longest.get(from)!;
}

function order(
  fromRoot: readonly Block[],
  blocks: ReadonlyMap<number, Block>,
  successorsOf: (block: Block) => readonly number[],
): RegionGraph {
  const nodes = new Map<Block, RegionNode>();
  const postorder: RegionNode[] = [];
  const link = (from: RegionNode, block: Block) => {
    const to = visit(block);
    if (from.successors.includes(to)) return;
    from.successors.push(to);
    to.predecessors.push(from);
  };
  const visit = (block: Block): RegionNode => {
    const known = nodes.get(block);
    if (known !== undefined) return known;
    const node = newNode(block);
    nodes.set(block, node);
    for (const rip of successorsOf(block)) {
      const next = blocks.get(rip);
      if (next !== undefined) link(node, next);
    }
    postorder.push(node);
    return node;
  };
  const root = newNode(undefined);
  for (const block of fromRoot) link(root, block);
  postorder.push(root);
  const ordered = postorder.reverse();
  for (const [i, node] of ordered.entries()) node.order = i;
  findDominators(ordered);
  return { root, nodes: ordered };
}

function newNode(block: Block | undefined): RegionNode {
  return {
    block,
    order: -1,
    successors: [],
    predecessors: [],
    dominator: undefined,
    children: [],
    isLoopHeader: false,
    isMerge: false,
  };
}

function dominates(a: RegionNode, b: RegionNode): boolean {
  for (let node: RegionNode | undefined = b; node !== undefined; node = node.dominator) {
    if (node === a) return true;
    if (node.order < a.order) return false;
  }
  return false;
}

/** Cooper, Harvey, Kennedy: "A Simple, Fast Dominance Algorithm". */
function findDominators(ordered: readonly RegionNode[]): void {
  const [root, ...rest] = ordered;
  for (let changed = true; changed; ) {
    changed = false;
    for (const node of rest) {
      let dominator: RegionNode | undefined;
      for (const before of node.predecessors) {
        if (before !== root && before.dominator === undefined) continue;
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

function findMeetings({ root, nodes }: RegionGraph): void {
  for (const node of nodes) {
    let forward = 0;
    for (const before of node.predecessors) {
      if (isBackEdge(before, node)) node.isLoopHeader = true;
      else if (!isSideways(before, node)) forward++;
    }
    node.isMerge = forward > 1 || root.successors.includes(node);
  }
}
