/** edu at 00:02.0 with its BAR at 0xc000_0000, RAM, and a window in which messages arrive. */
import { NoDevice } from '../../../src/dev/no-device.ts';
import { Edu } from '../../../src/dev/pci/edu.ts';
import { ApicBus, MsiWindow } from '../../../src/dev/x86/apic/apic-bus.ts';
import { PciHost } from '../../../src/dev/x86/pci-host.ts';
import { ResetControl } from '../../../src/dev/x86/reset-control.ts';
import { asPhysAddr } from '../../../src/mem/addr.ts';
import { NoncoherentXBar } from '../../../src/mem/crossbar.ts';
import type { MemoryMode } from '../../../src/mem/memory-mode.ts';
import { PhysicalMemory } from '../../../src/mem/physical-memory.ts';
import { SimpleMemory } from '../../../src/mem/simple-memory.ts';
import { Accessor, Probe, quietRoot, runTo } from '../dev-x86/pc-bench.ts';

export const BAR = 0xc000_0000;
const DEVICE = 2;
const MEMORY_AND_MASTER = 0x6;

export function eduBench(memoryMode: MemoryMode = 'atomic', params = {}) {
  const root = quietRoot();
  const memory = new PhysicalMemory(root, 'memory', { ranges: [{ start: 0, sizeBytes: 0x1_0000 }] });
  const membus = new NoncoherentXBar(root, 'membus');
  membus.addMemSidePort().bind(new SimpleMemory(root, 'ram', memory).port);
  membus.addDefaultPort().bind(new NoDevice(root, 'nobody').pio);
  const bus = new ApicBus();
  const vectors: number[] = [];
  bus.attach({
    matches: () => true,
    arbitrationPriority: 0,
    accept: ({ vector }) => {
      vectors.push(vector);
      return true;
    },
  });
  membus.addMemSidePort().bind(new MsiWindow(root, 'msi', bus).pio);
  const host = new PciHost(root, 'pci', new ResetControl(root, 'reset', () => {}));
  membus.addMemSidePort().bind(host.pio);
  const edu = new Edu(host, 'edu', { device: DEVICE }, { memoryMode: () => memoryMode, ...params });
  edu.dma.port.bind(membus.addCpuSidePort());
  const inta = new Probe();
  edu.intx.connect(inta);
  for (const object of root.descendants()) object.init();

  const io = new Accessor(host);
  const config = (register: number, sizeBytes: number, value: number) =>
    io.configWrite([DEVICE, register], sizeBytes, value);
  config(0x10, 4, BAR);
  config(0x04, 2, MEMORY_AND_MASTER);
  return {
    ...{ root, memory, edu, inta, io, vectors, config },
    readConfig: (register: number, sizeBytes: number) => io.configRead([DEVICE, register], sizeBytes),
    read: (register: number) => io.load(BAR + register, 4),
    write: (register: number, value: number) => io.store(BAR + register, 4, value >>> 0),
    /** A transfer's registers, and its command. */
    transfer: (source: number, destination: number, count: number, command: number) => {
      io.store64(BAR + 0x80, BigInt(source));
      io.store64(BAR + 0x88, BigInt(destination));
      io.store64(BAR + 0x90, BigInt(count));
      io.store(BAR + 0x98, 4, command);
    },
    fill: (address: number, hex: string) => memory.write(asPhysAddr(address), Uint8Array.fromHex(hex)),
    bytes: (address: number, sizeBytes: number) => {
      const bytes = new Uint8Array(sizeBytes);
      memory.read(asPhysAddr(address), bytes);
      return bytes.toHex();
    },
    /** Lets microseconds pass. */
    pass: (us: number) => runTo(root, root.curTick + BigInt(us) * 1_000_000n),
  };
}
