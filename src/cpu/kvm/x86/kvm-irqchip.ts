// KvmIrqchip: the interrupt controllers in the host's kernel (8259 pair, I/O APIC, a local APIC per vCPU) in place of the
// simulated ones: fewer exits, but their timers follow the host's time. Source: Linux Documentation/virt/kvm/api.rst,
// KVM_CREATE_IRQCHIP, KVM_IRQ_LINE, KVM_GET_IRQCHIP, KVM_GET_LAPIC. A HLT stays in the kernel until an interrupt.

import { SINT_COUNT } from '../../../arch/x86/hyper-v.ts';
import {
  BIOS_VECTORS,
  IO_APIC_INPUTS,
  type IoApicState,
  type LocalApicState,
  type PicState,
  restoreIoApic,
  restoreLocalApic,
  restorePic,
  saveIoApic,
  saveLocalApic,
  savePic,
} from '../../../arch/x86/interrupt-state.ts';
import { KvmIrqchipId, KvmLapicState } from '../../../host/kvm/abi-x86.ts';
import type { X86Vcpu } from '../../../host/kvm/vcpu.ts';
import type { ChipRoute, KvmVmFd, SintRoute } from '../../../host/kvm/vm.ts';
import type { PinSink } from '../../../sim/pin.ts';
import { SimObject } from '../../../sim/sim-object.ts';
import { asRecord, customCell, type Json } from '../../../sim/state.ts';
import { fatal, panic } from '../../../sim/trouble.ts';
import {
  ioApicFromKvm,
  ioApicToKvm,
  irqchipBuffer,
  localApicFromKvm,
  localApicToKvm,
  picFromKvm,
  picToKvm,
} from './kvm-irqchip-state.ts';
import type { InKernelApics } from './x86-kvm-params.ts';

/** What the irqchip needs of the VM's descriptor; tests give a scripted one. */
export type IrqchipVm = Pick<KvmVmFd, 'irqLine' | 'getIrqchip' | 'setIrqchip' | 'setGsiRouting'>;

/** A virtual machine that can have an irqchip; `X86KvmVm` is the real one. */
export interface IrqchipOwner {
  useIrqchip(whenMade: (vm: IrqchipVm) => void): void;
}

/** The state of all controllers. */
export interface IrqchipState {
  readonly pics: readonly [master: PicState, slave: PicState];
  readonly ioApic: IoApicState;
  /** By APIC id. */
  readonly localApics: ReadonlyMap<number, LocalApicState>;
}

const PICS = [KvmIrqchipId.PIC_MASTER, KvmIrqchipId.PIC_SLAVE] as const;
const ISA_INTERRUPTS = 16;
/** Input of the second 8259 at the first. */
const CASCADE = 2;
/** The PIT's interrupt is input 2 of the I/O APIC on a PC. */
const TIMER_INPUT = 2;
/** LVT LINT1 (SDM vol. 3 figure 10-8), as an index of 32-bit registers 16 bytes apart. */
const LVT_LINT1 = 0x36;
const LVT_MASKED = 0x1_0000;
/**
 * What a PC's firmware leaves in the local APIC of its boot processor, by the same index: software enable in the spurious
 * vector register, the 8259's interrupt at LINT0, NMI at LINT1 ("virtual wire mode": MultiProcessor Specification §3.6.2.2).
 */
const VIRTUAL_WIRE = [
  [0x0f, 0x1ff],
  [0x35, 0x8700],
  [0x36, 0x8400],
] as const;
const LVT_MODE = 0x700;
const LVT_MODE_NMI = 0x400;

export class KvmIrqchip extends SimObject implements InKernelApics {
  readonly #vcpus = new Map<number, X86Vcpu>();
  /** Levels of inputs that were driven before there was a kernel side. */
  readonly #levels = new Map<number, boolean>();
  #vm: IrqchipVm | undefined;
  /** So many vCPUs have synthetic interrupt sources. */
  #vcpusWithSints = 0;
  /** Restored, and not in the kernel yet. */
  #owed: Omit<IrqchipState, 'localApics'> | undefined;
  readonly #owedLocalApics = new Map<number, LocalApicState>();
  /** Nothing was restored. */
  #isFresh = false;

  constructor(parent: SimObject, name: string, owner: IrqchipOwner) {
    super(parent, name);
    owner.useIrqchip((vm) => this.#made(vm));
    this.state(
      'controllers',
      customCell(
        () => saveIrqchip(this.readState()),
        (saved) => this.writeState(restoreIrqchip(saved)),
      ),
    );
  }

  /**
   * An interrupt line of the machine: ISA interrupts 0–15 reach the 8259s and the I/O APIC, 16–23 the I/O APIC alone.
   */
  input(irq: number): PinSink {
    return {
      setLevel: (level) => {
        this.#levels.set(irq, level);
        this.#vm?.irqLine(irq, level);
      },
    };
  }

  /** The line of non-maskable interrupts: LINT1 of the processors, if their local APICs let it through. */
  readonly nmi: PinSink = {
    setLevel: (level) => {
      if (!level) return;
      for (const [apicId, vcpu] of this.#vcpus) {
        const lvt = this.localApic(apicId).registers[LVT_LINT1]!;
        if ((lvt & LVT_MASKED) === 0 && (lvt & LVT_MODE) === LVT_MODE_NMI) vcpu.nmi();
      }
    },
  };

  override initState(): void {
    this.#isFresh = true;
  }

  // ---- its CPUs ----

  routeSints(vcpuCount: number): void {
    if (this.#vm !== undefined) panic(this.path, 'SINTs after the first vCPU');
    this.#vcpusWithSints = vcpuCount;
  }

  raiseSint(vcpuId: number, sint: number): void {
    this.#vm?.irqLine(sintLine(vcpuId, sint), true);
  }

  vcpuCreated(apicId: number, vcpu: X86Vcpu): void {
    if (this.#vcpus.has(apicId))
      fatal(
        this.path,
        'a second CPU for the same processor: each brings its own local APIC along, so that CPUs cannot be switched; ' +
          'use the simulated interrupt controllers',
      );
    this.#vcpus.set(apicId, vcpu);
    if (this.#isFresh && this.#vcpus.size === 1) this.#initBootProcessor(apicId);
  }

  owesLocalApic(apicId: number): boolean {
    return this.#owedLocalApics.has(apicId);
  }

  giveLocalApic(apicId: number): void {
    const state = this.#owedLocalApics.get(apicId);
    const vcpu = this.#vcpus.get(apicId);
    if (state === undefined || vcpu === undefined) return;
    vcpu.setLapic(localApicToKvm(state));
    this.#owedLocalApics.delete(apicId);
  }

  // ---- state ----

  /** What the controllers hold: the system is drained. */
  readState(): IrqchipState {
    const readPics = () => PICS.map((chip) => picFromKvm(this.#read(chip))) as [PicState, PicState];
    const ids = new Set([...this.#owedLocalApics.keys(), ...this.#vcpus.keys()]);
    return {
      pics: this.#owed?.pics ?? readPics(),
      ioApic: this.#owed?.ioApic ?? ioApicFromKvm(this.#read(KvmIrqchipId.IOAPIC)),
      localApics: new Map([...ids].map((id) => [id, this.localApic(id)])),
    };
  }

  /** Replaces it, as a restore or a switch from simulated controllers does. It reaches the kernel before the next entry. */
  writeState({ pics, ioApic, localApics }: IrqchipState): void {
    this.#owed = { pics, ioApic };
    for (const [id, state] of localApics) this.#owedLocalApics.set(id, state);
    if (this.#vm !== undefined) this.#give(this.#vm);
  }

  localApic(apicId: number): LocalApicState {
    const owed = this.#owedLocalApics.get(apicId);
    if (owed !== undefined) return owed;
    const vcpu = this.#vcpus.get(apicId) ?? panic(this.path, `no vCPU has APIC id ${apicId}`);
    const buffer = new Uint8Array(KvmLapicState.size);
    vcpu.getLapic(buffer);
    return localApicFromKvm(buffer);
  }

  #initBootProcessor(apicId: number): void {
    const state = this.localApic(apicId);
    for (const [register, value] of VIRTUAL_WIRE) state.registers[register] = value;
    this.#owedLocalApics.set(apicId, state);
    for (const [i, irqBase] of [BIOS_VECTORS.master, BIOS_VECTORS.slave].entries()) {
      const buffer = this.#read(PICS[i]!);
      picToKvm({ ...picFromKvm(buffer), irqBase }, buffer);
      this.#vm?.setIrqchip(buffer);
    }
  }

  #made(vm: IrqchipVm): void {
    this.#vm = vm;
    vm.setGsiRouting([...pcRoutes(), ...sintRoutes(this.#vcpusWithSints)]);
    // Restored state knows the levels of its time: a line that is still high is no new edge then.
    this.#give(vm);
    for (const [irq, level] of this.#levels) vm.irqLine(irq, level);
  }

  #give(vm: IrqchipVm): void {
    if (this.#owed === undefined) return;
    for (const [i, chip] of PICS.entries()) {
      const buffer = this.#read(chip);
      picToKvm(this.#owed.pics[i]!, buffer);
      vm.setIrqchip(buffer);
    }
    const buffer = this.#read(KvmIrqchipId.IOAPIC);
    ioApicToKvm(this.#owed.ioApic, buffer);
    vm.setIrqchip(buffer);
    this.#owed = undefined;
  }

  #read(chip: number): Uint8Array {
    const buffer = irqchipBuffer(chip);
    if (this.#vm === undefined) panic(this.path, 'used before startup');
    this.#vm.getIrqchip(buffer);
    return buffer;
  }
}

/** A PC's interrupt lines. */
export function pcRoutes(): ChipRoute[] {
  const routes: ChipRoute[] = [];
  for (let gsi = 0; gsi < IO_APIC_INPUTS; gsi++) {
    if (gsi === CASCADE) continue;
    if (gsi < ISA_INTERRUPTS) routes.push({ gsi, chip: PICS[gsi >> 3]!, pin: gsi & 7 });
    routes.push({ gsi, chip: KvmIrqchipId.IOAPIC, pin: gsi === 0 ? TIMER_INPUT : gsi });
  }
  return routes;
}

/** Behind the lines of the PC there is one for each SINT. */
function sintLine(vcpuId: number, sint: number): number {
  return IO_APIC_INPUTS + vcpuId * SINT_COUNT + sint;
}

/** The lines of the synthetic interrupt sources of so many vCPUs. */
export function sintRoutes(vcpuCount: number): SintRoute[] {
  return Array.from({ length: vcpuCount * SINT_COUNT }, (_, i) => {
    const [vpIndex, sint] = [Math.floor(i / SINT_COUNT), i % SINT_COUNT];
    return { gsi: sintLine(vpIndex, sint), vpIndex, sint };
  });
}

function saveIrqchip({ pics, ioApic, localApics }: IrqchipState): Json {
  return {
    master: savePic(pics[0]),
    slave: savePic(pics[1]),
    ioApic: saveIoApic(ioApic),
    localApics: Object.fromEntries([...localApics].map(([id, state]) => [id, saveLocalApic(state)])),
  };
}

function restoreIrqchip(saved: Json): IrqchipState {
  const { master = null, slave = null, ioApic = null, localApics = null } = asRecord(saved);
  return {
    pics: [restorePic(master), restorePic(slave)],
    ioApic: restoreIoApic(ioApic),
    localApics: new Map(
      Object.entries(asRecord(localApics)).map(([id, state]) => [Number(id), restoreLocalApic(state)]),
    ),
  };
}
