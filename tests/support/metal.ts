// The bare-metal guests of tests/guests/metal: what each is, where it can run, and how to run it on hypertick and on
// QEMU's software emulation, which is the other opinion on what a PC does.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { probeHost } from '../../src/host/probe.ts';
import { hypertick, kvmIsMissing, type Outcome, ROOT, run, scratchDirectory } from './hypertick.ts';

export const METAL = join(ROOT, 'tests', 'guests', 'metal');
export const QEMU = '/usr/bin/qemu-system-x86_64';

/** Main returned 0, and the guest wrote that to the test-exit port. */
const ALL_RIGHT = 1;

export interface MetalGuest {
  /** Name of the image, and of the file with the expected text if `text` does not say otherwise. */
  readonly image: string;
  readonly text?: string;
  /** The guest's command line. */
  readonly append?: string;
  /** What is typed on the serial port. */
  readonly input?: string;
  /** Options of `hypertick boot`. */
  readonly options?: readonly string[];
  /** Exit statuses; 1, which is 0 from the guest's main, where nothing is said. */
  readonly status?: { readonly hypertick: number; readonly qemu?: number };
  /** What hypertick says on standard error beside warnings. */
  readonly message?: RegExp;
  /** Why QEMU as a machine is no judge of this. */
  readonly notQemu?: string;
  /** Why the processor that QEMU emulates is no judge of this, neither in QEMU itself nor in a KVM that runs on it. */
  readonly notTcg?: string;
  /** Why KVM on the processor that QEMU emulates gives another text. */
  readonly notNested?: string;
  /** Why KVM that emulates ring 0 (PVM) cannot run this. */
  readonly notPvm?: string;
  /** Whether it is run with the kernel's interrupt controllers too: where these are as faithful as the simulated ones. */
  readonly kernelIrqchip?: true;
}

const NO_IRET32 = 'no IRET of 32-bit code in the emulation of ring 0';
const NO_INT = 'no INT n in the emulation of ring 0';
const NO_FLOATING_POINT = 'no x87 and SSE in the emulation of ring 0';
const NO_32_BIT_PAGING = 'guests page in long mode only';
const LATE_INTERRUPTS = 'the emulation of ring 0 takes interrupts between instructions only now and then';
const NO_DATA_BREAKPOINTS = 'the emulation of ring 0 knows no breakpoints on data and ports';
const HOST_TSC = "the guest reads the host's TSC";

const NO_MSR_CHECKS = 'it lets unknown MSRs and reserved bits pass';
const NO_REFERENCE = 'there is nothing to compare: the machine goes on for ever';

export const METAL_GUESTS: readonly MetalGuest[] = [
  { image: 'boot32', append: 'one two=2' },
  { image: 'boot64', append: 'one two=2' },
  { image: 'boot-elf64', text: 'boot64', append: 'one two=2' },
  { image: 'boot-flat', text: 'boot64', append: 'one two=2' },
  { image: 'ports32' },
  { image: 'ports64' },
  { image: 'pci' },
  { image: 'mmio32' },
  { image: 'mmio64' },
  { image: 'realmode', kernelIrqchip: true },
  { image: 'pic32', notPvm: NO_IRET32 },
  { image: 'pic64', kernelIrqchip: true },
  { image: 'pic-poll' },
  { image: 'apic32', notPvm: NO_IRET32 },
  { image: 'apic64' },
  { image: 'x2apic', notQemu: 'it has no x2APIC, and lets its MSRs pass' },
  { image: 'ioapic' },
  { image: 'shadows32', notPvm: LATE_INTERRUPTS },
  { image: 'shadows64', notPvm: LATE_INTERRUPTS },
  { image: 'exceptions32', notPvm: NO_IRET32 },
  { image: 'exceptions64' },
  { image: 'traps32', notPvm: NO_INT },
  { image: 'traps64', notPvm: NO_INT },
  { image: 'protection', notTcg: NO_MSR_CHECKS },
  { image: 'debug32', notPvm: NO_IRET32 },
  { image: 'debug64', notPvm: NO_DATA_BREAKPOINTS },
  { image: 'debug-detect', notTcg: 'it has neither general detect nor INT1', notPvm: NO_INT },
  { image: 'ring3' },
  { image: 'syscalls', notPvm: NO_INT },
  { image: 'paging' },
  { image: 'paging32', notPvm: NO_32_BIT_PAGING },
  { image: 'no-execute', notTcg: 'it reports reserved bits as a page that is not present' },
  { image: 'msr' },
  { image: 'tsc', notQemu: 'its TSC cannot be written', notPvm: HOST_TSC },
  { image: 'tsc-rate', notPvm: HOST_TSC },
  { image: 'cpuid' },
  { image: 'fpu', notPvm: NO_FLOATING_POINT },
  {
    image: 'avx',
    notPvm: NO_FLOATING_POINT,
    notNested: 'its XSAVE loses SSE and AVX at ways out of the guest',
  },
  { image: 'fpu-faults', notTcg: 'it leaves these out', notPvm: NO_FLOATING_POINT },
  { image: 'timers' },
  { image: 'pit', kernelIrqchip: true },
  {
    image: 'pit-gate',
    notQemu: 'its gates do not stop counters',
  },
  { image: 'rtc', kernelIrqchip: true },
  { image: 'uart', kernelIrqchip: true },
  { image: 'echo', input: '\n\n\n>hello, machine\n' },
  { image: 'acpi' },
  { image: 'm5ops', notQemu: 'they are ours and gem5’s', status: { hypertick: 0 } },
  {
    image: 'nested',
    notQemu: 'interrupts have failed to end its guest while the host was busy',
    options: ['--irqchip', 'kernel', '--param', 'board.cpu.features=+svm'],
    notPvm: 'it offers guests no SVM',
  },
  { image: 'checkpoint', kernelIrqchip: true },
  { image: 'checkpoint', text: 'checkpoint-fpu', append: 'fpu', notPvm: NO_FLOATING_POINT },
  { image: 'power', text: 'power-off', append: 'off', status: { hypertick: 0, qemu: 0 } },
  ...['cf9', 'i8042', 'port-92'].map((way) => ({
    image: 'power',
    text: `power-${way}`,
    append: way,
    status: { hypertick: 122, qemu: 0 },
    message: /^hypertick: the guest reset the machine; see out\/crash\.txt\n$/,
  })),
  ...['triple-fault32', 'triple-fault64'].map((image) => ({
    image,
    status: { hypertick: 122, qemu: 0 },
    message: /^hypertick: the processor shut down after a triple fault; see out\/crash\.txt\n$/,
  })),
  {
    image: 'halted',
    notQemu: NO_REFERENCE,
    status: { hypertick: 122 },
    message:
      /^hypertick: the guest halted for good: HLT with interrupts off, or INIT without STARTUP; see out\/crash\.txt\n$/,
  },
  ...['spin32', 'spin64'].map((image) => ({
    image,
    notQemu: NO_REFERENCE,
    options: ['--max-ticks', '100ms'],
    status: { hypertick: 124 },
    message: /^hypertick: stopped at tick 100000000000 by --max-ticks\n$/,
  })),
];

/** A guest's name in the titles of tests. */
export const titleOf = ({ image, append }: MetalGuest): string =>
  append === undefined ? image : `${image} ${append}`;
export const imageOf = ({ image }: MetalGuest): string => join(METAL, 'images', image);
/** The text that the guest has to print, without the lines of figures. */
export const expectedText = ({ image, text = image }: MetalGuest): string =>
  readFileSync(join(METAL, 'expected', `${text}.txt`), 'utf8');
export const expectedStatus = ({ status }: MetalGuest): number => status?.hypertick ?? ALL_RIGHT;
export const expectedQemuStatus = ({ status }: MetalGuest): number => status?.qemu ?? ALL_RIGHT;

/** What counts of a guest's output: all but the lines that begin with `#`, which hold figures for readers. */
export const textOf = (output: Buffer): string => output.toString('latin1').replace(/^#.*\n/gm, '');
/** What hypertick says beside its warnings. */
export const messagesOf = (stderr: string): string => stderr.replace(/^hypertick: warn: .*\n/gm, '');

/** Boots a guest on hypertick; its files go to `out` in the directory `cwd`. */
export function bootMetal(guest: MetalGuest, cwd: string, options: readonly string[] = []): Outcome {
  const { append, input } = guest;
  const args = ['boot', '--cpu', 'kvm', '--outdir', 'out', ...(guest.options ?? []), ...options];
  if (append !== undefined) args.push('--append', append);
  return hypertick([...args, imageOf(guest)], { cwd, ...(input === undefined ? {} : { input }) });
}

/** Boots a guest on hypertick in a directory of its own: it prints what it has to, and ends as it has to. */
export function assertRight(t: TestContext, guest: MetalGuest, options: readonly string[] = []): void {
  const { stdout, stderr, status } = bootMetal(guest, scratchDirectory(t), options);
  assert.equal(textOf(stdout), expectedText(guest), stderr);
  assert.equal(status, expectedStatus(guest), stderr);
  if (guest.message !== undefined) assert.match(messagesOf(stderr), guest.message);
}

/** Boots a guest on QEMU's software emulation. A reset ends QEMU with status 0. */
export function bootQemu(guest: MetalGuest): Outcome {
  const { append, input } = guest;
  const machine = ['-accel', 'tcg', '-cpu', 'max', '-m', '128', '-no-reboot'];
  const devices = ['-device', 'isa-debug-exit,iobase=0xf4,iosize=4', '-serial', 'stdio', '-monitor', 'none'];
  const without = ['-display', 'none', '-vga', 'none', '-nic', 'none'];
  const kernel = ['-kernel', imageOf(guest), ...(append === undefined ? [] : ['-append', append])];
  return run(QEMU, [...machine, ...devices, ...without, ...kernel], input === undefined ? {} : { input });
}

/** Why a guest cannot run under this host's KVM; false if it can. */
export function reasonAgainst(guest: MetalGuest): string | false {
  const noKvm = kvmIsMissing();
  if (noKvm !== false) return noKvm;
  const { kvm, processor } = probeHost();
  if (!kvm.available) return kvm.reason;
  if (kvm.flavour === 'pvm' && guest.notPvm !== undefined) return `under PVM: ${guest.notPvm}`;
  const nested = guest.notTcg ?? guest.notNested;
  if (processor.model.includes('QEMU TCG') && nested !== undefined)
    return `on QEMU's emulated processor: ${nested}`;
  return false;
}
