/*
 * The one door to native code: everything below goes through Node's experimental `node:ffi` module, and only
 * this file imports it. It is loaded at the first call, so that commands which need no native code run on any
 * Node. Reference: https://nodejs.org/api/ffi.html; System V ABI, AMD64 supplement, section 3.2.3.
 */
import { Errno, errnoName, HostError, type Remedies } from './errors.ts';

/** An address in this process. Addresses are made once and kept, so that no BigInt is made on a hot path. */
export type Pointer = bigint;

/**
 * What a pointer argument accepts: an address, memory that JavaScript owns, a string (made UTF-8), or null.
 */
export type PointerArgument = Pointer | NodeJS.ArrayBufferView | ArrayBuffer | string | null;

/** The C types in use. `pointer` also stands for any 64-bit argument that is not worth a type of its own. */
interface NativeTypes {
  void: undefined;
  int32: number;
  uint32: number;
  int64: bigint;
  uint64: bigint;
  pointer: PointerArgument;
}

export type ArgumentType = Exclude<keyof NativeTypes, 'void'>;
export type ResultType = keyof NativeTypes;

type NativeResult<R extends ResultType> = R extends 'pointer' ? Pointer : NativeTypes[R];

/** A native function as JavaScript calls it. */
export type NativeFunction<A extends readonly ArgumentType[], R extends ResultType> = (
  ...args: { [K in keyof A]: NativeTypes[A[K]] }
) => NativeResult<R>;

type FfiModule = typeof import('node:ffi');
type Library = InstanceType<FfiModule['DynamicLibrary']>;

/** A library handle and the symbols it has handed out: a handle gives one symbol one signature only. */
interface Handle {
  readonly library: Library;
  readonly symbols: Set<string>;
}

/** Makes a value at its first use and keeps it: for tables of native functions, which never change. */
export function lazily<T extends object>(make: () => T): () => T {
  let made: T | undefined;
  return () => {
    made ??= make();
    return made;
  };
}

const ffi = lazily((): FfiModule => {
  const module = process.getBuiltinModule('node:ffi');
  if (module === undefined) {
    const remedy = `Node ${process.version} cannot call native code: run with Node 26`;
    throw new HostError('import(node:ffi)', Errno.ENOSYS, remedy);
  }
  return module;
});

const handles = lazily((): Handle[] => []);
/** Shared objects other than the process's own: they stay loaded as long as they are reachable. */
const others = lazily((): Library[] => []);

/**
 * Binds a function of the C library.
 *
 * Choose the signature for speed. Measured with Node 26.10, beyond what the call costs from C: up to three
 * arguments 20–50 ns (a V8 fast call), seven or more 100 ns, four to six 200 ns (they travel in an array), a
 * string 700 ns. A view given for a pointer costs 60–100 ns more than its address.
 *
 * `uint32` may stand for `size_t` and `unsigned long`: Node checks the range, and a value that is not
 * negative reaches the register zero-extended on each of its call paths. A negative `int32` must not be
 * given where the callee reads 64 bits: use `int64` there.
 */
export function bind<const A extends readonly ArgumentType[], R extends ResultType>(
  symbol: string,
  args: A,
  result: R,
): NativeFunction<A, R> {
  errnoLocation();
  return resolve(symbol, args, result);
}

function resolve<const A extends readonly ArgumentType[], R extends ResultType>(
  symbol: string,
  args: A,
  result: R,
): NativeFunction<A, R> {
  let handle = handles().find((candidate) => !candidate.symbols.has(symbol));
  if (handle === undefined) {
    handle = { library: new (ffi().DynamicLibrary)(null), symbols: new Set() };
    handles().push(handle);
  }
  handle.symbols.add(symbol);
  const bound: unknown = handle.library.getFunction(symbol, { arguments: args, return: result });
  return bound as NativeFunction<A, R>;
}

/** Binds a function of another shared object, by its path. The object stays loaded. */
export function resolveIn<const A extends readonly ArgumentType[], R extends ResultType>(
  path: string,
  symbol: string,
  args: A,
  result: R,
): NativeFunction<A, R> {
  const library = new (ffi().DynamicLibrary)(path);
  others().push(library);
  const bound: unknown = library.getFunction(symbol, { arguments: args, return: result });
  return bound as NativeFunction<A, R>;
}

/**
 * Binds `syscall(2)` for one argument list; the first argument of the result is the system-call number.
 * The result is −1 on errors: see {@link errno}.
 */
export function bindSyscall<const A extends readonly ArgumentType[]>(
  args: A,
): NativeFunction<readonly ['int32', ...A], 'int32'> {
  return bind('syscall', ['int32', ...args] as const, 'int32');
}

// Bound along with the first function: binding it after a failed call would itself change errno.
const errnoLocation = lazily(
  (): Int32Array => new Int32Array(foreignBuffer(resolve('__errno_location', [], 'pointer')(), 4)),
);

/** This thread's errno. Right only directly after a call that failed. */
export function errno(): number {
  return errnoLocation()[0]!;
}

/** Turns the C convention into the kernel's: the result, or the negated errno if it is −1. */
export function orNegativeErrno(result: number): number {
  return result === -1 ? -errno() : result;
}

/**
 * The error of the call that has just returned −1.
 * @param call the call and its object, as in {@link HostError.call}
 */
export function lastError(call: string, remedies: Remedies = {}): HostError {
  const number = errno();
  return new HostError(call, number, (remedies as Readonly<Record<string, string>>)[errnoName(number)]);
}

/** Passes a result through; −1 becomes a {@link HostError}. */
export function check(result: number, call: string, remedies?: Remedies): number {
  if (result === -1) throw lastError(call, remedies);
  return result;
}

const generic = lazily(() => ({
  syscall: bind('syscall', ['int64', 'int64', 'int64', 'int64', 'int64', 'int64', 'int64'], 'int64'),
}));

/**
 * Any system call with up to six arguments, at some 250 ns more than the call itself. Pointers are
 * BigInts, small integers may be Numbers. The result is the kernel's: a value, or a negated errno.
 */
export function call6(
  nr: number,
  a0: number | bigint = 0,
  a1: number | bigint = 0,
  a2: number | bigint = 0,
  a3: number | bigint = 0,
  a4: number | bigint = 0,
  a5: number | bigint = 0,
): number {
  const { syscall } = generic();
  return orNegativeErrno(
    Number(syscall(BigInt(nr), BigInt(a0), BigInt(a1), BigInt(a2), BigInt(a3), BigInt(a4), BigInt(a5))),
  );
}

/**
 * The address of memory that JavaScript owns; of a view, that of its first byte. Right for shared WebAssembly
 * memories too. The caller keeps the object reachable, and neither resizes nor transfers it, as long as the
 * address is in use.
 */
export function addressOf(memory: ArrayBufferLike | NodeJS.ArrayBufferView): Pointer {
  // Declared for ArrayBuffer only, but made for any backing store.
  return ffi().getRawPointer(memory as ArrayBuffer);
}

/**
 * A buffer over memory that JavaScript does not own, without a copy. Safe as long as the range stays mapped:
 * whoever unmaps it must have dropped every view first.
 */
export function foreignBuffer(address: Pointer, sizeBytes: number): ArrayBuffer {
  return ffi().toArrayBuffer(address, sizeBytes, false);
}

/** Whether this Node can call native code at all. */
export function nativeCallsAvailable(): boolean {
  return process.getBuiltinModule('node:ffi') !== undefined;
}
