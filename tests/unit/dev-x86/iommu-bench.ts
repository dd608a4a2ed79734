/** A bench for the IOMMU: RAM on a crossbar, a local APIC that notes what it is sent, and a requester that is 00:02.0. */
import type { InterruptMessage } from '../../../src/arch/x86/interrupts.ts';
import { NoDevice } from '../../../src/dev/no-device.ts';
import { ApicBus } from '../../../src/dev/x86/apic/apic-bus.ts';
import { IntelIommu } from '../../../src/dev/x86/vtd/intel-iommu.ts';
import { asPhysAddr, type PhysAddr } from '../../../src/mem/addr.ts';
import { NoncoherentXBar } from '../../../src/mem/crossbar.ts';
import { Command, type MemCmd, Packet } from '../../../src/mem/packet.ts';
import { PhysicalMemory } from '../../../src/mem/physical-memory.ts';
import { RequestPort } from '../../../src/mem/port.ts';
import { SimpleMemory } from '../../../src/mem/simple-memory.ts';
import { Accessor, quietRoot } from './pc-bench.ts';

export const IOMMU_BASE = 0xfed9_0000;
export const RAM_BYTES = 0x40_0000;
/** Source ids: the requester's, and the I/O APIC's. */
export const DEVICE = 0x0010;
export const IO_APIC = 0xfff0;

/** Registers by their offset, in the manual's names. */
export const At = {
  VER: 0x00,
  CAP: 0x08,
  ECAP: 0x10,
  GCMD: 0x18,
  GSTS: 0x1c,
  RTADDR: 0x20,
  CCMD: 0x28,
  FSTS: 0x34,
  FECTL: 0x38,
  FEDATA: 0x3c,
  FEADDR: 0x40,
  FEUADDR: 0x44,
  PMEN: 0x64,
  PLMBASE: 0x68,
  PLMLIMIT: 0x6c,
  PHMBASE: 0x70,
  PHMLIMIT: 0x78,
  IQH: 0x80,
  IQT: 0x88,
  IQA: 0x90,
  ICS: 0x9c,
  IECTL: 0xa0,
  IEDATA: 0xa4,
  IEADDR: 0xa8,
  IRTA: 0xb8,
  IOTLB: 0xf8,
  FRCD: 0x220,
} as const;
export const Gcmd = {
  TE: 0x8000_0000,
  SRTP: 0x4000_0000,
  QIE: 0x0400_0000,
  IRE: 0x0200_0000,
  SIRTP: 0x0100_0000,
  CFI: 0x0080_0000,
} as const;

/** Where the bench puts its tables. */
export const Table = {
  root: 0x1_0000,
  context: 0x1_1000,
  level4: 0x1_2000,
  level3: 0x1_3000,
  level2: 0x1_4000,
  level1: 0x1_5000,
  queue: 0x2_0000,
  interrupts: 0x3_0000,
} as const;

export interface FaultRecord {
  readonly reason: number;
  readonly sourceId: number;
  readonly isRead: boolean;
  readonly info: bigint;
}

export function iommuBench(params: { eim?: boolean; verifyIoApic?: boolean } = {}) {
  const root = quietRoot();
  const memory = new PhysicalMemory(root, 'memory', { ranges: [{ start: 0, sizeBytes: RAM_BYTES }] });
  const membus = new NoncoherentXBar(root, 'membus');
  membus.addMemSidePort().bind(new SimpleMemory(root, 'ram', memory).port);
  membus.addDefaultPort().bind(new NoDevice(root, 'nobody').pio);
  const bus = new ApicBus();
  const messages: InterruptMessage[] = [];
  bus.attach({
    matches: () => true,
    arbitrationPriority: 0,
    accept: (message) => {
      messages.push(message);
      return true;
    },
  });
  const iommu = new IntelIommu(root, 'iommu', { bus, ram: memory, ioApicSource: IO_APIC, ...params });
  iommu.memory.bind(membus.addCpuSidePort());
  const way = iommu.addRequester(DEVICE);
  way.memory.bind(membus.addCpuSidePort());
  const device = new RequestPort('device', { recvTimingResp: () => true, recvReqRetry: () => {} });
  device.bind(way.device);
  for (const object of root.descendants()) object.init();

  const io = new Accessor(iommu);
  const access = (cmd: MemCmd, address: number, sizeBytes: number, value = 0): Packet => {
    const packet = new Packet().set(cmd, address as PhysAddr, sizeBytes);
    packet.setUint(value);
    device.sendAtomic(packet);
    return packet;
  };
  const read = (register: number) => io.load(IOMMU_BASE + register, 4);
  const write = (register: number, value: number) => io.store(IOMMU_BASE + register, 4, value >>> 0);
  const write64 = (register: number, value: bigint) => io.store64(IOMMU_BASE + register, value);
  const read64 = (register: number) => io.load64(IOMMU_BASE + register);
  const store64 = (address: number, value: bigint) => {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, value, true);
    memory.write(asPhysAddr(address), bytes);
  };
  return {
    ...{ root, memory, iommu, device, messages, io, read, write, read64, write64, store64 },
    /** A word of RAM. */
    word: (address: number) => memory.readU32(asPhysAddr(address)),
    /** A command in addition to what is on already. */
    command: (bits: number) => write(At.GCMD, (read(At.GSTS) & 0x96ff_ffff) | bits),
    /** Reads a word by DMA; undefined: refused. */
    dmaRead: (address: number, sizeBytes = 4) => {
      const packet = access(Command.ReadReq, address, sizeBytes);
      return packet.isError ? undefined : packet.getUint();
    },
    /** Writes by DMA; false: refused. */
    dmaWrite: (address: number, value: number, sizeBytes = 4) =>
      !access(Command.WriteReq, address, sizeBytes, value).isError,
    /** Makes the page table of 00:02.0 the one at `pageTable`, with these low bits and the second half of its context entry. */
    context: (pageTable: number, low = 1n, high = 1n) => {
      store64(Table.root, BigInt(Table.context) | 1n);
      store64(Table.context + DEVICE * 16, BigInt(pageTable) | low);
      store64(Table.context + DEVICE * 16 + 8, high);
    },
    /** Takes the root table over, and translates. */
    translate: () => {
      write64(At.RTADDR, BigInt(Table.root));
      write(At.GCMD, Gcmd.SRTP);
      write(At.GCMD, Gcmd.TE);
    },
    /** Faults that are recorded, in order of their registers, which are cleared. */
    takeFaults: (): FaultRecord[] => {
      const found: FaultRecord[] = [];
      for (let at = At.FRCD; at < At.FRCD + 0x80; at += 16) {
        const high = read(at + 12);
        if (high >>> 31 === 0) continue;
        const info = read64(at);
        found.push({ reason: high & 0xff, sourceId: read(at + 8), isRead: (high & 0x4000_0000) !== 0, info });
        write(at + 12, 0x8000_0000);
      }
      return found;
    },
  };
}
export type IommuBench = ReturnType<typeof iommuBench>;
