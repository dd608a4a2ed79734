/**
 * Writes docs/devices.md from the register tables of src/dev: `node tools/device-table.ts`. A test says whether it is
 * current, and whether every table is in it.
 */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { EDU_REGISTERS } from '../src/dev/pci/edu.ts';
import { msiRegisters } from '../src/dev/pci/pci-msi.ts';
import type { RegisterDeclaration, RegisterTable } from '../src/dev/register-file.ts';
import { UART_16550_REGISTERS } from '../src/dev/serial/uart-16550.ts';
import { PM_TIMER_REGISTERS, PM1A_CONTROL_REGISTERS, PM1A_EVENT_REGISTERS } from '../src/dev/x86/acpi-pm.ts';
import { IO_APIC_REGISTERS, IO_APIC_WINDOW } from '../src/dev/x86/apic/io-apic.ts';
import { LOCAL_APIC_REGISTERS } from '../src/dev/x86/apic/local-apic-registers.ts';
import { HPET_REGISTERS } from '../src/dev/x86/hpet.ts';
import { HPET_TIMER_REGISTERS } from '../src/dev/x86/hpet-timer.ts';
import { HYPERV_TEST_REGISTERS } from '../src/dev/x86/hyperv-testdev.ts';
import {
  I8042_COMMAND_REGISTERS,
  I8042_CONTROL_A_REGISTERS,
  I8042_DATA_REGISTERS,
} from '../src/dev/x86/i8042.ts';
import { TEST_DATA_REGISTERS, TEST_FLUSH_REGISTERS, TEST_LINE_REGISTERS } from '../src/dev/x86/pc-testdev.ts';
import { HOST_BRIDGE_REGISTERS, ISA_BRIDGE_REGISTERS } from '../src/dev/x86/pci-host-bridges.ts';
import { ELCR_REGISTERS, PIC_REGISTERS } from '../src/dev/x86/pic8259.ts';
import { PIT_REGISTERS } from '../src/dev/x86/pit8254.ts';
import { PORT61_REGISTERS } from '../src/dev/x86/port61.ts';
import { POST_PORT_REGISTERS } from '../src/dev/x86/post-port.ts';
import { RESET_REGISTERS } from '../src/dev/x86/reset-control.ts';
import { RTC_PORT_REGISTERS, RTC_REGISTERS } from '../src/dev/x86/rtc-mc146818.ts';
import { TEST_EXIT_REGISTERS } from '../src/dev/x86/test-exit.ts';
import { FAULT_RECORD_REGISTERS, VTD_REGISTERS } from '../src/dev/x86/vtd/registers.ts';

export const DOCUMENT = fileURLToPath(new URL('../docs/devices.md', import.meta.url));

interface Device {
  readonly title: string;
  /** Below src/dev. */
  readonly file: string;
  readonly about: string;
  /** Tables, and where each is. */
  readonly banks: readonly (readonly [where: string, table: RegisterTable])[];
}

export const DEVICES: readonly Device[] = [
  {
    title: 'Serial port: 16550A',
    file: 'serial/uart-16550.ts',
    about:
      'FIFOs, modem control, loopback and interrupts of the PC16550D; characters leave at once. ' +
      'Which of the registers at offsets 0 and 1 is there depends on bit 7 of `lcr` (`dlab0`, `dlab1`).',
    banks: [['eight ports from the base (COM1: 0x3f8, COM2: 0x2f8)', UART_16550_REGISTERS]],
  },
  {
    title: 'Interval timer: 8254',
    file: 'x86/pit8254.ts',
    about: 'Three counters at 1.193182 MHz; counter 0 is IRQ 0, counter 2 the speaker.',
    banks: [
      ['ports 0x40–0x43', PIT_REGISTERS],
      ['port 0x61', PORT61_REGISTERS],
    ],
  },
  {
    title: 'Real-time clock and CMOS RAM: MC146818',
    file: 'x86/rtc-mc146818.ts',
    about:
      'Simulated time from a given start; IRQ 8. Bytes 0x0e–0x7f are RAM (src/dev/x86/cmos.ts says what is where).',
    banks: [
      ['ports 0x70 and 0x71', RTC_PORT_REGISTERS],
      ['behind the data port, by index', RTC_REGISTERS],
    ],
  },
  {
    title: 'Keyboard controller: 8042',
    file: 'x86/i8042.ts',
    about: 'Self test, keyboard, optional mouse, address line 20 and reset; IRQ 1 and IRQ 12.',
    banks: [
      ['port 0x60', I8042_DATA_REGISTERS],
      ['port 0x64', I8042_COMMAND_REGISTERS],
      ['port 0x92', I8042_CONTROL_A_REGISTERS],
    ],
  },
  {
    title: 'Interrupt controllers: 8259 pair',
    file: 'x86/pic8259.ts',
    about: 'Master and slave, cascaded at input 2, with edge/level control.',
    banks: [
      ['ports 0x20 and 0x21; slave: 0xa0 and 0xa1', PIC_REGISTERS],
      ['ports 0x4d0 and 0x4d1', ELCR_REGISTERS],
    ],
  },
  {
    title: 'Local APIC',
    file: 'x86/apic/local-apic.ts',
    about: 'One per CPU; in x2APIC mode the register at offset 16 × n is MSR 0x800 + n.',
    banks: [['0xfee00000, the page of the CPU that makes the access', LOCAL_APIC_REGISTERS]],
  },
  {
    title: 'I/O APIC',
    file: 'x86/apic/io-apic.ts',
    about: '24 inputs. An entry of the redirection table is two registers: 0x10 + 2 × input, and the next.',
    banks: [
      ['0xfec00000', IO_APIC_WINDOW],
      ['behind the window, by index', IO_APIC_REGISTERS],
    ],
  },
  {
    title: 'High precision event timer',
    file: 'x86/hpet.ts',
    about: 'A 64-bit counter with a period of 10 ns, and comparators.',
    banks: [
      ['0xfed00000', HPET_REGISTERS],
      ['each timer, 0x20 apart from 0x100 on', HPET_TIMER_REGISTERS],
    ],
  },
  {
    title: 'ACPI power management',
    file: 'x86/acpi-pm.ts',
    about: 'Sleep states, power button and the power management timer; SCI is IRQ 9.',
    banks: [
      ['ports 0x600–0x603', PM1A_EVENT_REGISTERS],
      ['ports 0x604 and 0x605', PM1A_CONTROL_REGISTERS],
      ['ports 0x608–0x60b', PM_TIMER_REGISTERS],
    ],
  },
  {
    title: 'Reset control',
    file: 'x86/reset-control.ts',
    about: 'Soft, hard and full reset.',
    banks: [['port 0xcf9', RESET_REGISTERS]],
  },
  {
    title: 'PCI host',
    file: 'x86/pci-host.ts',
    about:
      'The processor turns ports 0xcf8 and 0xcfc (configuration mechanism #1) into accesses of configuration space. Two ' +
      'functions are always there; the header that every function has is declared in src/dev/pci/pci-function.ts.',
    banks: [
      ['configuration space of 00:00.0, host bridge', HOST_BRIDGE_REGISTERS],
      ['configuration space of the ISA bridge', ISA_BRIDGE_REGISTERS],
    ],
  },
  {
    title: 'IOMMU: VT-d',
    file: 'x86/vtd/intel-iommu.ts',
    about:
      'DMA and interrupt remapping for PCI functions and the I/O APIC, on a board that is asked for it ' +
      '(`board.iommu=intel`). Legacy mode: page tables of 3 and 4 levels with pages of 4 KiB, 2 MiB and 1 GiB, pass-through, ' +
      'queued and register-based invalidation, protected memory, primary fault log; extended interrupt mode with ' +
      '`board.iommu.eim=true`. Nothing is cached, and reading an entry of a table takes 30 ns (`tableLatency`). The source id ' +
      "of the I/O APIC's requests is not verified unless `verifyIoApic` says so.",
    banks: [
      ['0xfed90000', VTD_REGISTERS],
      ['each of 8 fault recording registers, 0x10 apart from 0x220 on', FAULT_RECORD_REGISTERS],
    ],
  },
  {
    title: 'Educational PCI device',
    file: 'pci/edu.ts',
    about:
      "QEMU's edu, 1234:11e8, on a board that is asked for it (`board.edu=true`). BAR 0 has 1 MiB, accessed in aligned " +
      'words of 32 bits. A factorial takes 1 ms (`factorialLatency`), a DMA transfer 1 ms before it begins (`dmaLatency`); ' +
      'addresses of memory have 28 bits (`dmaMask`). The buffer of 4 KiB, at 0x40000, is reached by DMA only.',
    banks: [
      ['BAR 0', EDU_REGISTERS],
      ['configuration space of 00:02.0, message-signaled interrupts', msiRegisters(0x40)],
    ],
  },
  {
    title: 'Test exit',
    file: 'x86/test-exit.ts',
    about: "QEMU's isa-debug-exit: a write ends the simulation.",
    banks: [['port 0xf4 and the three after it, by default', TEST_EXIT_REGISTERS]],
  },
  {
    title: 'Test device',
    file: 'x86/pc-testdev.ts',
    about:
      "QEMU's pc-testdev, for test kernels; a board has it only if it is asked for. At 0xff000000 it has 64 KiB of memory, " +
      'each access to which leaves the guest.',
    banks: [
      ['ports 0xe0–0xe3, and again 0xe8–0xeb', TEST_DATA_REGISTERS],
      ['ports 0xe4–0xe7', TEST_FLUSH_REGISTERS],
      ['ports 0x2000–0x2017, one for each input of the I/O APIC', TEST_LINE_REGISTERS],
    ],
  },
  {
    title: "Test device of Hyper-V's interface",
    file: 'x86/hyperv-testdev.ts',
    about:
      "QEMU's hyperv-testdev, for test kernels: on a board with a test device whose processor offers Hyper-V's interface. " +
      'What a message or event connection is sent arrives at the SINT of the processor that it was made for.',
    banks: [['ports 0x3000–0x3003', HYPERV_TEST_REGISTERS]],
  },
  {
    title: 'POST codes and I/O delay',
    file: 'x86/post-port.ts',
    about: 'Two ports that software writes to for show, or to pass time.',
    banks: [['port 0x80, and again port 0xed', POST_PORT_REGISTERS]],
  },
];

const HEAD = `# Devices

The registers of each device, made from the tables in \`src/dev\` by \`node tools/device-table.ts\`; edit there.

Offsets and values are hexadecimal, sizes are bytes. Access: **rw**; **ro**, writes are ignored; **wo**, cannot be read back;
**w1c**, a one that is written clears its bit. A mask after **rw** has ones where software can change bits. Devices without
registers: the window of gem5's pseudo-instructions (\`src/dev/x86/m5-window.ts\`, 64 KiB at 0xffff0000: a load calls function
number \`address[15:8]\`), and what answers where nothing is (\`src/dev/no-device.ts\`: ones).
`;

/** The document's text. */
export function renderDevices(): string {
  return [HEAD, ...DEVICES.map(renderDevice)].join('\n');
}

function renderDevice({ title, file, about, banks }: Device): string {
  const parts = banks.map(([where, table]) => `### ${capitalized(where)}\n\n${renderTable(table)}\n`);
  return [`## ${title}\n`, `\`src/dev/${file}\`. ${about}\n`, ...parts].join('\n');
}

function renderTable(table: RegisterTable): string {
  const rows = Object.entries(table).map(([name, register]) => row(name, register));
  return [
    '| offset | size | register | access | reset | what | fields |',
    '| --- | --- | --- | --- | --- | --- | --- |',
    ...rows,
  ].join('\n');
}

function row(name: string, register: RegisterDeclaration): string {
  const { at, sizeBytes, reset, when, doc, fields } = register;
  const spans = Object.entries(fields).map(([field, { high, low }]) =>
    high === low ? `${field} ${high}` : `${field} ${high}:${low}`,
  );
  const what = when === undefined ? doc : `${doc} (\`${when}\`)`;
  const cells = [
    digits(at),
    sizeBytes,
    `\`${name}\``,
    access(register),
    digits(reset),
    what,
    spans.join(', '),
  ];
  return `| ${cells.join(' | ')} |`;
}

function access({ access, writable, sizeBytes }: RegisterDeclaration): string {
  const isWhole = writable === 2 ** (8 * sizeBytes) - 1;
  return access === 'ro' || isWhole ? access : `${access} ${digits(writable)}`;
}

const digits = (value: number): string => (value >>> 0).toString(16);
const capitalized = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

if (import.meta.main) writeFileSync(DOCUMENT, renderDevices());
