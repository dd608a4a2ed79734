/** Local APICs on a bus with a scripted 8259 and processors that note their wake-ups; registers by name. */
import { localApicAddress } from '../../../src/arch/x86/address-spaces.ts';
import type { InterruptedCpu, InterruptMessage } from '../../../src/arch/x86/interrupts.ts';
import { ApicBus } from '../../../src/dev/x86/apic/apic-bus.ts';
import { LocalApic } from '../../../src/dev/x86/apic/local-apic.ts';
import type { LocalApicParams } from '../../../src/dev/x86/apic/local-apic-params.ts';
import {
  LOCAL_APIC_REGISTERS,
  type LocalApicRegisterName,
} from '../../../src/dev/x86/apic/local-apic-registers.ts';
import type { PhysAddr } from '../../../src/mem/addr.ts';
import { Command, Packet } from '../../../src/mem/packet.ts';
import { RequestPort, type ResponsePort } from '../../../src/mem/port.ts';
import { SimEvent } from '../../../src/sim/event-queue.ts';
import { Root } from '../../../src/sim/root.ts';
import type { SimObject } from '../../../src/sim/sim-object.ts';
import { asTick } from '../../../src/sim/tick.ts';

/** Makes accesses of up to four bytes to one port. */
export class Prober {
  readonly #port: RequestPort;
  readonly #packet = new Packet();

  constructor(pio: ResponsePort) {
    this.#port = new RequestPort('prober', {
      recvTimingResp: () => true,
      recvReqRetry: () => {},
    });
    this.#port.bind(pio);
  }

  read(address: number, sizeBytes = 4): number {
    this.#packet.set(Command.ReadReq, address as PhysAddr, sizeBytes);
    this.#port.sendAtomic(this.#packet);
    return this.#packet.getUint();
  }

  write(address: number, value: number, sizeBytes = 4): void {
    this.#packet.set(Command.WriteReq, address as PhysAddr, sizeBytes);
    this.#packet.setUint(value);
    this.#port.sendAtomic(this.#packet);
  }
}

/** A processor: its TSC is in step with simulated time. */
export class FakeCpu implements InterruptedCpu {
  readonly tscHz = 2e9;
  wakeups = 0;
  tscOffset = 0n;
  readonly #object: SimObject;

  constructor(object: SimObject) {
    this.#object = object;
  }

  wakeup(): void {
    this.wakeups++;
  }

  readTsc(): bigint {
    return this.#object.curTick / 500n + this.tscOffset;
  }
}

/** One APIC with what a test needs of it. */
export class ApicProbe {
  readonly apic: LocalApic;
  readonly cpu: FakeCpu;
  /** Vectors that the 8259 has ready. */
  readonly picVectors: number[] = [];
  readonly #prober: Prober;
  readonly #base: number;

  constructor(root: Root, bus: ApicBus, params: LocalApicParams = {}) {
    const id = params.id ?? 0;
    const pic = { acknowledge: () => this.picVectors.shift() ?? 0x0f };
    this.apic = new LocalApic(root, `apic${id}`, bus, pic, { bootstrap: id === 0, ...params });
    this.cpu = new FakeCpu(this.apic);
    this.apic.connect(this.cpu);
    this.#prober = new Prober(this.apic.pio);
    this.#base = localApicAddress(id);
  }

  /** A register, or an offset in the page. */
  read(register: LocalApicRegisterName | number, sizeBytes = 4): number {
    return this.#prober.read(this.#base + offsetOf(register), sizeBytes);
  }

  write(register: LocalApicRegisterName | number, value: number, sizeBytes = 4): void {
    this.#prober.write(this.#base + offsetOf(register), value, sizeBytes);
  }

  /** Software enable, spurious vector 0xff. */
  enable(): this {
    this.write('svr', 0x1ff);
    return this;
  }

  /** A fixed message for this APIC. */
  fixed(vector: number, isLevel = false): boolean {
    return this.apic.accept({ ...FIXED, vector, isLevel });
  }

  /** Takes all that can be taken now, and ends each. */
  drainVectors(): number[] {
    const taken: number[] = [];
    for (let v = this.apic.takeExternal(); v !== undefined; v = this.apic.takeExternal()) {
      taken.push(v);
      this.write('eoi', 0);
    }
    return taken;
  }
}

function offsetOf(register: LocalApicRegisterName | number): number {
  return typeof register === 'number' ? register : LOCAL_APIC_REGISTERS[register].at;
}

export const FIXED: InterruptMessage = {
  destination: 0,
  isLogical: false,
  deliveryMode: 0,
  vector: 0,
  isLevel: false,
  assert: true,
};

/** A bus with one APIC per set of parameters; ids count from 0. */
export function makeApics(...params: readonly LocalApicParams[]) {
  const warnings: string[] = [];
  const root = new Root({ warnSink: (line) => warnings.push(line) });
  const bus = new ApicBus();
  const probes = params.map((given, id) => new ApicProbe(root, bus, { id, ...given }));
  return { root, bus, probes, warnings };
}

/** One APIC, software-enabled. */
export function makeApic(params: LocalApicParams = {}) {
  const { root, bus, probes } = makeApics(params);
  return { root, bus, probe: probes[0]!.enable() };
}

/** Serves events until `tick`, which becomes the present; returns how many events there were. */
export function advanceTo(root: Root, tick: number | bigint): number {
  const queue = root.eventQueue;
  let reached = false;
  const stop = new SimEvent(
    'stop',
    () => {
      reached = true;
    },
    127,
  );
  queue.scheduleAt(stop, asTick(tick));
  let served = -1;
  while (!reached) {
    queue.serviceOne();
    served++;
  }
  return served;
}

/** Random whole numbers, the same in every run (xorshift32). */
export function randomNumbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

/** Checkpoint of one object into another of the same kind, as a restore does it. */
export function copyState(from: SimObject, to: SimObject): void {
  for (const [name, cell] of from.stateCells) {
    to.stateCells.get(name)!.restore(JSON.parse(JSON.stringify(cell.save())));
  }
  to.restored();
}
