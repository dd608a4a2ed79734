/**
 * Linux kernels: bzImage by the 64-bit boot protocol, or the 32-bit one where the kernel has no 64-bit entry point;
 * vmlinux (ELF) at its entry point, which takes the same boot_params. Linux's Documentation/arch/x86/boot.rst.
 */
import { ExecError } from '../elf.ts';
import type { BareElf } from './bare-elf.ts';
import { BOOT_PARAMS_BYTES, buildBootParams, plainSetupHeader } from './boot-params.ts';
import type { BootState } from './boot-state.ts';
import { placeSegments } from './elf-image.ts';
import type { ImageBytes } from './image-bytes.ts';
import type { LoadContext, Loaded } from './load-context.ts';
import type { LoadPlan } from './load-plan.ts';
import { allocateLow, cString, enterLongMode, enterProtectedMode, placeLow } from './loader-areas.ts';
import { entryOffset, parseSetupHeader, spell } from './setup-header.ts';

/** What vmlinux cannot say about itself: x86's COMMAND_LINE_SIZE without the NUL, and the limit that bzImages name. */
const VMLINUX_COMMAND_LINE_SIZE = 2047;
const VMLINUX_INITRD_ADDRESS_MAX = 0x7fff_ffff;
const PAGE = 4096;
const ONE_MIB = 0x10_0000;

/** What bzImage and vmlinux have in common once the kernel itself has its place. */
interface KernelFacts {
  readonly header: Uint8Array;
  readonly loadAddress: number;
  readonly commandLineSize: number;
  readonly initrdAddressMax: number;
}

export function loadBzImage(image: ImageBytes, plan: LoadPlan, context: LoadContext): Loaded {
  const header = parseSetupHeader(image);
  plan.reserve('the kernel', header.loadAddress, header.neededBytes);
  plan.write(header.loadAddress, header.kernel);
  const params = placeParameters(plan, context, { ...header, header: header.bytes });
  const entry = header.loadAddress + entryOffset(header);
  const way = header.has64BitEntry ? '64-bit' : '32-bit';
  return {
    description: `Linux ${header.kernelVersion} (boot protocol ${spell(header.protocol)}, ${way} entry point)`,
    state: enter(plan, header.has64BitEntry ? 64 : 32, entry, params),
  };
}

export function loadVmlinux(elf: BareElf, plan: LoadPlan, context: LoadContext): Loaded {
  placeSegments(elf, plan);
  const params = placeParameters(plan, context, {
    header: plainSetupHeader(),
    loadAddress: Math.min(...elf.segments.map((segment) => segment.address)),
    commandLineSize: VMLINUX_COMMAND_LINE_SIZE,
    initrdAddressMax: VMLINUX_INITRD_ADDRESS_MAX,
  });
  return {
    description: `Linux (vmlinux, ${elf.bits}-bit ELF)`,
    state: enter(plan, elf.bits, elf.entry, params),
  };
}

/** Both protocols: interrupts off, flat segments, (R|E)SI points to boot_params, EBP, EDI and EBX are zero. */
function enter(plan: LoadPlan, bits: 32 | 64, address: number, params: number): BootState {
  const entry = { address, gpr: { rsi: params } };
  return bits === 64 ? enterLongMode(plan, entry) : enterProtectedMode(plan, entry);
}

/** Places command line, initrd and boot_params; returns the address of the last. */
function placeParameters(plan: LoadPlan, context: LoadContext, kernel: KernelFacts): number {
  if (context.modules.length > 0) {
    throw new ExecError(plan.name, 'is a Linux kernel, which takes one initrd and no modules');
  }
  const commandLine = cString(context.commandLine);
  if (commandLine.length - 1 > kernel.commandLineSize) {
    const lengths = `${commandLine.length - 1} bytes, this kernel takes ${kernel.commandLineSize}`;
    throw new ExecError(plan.name, `the command line has ${lengths}`, 'E2BIG');
  }
  const params = allocateLow(plan, 'boot_params', BOOT_PARAMS_BYTES, PAGE);
  const page = buildBootParams({
    header: kernel.header,
    loadAddress: kernel.loadAddress,
    commandLineAddress: placeLow(plan, 'the command line', commandLine),
    initrd: placeInitrd(plan, context.initrd, kernel.initrdAddressMax),
    map: context.map,
    rsdpAddress: context.rsdp?.address ?? 0,
  });
  plan.write(params, page);
  return params;
}

/** As high as the kernel allows, so that it is out of the kernel's way. */
function placeInitrd(plan: LoadPlan, initrd: Uint8Array | undefined, addressMax: number) {
  if (initrd === undefined || initrd.length === 0) return undefined;
  const below = addressMax + 1;
  const start = plan.allocate('the initrd', initrd.length, { align: PAGE, from: ONE_MIB, below, top: true });
  plan.write(start, initrd);
  return { start, sizeBytes: initrd.length };
}
