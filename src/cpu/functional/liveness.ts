/**
 * Which status flags somebody may still read, at each place of a region: those of instructions behind, of an exception, and of
 * whatever lies outside. Flags that are dead are not computed. And which general registers a loop may write.
 */

import { STATUS_FLAGS } from '../../arch/x86/isa/conditions.ts';
import { OperandKind } from '../../arch/x86/isa/decoded.ts';
import type { Effects } from '../../arch/x86/isa/effects.ts';
import type { Block, BlockInstruction } from './blocks.ts';
import type { RegionGraph, RegionNode } from './control-flow.ts';

/** Flags that are live at the end of each block: masks of RFLAGS. */
export function liveFlagsAtEnds({ root, nodes }: RegionGraph): ReadonlyMap<RegionNode, number> {
  const atStart = new Map<RegionNode, number>();
  const atEnd = new Map<RegionNode, number>();
  for (let changed = true; changed; ) {
    changed = false;
    for (let i = nodes.length - 1; i >= 0; i--) {
      const node = nodes[i]!;
      const end = liveAtEnd(node, atStart);
      atEnd.set(node, end);
      // Where the budget is compared, the region may be left.
      const maybeLeft = node.block === undefined || node.isLoopHeader || root.successors.includes(node);
      const start = maybeLeft ? STATUS_FLAGS : liveInFront(node.block, end);
      if (start === atStart.get(node)) continue;
      atStart.set(node, start);
      changed = true;
    }
  }
  return atEnd;
}

/** Where control may leave the region, all are. */
function liveAtEnd({ block, successors }: RegionNode, atStart: ReadonlyMap<RegionNode, number>): number {
  if (block !== undefined) {
    const { isIndirect, isConditional } = block.instructions.at(-1)!.effects;
    if (isIndirect || successors.length < (isConditional ? 2 : 1)) return STATUS_FLAGS;
  }
  return successors.reduce((live, next) => live | (atStart.get(next) ?? 0), 0);
}

function liveInFront({ instructions }: Block, atEnd: number): number {
  return instructions.reduceRight((live, { effects }) => inFrontOf(effects, live), atEnd);
}

/** For each instruction of a block the flags that are live behind it. */
export function liveFlagsBehind({ instructions }: Block, atEnd: number): number[] {
  const live = new Array<number>(instructions.length);
  let behind = atEnd;
  for (let i = instructions.length - 1; i >= 0; i--) {
    live[i] = behind;
    behind = inFrontOf(instructions[i]!.effects, behind);
  }
  return live;
}

function inFrontOf({ flagsRead, flagsWritten, mayFault }: Effects, behind: number): number {
  return mayFault ? STATUS_FLAGS : (behind & ~flagsWritten) | flagsRead;
}

/** General registers that may be written by a node and those that it dominates, all of its loop among them: bits by number. */
export function registersWrittenBelow({ block, children }: RegionNode): number {
  const below = children.reduce((mask, child) => mask | registersWrittenBelow(child), 0);
  return (block?.instructions ?? []).reduce(
    (mask, instruction) => mask | registersWrittenBy(instruction),
    below,
  );
}

function registersWrittenBy({ decoded, effects }: BlockInstruction): number {
  return decoded.operands.reduce((mask, { kind, index }, i) => {
    const isGpr = kind === OperandKind.gpr || kind === OperandKind.gprHigh;
    return isGpr && (effects.operandsWritten & (1 << i)) !== 0 ? mask | (1 << index) : mask;
  }, effects.registersWritten);
}
