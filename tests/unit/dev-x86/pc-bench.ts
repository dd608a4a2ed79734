/** A bench for PC devices: a root, and a CPU's loads, stores and port accesses straight to one device's port. */
import { pciConfigAddress, portAddress } from '../../../src/arch/x86/address-spaces.ts';
import type { PioDevice } from '../../../src/dev/pio-device.ts';
import { asPhysAddr, type PhysAddr } from '../../../src/mem/addr.ts';
import { Command, Packet } from '../../../src/mem/packet.ts';
import type { PinSink } from '../../../src/sim/pin.ts';
import { Root } from '../../../src/sim/root.ts';
import type { SimObject } from '../../../src/sim/sim-object.ts';
import type { Json } from '../../../src/sim/state.ts';
import type { Tick } from '../../../src/sim/tick.ts';

export function quietRoot(): Root {
  return new Root({ warnSink: () => {}, traceSink: () => {} });
}

/** Notes the edges of a line as `+` and `-`, with the level. */
export class Probe implements PinSink {
  level = false;
  rises = 0;
  falls = 0;
  onChange: () => void = () => {};

  setLevel(level: boolean): void {
    if (level === this.level) return;
    this.level = level;
    if (level) this.rises++;
    else this.falls++;
    this.onChange();
  }
}

export class Accessor {
  readonly #device: PioDevice;

  constructor(device: PioDevice) {
    this.#device = device;
  }

  load(address: number, sizeBytes: number): number {
    return this.#access(asPhysAddr(address), sizeBytes, undefined);
  }

  store(address: number, sizeBytes: number, value: number): void {
    this.#access(asPhysAddr(address), sizeBytes, value);
  }

  in(port: number, sizeBytes = 1): number {
    return this.#access(portAddress(port), sizeBytes, undefined);
  }

  out(port: number, value: number, sizeBytes = 1): void {
    this.#access(portAddress(port), sizeBytes, value);
  }

  configRead([device, register]: readonly [number, number], sizeBytes: number, bus = 0): number {
    return this.#access(pciConfigAddress(bus, device, 0, register), sizeBytes, undefined);
  }

  configWrite([device, register]: readonly [number, number], sizeBytes: number, value: number): void {
    this.#access(pciConfigAddress(0, device, 0, register), sizeBytes, value);
  }

  /** Eight bytes at once, as a 64-bit access. */
  load64(address: number): bigint {
    const packet = new Packet().set(Command.ReadReq, asPhysAddr(address), 8);
    this.#device.recvAtomic(packet);
    return new DataView(packet.data.buffer, packet.data.byteOffset).getBigUint64(0, true);
  }

  store64(address: number, value: bigint): void {
    const packet = new Packet().set(Command.WriteReq, asPhysAddr(address), 8);
    new DataView(packet.data.buffer, packet.data.byteOffset).setBigUint64(0, value, true);
    this.#device.recvAtomic(packet);
  }

  #access(address: PhysAddr, sizeBytes: number, value: number | undefined): number {
    const packet = new Packet().set(
      value === undefined ? Command.ReadReq : Command.WriteReq,
      address,
      sizeBytes,
    );
    packet.setUint(value ?? 0);
    this.#device.recvAtomic(packet);
    return packet.getUint();
  }
}

/** Runs all events up to and including `tick`, and moves time there. Returns how many there were. */
export function runTo(root: Root, tick: bigint): number {
  const queue = root.eventQueue;
  let served = 0;
  for (let next = queue.nextTick(); next !== undefined && next <= tick; next = queue.nextTick()) {
    queue.serviceOne();
    served++;
  }
  queue.advanceTo(tick as Tick);
  return served;
}

/** What a checkpoint holds of a tree, with the time first. */
export function saveAll(root: Root): Json {
  const saved: Record<string, Json> = {};
  for (const object of root.descendants()) {
    saved[object.path] = Object.fromEntries(
      [...object.stateCells].map(([name, cell]) => [name, cell.save()]),
    );
  }
  return JSON.parse(JSON.stringify(saved)) as Json;
}

/** Restores a tree of the same shape, as the checkpoint reader does: all state, then `restored()` of all. */
export function restoreAll(root: Root, saved: Json): void {
  const states = saved as Record<string, Record<string, Json>>;
  const objects: SimObject[] = [...root.descendants()];
  for (const object of objects) {
    for (const [name, cell] of object.stateCells) cell.restore(states[object.path]![name]!);
  }
  for (const object of objects) object.restored();
}
