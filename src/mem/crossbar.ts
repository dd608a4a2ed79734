/**
 * The non-coherent crossbar: routes requests by address from any of its CPU-side ports to one of its
 * memory-side ports, and responses back (gem5's src/mem/noncoherent_xbar.hh). Latencies are not waited for
 * here but noted on the packet, and paid by whoever takes it next; what the crossbar itself models is
 * contention for its layers.
 *
 *     RequestPort ─▶ cpuSidePorts[i] ══ request layer of j ══▶ memSidePorts[j] ─▶ ResponsePort
 *                 ◀─                 ◀══ response layer of i ══                ◀─
 */

import type { ParamInputs, ParamValues } from '../sim/params.ts';
import { declareParams, frequency, int } from '../sim/params.ts';
import { type DrainAnswer, SimObject } from '../sim/sim-object.ts';
import { scalar, statGroup, vector } from '../sim/stats/group.ts';
import { Unit } from '../sim/stats/unit.ts';
import { clockPeriodTicks, type Ticks, ZERO_TICKS } from '../sim/tick.ts';
import { fatal, panic } from '../sim/trouble.ts';
import { AddrRange, type PhysAddr } from './addr.ts';
import { AtomicRoute, RouteTraffic } from './atomic-route.ts';
import { Command, type Packet } from './packet.ts';
import { PacketQueue } from './packet-queue.ts';
import { type Requestor, RequestPort, type Responder, ResponsePort } from './port.ts';
import { XbarLayer } from './xbar-layer.ts';

/** The defaults are those of gem5's IOXBar. */
const PARAMS = declareParams({
  clock: frequency({ default: '1GHz', description: 'clock of the crossbar' }),
  frontendLatency: int({ default: 2, min: 0, description: 'cycles to arbitrate and decode a request' }),
  forwardLatency: int({ default: 1, min: 0, description: 'cycles to forward a request' }),
  responseLatency: int({ default: 2, min: 0, description: 'cycles to forward a response' }),
  headerLatency: int({ default: 1, min: 1, description: 'cycles for which a header occupies a layer' }),
  width: int({ default: 16, min: 1, description: 'bytes that a layer carries per cycle' }),
});

class CrossbarStats extends statGroup({
  transDist: vector(
    'packets by command',
    Object.values(Command).map(({ name }) => name) as (keyof typeof Command)[],
  ),
  pktSize: scalar('payload carried, both ways', Unit.Byte),
}) {}

/** A port towards a CPU, with what belongs to it. */
interface CpuSide {
  readonly port: ResponsePort;
  readonly responses: PacketQueue;
  readonly layer: XbarLayer<RequestPort>;
  /** Routes that were given to the port's peer, by the route of ours or of the next crossbar that they go on with. */
  readonly atomicRoutes: Map<Route | AtomicRoute, AtomicRoute>;
}

interface MemSide {
  readonly port: RequestPort;
  readonly layer: XbarLayer<ResponsePort>;
}

interface Route {
  readonly range: AddrRange;
  readonly to: MemSide;
}

export class NoncoherentXBar extends SimObject implements Requestor, Responder {
  readonly params: ParamValues<typeof PARAMS>;
  readonly stats = this.addStats(new CrossbarStats());
  readonly #period: Ticks;
  /** What an atomic access takes in the crossbar itself. */
  readonly #atomicTicks: Ticks;
  readonly #cpuSides = new Map<ResponsePort, CpuSide>();
  readonly #memSides = new Map<RequestPort, MemSide>();
  #default: MemSide | undefined;
  /** In ascending order of address, without overlaps. Undefined until asked for and after a change. */
  #routes: readonly Route[] | undefined;
  /** The route of the access before: most go where the last one went. */
  #lastRoute: Route | undefined;
  /** What passes by atomic routes, and how much of it has been counted. */
  readonly #passing = new Map<RouteTraffic, RouteTraffic>();
  /** Where the response of each request under way goes. */
  readonly #routeTo = new Map<Packet, CpuSide>();

  constructor(parent: SimObject, name: string, given: ParamInputs<typeof PARAMS> = {}) {
    super(parent, name);
    this.params = this.resolveParams(PARAMS, given);
    this.#period = clockPeriodTicks(this.params.clock);
    this.#atomicTicks = ((this.#requestCycles + this.params.responseLatency) * this.#period) as Ticks;
    this.stats.onDump(() => this.#countPassing());
    this.stats.onReset(() => this.#forgetPassing());
  }

  /** Adds a port for somebody who sends requests. */
  addCpuSidePort(): ResponsePort {
    const path = `${this.path}.cpu_side_ports[${this.#cpuSides.size}]`;
    const port = new ResponsePort(path, this);
    const send = (packet: Packet) => port.sendTimingResp(packet);
    const responses = new PacketQueue(`${path}.responses`, this.eventQueue, send, () =>
      this.#reportIfDrained(),
    );
    this.#cpuSides.set(port, {
      port,
      responses,
      layer: this.#layer(path, (source) => source.sendRetryResp()),
      atomicRoutes: new Map(),
    });
    return port;
  }

  /** Adds a port towards a memory, device or further crossbar, reached by the address ranges it answers. */
  addMemSidePort(): RequestPort {
    return this.#addMemSide(`mem_side_ports[${this.#memSides.size}]`).port;
  }

  /** Adds the port that gets the requests for addresses that no other answers. */
  addDefaultPort(): RequestPort {
    if (this.#default !== undefined) panic(this.path, 'a second default port');
    this.#default = this.#addMemSide('default');
    return this.#default.port;
  }

  override init(): void {
    for (const port of [...this.#memSides.keys(), ...this.#cpuSides.keys()]) {
      if (!port.isBound) fatal(port.name, 'is not bound to anything: connect it or leave it out');
    }
    this.#routeTable();
  }

  recvAtomic(packet: Packet): Ticks {
    this.#count(packet);
    const latency = this.#find(packet).port.sendAtomic(packet);
    this.#count(packet);
    return (latency + this.#atomicTicks) as Ticks;
  }

  atomicRoute(packet: Packet, port: ResponsePort): AtomicRoute | undefined {
    const route = this.#routeOf(packet);
    const further = (route?.to ?? this.#default)?.port.atomicRoute(packet);
    const key = further ?? route;
    if (key === undefined) return undefined;
    const { atomicRoutes } = this.#cpuSides.get(port)!;
    const known = atomicRoutes.get(key);
    if (known !== undefined) return known;
    if (further !== undefined && !this.#leadsThere(further.range, route)) return undefined;
    const made =
      further?.behind(this.#atomicTicks) ??
      new AtomicRoute(route!.range, route!.to.port.peer, this.#atomicTicks);
    atomicRoutes.set(key, made);
    if (!this.#passing.has(made.traffic)) this.#passing.set(made.traffic, new RouteTraffic());
    return made;
  }

  recvFunctional(packet: Packet): void {
    this.#find(packet).port.sendFunctional(packet);
    for (const { responses } of this.#cpuSides.values()) responses.overlayFunctional(packet);
  }

  recvTimingReq(packet: Packet, port: ResponsePort): boolean {
    const source = this.#cpuSides.get(port)!;
    const to = this.#find(packet);
    if (!to.layer.tryTiming(port)) return false;
    const { headerDelay } = packet;
    this.#annotate(packet, this.#requestCycles);
    const busyTicks = this.#busyTicks(packet);
    const { cmd } = packet;
    this.#routeTo.set(packet, source);
    if (!to.port.sendTimingReq(packet)) {
      this.#routeTo.delete(packet);
      // What was noted is additive, and will be again when the packet is sent again.
      packet.headerDelay = headerDelay;
      to.layer.failed(port, this.#ticksToEdge(this.params.headerLatency));
      return false;
    }
    to.layer.succeeded(busyTicks);
    this.stats.transDist.elements[cmd.index]!.inc();
    if (cmd.hasData) this.stats.pktSize.inc(packet.sizeBytes);
    return true;
  }

  recvTimingResp(packet: Packet, port: RequestPort): boolean {
    const to = this.#routeTo.get(packet) ?? panic(this.path, `${packet} answers no request`);
    if (!to.layer.tryTiming(port)) return false;
    this.#annotate(packet, this.params.responseLatency);
    const delay = packet.headerDelay;
    packet.headerDelay = ZERO_TICKS;
    this.#routeTo.delete(packet);
    this.#count(packet);
    to.layer.succeeded(this.#busyTicks(packet));
    to.responses.push(packet, delay);
    return true;
  }

  recvReqRetry(port: RequestPort): void {
    this.#memSides.get(port)!.layer.recvRetry();
  }

  recvRespRetry(port: ResponsePort): void {
    this.#cpuSides.get(port)!.responses.retry();
  }

  recvRangeChange(): void {
    this.#routes = undefined;
    this.#lastRoute = undefined;
    for (const { atomicRoutes } of this.#cpuSides.values()) atomicRoutes.clear();
    for (const port of this.#cpuSides.keys()) port.sendRangeChange();
  }

  /** All that is reachable through the memory-side ports. */
  addrRanges(): readonly AddrRange[] {
    const ranges = this.#routeTable().map(({ range }) => range);
    return this.#default === undefined ? ranges : [new AddrRange(0, Number.MAX_SAFE_INTEGER)];
  }

  override drain(): DrainAnswer {
    return this.#isDrained ? 'drained' : 'draining';
  }

  get #requestCycles(): number {
    return this.params.frontendLatency + this.params.forwardLatency;
  }

  get #isDrained(): boolean {
    for (const { layer } of this.#memSides.values()) if (!layer.isIdle) return false;
    for (const { layer, responses } of this.#cpuSides.values()) {
      if (!layer.isIdle || !responses.isEmpty) return false;
    }
    return this.#routeTo.size === 0;
  }

  #reportIfDrained(): void {
    if (this.#isDrained) this.drainDone();
  }

  #layer<S>(path: string, retry: (source: S) => void): XbarLayer<S> {
    return new XbarLayer(`${path}.layer`, this.eventQueue, retry, () => this.#reportIfDrained());
  }

  #addMemSide(name: string): MemSide {
    const path = `${this.path}.${name}`;
    const port = new RequestPort(path, this);
    const side: MemSide = { port, layer: this.#layer(path, (source) => source.sendRetryReq()) };
    this.#memSides.set(port, side);
    return side;
  }

  /** Where a request goes. The whole access must belong to one destination. */
  #find(packet: Packet): MemSide {
    return (
      this.#routeOf(packet)?.to ??
      this.#default ??
      fatal(this.path, `nobody answers ${packet}: add a memory, a device or a default port`)
    );
  }

  #routeOf({ addr, sizeBytes }: Packet): Route | undefined {
    const last = this.#lastRoute;
    if (last?.range.contains(addr, sizeBytes)) return last;
    const route = this.#lookUp(addr);
    if (!route?.range.contains(addr, sizeBytes)) return undefined;
    this.#lastRoute = route;
    return route;
  }

  /** Whether all of a range goes by one route, or to the default port. */
  #leadsThere(range: AddrRange, route: Route | undefined): boolean {
    if (route !== undefined) return range.isSubsetOf(route.range);
    return !this.#routeTable().some((other) => other.range.intersects(range));
  }

  #lookUp(addr: PhysAddr): Route | undefined {
    const routes = this.#routeTable();
    let low = 0;
    let high = routes.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (routes[middle]!.range.end <= addr) low = middle + 1;
      else high = middle;
    }
    return routes[low];
  }

  #routeTable(): readonly Route[] {
    if (this.#routes !== undefined) return this.#routes;
    const routes: Route[] = [];
    for (const side of this.#memSides.values()) {
      if (side === this.#default) continue;
      for (const range of side.port.addrRanges()) routes.push({ range, to: side });
    }
    routes.sort((a, b) => a.range.start - b.range.start);
    for (const [i, { range, to }] of routes.entries()) {
      const next = routes[i + 1];
      if (next?.range.intersects(range)) {
        fatal(this.path, `${to.port.peer.name} and ${next.to.port.peer.name} both answer ${next.range}`);
      }
    }
    this.#routes = routes;
    return routes;
  }

  /** Ticks until `cycles` clock edges after the next one (which may be now). */
  #ticksToEdge(cycles: number): Ticks {
    return (this.eventQueue.ticksToClockEdge(this.#period) + cycles * this.#period) as Ticks;
  }

  /** Notes on the packet what the way through the crossbar takes. */
  #annotate(packet: Packet, cycles: number): void {
    packet.headerDelay = (packet.headerDelay + this.#ticksToEdge(cycles)) as Ticks;
    if (!packet.cmd.hasData) return;
    const payload = Math.ceil(packet.sizeBytes / this.params.width) * this.#period;
    packet.payloadDelay = Math.max(packet.payloadDelay, payload) as Ticks;
  }

  /** How long a packet occupies its layer. */
  #busyTicks(packet: Packet): Ticks {
    return (this.#ticksToEdge(this.params.headerLatency) + packet.payloadDelay) as Ticks;
  }

  #count({ cmd, sizeBytes }: Packet): void {
    this.stats.transDist.elements[cmd.index]!.inc();
    if (cmd.hasData) this.stats.pktSize.inc(sizeBytes);
  }

  #countPassing(): void {
    const { transDist, pktSize } = this.stats;
    for (const [traffic, counted] of this.#passing) {
      for (const [i, packets] of traffic.packets.entries())
        transDist.elements[i]!.inc(packets - counted.packets[i]!);
      pktSize.inc(traffic.payloadBytes - counted.payloadBytes);
      counted.become(traffic);
    }
  }

  #forgetPassing(): void {
    for (const [traffic, counted] of this.#passing) counted.become(traffic);
  }
}
