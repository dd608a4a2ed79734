/**
 * The initial stack of a program, System V x86-64 psABI §3.4.1, laid out as Linux does (fs/exec.c,
 * create_elf_tables). From high to low addresses:
 *
 *     8 zero bytes                          at the very top
 *     path of the program                   AT_EXECFN
 *     environment strings, argument strings each ended by NUL; the first argument lowest
 *     platform string, 16 random bytes      AT_PLATFORM, AT_RANDOM
 *     (alignment)
 *     auxiliary vector, two null words last
 *     environment pointers, null
 *     argument pointers, null
 *     argument count                        <- stack pointer, a multiple of 16
 */
import { ExecError } from '../elf.ts';
import { type AuxValues, encodeAuxv } from './auxv.ts';
import type { UserMemory } from './user-memory.ts';

export interface StackRequest {
  /** End of the stack: just above its last byte. */
  readonly top: number;
  /** Soft RLIMIT_STACK in bytes: strings may take a quarter of it. */
  readonly limitBytes: number;
  readonly path: string;
  /** Strings are encoded as UTF-8; they hold no NUL. */
  readonly args: readonly (string | Uint8Array)[];
  readonly environment: readonly (string | Uint8Array)[];
  /** 16 bytes. */
  readonly random: Uint8Array;
  /** Without what the stack itself holds. */
  readonly aux: Omit<AuxValues, 'platform' | 'random' | 'execFileName'>;
}

export interface InitialStack {
  readonly stackPointer: number;
  readonly argsStart: number;
  readonly argsEnd: number;
  readonly environmentStart: number;
  readonly environmentEnd: number;
  readonly auxv: Uint8Array;
}

const WORD = 8;
/** MAX_ARG_STRLEN, with the NUL. */
const MAX_STRING = 131_072;
/** Three quarters of _STK_LIM: strings never take more. */
const MAX_STRINGS = 6 * 2 ** 20;
/** Even under a tiny stack limit this much is granted (ARG_MAX). */
const MIN_STRINGS = 131_072;
const PLATFORM = 'x86_64';

/** Strings packed one after another, each with its NUL. */
interface Packed {
  readonly bytes: Uint8Array;
  readonly offsets: readonly number[];
}

function pack(strings: readonly (string | Uint8Array)[], path: string): Packed {
  const pieces: Uint8Array[] = [];
  const offsets: number[] = [];
  let length = 0;
  for (const text of strings) {
    const piece = typeof text === 'string' ? Buffer.from(text, 'utf8') : text;
    if (piece.length >= MAX_STRING) {
      throw new ExecError(path, `an argument or variable of ${piece.length} bytes is too long`, 'E2BIG');
    }
    offsets.push(length);
    pieces.push(piece, new Uint8Array(1));
    length += piece.length + 1;
  }
  return { bytes: Buffer.concat(pieces), offsets };
}

/** Bytes that the strings and tables of this request take at most: how much stack must be mapped. */
export function stackBytesNeeded(request: Omit<StackRequest, 'top' | 'aux'>): number {
  const { path, args, environment, limitBytes } = request;
  const strings =
    pack([path], path).bytes.length + pack(args, path).bytes.length + pack(environment, path).bytes.length;
  const pointers = (args.length + environment.length + 3) * WORD;
  const limit = Math.max(MIN_STRINGS, Math.min(limitBytes / 4, MAX_STRINGS));
  if (strings + pointers > limit) {
    throw new ExecError(path, `${strings + pointers} bytes of arguments and variables are too many`, 'E2BIG');
  }
  return strings + pointers + 4096;
}

/** Writes the initial stack. Throws ExecError if the strings are too long. */
export function buildStack(memory: UserMemory, request: StackRequest): InitialStack {
  let at = request.top - WORD;
  const push = (bytes: Uint8Array): number => {
    at -= bytes.length;
    memory.write(at, bytes);
    return at;
  };
  const execFileName = push(pack([request.path], request.path).bytes);
  const environment = pack(request.environment, request.path);
  const environmentStart = push(environment.bytes);
  const args = pack(request.args, request.path);
  const argsStart = push(args.bytes);
  const platform = push(pack([PLATFORM], request.path).bytes);
  const random = push(request.random);
  const auxv = encodeAuxv({ ...request.aux, random, execFileName, platform });
  const words = 1 + args.offsets.length + 1 + environment.offsets.length + 1;
  const stackPointer = Math.floor((at - words * WORD - auxv.length) / 16) * 16;
  const table = new BigUint64Array(words);
  table[0] = BigInt(args.offsets.length);
  for (const [i, offset] of args.offsets.entries()) table[1 + i] = BigInt(argsStart + offset);
  const firstVariable = args.offsets.length + 2;
  for (const [i, offset] of environment.offsets.entries()) {
    table[firstVariable + i] = BigInt(environmentStart + offset);
  }
  memory.write(stackPointer, new Uint8Array(table.buffer));
  memory.write(stackPointer + words * WORD, auxv);
  return {
    stackPointer,
    argsStart,
    argsEnd: argsStart + args.bytes.length,
    environmentStart,
    environmentEnd: environmentStart + environment.bytes.length,
    auxv,
  };
}
