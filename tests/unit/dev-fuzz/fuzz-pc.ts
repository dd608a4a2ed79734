/**
 * A PC without a processor, for random accesses: all devices of src/dev, wired as on a board; whoever accesses them; a
 * processor that takes interrupts now and then; input on the serial lines.
 */

import { localApicAddress, portAddress } from '../../../src/arch/x86/address-spaces.ts';
import type { HyperVPartition, Synic } from '../../../src/arch/x86/hyper-v.ts';
import { NoDevice } from '../../../src/dev/no-device.ts';
import { Edu } from '../../../src/dev/pci/edu.ts';
import type { PioDevice } from '../../../src/dev/pio-device.ts';
import { MemoryBackend, NO_INPUT } from '../../../src/dev/serial/char-backend.ts';
import { Uart16550 } from '../../../src/dev/serial/uart-16550.ts';
import { AcpiPm } from '../../../src/dev/x86/acpi-pm.ts';
import { ApicBus, MsiWindow } from '../../../src/dev/x86/apic/apic-bus.ts';
import { IoApic } from '../../../src/dev/x86/apic/io-apic.ts';
import { LocalApic } from '../../../src/dev/x86/apic/local-apic.ts';
import { Hpet } from '../../../src/dev/x86/hpet.ts';
import { LegacySwitch } from '../../../src/dev/x86/hpet-legacy-switch.ts';
import { HypervTestdev } from '../../../src/dev/x86/hyperv-testdev.ts';
import { I8042 } from '../../../src/dev/x86/i8042.ts';
import { M5Window } from '../../../src/dev/x86/m5-window.ts';
import { PcTestdev } from '../../../src/dev/x86/pc-testdev.ts';
import { PciHost } from '../../../src/dev/x86/pci-host.ts';
import { Pic8259Pair } from '../../../src/dev/x86/pic8259.ts';
import { Pit8254 } from '../../../src/dev/x86/pit8254.ts';
import { PostPort } from '../../../src/dev/x86/post-port.ts';
import { ResetControl } from '../../../src/dev/x86/reset-control.ts';
import { RtcMc146818 } from '../../../src/dev/x86/rtc-mc146818.ts';
import { TestExit } from '../../../src/dev/x86/test-exit.ts';
import { IntelIommu } from '../../../src/dev/x86/vtd/intel-iommu.ts';
import { AddrRange, type PhysAddr } from '../../../src/mem/addr.ts';
import { NoncoherentXBar } from '../../../src/mem/crossbar.ts';
import { Command, Packet } from '../../../src/mem/packet.ts';
import { type Requestor, RequestPort } from '../../../src/mem/port.ts';
import { fanOut } from '../../../src/sim/pin.ts';
import { Root } from '../../../src/sim/root.ts';
import type { Json } from '../../../src/sim/state.ts';
import type { Tick } from '../../../src/sim/tick.ts';
import { assignPciResources } from '../../../src/system/pc-pci.ts';

const TSC_HZ = 1e9;

/** A virtual processor that takes no messages. */
function idlePartition(): HyperVPartition {
  const synic: Synic = { postMessage: () => false, setEventFlag: () => {}, raise: () => {} };
  return { synics: [synic], connect: () => {} };
}

/** One access of software. Addresses may be outside the device, as when a crossbar sends it what straddles its edge. */
export interface Access {
  readonly device: number;
  readonly addr: number;
  readonly sizeBytes: number;
  /** undefined: a read. */
  readonly value: number | undefined;
  readonly isTiming: boolean;
}

/** More events than this in one millisecond without any access would be a storm. */
export const MOST_EVENTS_PER_MS = 2000;
const TICKS_PER_MS = 1_000_000_000;

export class FuzzPc implements Requestor {
  readonly root = new Root({ warnSink: () => {}, traceSink: () => {} });
  readonly devices: readonly PioDevice[];
  readonly #ports: readonly RequestPort[];
  readonly #com1 = new MemoryBackend();
  readonly #localApic: LocalApic;
  readonly #packet = new Packet();

  constructor() {
    const { root } = this;
    const bus = new ApicBus();
    const pic = new Pic8259Pair(root, 'pic');
    // Without RAM: what it does with tables in memory, tests/unit/dev-x86/vtd-hostile.test.ts shows.
    const ram = { contains: () => false };
    const iommu = new IntelIommu(root, 'iommu', { bus, ram, ioApicSource: 0xfff0 });
    const ioApic = new IoApic(root, 'ioApic', bus, {}, iommu.ioApic);
    const apicParams = { id: 0, virtualWire: true };
    this.#localApic = new LocalApic(root, 'localApic', bus, pic, apicParams);
    this.#localApic.connect({
      wakeup: () => {},
      readTsc: () => root.curTick / 1000n,
      tscHz: TSC_HZ,
    });
    pic.intr.connect(this.#localApic.lint0);
    const irq = (n: number) => fanOut(pic.input(n), ioApic.input(n === 0 ? 2 : n));
    const pit = new Pit8254(root, 'pit');
    const rtc = new RtcMc146818(root, 'rtc', {});
    const hpet = new Hpet(root, 'hpet', { ioApicInput: (n) => ioApic.input(n) });
    const [irq0, irq8] = [new LegacySwitch(root, 'irq0', irq(0)), new LegacySwitch(root, 'irq8', irq(8))];
    pit.out0.connect(irq0.device);
    rtc.interrupt.connect(irq8.device);
    hpet.legacyIrq0.connect(irq0.hpet);
    hpet.legacyIrq8.connect(irq8.hpet);
    hpet.legacyReplacement.connect(fanOut(irq0.select, irq8.select));
    const com1 = new Uart16550(root, 'com1', { base: portAddress(0x3f8), backend: this.#com1 });
    com1.interrupt.connect(irq(4));
    const i8042 = new I8042(root, 'i8042', { mouse: true });
    i8042.keyboardInterrupt.connect(irq(1));
    i8042.mouseInterrupt.connect(irq(12));
    const power = new AcpiPm(root, 'power');
    power.sci.connect(irq(9));
    const testDevice = new PcTestdev(root, 'testDevice', {
      registerPort: 0xe0,
      linePort: 0x2000,
      memoryBase: 0xff00_0000,
      ram: { contains: () => false, dropSecondaryMappings: () => {} },
    });
    // Lines that nobody else drives.
    for (const n of [10, 11]) testDevice.lines[n]!.connect(irq(n));
    const pciHost = new PciHost(root, 'pciHost', new ResetControl(root, 'resetControl', () => {}));
    const edu = new Edu(pciHost, 'edu', { device: 2 }, { memoryMode: () => 'atomic' });
    edu.intx.connect(irq(5));
    const memory = { start: 0xc000_0000, sizeBytes: 0x3ec0_0000 };
    assignPciResources(pciHost.functions, { io: { start: 0x3000, sizeBytes: 0xd000 }, memory });
    this.#memory(edu, iommu);
    this.devices = [
      pic,
      ioApic,
      iommu,
      this.#localApic,
      new MsiWindow(root, 'msi', bus),
      pit,
      rtc,
      hpet,
      com1,
      i8042,
      power,
      pciHost,
      new PostPort(root, 'post'),
      testDevice,
      new HypervTestdev(root, 'hyperVTestDevice', { base: portAddress(0x3000), partition: idlePartition() }),
      new TestExit(root, 'testExit', { base: portAddress(0xf4) }),
      new M5Window(root, 'm5Window', { pseudoInstructions: { call: (fn) => BigInt(fn) } }),
      new NoDevice(root, 'nobody', { ranges: [AddrRange.ofSize(portAddress(0x500), 16)] }),
    ];
    this.#ports = this.devices.map((device) => {
      const port = new RequestPort(`cpu.${device.name}`, this);
      port.bind(device.pio);
      return port;
    });
    for (const object of root.descendants()) object.init();
    this.start();
  }

  /** Where devices read and write by themselves: behind the IOMMU, and nothing is there. */
  #memory(edu: Edu, iommu: IntelIommu): void {
    const membus = new NoncoherentXBar(this.root, 'membus');
    membus.addDefaultPort().bind(new NoDevice(this.root, 'unreached').pio);
    const way = iommu.addRequester(edu.sourceId);
    edu.dma.port.bind(way.device);
    for (const port of [way.memory, iommu.memory]) port.bind(membus.addCpuSidePort());
  }

  /** As at the beginning, and after a restore. */
  start(): void {
    for (const object of this.root.descendants()) object.startup();
  }

  recvTimingResp(): boolean {
    return true;
  }

  recvReqRetry(): void {}

  /** Makes the access; of a read returns what came back, of a timing access nothing, which is on its way. */
  access({ device, addr, sizeBytes, value, isTiming }: Access): string {
    const cmd = value === undefined ? Command.ReadReq : Command.WriteReq;
    const packet = isTiming ? new Packet() : this.#packet;
    packet.set(cmd, addr as PhysAddr, sizeBytes);
    packet.data.fill(0);
    if (value !== undefined) packet.setUint(value);
    const port = this.#ports[device]!;
    if (!isTiming) port.sendAtomic(packet);
    else if (!port.sendTimingReq(packet)) throw new Error(`${port.name}: a device refused a request`);
    if (isTiming || value !== undefined) return '';
    let digits = '';
    for (const byte of packet.data) digits += String.fromCharCode(byte);
    return digits;
  }

  /** The processor takes what is pending, and ends the interrupt. */
  takeInterrupt(): number {
    const apic = this.#localApic;
    if (apic.hasInit) apic.takeInit();
    if (apic.hasStartup) apic.takeStartup();
    if (apic.hasNmi) apic.takeNmi();
    const vector = apic.hasExternal ? (apic.takeExternal() ?? -1) : -1;
    if (vector >= 0) {
      this.access({
        device: this.devices.indexOf(apic),
        addr: localApicAddress(0) + 0xb0,
        sizeBytes: 4,
        value: 0,
        isTiming: false,
      });
    }
    return vector;
  }

  /** Reads or writes an MSR of the APIC; what came of it, as text. */
  msr(index: number, value: bigint | undefined): string {
    const result =
      value === undefined ? this.#localApic.readMsr(index) : this.#localApic.writeMsr(index, value);
    return String(result);
  }

  type(text: string): void {
    this.#com1.feed(text);
  }

  /** Lets time pass; returns how many events there were. Throws if more happens than can be. */
  pass(ticks: number): number {
    const queue = this.root.eventQueue;
    const end = (queue.curTick + BigInt(ticks)) as Tick;
    // However short the time is, what the last accesses started may happen in it.
    const most = 100 + Math.ceil((MOST_EVENTS_PER_MS * ticks) / TICKS_PER_MS);
    let count = 0;
    for (let next = queue.nextTick(); next !== undefined && next <= end; next = queue.nextTick()) {
      queue.serviceOne();
      if (++count > most) throw new Error(`more than ${most} events in ${ticks} ticks`);
    }
    queue.advanceTo(end);
    while (this.root.hasExit) this.root.takeExit();
    return count;
  }

  /** Serves events until no response is under way, as a drain does. */
  drain(): void {
    for (let round = 0; this.devices.some((device) => device.drain() === 'draining'); round++) {
      if (round > 1000) throw new Error('devices do not drain');
      this.pass(1_000_000);
    }
  }

  save(): Json {
    const objects = [...this.root.descendants()].map((object) => [
      object.path,
      Object.fromEntries([...object.stateCells].map(([name, cell]) => [name, cell.save()])),
    ]);
    return JSON.parse(JSON.stringify(Object.fromEntries(objects))) as Json;
  }

  restore(saved: Json): void {
    const states = saved as { readonly [path: string]: { readonly [cell: string]: Json } };
    const objects = [...this.root.descendants()];
    for (const object of objects) {
      for (const [name, cell] of object.stateCells) cell.restore(states[object.path]![name]!);
    }
    for (const object of objects) object.restored();
  }

  /** Characters that wait outside are not part of a checkpoint, nor is the event that would fetch them. */
  forgetInput(): void {
    while (this.#com1.read() !== NO_INPUT) {}
    this.pass(0);
  }
}
