/**
 * PcBoard: a PC. RAM, a memory bus and an I/O bus, the devices that a PC's operating systems expect, and a processor that
 * executes on the host's own. Read it as the pattern for a board of your own; where everything is, is in pc-map.ts.
 *
 *   cpu ─▶ membus ─┬─▶ ram
 *                  └─▶ iobus ─┬─▶ devices
 *                             └─▶ nobody: ones
 */
import { localApicAddress, portAddress } from '../arch/x86/address-spaces.ts';
import type { HyperVPartition } from '../arch/x86/hyper-v.ts';
import type { InterruptedCpu } from '../arch/x86/interrupts.ts';
import { ApicBase } from '../arch/x86/registers.ts';
import { OFFSET, RegClass } from '../arch/x86/thread-context.ts';
import { NoDevice } from '../dev/no-device.ts';
import type { PioDevice } from '../dev/pio-device.ts';
import { type CharBackend, NullBackend } from '../dev/serial/char-backend.ts';
import { Uart16550 } from '../dev/serial/uart-16550.ts';
import { AcpiPm, type SuspendToRam } from '../dev/x86/acpi-pm.ts';
import { ApicBus, MsiWindow } from '../dev/x86/apic/apic-bus.ts';
import { IoApic } from '../dev/x86/apic/io-apic.ts';
import { LocalApic } from '../dev/x86/apic/local-apic.ts';
import { Cmos } from '../dev/x86/cmos.ts';
import { HPET_REGISTERS, Hpet } from '../dev/x86/hpet.ts';
import { LegacySwitch } from '../dev/x86/hpet-legacy-switch.ts';
import { HypervTestdev } from '../dev/x86/hyperv-testdev.ts';
import { I8042 } from '../dev/x86/i8042.ts';
import { M5Window } from '../dev/x86/m5-window.ts';
import { PcTestdev } from '../dev/x86/pc-testdev.ts';
import { PciHost } from '../dev/x86/pci-host.ts';
import { Pic8259Pair } from '../dev/x86/pic8259.ts';
import { Pit8254 } from '../dev/x86/pit8254.ts';
import { PostPort } from '../dev/x86/post-port.ts';
import { ResetControl } from '../dev/x86/reset-control.ts';
import { RtcMc146818 } from '../dev/x86/rtc-mc146818.ts';
import { TestExit } from '../dev/x86/test-exit.ts';
import type { IntelIommu } from '../dev/x86/vtd/intel-iommu.ts';
import { asPhysAddr } from '../mem/addr.ts';
import { NoncoherentXBar } from '../mem/crossbar.ts';
import { hostPagesIfAvailable } from '../mem/linux-host-pages.ts';
import { PhysicalMemory } from '../mem/physical-memory.ts';
import { SimpleMemory } from '../mem/simple-memory.ts';
import type { ParamInputs, ParamValues } from '../sim/params.ts';
import { fanOut, type PinSink } from '../sim/pin.ts';
import { SimObject } from '../sim/sim-object.ts';
import { FatalError, panic } from '../sim/trouble.ts';
import {
  applyBootState,
  type BootRequest,
  type BootStart,
  loadBoot,
  type PcLayout,
} from '../workload/boot/index.ts';
import { PseudoInstructions } from '../workload/pseudo-instructions.ts';
import { kvmProcessor, type Processor, type ProcessorCpu, type ProcessorFactory } from './kvm-processor.ts';
import { pcLayout } from './pc-firmware.ts';
import { checkIommu, dmarTable, makeIommu } from './pc-iommu.ts';
import {
  GSI_OVERRIDES,
  HPET_ROUTES,
  IRQS,
  ISA_INTERRUPTS,
  MMIO,
  PORTS,
  pciPorts,
  ramSpans,
  TEST_DEVICE,
} from './pc-map.ts';
import { DEFAULT_START_TIME, machineCell, PC_BOARD_PARAMS } from './pc-params.ts';
import { addPciFunctions, assignPciResources, pciRoutes } from './pc-pci.ts';
import { suspendToRam } from './pc-suspend.ts';

export interface PcBoardOptions extends ParamInputs<typeof PC_BOARD_PARAMS> {
  /** What executes the instructions, such as `kvmProcessor({ hostFactor: 2 })`; default: as `cpu` says. */
  readonly processor?: ProcessorFactory | undefined;
  /** What the serial ports are plugged into, COM1 first; default: nothing. */
  readonly serial?: readonly CharBackend[] | undefined;
  /** Seconds since 1970 that the real-time clock starts at; default 2026-01-01T00:00:00Z. */
  readonly startTime?: number | undefined;
}

/** Causes of the exit events with which the guest ends the machine. */
export const PcExitCause = {
  powerOff: 'ACPI power off',
  reset: 'machine reset',
  tripleFault: 'triple fault',
  haltedForGood: 'halted for good',
} as const;

const PAGE = 4096;
/** APIC ids. */
const BOOT_PROCESSOR = 0;
const IO_APIC_ID = 0;
const APIC_BUS_HZ = 1e9;
const HPET_TIMERS = 3;
const SOFT_OFF_TYPE = 5;
const SUSPEND_TYPE = 1;

/** Where the devices' interrupts arrive. */
interface InterruptLines {
  /** An ISA interrupt: at the 8259s and at the I/O APIC. */
  irq(n: number): PinSink;
  /** An input of the I/O APIC alone. */
  gsi(n: number): PinSink;
}

interface InterruptControllers extends InterruptLines {
  readonly localApic: LocalApic;
  readonly bus: ApicBus;
  readonly iommu: IntelIommu | undefined;
}

export class PcBoard extends SimObject {
  readonly params: ParamValues<typeof PC_BOARD_PARAMS>;
  readonly memory: PhysicalMemory;
  /** The CPUs that can execute the processor's thread; one of them does. */
  readonly cpus: readonly ProcessorCpu[];
  readonly pseudoInstructions: PseudoInstructions;
  readonly serialPorts: readonly Uart16550[];
  readonly power: AcpiPm;
  /** What is on the I/O bus. */
  readonly devices: readonly PioDevice[];
  readonly #devices: PioDevice[] = [];
  readonly #iobus: NoncoherentXBar;
  readonly #pciHost: PciHost;
  #start: BootStart | undefined;

  constructor(
    parent: SimObject,
    name: string,
    {
      processor = kvmProcessor(),
      serial = [],
      startTime = DEFAULT_START_TIME,
      ...given
    }: PcBoardOptions = {},
  ) {
    super(parent, name);
    this.params = this.resolveParams(PC_BOARD_PARAMS, given);
    checkIommu(this.path, this.params);
    this.state('machine', machineCell(this.params, startTime));
    this.devices = this.#devices;

    const hostPages = hostPagesIfAvailable();
    this.memory = new PhysicalMemory(this, 'memory', {
      ranges: ramSpans(this.#ramBytes),
      ...(hostPages === undefined ? {} : { hostPages }),
    });
    const ram = new SimpleMemory(this, 'ram', this.memory);
    const membus = new NoncoherentXBar(this, 'membus');
    this.#iobus = new NoncoherentXBar(this, 'iobus');
    membus.addMemSidePort().bind(ram.port);
    membus.addDefaultPort().bind(this.#iobus.addCpuSidePort());
    const nobody = new NoDevice(this, 'nobody');
    this.#iobus.addDefaultPort().bind(nobody.pio);

    const simulated = this.params.irqchip === 'simulated' ? this.#interruptControllers(membus) : undefined;
    const {
      cpu,
      spares = [],
      kernelInput,
      hyperV,
    } = processor(this, {
      apicId: BOOT_PROCESSOR,
      memory: this.memory,
      memoryMode: () => this.params.memoryMode,
      localApic: simulated && {
        controller: simulated.localApic,
        address: localApicAddress(BOOT_PROCESSOR),
        timerKhz: APIC_BUS_HZ / 1000,
      },
      coalescible: [PORTS.post, PORTS.delay].map(({ start, sizeBytes }) => ({
        ...{ addr: start, size: sizeBytes },
        isPort: true,
      })),
      startSeconds: Math.floor(startTime),
      haltedForGood: () => {
        if (!this.power.isAsleep) this.root.exitSimLoop(PcExitCause.haltedForGood);
      },
    });
    this.cpus = [cpu, ...spares];
    cpu.dataPort.bind(membus.addCpuSidePort());
    // What crosses the edge of a device comes back in bytes.
    nobody.bytes.bind(membus.addCpuSidePort());
    simulated?.localApic.connect(this.#executingCpu());
    const lines = simulated ?? this.#kernelLines(kernelInput);

    const sleepTypes = { s3SleepType: SUSPEND_TYPE, s5SleepType: SOFT_OFF_TYPE };
    this.power = this.#device(
      new AcpiPm(
        this,
        'power',
        { base: PORTS.pmEvent.start, ...sleepTypes },
        simulated && this.#suspendToRam(simulated),
      ),
    );
    this.power.sci.connect(lines.irq(IRQS.sci));
    this.#timers(lines, startTime);
    this.serialPorts = [this.#serialPort(1, serial[0], lines), this.#serialPort(2, serial[1], lines)];
    this.#pciHost = this.#device(
      new PciHost(this, 'pciHost', this.#resets(lines), {
        memoryBase: MMIO.pci.start,
        memoryEnd: MMIO.pci.start + MMIO.pci.sizeBytes,
        ioBase: pciPorts(this.params.testDevice).start,
      }),
    );
    const memoryMode = () => this.params.memoryMode;
    const pci = { host: this.#pciHost, membus, iommu: simulated?.iommu, memoryMode, irq: lines.irq };
    addPciFunctions(pci, this.params);
    this.#device(new PostPort(this, 'post'));
    this.#device(new TestExit(this, 'testExit', { base: portAddress(PORTS.debugExit.start) }));
    if (this.params.testDevice) this.#testDevices(lines, hyperV);
    this.pseudoInstructions = new PseudoInstructions(this, 'pseudoInstructions', () => this.cpu);
    const m5 = { base: asPhysAddr(MMIO.m5ops.start), pseudoInstructions: this.pseudoInstructions };
    this.#device(new M5Window(this, 'm5Window', m5));
  }

  /**
   * Loads an image into memory; the processor starts it when the simulation starts.
   * @throws FatalError in one line if it cannot be loaded
   */
  boot(request: Omit<BootRequest, 'memory' | 'layout'>): BootStart {
    this.#start = loadBoot({ ...request, memory: this.memory, layout: this.layout });
    const { name: image, commandLine = '' } = request;
    this.addToConfig({ image, imageKind: this.#start.kind, commandLine });
    return this.#start;
  }

  override initState(): void {
    if (this.#start === undefined)
      throw new FatalError(`${this.path}: nothing to execute: boot an image or restore a checkpoint`);
    const windows = { io: pciPorts(this.params.testDevice), memory: MMIO.pci };
    assignPciResources(this.#pciHost.functions, windows);
    const context = this.cpu.modifyState(RegClass.all);
    applyBootState(context, this.#start);
    // Simulated, the local APIC knows by itself; in the host's kernel it is as the context says.
    const { BSP, DEFAULT_ADDRESS, ENABLE } = ApicBase;
    context.set(OFFSET.apicBase, BigInt(DEFAULT_ADDRESS + ENABLE + BSP));
  }

  /** The CPU that executes the processor's thread at present. */
  get cpu(): ProcessorCpu {
    return this.cpus.find(({ isSwitchedOut }) => !isSwitchedOut) ?? panic(this.path, 'no CPU executes');
  }

  /** The CPU that was executing when the checkpoint was taken has the port to the bus. */
  override restored(): void {
    const { cpu, cpus } = this;
    const bound = cpus.find(({ dataPort }) => dataPort.isBound);
    if (bound !== undefined && bound !== cpu) cpu.dataPort.takeOverFrom(bound.dataPort);
  }

  /** After a restore the thread's status says whether the processor runs. */
  override startup(): void {
    if (this.#start !== undefined) this.cpu.activateContext();
  }

  /** The processor, as its interrupt controller sees it, whichever CPU executes. */
  #executingCpu(): InterruptedCpu {
    const board = this;
    return {
      wakeup: () => board.cpu.wakeup(),
      readTsc: () => board.cpu.readTsc(),
      get tscHz() {
        return board.cpu.tscHz;
      },
    };
  }

  /** The 8259s and the I/O APIC, both of which hear of every ISA interrupt, and the processor's local APIC. */
  #interruptControllers(membus: NoncoherentXBar): InterruptControllers {
    const bus = new ApicBus();
    const iommu =
      this.params.iommu === 'none'
        ? undefined
        : this.#device(makeIommu(this, { bus, membus, ram: this.memory }));
    const pic = this.#device(new Pic8259Pair(this, 'pic', { biosVectors: true }));
    const ioApic = this.#device(new IoApic(this, 'ioApic', bus, { id: IO_APIC_ID }, iommu?.ioApic));
    const localApic = this.#device(
      new LocalApic(this, 'localApic', bus, pic, {
        id: BOOT_PROCESSOR,
        virtualWire: true,
        busClock: APIC_BUS_HZ,
      }),
    );
    this.#device(new MsiWindow(this, 'msi', bus));
    pic.intr.connect(localApic.lint0);
    const irq = (n: number) => fanOut(pic.input(n), ioApic.input(GSI_OVERRIDES[n] ?? n));
    return { localApic, bus, iommu, irq, gsi: (n) => ioApic.input(n) };
  }

  /** The controllers of the host's kernel know by themselves what is wired to both kinds. */
  #kernelLines(input: Processor['kernelInput']): InterruptLines {
    if (input === undefined)
      throw new FatalError(
        `${this.path}: irqchip kernel: only a KVM processor has its controllers in the kernel`,
      );
    return { irq: input, gsi: input };
  }

  #suspendToRam({ bus }: InterruptControllers): SuspendToRam {
    const lost = (reason: string): void => {
      this.root.trouble.warn(this.path, `woken from S3, but ${reason}: the machine is reset`);
      this.root.exitSimLoop(PcExitCause.reset);
    };
    const { memory } = this;
    const facs = (): number => this.layout.acpi!.facs.start;
    return suspendToRam({ bus, memory, facs, bootProcessor: BOOT_PROCESSOR, lost });
  }

  /** PIT, RTC and HPET. In legacy replacement mode the HPET has the interrupts of the other two. */
  #timers({ irq, gsi }: InterruptLines, startTime: number): void {
    const pit = this.#device(new Pit8254(this, 'pit'));
    const [low, high] = this.memory.regions;
    const rtc = this.#device(
      new RtcMc146818(this, 'rtc', {
        base: portAddress(PORTS.rtc.start),
        memoryBelow4GiB: low!.sizeBytes,
        memoryAbove4GiB: high?.sizeBytes ?? 0,
        startTime,
      }),
    );
    const hpet = this.#device(
      new Hpet(
        this,
        'hpet',
        { ioApicInput: gsi },
        { base: MMIO.hpet.start, timers: HPET_TIMERS, routes: HPET_ROUTES },
      ),
    );
    const irq0 = new LegacySwitch(this, 'irq0', irq(IRQS.pit));
    const irq8 = new LegacySwitch(this, 'irq8', irq(IRQS.rtc));
    pit.out0.connect(irq0.device);
    rtc.interrupt.connect(fanOut(irq8.device, this.power.rtcAlarm));
    hpet.legacyIrq0.connect(irq0.hpet);
    hpet.legacyIrq8.connect(irq8.hpet);
    hpet.legacyReplacement.connect(fanOut(irq0.select, irq8.select));
  }

  #serialPort(n: 1 | 2, backend: CharBackend | undefined, { irq }: InterruptLines): Uart16550 {
    const base = portAddress(PORTS[`com${n}`].start);
    const uart = this.#device(
      new Uart16550(this, `com${n}`, { base, backend: backend ?? new NullBackend() }),
    );
    uart.interrupt.connect(irq(IRQS[`com${n}`]));
    return uart;
  }

  /** What resets the machine ends the simulation: there is no firmware that would start it again. */
  #resets({ irq }: InterruptLines): ResetControl {
    const reset = () => this.root.exitSimLoop(PcExitCause.reset);
    const keyboard = this.#device(new I8042(this, 'keyboard'));
    keyboard.keyboardInterrupt.connect(irq(IRQS.keyboard));
    keyboard.mouseInterrupt.connect(irq(IRQS.mouse));
    keyboard.reset.connect({
      setLevel: (level) => {
        if (level) reset();
      },
    });
    return new ResetControl(this, 'resetControl', reset);
  }

  #testDevices({ irq, gsi }: InterruptLines, partition: HyperVPartition | undefined): void {
    const { registers, lines, memory } = TEST_DEVICE;
    const testDevice = this.#device(
      new PcTestdev(this, 'testDevice', {
        registerPort: registers.start,
        linePort: lines.start,
        memoryBase: memory.start,
        ram: this.memory,
      }),
    );
    for (const [n, line] of testDevice.lines.entries()) line.connect(n < ISA_INTERRUPTS ? irq(n) : gsi(n));
    const base = portAddress(TEST_DEVICE.hyperV.start);
    if (partition !== undefined)
      this.#device(new HypervTestdev(this, 'hyperVTestDevice', { base, partition }));
  }

  /** Puts a device on the I/O bus. */
  #device<D extends PioDevice>(device: D): D {
    this.#iobus.addMemSidePort().bind(device.pio);
    this.#devices.push(device);
    return device;
  }

  /** RAM is whole pages. */
  get #ramBytes(): number {
    return Math.floor(this.params.memorySize / PAGE) * PAGE;
  }

  /** What loaders and firmware tables say of this machine. */
  get layout(): PcLayout {
    return pcLayout({
      memorySizeBytes: this.#ramBytes,
      apicIds: [BOOT_PROCESSOR],
      ioApicId: IO_APIC_ID,
      hpetCapabilities: (HPET_REGISTERS.capabilities.reset | ((HPET_TIMERS - 1) << 8)) >>> 0,
      ...(this.params.irqchip === 'simulated' ? { suspendType: SUSPEND_TYPE } : {}),
      softOffType: SOFT_OFF_TYPE,
      centuryRegister: Cmos.century,
      hasTestDevice: this.params.testDevice,
      pciRoutes: pciRoutes(this.#pciHost.functions),
      ...(this.params.iommu === 'none' ? {} : { dmar: dmarTable(IO_APIC_ID) }),
    });
  }
}
