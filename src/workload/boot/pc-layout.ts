/**
 * What the loader and the ACPI tables have to know about a PC: where its RAM, its reserved windows and its devices
 * are. Plain records that a board fills, so that the address map is written down once, in the board.
 */

/** A piece of the physical address space. */
export interface Span {
  readonly start: number;
  readonly sizeBytes: number;
}

/** Kinds of memory in an E820 map, ACPI specification 6.5 table 15.8; the values are those of the map's entries. */
export const MemoryType = { ram: 1, reserved: 2, acpi: 3, nvs: 4, unusable: 5 } as const;
export type MemoryType = (typeof MemoryType)[keyof typeof MemoryType];

/** A piece of the address space that an operating system must not take for plain RAM. */
export interface Claim extends Span {
  readonly type: MemoryType;
  /** Who claims it, for messages: `'BIOS area'`. */
  readonly what: string;
}

/** The memory of a PC and what its firmware leaves there. */
export interface PcLayout {
  /** Installed RAM; the first span starts at 0. */
  readonly ram: readonly Span[];
  /** What is not for the operating system: BIOS area, windows of devices. May lie inside RAM or outside of it. */
  readonly claims: readonly Claim[];
  /** Extended BIOS data area, in RAM, the last KiBs below 640 KiB. */
  readonly ebda: Span;
  /** Whether a BIOS has F0000H–FFFFFH, reserved RAM: then handlers of real-mode interrupts are written there. */
  readonly hasBios?: boolean;
  /** Where the ACPI tables go; without it no tables are written. */
  readonly acpi?: AcpiLayout;
}

export interface AcpiLayout {
  /** Where the RSDP goes: a multiple of 16 in 0xe0000…0xfffff, where operating systems search for it. */
  readonly rsdpAddress: number;
  /** RAM that takes all tables but FACS; E820 says "ACPI reclaimable". A multiple of 4 KiB; 64 KiB are plenty. */
  readonly tables: Span;
  /** RAM that takes FACS; E820 says "ACPI NVS", since firmware and operating system share it. One page. */
  readonly facs: Span;
  readonly machine: PcTables;
}

/** How an interrupt input is driven. ISA devices are edge-triggered, active high. */
export interface InterruptWiring {
  readonly trigger: 'edge' | 'level';
  readonly polarity: 'high' | 'low';
}

/** The devices of a PC as ACPI describes them. Ports are I/O ports, addresses physical ones. */
export interface PcTables {
  /** One per processor, in the order of their ACPI processor UIDs 0, 1, … */
  readonly processors: readonly { readonly apicId: number; readonly enabled: boolean }[];
  readonly localApicAddress: number;
  readonly ioApics: readonly {
    readonly id: number;
    readonly address: number;
    /** Global system interrupt of its input 0. */
    readonly firstGsi: number;
  }[];
  /** ISA interrupts that do not arrive edge-triggered at the global system interrupt of the same number. */
  readonly interruptOverrides: readonly (InterruptWiring & { readonly irq: number; readonly gsi: number })[];
  /** Local interrupt input (LINT0 or LINT1) of every processor that NMI is wired to. */
  readonly nmiLint: 0 | 1;
  readonly power: PowerTables;
  readonly hpet?: HpetTable;
  readonly rtc?: PortDevice & {
    /** Index of the CMOS byte that holds the century; 0 if there is none. */
    readonly centuryRegister: number;
  };
  /** 16550s, in the order of their UIDs: COM1 first. */
  readonly serialPorts: readonly PortDevice[];
  /** The i8042 with its data port at 0x60 and its command port at 0x64. */
  readonly keyboardController?: { readonly keyboardIrq: number; readonly mouseIrq: number };
  readonly pci?: PciTables;
  /** The IOMMU; undefined: there is none. */
  readonly dmar?: DmarTable;
}

/** A device with one block of I/O ports and one ISA interrupt. */
export interface PortDevice {
  readonly port: number;
  readonly portCount: number;
  readonly irq: number;
}

/** The ACPI fixed hardware, ACPI specification §4.8. */
export interface PowerTables {
  /** The ISA interrupt of the system control interrupt. */
  readonly sciIrq: number;
  /** PM1a_EVT (4 bytes: status, enable), PM1a_CNT (2 bytes) and PM_TMR (4 bytes). */
  readonly eventPort: number;
  readonly controlPort: number;
  readonly timerPort: number;
  readonly timerBits: 24 | 32;
  /** What SLP_TYPa must hold for suspend to RAM (S3) when SLP_EN is written; undefined: there is no S3. */
  readonly suspendType?: number;
  /** The same for soft-off (S5). */
  readonly softOffType: number;
  /** Whether PM1 has a power button (PWRBTN_STS). */
  readonly powerButton: boolean;
  /** Writing `value` to `port` resets the machine. */
  readonly reset: { readonly port: number; readonly value: number };
}

export interface HpetTable {
  readonly address: number;
  /** The low 32 bits of its General Capabilities and ID register. */
  readonly capabilities: number;
  /** The smallest period in periodic mode that loses no interrupts, in ticks of its counter. */
  readonly minimumTicks: number;
}

/** The PCI host bridge: what it forwards to its bus. */
export interface PciTables {
  readonly lastBus: number;
  /** Ports of configuration mechanism #1, consumed by the bridge itself. */
  readonly configPorts: Span;
  readonly ioWindows: readonly Span[];
  /** Below 4 GiB. */
  readonly memoryWindows: readonly Span[];
  /** Where INTA…INTD (pin 0…3) of the devices arrive. */
  readonly routes: readonly { readonly device: number; readonly pin: 0 | 1 | 2 | 3; readonly gsi: number }[];
}

/** An I/O APIC or an HPET, as the IOMMU sees it. */
export interface DmarScope {
  /** APIC id, or number of the HPET. */
  readonly id: number;
  /** Where its requests come from; function 0. */
  readonly bus: number;
  readonly device: number;
}

/** Remapping hardware for all PCI functions: VT-d specification, chapter "BIOS Considerations". */
export interface DmarTable {
  /** Widest address of DMA. */
  readonly addressBits: number;
  /** Address of its registers. */
  readonly registers: number;
  readonly ioApics: readonly DmarScope[];
  readonly hpets: readonly DmarScope[];
}
