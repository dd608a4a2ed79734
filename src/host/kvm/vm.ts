/*
 * One virtual machine: memory slots, coalesced zones, in-kernel interrupt controllers, and the making of
 * vCPUs. Source: Documentation/virt/kvm/api.rst, section 4.
 */
import type { Remedies } from '../errors.ts';
import { addressOf, type Pointer } from '../ffi.ts';
import { closeFd, ioctl } from '../ioctl.ts';
import {
  KvmCap,
  KvmClockData,
  KvmCoalescedMmioZone,
  KvmDirtyLog,
  KvmIoctl,
  KvmIrqLevel,
  KvmUserspaceMemoryRegion,
} from './abi.ts';
import {
  KvmIrqRouting,
  KvmIrqRoutingEntry,
  KvmIrqRoutingType,
  KvmMsrFilter,
  KvmMsrFilterRange,
  KvmX86Ioctl,
} from './abi-x86.ts';
import { enableCap } from './enable-cap.ts';
import { KvmVcpuFd } from './vcpu.ts';

/** A memory slot: a range of guest-physical memory backed by memory of this process. */
export interface MemoryRegion {
  readonly slot: number;
  /** `KvmMem` bits. */
  readonly flags?: number;
  /** Page-aligned. */
  readonly guestPhysAddr: number;
  /** Bytes, page-aligned; 0 removes the slot. */
  readonly size: number;
  /** Page-aligned; stays mapped until the slot is removed or the VM closed. */
  readonly hostAddress: Pointer;
}

/** A range of addresses whose writes the kernel may queue. */
export interface CoalescedZone {
  readonly addr: number;
  readonly size: number;
  /** Whether the range is of ports (needs `KVM_CAP_COALESCED_PIO`). */
  readonly isPort?: boolean;
}

/** Accesses to MSRs that leave the guest, to be enabled by `KvmCap.X86_USER_SPACE_MSR`. */
export interface MsrFilterRange {
  /** `KvmMsrFilterFlag` bits. */
  readonly flags: number;
  /** First MSR and how many. */
  readonly first: number;
  readonly count: number;
}

/** Where an interrupt line leads: it may lead to several controllers. */
export type IrqRoute = ChipRoute | SintRoute;

/** To an input of an interrupt controller. */
export interface ChipRoute {
  readonly gsi: number;
  /** One of `KvmIrqchipId`, and its input. */
  readonly chip: number;
  readonly pin: number;
}

/** To a synthetic interrupt source of Hyper-V's interface: raising the line raises it once. */
export interface SintRoute {
  readonly gsi: number;
  /** Index of the virtual processor: the vCPU's number. */
  readonly vpIndex: number;
  readonly sint: number;
}

/** What a VM needs to know of the system it was made by. */
export interface VmFacts {
  readonly vcpuMmapSizeBytes: number;
  /** Page of the coalesced ring in a vCPU's mapping; 0 if there is none. */
  readonly coalescedPage: number;
}

const SLOT_REMEDIES: Remedies = {
  EEXIST: 'the range overlaps another slot',
  EINVAL:
    'address, size or slot number is not acceptable (alignment, or more slots than KVM_CAP_NR_MEMSLOTS)',
  ENOMEM: 'not enough kernel memory: use less guest memory',
};

/** A VM's file descriptor. */
export class KvmVmFd {
  readonly #fd: number;
  readonly #facts: VmFacts;

  constructor(fd: number, facts: VmFacts) {
    this.#fd = fd;
    this.#facts = facts;
  }

  /** The value of a capability (one of `KvmCap`) for this VM. */
  checkExtension(cap: number): number {
    return ioctl(this.#fd, KvmIoctl.CHECK_EXTENSION, BigInt(cap), 'KVM_CHECK_EXTENSION');
  }

  /**
   * How many page tables of its own the kernel may keep in place of the guest's, where the processor walks only those: at least
   * 64, by default one for 50 pages of RAM. What exceeds it is made anew again and again.
   */
  setNrMmuPages(count: number): void {
    ioctl(this.#fd, KvmX86Ioctl.SET_NR_MMU_PAGES, BigInt(count), 'KVM_SET_NR_MMU_PAGES');
  }

  /** Three pages of guest-physical space below 4 GiB that Intel hosts need for themselves (real-mode TSS). */
  setTssAddr(guestPhysAddr: number): void {
    ioctl(this.#fd, KvmX86Ioctl.SET_TSS_ADDR, BigInt(guestPhysAddr), 'KVM_SET_TSS_ADDR');
  }

  /** One page of guest-physical space below 4 GiB, likewise. Set before the first vCPU is made. */
  setIdentityMapAddr(guestPhysAddr: number): void {
    const address = new BigUint64Array([BigInt(guestPhysAddr)]);
    ioctl(this.#fd, KvmX86Ioctl.SET_IDENTITY_MAP_ADDR, address, 'KVM_SET_IDENTITY_MAP_ADDR', {
      EINVAL: 'it must be set before the first vCPU is made',
    });
  }

  /** Makes, moves, changes or (size 0) removes a memory slot. */
  setUserMemoryRegion(region: MemoryRegion): void {
    const { at, size: bytes } = KvmUserspaceMemoryRegion;
    const argument = new DataView(new ArrayBuffer(bytes));
    argument.setUint32(at.slot, region.slot, true);
    argument.setUint32(at.flags, region.flags ?? 0, true);
    argument.setBigUint64(at.guest_phys_addr, BigInt(region.guestPhysAddr), true);
    argument.setBigUint64(at.memory_size, BigInt(region.size), true);
    argument.setBigUint64(at.userspace_addr, region.hostAddress, true);
    ioctl(this.#fd, KvmIoctl.SET_USER_MEMORY_REGION, argument, 'KVM_SET_USER_MEMORY_REGION', SLOT_REMEDIES);
  }

  /**
   * Fetches and clears the pages written since the last call, one bit per page.
   * @param bitmap one bit per page of the slot, rounded up to 64 bits
   */
  getDirtyLog(slot: number, bitmap: BigUint64Array): void {
    const { at, size } = KvmDirtyLog;
    const argument = new DataView(new ArrayBuffer(size));
    argument.setUint32(at.slot, slot, true);
    argument.setBigUint64(at.dirty_bitmap, addressOf(bitmap), true);
    ioctl(this.#fd, KvmIoctl.GET_DIRTY_LOG, argument, 'KVM_GET_DIRTY_LOG');
  }

  /** Makes a vCPU. Memory slots come first. */
  createVcpu(id: number): KvmVcpuFd {
    const fd = ioctl(this.#fd, KvmIoctl.CREATE_VCPU, BigInt(id), 'KVM_CREATE_VCPU', {
      EEXIST: `vCPU ${id} exists already`,
      EINVAL: `vCPU number ${id} is out of range`,
    });
    return new KvmVcpuFd(fd, id, {
      ...this.#facts,
      xsaveSizeBytes: Math.max(this.checkExtension(KvmCap.XSAVE2), 4096),
      hasXsave2: this.checkExtension(KvmCap.XSAVE2) > 0,
    });
  }

  /** Lets the kernel queue writes to a zone in the ring that `KvmRun.coalesced` shows. */
  registerCoalescedMmio(zone: CoalescedZone): void {
    this.#coalesced(KvmIoctl.REGISTER_COALESCED_MMIO, zone, 'KVM_REGISTER_COALESCED_MMIO');
  }

  unregisterCoalescedMmio(zone: CoalescedZone): void {
    this.#coalesced(KvmIoctl.UNREGISTER_COALESCED_MMIO, zone, 'KVM_UNREGISTER_COALESCED_MMIO');
  }

  #coalesced(request: number, zone: CoalescedZone, name: string): void {
    const { at, size } = KvmCoalescedMmioZone;
    const argument = new DataView(new ArrayBuffer(size));
    argument.setBigUint64(at.addr, BigInt(zone.addr), true);
    argument.setUint32(at.size, zone.size, true);
    argument.setUint32(at.pio, zone.isPort ? 1 : 0, true);
    ioctl(this.#fd, request, argument, name);
  }

  /** Makes the in-kernel interrupt controllers: local APICs, IO-APIC and PICs. Before the first vCPU. */
  createIrqchip(): void {
    ioctl(this.#fd, KvmIoctl.CREATE_IRQCHIP, 0n, 'KVM_CREATE_IRQCHIP', {
      EEXIST: 'the VM has one already',
      EINVAL: 'it must be made before the first vCPU',
    });
  }

  /** Replaces the table that says where interrupt lines lead. */
  setGsiRouting(routes: readonly IrqRoute[]): void {
    const entry = KvmIrqRoutingEntry;
    const argument = new DataView(new ArrayBuffer(KvmIrqRouting.size + routes.length * entry.size));
    argument.setUint32(KvmIrqRouting.at.nr, routes.length, true);
    const { IRQCHIP, HV_SINT } = KvmIrqRoutingType;
    for (const [i, route] of routes.entries()) {
      const at = KvmIrqRouting.size + i * entry.size;
      const isSint = 'sint' in route;
      argument.setUint32(at + entry.at.gsi, route.gsi, true);
      argument.setUint32(at + entry.at.type, isSint ? HV_SINT : IRQCHIP, true);
      argument.setUint32(at + entry.at.u, isSint ? route.vpIndex : route.chip, true);
      argument.setUint32(at + entry.at.u + 4, isSint ? route.sint : route.pin, true);
    }
    ioctl(this.#fd, KvmX86Ioctl.SET_GSI_ROUTING, argument, 'KVM_SET_GSI_ROUTING');
  }

  /** Sets the level of an input of the in-kernel interrupt controllers. */
  irqLine(irq: number, level: boolean): void {
    const argument = new DataView(new ArrayBuffer(KvmIrqLevel.size));
    argument.setUint32(KvmIrqLevel.at.irq, irq, true);
    argument.setUint32(KvmIrqLevel.at.level, level ? 1 : 0, true);
    ioctl(this.#fd, KvmIoctl.IRQ_LINE, argument, 'KVM_IRQ_LINE', {
      ENXIO: 'make the in-kernel irqchip first',
    });
  }

  /** State of an in-kernel interrupt controller, in the layout of `kvm_irqchip`; `chip_id` says which one. */
  getIrqchip(buffer: Uint8Array): void {
    ioctl(this.#fd, KvmX86Ioctl.GET_IRQCHIP, buffer, 'KVM_GET_IRQCHIP');
  }

  setIrqchip(buffer: Uint8Array): void {
    ioctl(this.#fd, KvmX86Ioctl.SET_IRQCHIP, buffer, 'KVM_SET_IRQCHIP');
  }

  /**
   * Refuses accesses to ranges of MSRs (at most 16); all others stay as they are. Refused ones raise #GP, or leave the
   * guest where the capability X86_USER_SPACE_MSR has been switched on. The x2APIC's MSRs cannot be filtered.
   */
  setMsrFilter(refused: readonly MsrFilterRange[]): void {
    const { at, size } = KvmMsrFilter;
    const argument = new DataView(new ArrayBuffer(size));
    // A clear bit refuses: all ranges share one bitmap of zeros, which lives until the call has copied it.
    const longest = Math.max(64, ...refused.map(({ count }) => count));
    const bitmap = new BigUint64Array(Math.ceil(longest / 64));
    for (const [i, { flags, first, count }] of refused.entries()) {
      const range = at.ranges + i * KvmMsrFilterRange.size;
      argument.setUint32(range + KvmMsrFilterRange.at.flags, flags, true);
      argument.setUint32(range + KvmMsrFilterRange.at.nmsrs, count, true);
      argument.setUint32(range + KvmMsrFilterRange.at.base, first, true);
      argument.setBigUint64(range + KvmMsrFilterRange.at.bitmap, addressOf(bitmap), true);
    }
    ioctl(this.#fd, KvmX86Ioctl.X86_SET_MSR_FILTER, argument, 'KVM_X86_SET_MSR_FILTER', {
      EINVAL: 'at most 16 ranges, each of at most 12288 MSRs',
    });
  }

  /** Sets the paravirtual clock, in nanoseconds. It runs on from there. */
  setClock(ns: bigint): void {
    const argument = new DataView(new ArrayBuffer(KvmClockData.size));
    argument.setBigUint64(KvmClockData.at.clock, ns, true);
    ioctl(this.#fd, KvmX86Ioctl.SET_CLOCK, argument, 'KVM_SET_CLOCK');
  }

  /** Switches a capability on. */
  enableCap(cap: number, ...args: readonly bigint[]): void {
    enableCap(this.#fd, cap, args);
  }

  /** Closes the descriptor. The VM ends when its vCPUs are closed too. */
  close(): void {
    closeFd(this.#fd);
  }
}
