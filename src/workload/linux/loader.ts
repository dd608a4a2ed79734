/**
 * Starts a program in an empty address space, as Linux's execve does: segments, the program's own loader,
 * heap, stack. Follows fs/binfmt_elf.c.
 */
import { type ElfImage, type ElfSegment, ExecError, PROGRAM_HEADER_SIZE, parseElf } from '../elf.ts';
import type { AddressSpace } from './address-space.ts';
import type { AuxValues } from './auxv.ts';
import type { FileSource } from './file-source.ts';
import { MapFlag, Prot } from './memory-flags.ts';
import { buildStack, type InitialStack, stackBytesNeeded } from './stack.ts';
import { GuestFault, type UserMemory } from './user-memory.ts';
import { PAGE_SIZE, pageCeil, pageFloor } from './vma.ts';

/** Opens a program or its loader by the path that the guest sees; throws ExecError (elf.ts) if it cannot. */
export type OpenProgram = (path: string) => FileSource;

export interface LoadRequest {
  /** Absolute path in the guest's view; what AT_EXECFN and /proc/self/exe show. */
  readonly path: string;
  /** Strings are encoded as UTF-8; they hold no NUL. */
  readonly args: readonly (string | Uint8Array)[];
  readonly environment: readonly (string | Uint8Array)[];
  readonly credentials: {
    readonly uid: number;
    readonly euid: number;
    readonly gid: number;
    readonly egid: number;
  };
  /** 16 seeded bytes for AT_RANDOM. */
  readonly random: Uint8Array;
  /** CPUID.1:EDX: AT_HWCAP. */
  readonly hwcap: number;
  /** AT_HWCAP2: bit 0 ring3mwait, bit 1 fsgsbase. */
  readonly hwcap2: number;
  /** Largest signal frame in bytes: AT_MINSIGSTKSZ. */
  readonly minSignalStackBytes: number;
}

export interface LoadedProgram extends InitialStack {
  /** Where the first instruction is: in the loader, if there is one. */
  readonly entry: number;
  /** Addresses for /proc/self/stat. */
  readonly codeStart: number;
  readonly codeEnd: number;
  readonly dataStart: number;
  readonly dataEnd: number;
}

/** Where an image was put. */
interface Placed {
  readonly image: ElfImage;
  /** What was added to the addresses of the image. */
  readonly bias: number;
  readonly end: number;
}

const CLOCK_TICKS = 100;
const TOO_LITTLE_MEMORY = 'does not fit into guest memory, give it more with --memory';
/** Linux's stack_expand in setup_arg_pages: what is mapped beyond the strings to begin with. */
const INITIAL_STACK = 131_072;

/** Loads the program. Throws ExecError; the address space is then half filled and of no further use. */
export function loadProgram(
  space: AddressSpace,
  memory: UserMemory,
  open: OpenProgram,
  request: LoadRequest,
): LoadedProgram {
  try {
    return load(space, memory, open, request);
  } catch (error) {
    if (!(error instanceof GuestFault)) throw error;
    throw new ExecError(request.path, TOO_LITTLE_MEMORY, 'ENOMEM');
  }
}

function load(
  space: AddressSpace,
  memory: UserMemory,
  open: OpenProgram,
  request: LoadRequest,
): LoadedProgram {
  const program = placeImage(space, memory, open, request.path, 'program');
  const { image, bias } = program;
  const loader = image.interpreter === undefined ? undefined : placeLoader(space, memory, open, image);
  space.startHeap(program.end);
  mapStack(space, request, image.executableStack);
  const stack = buildStack(memory, {
    ...request,
    top: space.layout.stackTop,
    limitBytes: space.stackLimitBytes,
    aux: auxValues(request, program, loader),
  });
  const code = image.segments.filter((segment) => segment.executable);
  const data = image.segments.at(-1)!;
  return {
    ...stack,
    entry: loader === undefined ? bias + image.entry : loader.bias + loader.image.entry,
    codeStart: bias + (code[0] ?? data).virtualAddress,
    codeEnd: bias + fileEnd(code.at(-1) ?? data),
    dataStart: bias + data.virtualAddress,
    dataEnd: bias + fileEnd(data),
  };
}

function placeLoader(space: AddressSpace, memory: UserMemory, open: OpenProgram, program: ElfImage): Placed {
  const path = program.interpreter!;
  try {
    return placeImage(space, memory, open, path, 'loader');
  } catch (error) {
    if (!(error instanceof ExecError)) throw error;
    const errno = error.errno === 'ENOEXEC' ? 'ELIBBAD' : error.errno;
    throw new ExecError(program.path, `needs a loader that cannot be used: ${error.message}`, errno);
  }
}

/** Opens and maps one image. A loader that has no fixed addresses goes where mmap would put it. */
function placeImage(
  space: AddressSpace,
  memory: UserMemory,
  open: OpenProgram,
  path: string,
  role: 'program' | 'loader',
): Placed {
  const source = open(path);
  return space.whileHeld(source, () => {
    const image = parseElf(source, path);
    const bias = chooseBias(space, image, role);
    for (const segment of image.segments) mapSegment(space, memory, source, image, segment, bias);
    return { image, bias, end: pageCeil(bias + memoryEnd(image)) };
  });
}

/** The load bias: zero for a program with fixed addresses. Throws if the image's place is not free. */
function chooseBias(space: AddressSpace, image: ElfImage, role: 'program' | 'loader'): number {
  const low = pageFloor(image.segments[0]!.virtualAddress);
  const size = pageCeil(memoryEnd(image)) - low;
  let bias = 0;
  if (image.kind === 'positionIndependent') {
    const unaligned = low % image.align;
    const start =
      role === 'loader'
        ? space.findFree(unaligned + size, image.align)
        : Math.ceil(space.layout.pieBase / image.align) * image.align;
    if (start === undefined) throw new ExecError(image.path, `there is no room for ${size} bytes`, 'ENOMEM');
    bias = start + unaligned - low;
  }
  const start = bias + low;
  if (start < space.layout.lowest || start + size > space.layout.top || !space.isFree(start, start + size)) {
    const span = `0x${start.toString(16)}-0x${(start + size).toString(16)}`;
    throw new ExecError(image.path, `wants addresses ${span}, which programs cannot have`, 'ENOMEM');
  }
  return bias;
}

/** Maps the part in the file, clears the rest of its last page, and maps zero pages for what is left. */
function mapSegment(
  space: AddressSpace,
  memory: UserMemory,
  source: FileSource,
  image: ElfImage,
  segment: ElfSegment,
  bias: number,
): void {
  const address = bias + segment.virtualAddress;
  const start = pageFloor(address);
  const prot =
    (segment.readable ? Prot.read : 0) |
    (segment.writable ? Prot.write : 0) |
    (segment.executable ? Prot.exec : 0);
  const endOfFile = address + segment.fileSize;
  const zeroStart = segment.fileSize > 0 ? pageCeil(endOfFile) : start;
  const end = pageCeil(address + segment.memorySize);
  const flags = MapFlag.private | MapFlag.fixed;
  if (segment.fileSize > 0) {
    const offset = segment.fileOffset - (address - start);
    mapOrThrow(space.mmap({ address: start, length: zeroStart - start, prot, flags, source, offset }), image);
  }
  if (end > zeroStart) {
    const length = end - zeroStart;
    const request = { address: zeroStart, length, prot, flags: flags | MapFlag.anonymous };
    const result = space.mmap(request);
    // More than there is may be mapped as well, as on a host that has more: it is taken when it is touched.
    mapOrThrow(
      result >= 0 ? result : space.mmap({ ...request, flags: request.flags | MapFlag.noReserve }),
      image,
    );
  }
  const hasTail = segment.fileSize > 0 && segment.memorySize > segment.fileSize;
  if (hasTail && segment.writable) memory.fill(endOfFile, zeroStart - endOfFile, 0);
}

function mapOrThrow(result: number, image: ElfImage): void {
  if (result >= 0) return;
  const size = Math.ceil((memoryEnd(image) - image.segments[0]!.virtualAddress) / 2 ** 20);
  throw new ExecError(
    image.path,
    `its ${size} MiB do not fit into guest memory, give it more with --memory`,
    'ENOMEM',
  );
}

function mapStack(space: AddressSpace, request: LoadRequest, executable: boolean): void {
  const { stackTop } = space.layout;
  const needed = stackBytesNeeded({ ...request, limitBytes: space.stackLimitBytes });
  const length = pageCeil(needed + INITIAL_STACK);
  const result = space.mmap({
    address: stackTop - length,
    length,
    prot: Prot.read | Prot.write | (executable ? Prot.exec : 0),
    flags: MapFlag.private | MapFlag.anonymous | MapFlag.fixed | MapFlag.growsDown,
    name: '[stack]',
  });
  if (result < 0) throw new ExecError(request.path, TOO_LITTLE_MEMORY, 'ENOMEM');
}

function auxValues(
  request: LoadRequest,
  { image, bias }: Placed,
  loader: Placed | undefined,
): Omit<AuxValues, 'platform' | 'random' | 'execFileName'> {
  const { uid, euid, gid, egid } = request.credentials;
  return {
    minSignalStack: request.minSignalStackBytes,
    hwcap: request.hwcap,
    pageSize: PAGE_SIZE,
    clockTicks: CLOCK_TICKS,
    programHeaders: image.programHeadersAddress === undefined ? 0 : bias + image.programHeadersAddress,
    programHeaderSize: PROGRAM_HEADER_SIZE,
    programHeaderCount: image.programHeaderCount,
    base: loader?.bias ?? 0,
    flags: 0,
    entry: bias + image.entry,
    uid,
    euid,
    gid,
    egid,
    secure: 0,
    hwcap2: request.hwcap2,
  };
}

function fileEnd(segment: ElfSegment): number {
  return segment.virtualAddress + segment.fileSize;
}

function memoryEnd(image: ElfImage): number {
  const last = image.segments.at(-1)!;
  return last.virtualAddress + last.memorySize;
}
