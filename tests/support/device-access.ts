/** Software's side of a device under test: loads, stores, port I/O; time; and what its pins did. */

import { portAddress } from '../../src/arch/x86/address-spaces.ts';
import type { PioDevice } from '../../src/dev/pio-device.ts';
import type { PhysAddr } from '../../src/mem/addr.ts';
import { Command, Packet } from '../../src/mem/packet.ts';
import type { OutputPin } from '../../src/sim/pin.ts';
import type { Root } from '../../src/sim/root.ts';
import type { SimObject } from '../../src/sim/sim-object.ts';
import type { Json } from '../../src/sim/state.ts';
import { asTick, type Tick } from '../../src/sim/tick.ts';

/** Reads a device, up to 6 bytes wide. */
export function load(device: PioDevice, addr: number, sizeBytes: number): number {
  const packet = new Packet().set(Command.ReadReq, addr as PhysAddr, sizeBytes);
  device.recvAtomic(packet);
  return packet.getUint();
}

export function store(device: PioDevice, addr: number, sizeBytes: number, value: number): void {
  const packet = new Packet().set(Command.WriteReq, addr as PhysAddr, sizeBytes);
  packet.setUint(value);
  device.recvAtomic(packet);
}

export const inb = (device: PioDevice, port: number): number => load(device, portAddress(port), 1);
export const outb = (device: PioDevice, port: number, value: number): void =>
  store(device, portAddress(port), 1, value);

/** Serves everything that is due in the next `ticks`, and moves time on by as much. */
export function pass(root: Root, ticks: number | bigint): void {
  const end = asTick(root.curTick + BigInt(ticks));
  passTo(root, end);
}

export function passTo(root: Root, end: Tick): void {
  const queue = root.eventQueue;
  for (let next = queue.nextTick(); next !== undefined && next <= end; next = queue.nextTick())
    queue.serviceOne();
  queue.advanceTo(end);
}

export const MICROSECOND = 1_000_000;
export const MILLISECOND = 1_000_000_000;
export const SECOND = 1_000_000_000_000;

/** The levels a pin takes from now on, oldest first. */
export function watch(pin: OutputPin): boolean[] {
  const levels: boolean[] = [];
  pin.connect({ setLevel: (level) => void levels.push(level) });
  return levels;
}

/** The declared state of an object, as a checkpoint has it. */
export function stateOf(object: SimObject): { readonly [name: string]: Json } {
  return Object.fromEntries([...object.stateCells].map(([name, cell]) => [name, cell.save()]));
}

/** Gives an object the state of another of its kind, at the other's time. Both are the only things in their trees. */
export function copyState(from: SimObject, to: SimObject): void {
  const { tick, order } = { tick: from.curTick, order: from.eventQueue.nextOrder };
  to.eventQueue.reset(tick, order);
  const saved = JSON.parse(JSON.stringify(stateOf(from))) as { readonly [name: string]: Json };
  for (const [name, cell] of to.stateCells) cell.restore(saved[name] ?? null);
  to.restored();
  to.startup();
}
