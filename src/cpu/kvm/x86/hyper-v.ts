// HyperV: Hyper-V's interface for the guest of a KVM CPU. The kernel serves MSRs, timers and most hypercalls; what is left
// to us are messages and events, and the state for checkpoints. TLFS; Linux Documentation/virt/kvm/api.rst, KVM_EXIT_HYPERV,
// KVM_CAP_HYPERV_SYNIC. One processor: with more, connections would be shared.

import {
  HYPER_V_MSRS,
  HYPERCALL_FAST,
  HypercallCode,
  HyperVMsr,
  type HyperVPartition,
  type HyperVPorts,
  HyperVStatus,
  MESSAGE_PAYLOAD_BYTES,
  POST_MESSAGE_INPUT,
  type Synic,
  type SynicMessage,
} from '../../../arch/x86/hyper-v.ts';
import { Gpr } from '../../../arch/x86/registers.ts';
import { RegClass, type X86ThreadContext } from '../../../arch/x86/thread-context.ts';
import { KvmCap, KvmExitHyperv } from '../../../host/kvm/abi.ts';
import type { HypervFields } from '../../../host/kvm/run.ts';
import { MsrRefusedError, type X86Vcpu } from '../../../host/kvm/vcpu.ts';
import type { PhysAddr } from '../../../mem/addr.ts';
import type { PhysicalMemory } from '../../../mem/physical-memory.ts';
import { SimObject } from '../../../sim/sim-object.ts';
import { asRecord, customCell, decodeBigint, type Json } from '../../../sim/state.ts';
import { fatal, panic } from '../../../sim/trouble.ts';
import type { ParavirtualClock } from './paravirtual-clock.ts';
import { fillSlot, setFlag, synicPage } from './synic-pages.ts';
import type { InKernelApics, X86KvmCpuWiring, X86KvmFacts } from './x86-kvm-params.ts';

/** What this needs of KVM. */
const REQUIRED = [
  'HYPERV',
  'HYPERV_SYNIC',
  'SYS_HYPERV_CPUID',
  'X86_USER_SPACE_MSR',
  'X86_MSR_FILTER',
] as const satisfies readonly (keyof typeof KvmCap)[];

const PAGE = 4096;
const PARAMETER_ALIGNMENT = 8;
const NS_PER_REFERENCE_UNIT = 100;
const LAST_GUEST_TYPE = 0x7fff_ffff;

interface HyperVState {
  /** By number, those of {@link HYPER_V_MSRS}. */
  readonly msrs: ReadonlyMap<number, bigint>;
  readonly referenceTime: bigint;
}

export interface HyperVOptions {
  readonly memory: PhysicalMemory;
  readonly irqchip: Pick<InKernelApics, 'raiseSint'>;
  /** The thread context, with these classes up to date. */
  readState(classes: number): X86ThreadContext;
  /** Sets the clock that the reference time is, in nanoseconds; the vCPU is there. */
  setClock(ns: bigint): void;
  /** That clock, if it is moved along with simulated time. */
  readonly follower: ParavirtualClock | undefined;
}

/** Capabilities that this KVM would need and does not have, by the kernel's names. */
export function lackingForHyperV(kvm: Pick<X86KvmFacts, 'capability'>): string[] {
  return REQUIRED.filter((name) => kvm.capability(KvmCap[name]) === 0).map((name) => `KVM_CAP_${name}`);
}

/**
 * The interface of a CPU, if it is to have it.
 * @param follower KVM's clock, if it is moved along with simulated time: it is Hyper-V's reference time, too
 * @throws FatalError in one line that says what is missing, where it cannot be had
 */
export function makeHyperV(
  cpu: SimObject & Pick<HyperVOptions, 'readState'>,
  { clock, irqchip, kvm, memory }: X86KvmCpuWiring,
  params: { readonly hyperV: boolean; readonly cpuCount: number },
  follower: ParavirtualClock | undefined,
): HyperV | undefined {
  if (!params.hyperV) return undefined;
  const lacking = lackingForHyperV(kvm);
  if (lacking.length > 0) fatal(cpu.path, `hyperV: this KVM lacks ${lacking.join(', ')}`);
  if (irqchip === undefined)
    fatal(
      cpu.path,
      "hyperV: only the kernel's interrupt controllers have synthetic interrupts: --irqchip kernel",
    );
  irqchip.routeSints(params.cpuCount);
  return new HyperV(cpu, 'hyperV', {
    ...{ memory, irqchip, follower },
    readState: (classes) => cpu.readState(classes),
    setClock: (ns) => clock?.setClock(ns),
  });
}

export class HyperV extends SimObject implements Synic, HyperVPartition {
  readonly synics: readonly Synic[] = [this];
  readonly #options: HyperVOptions;
  #ports: HyperVPorts | undefined;
  #vcpu: X86Vcpu | undefined;
  /** Values for KVM, which has not got them yet. */
  #owed: HyperVState | undefined = {
    msrs: new Map(HYPER_V_MSRS.map(({ index, reset }) => [index, reset ?? 0n])),
    referenceTime: 0n,
  };

  constructor(parent: SimObject, name: string, options: HyperVOptions) {
    super(parent, name);
    this.#options = options;
    this.state(
      'registers',
      customCell(
        () => this.#save(),
        (saved) => this.#restore(saved),
      ),
    );
  }

  connect(ports: HyperVPorts): void {
    if (this.#ports !== undefined) panic(this.path, 'ports are connected already');
    this.#ports = ports;
  }

  /** A new vCPU gets its SynIC, whose pages the kernel clears when the guest enables them, and its MSRs. */
  setUp(vcpu: X86Vcpu): void {
    vcpu.enableCap(KvmCap.HYPERV_SYNIC);
    this.#vcpu = vcpu;
    this.#give(vcpu);
  }

  override restored(): void {
    if (this.#vcpu !== undefined) this.#give(this.#vcpu);
  }

  // ---- exits ----

  /**
   * Serves KVM_EXIT_HYPERV.
   * @returns what comes next; undefined: an exit of another kind
   */
  serve(exit: HypervFields): 'Running' | 'RunningServiceCompletion' | undefined {
    // The guest has changed the SynIC's registers: they are read when they are needed. A message may have waited for its page.
    if (exit.type === KvmExitHyperv.SYNIC) {
      this.#ports?.endOfMessage();
      return 'Running';
    }
    if (exit.type !== KvmExitHyperv.HCALL) return undefined;
    const status = this.#hypercall(exit);
    const code = Number(BigInt.asUintN(16, exit.input));
    if (this.debug.KvmIO) this.trace('KvmIO', `hypercall 0x${code.toString(16)}: status ${status}`);
    exit.result = BigInt(status);
    return 'RunningServiceCompletion';
  }

  /** WRMSR to EOM. The kernel posts what its timers hold back. */
  endOfMessage(value: bigint): void {
    this.#theVcpu().setMsrs(Uint32Array.of(HyperVMsr.EOM), BigUint64Array.of(value));
    this.#ports?.endOfMessage();
  }

  #hypercall(exit: HypervFields): HyperVStatus {
    const isFast = (exit.input & HYPERCALL_FAST) !== 0n;
    switch (Number(BigInt.asUintN(16, exit.input))) {
      case HypercallCode.POST_MESSAGE:
        return isFast ? HyperVStatus.INVALID_HYPERCALL_INPUT : this.#postMessage(exit.inputParameter);
      case HypercallCode.SIGNAL_EVENT:
        return isFast ? this.#signalEvent(exit.inputParameter) : this.#signalEventInMemory();
      default:
        return HyperVStatus.INVALID_HYPERCALL_CODE;
    }
  }

  /** HvPostMessage. */
  #postMessage(address: bigint): HyperVStatus {
    const sizeBytes = POST_MESSAGE_INPUT.payload + MESSAGE_PAYLOAD_BYTES;
    const input = new DataView(new ArrayBuffer(sizeBytes));
    const status = this.#readInput(address, new Uint8Array(input.buffer));
    if (status !== HyperVStatus.SUCCESS) return status;
    const type = input.getUint32(POST_MESSAGE_INPUT.type, true);
    const payloadSize = input.getUint32(POST_MESSAGE_INPUT.payloadSize, true);
    // Types with the highest bit are the hypervisor's own, and 0 is no message.
    if (type === 0 || type > LAST_GUEST_TYPE || payloadSize > MESSAGE_PAYLOAD_BYTES)
      return HyperVStatus.INVALID_PARAMETER;
    const payload = new Uint8Array(input.buffer, POST_MESSAGE_INPUT.payload, payloadSize);
    const connection = input.getUint32(POST_MESSAGE_INPUT.connection, true);
    return this.#ports?.postMessage(connection, type, payload) ?? HyperVStatus.INVALID_CONNECTION_ID;
  }

  /** HvSignalEvent: connection in bits 31:0, event flag in bits 47:32. */
  #signalEvent(parameter: bigint): HyperVStatus {
    if (parameter >> 48n !== 0n) return HyperVStatus.INVALID_HYPERCALL_INPUT;
    const connection = Number(BigInt.asUintN(32, parameter));
    const flag = Number(parameter >> 32n);
    return this.#ports?.signalEvent(connection, flag) ?? HyperVStatus.INVALID_CONNECTION_ID;
  }

  /** The same, with its parameter in memory: of the address Linux 5.14 and later has made the parameter in the exit. */
  #signalEventInMemory(): HyperVStatus {
    const tc = this.#options.readState(RegClass.general | RegClass.special);
    const address = tc.in64BitMode
      ? tc.gpr(Gpr.RDX)
      : (BigInt.asUintN(32, tc.gpr(Gpr.RBX)) << 32n) | BigInt.asUintN(32, tc.gpr(Gpr.RCX));
    const parameter = new BigUint64Array(1);
    const status = this.#readInput(address, new Uint8Array(parameter.buffer));
    return status === HyperVStatus.SUCCESS ? this.#signalEvent(parameter[0]!) : status;
  }

  /** Input parameters lie within a page of RAM, at a multiple of 8 (TLFS, "Hypercall Interface"). */
  #readInput(address: bigint, into: Uint8Array): HyperVStatus {
    const at = Number(address);
    if (at % PARAMETER_ALIGNMENT !== 0 || (at % PAGE) + into.length > PAGE)
      return HyperVStatus.INVALID_ALIGNMENT;
    const { memory } = this.#options;
    if (!memory.contains(at as PhysAddr, into.length)) return HyperVStatus.INVALID_PARAMETER;
    memory.read(at as PhysAddr, into);
    return HyperVStatus.SUCCESS;
  }

  // ---- Synic ----

  postMessage(sint: number, message: SynicMessage): boolean {
    const page = this.#page(HyperVMsr.SIMP);
    if (page === undefined || !fillSlot(this.#options.memory, page, sint, message)) return false;
    this.raise(sint);
    return true;
  }

  setEventFlag(sint: number, flag: number): void {
    const page = this.#page(HyperVMsr.SIEFP);
    if (page !== undefined && setFlag(this.#options.memory, page, sint, flag)) this.raise(sint);
  }

  raise(sint: number): void {
    this.#options.irqchip.raiseSint(this.#theVcpu().id, sint);
  }

  #page(register: number): PhysAddr | undefined {
    const [control, value] = this.#theVcpu().getMsrs(Uint32Array.of(HyperVMsr.SCONTROL, register));
    return synicPage(this.#options.memory, control!, value!);
  }

  // ---- state ----

  #save(): Json {
    const { msrs, referenceTime } = this.#owed ?? this.#read();
    return {
      msrs: Object.fromEntries(HYPER_V_MSRS.map(({ index, name }) => [name, String(msrs.get(index)!)])),
      referenceTime: String(referenceTime),
    };
  }

  #restore(saved: Json): void {
    const { msrs = null, referenceTime = null } = asRecord(saved);
    const values = asRecord(msrs);
    this.#owed = {
      msrs: new Map(HYPER_V_MSRS.map(({ index, name }) => [index, decodeU64(values[name])])),
      referenceTime: decodeU64(referenceTime),
    };
  }

  /** A reference time that follows the host runs on while the machine is drained. */
  #read(): HyperVState {
    const indices = [HyperVMsr.TIME_REF_COUNT, ...HYPER_V_MSRS.map(({ index }) => index)];
    const [referenceTime, ...values] = this.#theVcpu().getMsrs(Uint32Array.from(indices));
    const { follower } = this.#options;
    return {
      msrs: new Map(HYPER_V_MSRS.map(({ index }, i) => [index, values[i]!])),
      referenceTime:
        follower === undefined ? referenceTime! : BigInt(Math.ceil(follower.seenNs / NS_PER_REFERENCE_UNIT)),
    };
  }

  #give(vcpu: X86Vcpu): void {
    if (this.#owed === undefined) return;
    const { msrs, referenceTime } = this.#owed;
    try {
      vcpu.setMsrs(Uint32Array.from(msrs.keys()), BigUint64Array.from(msrs.values()));
    } catch (error) {
      if (!(error instanceof MsrRefusedError)) throw error;
      const { name } = HYPER_V_MSRS.find(({ index }) => index === error.index)!;
      const value = msrs.get(error.index)!.toString(16);
      fatal(this.path, `this KVM refuses Hyper-V's MSR ${name} the value 0x${value}`);
    }
    const { follower, setClock } = this.#options;
    if (follower === undefined) setClock(referenceTime * BigInt(NS_PER_REFERENCE_UNIT));
    else follower.seenNs = Math.max(follower.seenNs, Number(referenceTime) * NS_PER_REFERENCE_UNIT);
    this.#owed = undefined;
  }

  #theVcpu(): X86Vcpu {
    return this.#vcpu ?? panic(this.path, 'used before startup');
  }
}

function decodeU64(saved: Json = null): bigint {
  return BigInt.asUintN(64, decodeBigint(saved));
}
