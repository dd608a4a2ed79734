/**
 * Writes docs/machine.md from the board's own map: `node tools/machine-map.ts`. A test says whether it is current, and
 * whether the devices of a board are where the map says.
 */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import {
  ACPI_NVS_BYTES,
  ACPI_TABLES_BYTES,
  FIRMWARE,
  GSI_OVERRIDES,
  HIGH_RAM_START,
  HPET_ROUTES,
  IOMMU,
  IRQ_TEXTS,
  IRQS,
  LOW_RAM_LIMIT,
  MMIO,
  PCI_IRQS,
  PCI_SLOTS,
  type Place,
  PORTS,
  pciPorts,
  RSDP_ADDRESS,
  TEST_DEVICE,
} from '../src/system/pc-map.ts';

export const DOCUMENT = fileURLToPath(new URL('../docs/machine.md', import.meta.url));

const HEAD = `# The machine

Where everything is on the \`PcBoard\` that \`hypertick boot\` starts. Made from \`src/system/pc-map.ts\` by
\`node tools/machine-map.ts\`; edit there. The ACPI tables and the memory map (E820) that a guest sees come from the same data.

One x86-64 processor, RAM, and the devices that a PC's operating systems expect. There is no firmware: images and kernels are
put into memory and started as their boot protocols say. No display, no disk, no network.
`;

const foot = (): string => `## Details

- **Nobody there**: reads of addresses and ports that are nobody's give ones, writes vanish.
- **Local APIC**: as a PC's firmware leaves it: enabled, LINT0 is the 8259's interrupt, LINT1 is NMI. Its timer counts at
  1 GHz before its divider.
- **8259 and I/O APIC** hear of the same ISA interrupts; to whom it listens is the guest's choice.
- **Address line 20** is always open; the bits that close it are kept and have no effect.
- **ACPI** mode is on from the start. SLP_TYP 5 is soft-off: it ends the simulation. The PM timer has 32 bits.
- **Reset**, by port 0xcf9, by the keyboard controller, by port 0x92 or by a triple fault, ends the simulation, too:
  see [cli.md](cli.md).
${testDevice()}
- **IOMMU**, if \`--param board.iommu=intel\` asks for it: registers at ${span(IOMMU, 8)}, ACPI table DMAR. It is between
  the PCI functions and memory, and between the I/O APIC and the local APIC: it needs the simulated interrupt controllers.
- **PCI**: every BAR has its place in the windows, every interrupt line its number, as if firmware had been there. The only
  function beside the bridges is QEMU's edu, at 00:0${PCI_SLOTS.edu}.0, if \`--param board.edu=true\` asks for it. With the
  kernel's interrupt controllers its MSIs lead nowhere.
- **Pseudo-instructions**: a load from \`0xffff0000 + (number << 8)\` executes gem5's pseudo-instruction of that number for
  the processor that loads. Arguments are in RDI, RSI, RDX, RCX, R8, R9; the result is what is loaded. There are \`rpns\`,
  \`exit\`, \`fail\`, \`sum\`, \`init_param\` (0), \`reset_stats\`, \`dump_stats\`, \`dump_reset_stats\`, \`checkpoint\`,
  \`read_file\` (an empty file), \`switch_cpu\`, \`panic\`, \`work_begin\` and \`work_end\`. The opcode form (0F 04) is an
  invalid opcode to a guest kernel under KVM.
`;

/** The document's text. */
export function renderMachine(): string {
  return [HEAD, memory(), ports(), interrupts(), foot()].join('\n');
}

function memory(): string {
  const low = `0x${LOW_RAM_LIMIT.toString(16)}`;
  const ram: Place[] = [
    { start: 0, sizeBytes: FIRMWARE.ebda.start, what: 'RAM' },
    FIRMWARE.ebda,
    { ...FIRMWARE.biosArea, what: `${FIRMWARE.biosArea.what} at 0x${RSDP_ADDRESS.toString(16)}` },
    { start: 0x10_0000, sizeBytes: LOW_RAM_LIMIT - 0x10_0000, what: 'RAM, as much as there is' },
  ];
  const rows = [...ram, ...inOrder(MMIO)].map((place) => `| ${span(place, 8)} | ${place.what} |`);
  return `## Memory

| physical address | what |
| --- | --- |
${rows.join('\n')}
| ${hex(HIGH_RAM_START, 9)}… | RAM beyond ${low} (3 GiB) |

The last ${kib(ACPI_TABLES_BYTES + ACPI_NVS_BYTES)} of RAM below 3 GiB hold the ACPI tables (${kib(ACPI_TABLES_BYTES)}, \
reclaimable) and the FACS (${kib(ACPI_NVS_BYTES)}, NVS).
`;
}

function ports(): string {
  const rows = inOrder(PORTS).map((place) => `| ${span(place, 4)} | ${place.what} |`);
  return `## I/O ports

| ports | what |
| --- | --- |
${rows.join('\n')}
`;
}

function interrupts(): string {
  const rows = Object.entries(IRQS).map(([name, irq]) => {
    const gsi = GSI_OVERRIDES[irq] ?? irq;
    return `| ${irq} | ${gsi} | ${IRQ_TEXTS[name as keyof typeof IRQS]} |`;
  });
  const routed = Array.from({ length: 24 }, (_, n) => n).filter((n) => (HPET_ROUTES >>> n) & 1);
  const pciIrqs = [...new Set(PCI_IRQS)].join(', ');
  return `## Interrupts

| 8259 | I/O APIC | whose |
| --- | --- | --- |
${rows.join('\n')}
| ${pciIrqs} | ${pciIrqs} | INTA to INTD of PCI functions, in turn |
| – | ${routed[0]}–${routed.at(-1)} | HPET timers, as they are routed |
`;
}

function testDevice(): string {
  const { registers, lines, hyperV, memory } = TEST_DEVICE;
  const places = [`ports ${span(registers, 4)} and ${span(lines, 4)}`, span(memory, 8)].join(', ');
  const first = hex(pciPorts(true).start, 4);
  return `- **Test device**, if \`--test-device\` asks for it: ${places}.
  With Hyper-V's interface (\`board.cpu.hyperV\`) another one has ports ${span(hyperV, 4)}.
  PCI has the ports from ${first} on then. [devices.md](devices.md) has its registers.`;
}

const kib = (sizeBytes: number): string => `${sizeBytes / 1024} KiB`;

function inOrder(places: Readonly<Record<string, Place>>): Place[] {
  return Object.values(places).sort((a, b) => a.start - b.start);
}

function span({ start, sizeBytes }: Place, digits: number): string {
  return sizeBytes === 1 ? hex(start, digits) : `${hex(start, digits)}–${hex(start + sizeBytes - 1, digits)}`;
}

function hex(n: number, digits: number): string {
  return `0x${n.toString(16).padStart(digits, '0')}`;
}

if (import.meta.main) writeFileSync(DOCUMENT, renderMachine());
