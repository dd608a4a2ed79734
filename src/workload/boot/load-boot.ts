/**
 * Loads an image of any format: recognises it, plans where everything goes, and writes guest memory only when the plan
 * stands.
 */
import type { PhysicalMemory } from '../../mem/physical-memory.ts';
import { FatalError } from '../../sim/trouble.ts';
import { isElf, parseBareElf } from './bare-elf.ts';
import type { BootState } from './boot-state.ts';
import { loadElf } from './elf-image.ts';
import { placeFirmware } from './firmware.ts';
import { type FlatOptions, loadFlat } from './flat.ts';
import { ImageBytes } from './image-bytes.ts';
import { loadBzImage, loadVmlinux } from './linux.ts';
import type { BootModule, LoadContext, Loaded } from './load-context.ts';
import { LoadPlan, type Placement } from './load-plan.ts';
import { buildMemoryMap } from './memory-map.ts';
import { loadMultiboot } from './multiboot.ts';
import { loadMultiboot2 } from './multiboot2.ts';
import type { PcLayout } from './pc-layout.ts';
import { type ImageKind, recognize } from './recognize.ts';

export interface BootRequest {
  readonly image: Uint8Array;
  /** Name of the image's file: begins every message, and the command line of multiboot 1 kernels. */
  readonly name: string;
  readonly kind?: ImageKind | 'auto';
  readonly commandLine?: string;
  /** For multiboot kernels the first module. */
  readonly initrd?: Uint8Array;
  readonly modules?: readonly BootModule[];
  readonly flat?: FlatOptions;
  readonly memory: Pick<PhysicalMemory, 'write' | 'fill'>;
  readonly layout: PcLayout;
}

/** An image in memory: the processor's start state, and for logs what it is and where its parts are. */
export interface BootStart extends BootState {
  readonly kind: ImageKind;
  /** `'Linux 6.1.0 (boot protocol 2.15, 64-bit entry point)'`. */
  readonly description: string;
  readonly placements: readonly Placement[];
}

/**
 * Puts an image, what it is told and the firmware's tables into memory.
 * @returns the state in which the processor starts
 * @throws FatalError (ExecError where the image is to blame) with one line; memory is untouched then
 */
export function loadBoot(request: BootRequest): BootStart {
  const image = new ImageBytes(request.image, request.name);
  if (image.sizeBytes === 0) throw image.error('is empty');
  checkTexts(request);
  const kind = kindOf(image, request);
  if (request.flat !== undefined && kind !== 'flat') {
    const remedy = request.kind === kind ? '' : '; the kind flat takes it as one';
    throw new FatalError(
      `${request.name}: load address, entry point and mode are for flat images, this is ${kind}${remedy}`,
    );
  }
  const map = buildMemoryMap(request.layout);
  const plan = new LoadPlan(request.name, map);
  const context: LoadContext = {
    commandLine: request.commandLine ?? '',
    initrd: request.initrd,
    modules: request.modules ?? [],
    map,
    rsdp: placeFirmware(plan, request.layout),
  };
  const { state, description } = load(kind, image, plan, context, request.flat ?? {});
  plan.commit(request.memory);
  return { ...state, kind, description, placements: plan.placements };
}

function kindOf(image: ImageBytes, { kind = 'auto' }: BootRequest): ImageKind {
  return kind === 'auto' ? recognize(image, () => parseBareElf(image)) : kind;
}

function load(
  kind: ImageKind,
  image: ImageBytes,
  plan: LoadPlan,
  context: LoadContext,
  flat: FlatOptions,
): Loaded {
  switch (kind) {
    case 'linux':
      if (isElf(image)) return loadVmlinux(parseBareElf(image), plan, context);
      return loadBzImage(image, plan, context);
    case 'multiboot':
      return loadMultiboot(image, plan, context);
    case 'multiboot2':
      return loadMultiboot2(image, plan, context);
    case 'elf':
      refuseExtras(image, context);
      if (!isElf(image)) throw image.error('is not an ELF file');
      return loadElf(parseBareElf(image), plan);
    case 'flat':
      refuseExtras(image, context);
      return loadFlat(image, flat, plan);
  }
}

/** Formats that have no way to tell the image about these. */
function refuseExtras(image: ImageBytes, context: LoadContext): void {
  const extras = [
    context.commandLine === '' ? undefined : 'command line',
    context.initrd === undefined ? undefined : 'initrd',
    context.modules.length === 0 ? undefined : 'modules',
  ].filter((extra) => extra !== undefined);
  if (extras.length === 0) return;
  const what = 'a flat or plain ELF image takes none (multiboot and Linux kernels do)';
  throw new FatalError(`${image.name}: no way to hand over ${extras.join(' and ')}: ${what}`);
}

/** Texts end at their first NUL byte: one inside would silently cut them. */
function checkTexts({ name, commandLine = '', modules = [] }: BootRequest): void {
  const texts = [name, commandLine, ...modules.map((module) => module.text)];
  if (texts.some((text) => text.includes('\0'))) {
    throw new FatalError(
      `${name.replaceAll('\0', '?')}: a NUL byte in a name or command line cannot be handed over`,
    );
  }
}
