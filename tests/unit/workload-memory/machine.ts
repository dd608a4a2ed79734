/**
 * Guest RAM, an address space in it and files made of bytes, for tests without a host: pointers are offsets
 * from an invented base, and what is asked of the host is done to the bytes themselves.
 */
import assert from 'node:assert/strict';
import { AddrRange } from '../../../src/mem/addr.ts';
import type { HostPages, HostSpan } from '../../../src/mem/host-pages.ts';
import { PhysicalMemory } from '../../../src/mem/physical-memory.ts';
import { Root } from '../../../src/sim/root.ts';
import {
  AddressSpace,
  type AddressSpaceOptions,
  type MmapRequest,
} from '../../../src/workload/linux/address-space.ts';
import type { FileIdentity, FileSource } from '../../../src/workload/linux/file-source.ts';
import { FrameAllocator } from '../../../src/workload/linux/frame-allocator.ts';
import { MapFlag, Prot } from '../../../src/workload/linux/memory-flags.ts';
import { UserMemory } from '../../../src/workload/linux/user-memory.ts';

export const PAGE = 4096;
export const MIB = 2 ** 20;
export const RW = Prot.read | Prot.write;
export const RX = Prot.read | Prot.exec;
export const PRIVATE_ANON = MapFlag.private | MapFlag.anonymous;

const HOST_BASE = 0x7f00_0000_0000n;

/** The host's side of guest RAM, as far as the address space relies on it. */
class FakeHost implements HostPages {
  #bytes: Uint8Array = new Uint8Array(0);
  /** Physical pages whose KVM mappings are gone since the last look. */
  readonly dropped = new Set<number>();

  addressOf(buffer: SharedArrayBuffer): bigint {
    this.#bytes = new Uint8Array(buffer);
    return HOST_BASE;
  }
  adviseHugePages(): void {}
  discard(address: bigint, sizeBytes: number): void {
    this.span(address, sizeBytes).fill(0);
    this.dropSecondaryMappings(address, sizeBytes);
  }
  dropSecondaryMappings(address: bigint, sizeBytes: number): void {
    for (let at = 0; at < sizeBytes; at += PAGE) this.dropped.add(Number(address - HOST_BASE) + at);
  }
  touched(address: bigint, sizeBytes: number): readonly HostSpan[] {
    return [{ address, sizeBytes }];
  }
  span(pointer: bigint, length: number): Uint8Array {
    const offset = Number(pointer - HOST_BASE);
    return this.#bytes.subarray(offset, offset + length);
  }
}

/** A file in memory that notes what is done to it. */
export class FakeFile implements FileSource {
  readonly identity: FileIdentity;
  content: Uint8Array;
  isWritable: boolean;
  reads = 0;
  writes: { offset: number; length: number }[] = [];
  closed = 0;
  /** −errno of the next read or write, if any. */
  failWith = 0;
  readonly #host: FakeHost;

  constructor(
    machine: Machine,
    content: Uint8Array,
    options: { writable?: boolean; inode?: number; path?: string } = {},
  ) {
    this.#host = machine.host;
    this.content = content;
    this.isWritable = options.writable ?? false;
    const { inode = 17, path = '/data' } = options;
    this.identity = { path, deviceMajor: 8, deviceMinor: 1, inode };
  }
  size(): number {
    return this.content.length;
  }
  read(offset: number, pointer: bigint, length: number): number {
    this.reads++;
    if (this.failWith < 0) return this.failWith;
    const bytes = this.content.subarray(offset, offset + length);
    this.#host.span(pointer, bytes.length).set(bytes);
    return bytes.length;
  }
  readInto(offset: number, bytes: Uint8Array): number {
    const part = this.content.subarray(offset, offset + bytes.length);
    bytes.set(part);
    return part.length;
  }
  writeBack(offset: number, pointer: bigint, length: number): number {
    if (this.failWith < 0) return this.failWith;
    this.writes.push({ offset, length });
    this.content.set(this.#host.span(pointer, length), offset);
    return length;
  }
  close(): void {
    this.closed++;
  }
}

export class Machine {
  readonly host = new FakeHost();
  readonly ram: PhysicalMemory;
  readonly frames: FrameAllocator;
  readonly space: AddressSpace;
  readonly user: UserMemory;
  readonly warnings: string[] = [];
  readonly changed: [number, number][] = [];

  constructor(ramBytes = 16 * MIB, options: Partial<AddressSpaceOptions> = {}) {
    this.ram = new PhysicalMemory(new Root(), 'ram', {
      ranges: [{ start: 0, sizeBytes: ramBytes }],
      hostPages: this.host,
    });
    this.frames = new FrameAllocator(AddrRange.ofSize(0, ramBytes));
    this.space = new AddressSpace({
      memory: this.ram,
      frames: this.frames,
      limits: {
        stackBytes: 8 * MIB,
        dataBytes: Number.POSITIVE_INFINITY,
        addressSpaceBytes: Number.POSITIVE_INFINITY,
      },
      warn: (line) => this.warnings.push(line),
      onMappingChanged: (va, size) => this.changed.push([va, size]),
      ...options,
    });
    this.user = new UserMemory(this.space, this.ram);
  }

  /** mmap of private anonymous memory, anywhere, readable and writable unless said otherwise. */
  map(request: Partial<MmapRequest> & { length: number }): number {
    return this.space.mmap({ address: 0, prot: RW, flags: PRIVATE_ANON, ...request });
  }

  mapFile(source: FileSource, request: Partial<MmapRequest> & { length: number }): number {
    return this.space.mmap({ address: 0, prot: Prot.read, flags: MapFlag.private, source, ...request });
  }
}

/** Bytes that differ from page to page and within a page. */
export function pattern(length: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = i * 7 + (i >>> 12) * 13 + seed;
  return bytes;
}

/** Compares long spans without listing them when they differ. */
export function assertSameBytes(actual: Uint8Array, expected: Uint8Array, context = ''): void {
  const at = expected.findIndex((byte, i) => byte !== actual[i]);
  assert.ok(at < 0 && actual.length === expected.length, `${context}: bytes differ from index ${at} on`);
}
