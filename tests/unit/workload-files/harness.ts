/**
 * A process that is just enough for file system calls: real handlers, real registers, memory in one buffer whose
 * pages are handed out one by one, so that every transfer is scattered. Calls are made by name.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { X86ThreadContext } from '../../../src/arch/x86/thread-context.ts';
import { HostFiles } from '../../../src/host/files.ts';
import { addressOf } from '../../../src/host/memory.ts';
import type { AddressSpace } from '../../../src/workload/linux/address-space.ts';
import { ProcessFiles } from '../../../src/workload/linux/files/process-files.ts';
import type { VirtualFileFacts } from '../../../src/workload/linux/files/virtual-files.ts';
import { SyscallCall, type SyscallResult, type Wait } from '../../../src/workload/linux/syscall.ts';
import { fileSyscalls } from '../../../src/workload/linux/syscalls/file.ts';
import { GuestFault, type HostSpan } from '../../../src/workload/linux/user-memory.ts';

const PAGE = 4096;
/** Lowest good address. */
export const MEMORY_BASE = 0x10000;
const MEMORY_BYTES = 4 << 20;
/** RDI RSI RDX R10 R8 R9. */
const ARGUMENTS = [7, 6, 2, 10, 8, 9];

export const AT_FDCWD = -100;
export type SyscallName = keyof typeof fileSyscalls;

/** The part of UserMemory that file calls use. */
export class FakeMemory {
  readonly bytes = new Uint8Array(new SharedArrayBuffer(MEMORY_BYTES));
  readonly #address = addressOf(this.bytes.buffer);
  readonly #view = new DataView(this.bytes.buffer);
  #next = MEMORY_BASE;

  /** Reserves memory; returns its address. */
  allocate(length: number): number {
    const va = this.#next;
    this.#next += (length + 7) & ~7;
    if (this.#next > MEMORY_BASE + MEMORY_BYTES) throw new Error('the test needs more memory');
    return va;
  }

  string(text: string): number {
    const va = this.allocate(text.length + 1);
    this.write(va, Buffer.from(`${text}\0`, 'latin1'));
    return va;
  }

  at(va: number, length: number): number {
    if (!this.isAccessible(va, length)) {
      throw new GuestFault({ signal: 'SIGSEGV', code: 'SEGV_MAPERR', address: va });
    }
    return va - MEMORY_BASE;
  }

  isAccessible(va: number, length: number): boolean {
    return va >= MEMORY_BASE && va + length <= MEMORY_BASE + MEMORY_BYTES;
  }

  read(va: number, length: number): Uint8Array {
    const at = length === 0 ? 0 : this.at(va, length);
    return new Uint8Array(this.bytes.subarray(at, at + length));
  }
  text(va: number, length: number): string {
    return Buffer.from(this.read(va, length)).toString('latin1');
  }
  write(va: number, bytes: Uint8Array): void {
    if (bytes.length > 0) this.bytes.set(bytes, this.at(va, bytes.length));
  }
  readU32(va: number): number {
    return this.#view.getUint32(this.at(va, 4), true);
  }
  readI32(va: number): number {
    return this.#view.getInt32(this.at(va, 4), true);
  }
  readI64(va: number): bigint {
    return this.#view.getBigInt64(this.at(va, 8), true);
  }
  readAddress(va: number): number {
    return Number(this.#view.getBigUint64(this.at(va, 8), true));
  }
  writeU16(va: number, value: number): void {
    this.#view.setUint16(this.at(va, 2), value, true);
  }
  writeU32(va: number, value: number): void {
    this.#view.setUint32(this.at(va, 4), value, true);
  }
  writeI32(va: number, value: number): void {
    this.#view.setInt32(this.at(va, 4), value, true);
  }
  writeNumber64(va: number, value: number): void {
    this.#view.setBigInt64(this.at(va, 8), BigInt(value), true);
  }
  readCString(va: number, maxBytes: number): Uint8Array | undefined {
    const start = this.at(va, 1);
    const end = this.bytes.indexOf(0, start);
    return end < 0 || end - start >= maxBytes ? undefined : new Uint8Array(this.bytes.subarray(start, end));
  }
  spansUntilFault(va: number, length: number): HostSpan[] {
    const spans: HostSpan[] = [];
    for (let done = 0; done < length; ) {
      const bytes = Math.min(length - done, PAGE - ((va + done) % PAGE));
      if (!this.isAccessible(va + done, bytes)) break;
      spans.push({ pointer: this.#address + BigInt(va + done - MEMORY_BASE), length: bytes });
      done += bytes;
    }
    return spans;
  }
}

export interface GuestOptions {
  readonly root?: string;
  readonly readOnly?: boolean;
  readonly cwd?: string;
  readonly facts?: Partial<VirtualFileFacts>;
  readonly maxDescriptors?: number;
  /** Where the process maps files; without one nothing is ever mapped. */
  readonly addressSpace?: AddressSpace;
}

/** A guest process with files; `call('openat', …)` makes system calls. */
export class Guest {
  readonly memory = new FakeMemory();
  readonly host = new HostFiles();
  readonly files: ProcessFiles;
  /** Signals that the process sent itself. */
  readonly signals: number[] = [];
  /** Blocked-signal masks set by ppoll and pselect. */
  readonly masks: (readonly [lo: number, hi: number])[] = [];
  /** Simulated time in nanoseconds. */
  nowNs = 0;
  readonly #registers = new X86ThreadContext();
  readonly #call: SyscallCall;

  constructor(options: GuestOptions = {}) {
    this.files = new ProcessFiles({
      host: this.host,
      root: options.root,
      readOnly: options.readOnly,
      cwd: options.cwd ?? '/',
      limit: () => options.maxDescriptors ?? 256,
      facts: {
        pid: 1000,
        uid: 7,
        gid: 8,
        executablePath: '/usr/bin/guest',
        threadIds: () => [1000, 1001],
        text: (name, tid) => (name === 'maps' ? `maps of ${tid}\n` : undefined),
        memory: { totalBytes: 512 << 20, freeBytes: 100 << 20 },
        uptimeSeconds: 1.5,
        hostCpuinfo: 'processor\t: 0\nsiblings\t: 8\n\nprocessor\t: 1\nsiblings\t: 8\n\n',
        ...options.facts,
      },
    });
    const process: unknown = {
      files: this.files,
      memory: this.memory,
      pid: 1000,
      addressSpace: options.addressSpace ?? { hasSharedFiles: false },
      signals: {
        setTemporaryMask: (_thread: unknown, lo: number, hi: number) => this.masks.push([lo, hi]),
      },
      signalThread: (_thread: unknown, signal: number) => this.signals.push(signal),
      deadlineAfter: (ns: number) => BigInt(Math.round((this.nowNs + ns) * 1000)),
    };
    this.#call = new SyscallCall(process as SyscallCall['process']);
  }

  /** Makes a call that may have to wait. Strings become addresses of C strings. */
  start(name: SyscallName, ...args: (number | string)[]): SyscallResult {
    for (const [i, register] of ARGUMENTS.entries()) {
      const value = args[i] ?? 0;
      this.#registers.setGprNumber(register, typeof value === 'string' ? this.memory.string(value) : value);
    }
    this.#call.start(undefined as unknown as SyscallCall['thread'], this.#registers, 0);
    try {
      return fileSyscalls[name](this.#call);
    } catch (error) {
      if (error instanceof GuestFault) return -14;
      throw error;
    }
  }

  /** Makes a call that must finish at once. */
  call(name: SyscallName, ...args: (number | string)[]): number {
    const result = this.start(name, ...args);
    if (typeof result !== 'number') throw new Error(`${name} waits`);
    return result;
  }

  /** Makes a call that must have to wait. */
  wait(name: SyscallName, ...args: (number | string)[]): Wait {
    const result = this.start(name, ...args);
    if (typeof result !== 'object') throw new Error(`${name} does not wait: ${String(result)}`);
    return result;
  }

  /** Reads a descriptor to its end. */
  contents(fd: number): string {
    const at = this.memory.allocate(PAGE);
    let text = '';
    for (;;) {
      const n = this.call('read', fd, at, PAGE);
      if (n < 0) throw new Error(`read: ${n}`);
      if (n === 0) return text;
      text += this.memory.text(at, n);
    }
  }

  /** Names in an open directory. */
  names(fd: number): string[] {
    const at = this.memory.allocate(8 * PAGE);
    const names: string[] = [];
    for (;;) {
      const n = this.call('getdents64', fd, at, 8 * PAGE);
      if (n < 0) throw new Error(`getdents64: ${n}`);
      if (n === 0) return names.sort();
      const bytes = Buffer.from(this.memory.read(at, n));
      for (let p = 0; p < n; p += bytes.readUInt16LE(p + 16)) {
        names.push(bytes.toString('latin1', p + 19, bytes.indexOf(0, p + 19)));
      }
    }
  }

  pipe(flags = 0): { readonly readEnd: number; readonly writeEnd: number } {
    const at = this.memory.allocate(8);
    const result = this.call('pipe2', at, flags);
    if (result !== 0) throw new Error(`pipe2: ${result}`);
    return { readEnd: this.memory.readI32(at), writeEnd: this.memory.readI32(at + 4) };
  }

  /** Writes a string. */
  put(fd: number, text: string): number {
    return this.call('write', fd, text, text.length);
  }

  close(): void {
    this.files.close();
  }
}

/** Runs a test in a fresh directory, which is removed afterwards. */
export function inDirectory(test: (directory: string) => void): () => void {
  return () => {
    const directory = mkdtempSync(join(tmpdir(), 'hypertick-files-'));
    try {
      test(directory);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  };
}
