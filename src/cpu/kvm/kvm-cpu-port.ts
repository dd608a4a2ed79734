// KvmCpuPort: the data port of a KVM CPU. Accesses that leave the guest become packets, sent atomically or as timing
// requests. gem5: BaseKvmCPU::KVMCpuPort.
//
// Timing: requests leave in order. A refused one and all behind it wait for the peer's retry; responses may come in any
// order. The CPU goes on when nothing is in flight or queued.

import type { CoalescedRing } from '../../host/kvm/run.ts';
import type { PhysAddr } from '../../mem/addr.ts';
import type { AtomicRoute } from '../../mem/atomic-route.ts';
import { bypassesCaches, isTiming, type MemoryMode } from '../../mem/memory-mode.ts';
import { Command, type Packet, PacketFlag, PacketPool } from '../../mem/packet.ts';
import { type Requestor, RequestPort } from '../../mem/port.ts';
import { type Ticks, ZERO_TICKS } from '../../sim/tick.ts';
import { fatal } from '../../sim/trouble.ts';

/** Told by the port. */
export interface KvmCpuPortOwner {
  /** The last timing request has been answered. */
  allAnswered(): void;
  /** Nobody is at this address, or whoever is refuses the access: it reads as ones and writes nothing. */
  refused(packet: Packet): void;
  /** One of the writes that the kernel had queued is delivered. */
  flushed(): void;
  /** Where a guest-physical address is in the simulated system. */
  translateAccess(address: PhysAddr): PhysAddr;
  /** Where a port is. */
  translatePort(port: number): PhysAddr;
}

export class KvmCpuPort implements Requestor {
  readonly port: RequestPort;
  readonly #cpuPath: string;
  readonly #owner: KvmCpuPortOwner;
  readonly #memoryMode: () => MemoryMode;
  readonly #pool = new PacketPool();
  /** Not sent yet. The first was refused, if there is one. */
  readonly #queue: Packet[] = [];
  #isTiming = false;
  #inFlight = 0;
  #lastRoute: AtomicRoute | undefined;

  /** @param cpuPath path of the CPU  @param memoryMode of the system; may change while it is drained */
  constructor(cpuPath: string, owner: KvmCpuPortOwner, memoryMode: () => MemoryMode) {
    this.#cpuPath = cpuPath;
    this.port = new RequestPort(`${cpuPath}.dcache_port`, this);
    this.#owner = owner;
    this.#memoryMode = memoryMode;
  }

  /**
   * Takes note of the memory mode, which may have changed.
   * @throws FatalError in a mode that has caches in use: the guest's own accesses pass them by
   */
  verifyMemoryMode(): void {
    const mode = this.#memoryMode();
    this.#isTiming = isTiming(mode);
    if (!bypassesCaches(mode))
      fatal(this.#cpuPath, `memory mode ${mode}: a KVM CPU passes caches by; use ${mode}Noncaching`);
  }

  /** Takes the place of another CPU's port. */
  takeOverFrom(old: RequestPort): void {
    this.port.takeOverFrom(old);
    // Nobody has told it what changed in the meantime.
    this.#lastRoute = undefined;
  }

  /** Timing requests that are queued or not answered yet. */
  get outstanding(): number {
    return this.#inFlight + this.#queue.length;
  }

  /**
   * Accesses memory or a device: `sizeBytes` of `data` from `at` on. Atomic: at once; what is read is in `data`
   * afterwards. Timing: the request leaves now or when the peer takes it, those bytes are the port's until the answer,
   * and what is read arrives there. Hot path: in atomic mode nothing is allocated.
   * @returns the latency; 0 in timing mode
   */
  access(address: PhysAddr, data: Uint8Array, at: number, sizeBytes: number, isWrite: boolean): Ticks {
    const packet = this.#packet(address, data, at, sizeBytes, isWrite);
    if (this.#isTiming) {
      packet.pushSenderState(data.subarray(at, at + sizeBytes));
      if (this.#queue.length > 0 || !this.#send(packet)) this.#queue.push(packet);
      return ZERO_TICKS;
    }
    const latency = this.#sendAtomic(packet);
    this.#finish(packet, data, at);
    return latency;
  }

  /**
   * Delivers the writes that the kernel queued while the guest ran, in order. An entry is copied before its slot is the
   * kernel's again.
   * @returns the sum of their latencies; 0 in timing mode
   */
  flush(ring: CoalescedRing): Ticks {
    const owner = this.#owner;
    let delay = 0;
    while (ring.shift()) {
      owner.flushed();
      const address = ring.isPort
        ? owner.translatePort(ring.physAddr)
        : owner.translateAccess(ring.physAddr as PhysAddr);
      // In timing mode the packet has its own copy, and nothing comes back.
      delay += this.access(address, ring.data, 0, ring.len, true);
    }
    return delay as Ticks;
  }

  recvRangeChange(): void {
    this.#lastRoute = undefined;
  }

  recvTimingResp(packet: Packet): boolean {
    this.#inFlight--;
    this.#finish(packet, packet.popSenderState() as Uint8Array, 0);
    if (this.outstanding === 0) this.#owner.allAnswered();
    return true;
  }

  recvReqRetry(): void {
    for (let packet = this.#queue.shift(); packet !== undefined; packet = this.#queue.shift()) {
      if (this.#send(packet)) continue;
      this.#queue.unshift(packet);
      return;
    }
  }

  /** Most accesses go where the one before went. */
  #sendAtomic(packet: Packet): Ticks {
    if (!this.#lastRoute?.leads(packet)) this.#lastRoute = this.port.atomicRoute(packet);
    return this.#lastRoute === undefined ? this.port.sendAtomic(packet) : this.#lastRoute.send(packet);
  }

  #send(packet: Packet): boolean {
    // Counted before: the answer may come before the call returns.
    this.#inFlight++;
    const taken = this.port.sendTimingReq(packet);
    if (!taken) this.#inFlight--;
    return taken;
  }

  #packet(address: PhysAddr, data: Uint8Array, at: number, sizeBytes: number, isWrite: boolean): Packet {
    const command = isWrite ? Command.WriteReq : Command.ReadReq;
    const flags = PacketFlag.Uncacheable | PacketFlag.StrictOrder;
    const packet = this.#pool.acquire(command, address, sizeBytes, flags);
    if (isWrite) for (let i = 0; i < sizeBytes; i++) packet.data[i] = data[at + i]!;
    return packet;
  }

  /** What was read goes to where it is expected. */
  #finish(packet: Packet, data: Uint8Array, at: number): void {
    const { sizeBytes } = packet;
    if (packet.isError) {
      this.#owner.refused(packet);
      // An error no longer says which it was; ones in the data of a write hurt nobody.
      data.fill(0xff, at, at + sizeBytes);
    } else if (packet.isRead) for (let i = 0; i < sizeBytes; i++) data[at + i] = packet.data[i]!;
    this.#pool.release(packet);
  }
}
