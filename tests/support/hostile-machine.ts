// Runs a hostile guest on a PC under the host's KVM, bounded in simulated and in host time, and says how it ended.

import { OFFSET, RegClass, SEGMENT, type X86ThreadContext } from '../../src/arch/x86/thread-context.ts';
import { MemoryBackend } from '../../src/dev/serial/char-backend.ts';
import { HostError } from '../../src/host/errors.ts';
import { asPhysAddr } from '../../src/mem/addr.ts';
import type { MemoryMode } from '../../src/mem/memory-mode.ts';
import { Root } from '../../src/sim/root.ts';
import { Simulator } from '../../src/sim/simulator.ts';
import { asTick } from '../../src/sim/tick.ts';
import { FatalError } from '../../src/sim/trouble.ts';
import { PcBoard } from '../../src/system/pc-board.ts';
import type { IRQCHIPS } from '../../src/system/pc-params.ts';
import { edgy, HANDLERS, type HostileGuest, handlers } from './hostile-guest.ts';
import type { Random } from './random.ts';

const RAM_BYTES = 4 << 20;
/** In each of the places that get random bytes. */
const NOISE_BYTES = 64 << 10;

export interface HostileLimits {
  readonly maxTicks: number;
  /** Host milliseconds after which the run is asked to end. */
  readonly hostMs: number;
}

/** How a run ended. */
export interface HostileEnd {
  /** Cause of the exit event, or `fatal: …`. */
  readonly how: string;
  /** Host milliseconds from the request to end to the end; undefined if it ended by itself. */
  readonly lateMs: number | undefined;
  readonly ticks: bigint;
  readonly output: string;
}

export interface HostileMachine {
  readonly irqchip?: (typeof IRQCHIPS)[number];
  readonly memoryMode?: MemoryMode;
  readonly warn?: (line: string) => void;
  readonly debugFlags?: string;
  readonly trace?: (line: string) => void;
}

/**
 * Exit events of the guest do not end it: it goes on after a reset, a power-off, an m5 exit.
 * @throws whatever is no FatalError of one line
 */
export async function runHostile(
  guest: HostileGuest,
  random: Random,
  { maxTicks, hostMs }: HostileLimits,
  { irqchip, memoryMode, warn = () => {}, debugFlags = '', trace = () => {} }: HostileMachine = {},
): Promise<HostileEnd> {
  const root = new Root({ warnSink: warn, traceSink: trace, debugFlags, hostMemory: () => 0 });
  const com1 = new MemoryBackend();
  com1.feed('hostile\r');
  com1.end();
  const board = new PcBoard(root, 'board', { memorySize: RAM_BYTES, serial: [com1], irqchip, memoryMode });
  const simulator = new Simulator(root);
  let requestedAt: number | undefined;
  const request = setTimeout(() => {
    requestedAt = performance.now();
    simulator.requestExit();
  }, hostMs);
  const end = (how: string): HostileEnd => ({
    how,
    lateMs: requestedAt === undefined ? undefined : performance.now() - requestedAt,
    ticks: root.curTick,
    output: com1.text,
  });
  try {
    prepare(board, guest, random);
    for (const causes: string[] = []; ; ) {
      const { cause } = await simulator.runUntilExit({ maxTick: asTick(maxTicks) });
      causes.push(cause);
      if (requestedAt !== undefined || causes.length > 20 || isFinal(cause)) return end(causes.join(', '));
    }
  } catch (error) {
    if (!isRefusal(error, guest) || error.message.includes('\n')) throw error;
    return end(`fatal: ${error.message}`);
  } finally {
    clearTimeout(request);
    simulator.close();
  }
}

/** One line for the user. A state that no processor can have is refused by KVM itself. */
const isRefusal = (error: unknown, { registersAreNoise }: HostileGuest): error is Error =>
  error instanceof FatalError ||
  (registersAreNoise && error instanceof HostError && /ioctl\(KVM_SET_/.test(error.message));

const isFinal = (cause: string): boolean =>
  cause.includes('limit reached') ||
  cause === 'event queue empty' ||
  cause === 'halted for good' ||
  cause === 'triple fault';

/** Memory and registers before the first instruction. */
function prepare(board: PcBoard, guest: HostileGuest, random: Random): void {
  const { mode, code } = guest;
  const { memory } = board;
  if (guest.memoryIsNoise) {
    for (const at of [0, 0x8_0000, 0x20_0000]) {
      for (let i = 0; i < NOISE_BYTES; i += 4) memory.writeU32(asPhysAddr(at + i), random.u32());
    }
  }
  const flat = mode === 'real' ? { mode, address: 0x7c00 } : { mode };
  board.boot({ image: code, name: 'hostile', kind: 'flat', flat });
  const initState = board.initState.bind(board);
  board.initState = () => {
    initState();
    const context = board.cpu.modifyState(RegClass.all);
    if (guest.hasHandlers) installHandlers(board, context, guest, random);
    if (guest.registersAreNoise) scramble(context, random);
  };
}

function installHandlers(
  board: PcBoard,
  context: X86ThreadContext,
  { mode }: HostileGuest,
  random: Random,
): void {
  const { code, idt } = handlers(random, mode, 0x10);
  board.memory.write(asPhysAddr(HANDLERS.code), code);
  board.memory.write(asPhysAddr(HANDLERS.idt), idt);
  context.set(OFFSET.idtr + SEGMENT.base, BigInt(HANDLERS.idt));
  context.u32[(OFFSET.idtr + SEGMENT.tableLimit) >> 2] = idt.length - 1;
}

/** Some of the registers get anything, all of the special ones and segments among them. */
function scramble(context: X86ThreadContext, random: Random): void {
  const words = context.u32;
  const last = OFFSET.events >> 2;
  for (let round = random.below(20); round >= 0; round--) words[random.below(last)] = edgy(random);
}
