/**
 * Files that are mapped shared and used by descriptor as well: the real address space over the host's real files.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { addressOf } from '../../../src/host/memory.ts';
import { AddrRange } from '../../../src/mem/addr.ts';
import { PhysicalMemory } from '../../../src/mem/physical-memory.ts';
import { Root } from '../../../src/sim/root.ts';
import { AddressSpace } from '../../../src/workload/linux/address-space.ts';
import { FrameAllocator } from '../../../src/workload/linux/frame-allocator.ts';
import { MapFlag, MsyncFlag, Prot } from '../../../src/workload/linux/memory-flags.ts';
import { UserMemory } from '../../../src/workload/linux/user-memory.ts';
import { Guest, inDirectory } from './harness.ts';

const PAGE = 4096;
const RAM_BYTES = 1 << 20;
const O_RDWR = 2;
const O_CREAT = 0o100;
const O_APPEND = 0o2000;
const F_SETFL = 4;
const Z = 0x5a;

/** A guest in `directory` that can map the files it opens. */
class MappingGuest extends Guest {
  readonly space: AddressSpace;
  /** Memory in the mappings; `memory` is what system calls use. */
  readonly mapped: UserMemory;

  constructor(directory: string) {
    const ram = new PhysicalMemory(new Root(), 'ram', {
      ranges: [{ start: 0, sizeBytes: RAM_BYTES }],
      hostPages: {
        addressOf,
        adviseHugePages() {},
        discard() {},
        dropSecondaryMappings() {},
        touched: () => [],
      },
    });
    const space = new AddressSpace({
      memory: ram,
      frames: new FrameAllocator(AddrRange.ofSize(0, RAM_BYTES)),
      limits: { stackBytes: PAGE, dataBytes: RAM_BYTES, addressSpaceBytes: Number.POSITIVE_INFINITY },
      warn: (line) => assert.fail(line),
      onMappingChanged() {},
    });
    super({ cwd: directory, addressSpace: space });
    this.space = space;
    this.mapped = new UserMemory(space, ram);
  }

  open(name: string, flags = O_RDWR): number {
    const fd = this.call('open', name, flags, 0o600);
    assert.ok(fd >= 0, `open ${name}: ${fd}`);
    return fd;
  }

  /** Maps the first page of a file, shared. */
  mapShared(fd: number): number {
    const source = this.files.fileToMap(fd, true);
    assert.ok(typeof source === 'object', `mmap: ${String(source)}`);
    const prot = Prot.read | Prot.write;
    return this.space.mmap({ address: 0, length: PAGE, prot, flags: MapFlag.shared, source });
  }
}

/** A guest that mapped a file of these contents and stored a Z at its beginning. */
function withDirtyPage(directory: string, contents: string) {
  writeFileSync(join(directory, 'file'), contents);
  const guest = new MappingGuest(directory);
  const fd = guest.open('file');
  const va = guest.mapShared(fd);
  guest.mapped.writeU8(va, Z);
  const text = () => readFileSync(join(directory, 'file'), 'latin1');
  const seen = (length: number) => Buffer.from(guest.mapped.read(va, length)).toString('latin1');
  return { guest, fd, va, text, seen };
}

describe('writing back to a file that is open for appending', () => {
  it(
    'changes the mapped bytes and appends nothing, with O_APPEND from open or from fcntl',
    inDirectory((directory) => {
      const guest = new MappingGuest(directory);
      for (const [name, flags] of [
        ['opened', O_APPEND],
        ['set', 0],
      ] as const) {
        const fd = guest.open(name, O_RDWR | O_CREAT | flags);
        assert.equal(guest.put(fd, 'abc'), 3);
        const va = guest.mapShared(fd);
        assert.equal(guest.call('fcntl', fd, F_SETFL, O_APPEND), 0);
        guest.mapped.writeU8(va, Z);
        assert.equal(guest.space.msync(va, PAGE, MsyncFlag.sync), 0);
        assert.equal(readFileSync(join(directory, name), 'latin1'), 'Zbc');
      }
      guest.close();
    }),
  );

  it(
    'leaves no descriptor open on the host',
    inDirectory((directory) => {
      const guest = new MappingGuest(directory);
      const hostDescriptors = () => readdirSync('/proc/self/fd').length;
      const before = hostDescriptors();
      const fd = guest.open('file', O_RDWR | O_CREAT | O_APPEND);
      guest.put(fd, 'abc');
      const va = guest.mapShared(fd);
      guest.mapped.writeU8(va, Z);
      guest.call('close', fd);
      guest.space.munmap(va, PAGE);
      assert.equal(readFileSync(join(directory, 'file'), 'latin1'), 'Zbc');
      assert.equal(hostDescriptors(), before);
      guest.close();
    }),
  );
});

describe('what a shared mapping changed', () => {
  it(
    'is what sendfile and copy_file_range copy, at the position and at an offset',
    inDirectory((directory) => {
      const { guest, fd, va } = withDirtyPage(directory, 'abc');
      const output = guest.open('out', O_RDWR | O_CREAT);
      const offset = guest.memory.allocate(8);
      const copies = [
        () => guest.call('sendfile', output, fd, offset, 3),
        () => guest.call('copy_file_range', fd, offset, output, 0, 3, 0),
        () => guest.call('sendfile', output, fd, 0, 3),
      ];
      for (const [i, copy] of copies.entries()) {
        guest.mapped.writeU8(va + 1, 0x30 + i);
        guest.memory.writeNumber64(offset, 0);
        assert.equal(copy(), 3);
      }
      assert.equal(readFileSync(join(directory, 'out'), 'latin1'), 'Z0cZ1cZ2c');
      guest.close();
    }),
  );

  it(
    'survives a change of other bytes of its page by descriptor, which the mapping sees',
    inDirectory((directory) => {
      const { guest, fd, text, seen, va } = withDirtyPage(directory, 'abcdef');
      const again = guest.open('file', O_RDWR | O_APPEND);
      const source = guest.open('source', O_RDWR | O_CREAT);
      guest.put(source, '12');
      const offset = guest.memory.allocate(8);
      const changes: [expected: string, change: () => number][] = [
        ['Zbxyef', () => guest.call('pwrite64', fd, 'xy', 2, 2)],
        // Appended, whatever the offset.
        ['!bxyef!', () => guest.call('pwrite64', again, '!', 1, 5 * PAGE)],
        ['"12yef!', () => guest.call('copy_file_range', source, offset, fd, position(1), 2, 0)],
        ['#12y12!', () => sendTo(4)],
        ['$12y', () => guest.call('ftruncate', fd, 4)],
        ['%12', () => guest.call('truncate', 'file', 3)],
      ];
      function position(at: number): number {
        guest.memory.writeNumber64(offset, 0);
        const va = guest.memory.allocate(8);
        guest.memory.writeNumber64(va, at);
        return va;
      }
      function sendTo(at: number): number {
        guest.memory.writeNumber64(offset, 0);
        guest.call('lseek', fd, at, 0);
        return guest.call('sendfile', fd, source, offset, 2);
      }
      for (const [i, [expected, change]] of changes.entries()) {
        if (i > 0) guest.mapped.writeU8(va, 0x20 + i);
        assert.ok(change() >= 0, expected);
        assert.equal(text(), expected);
        assert.equal(seen(expected.length + 1), `${expected}\0`);
      }
      guest.close();
    }),
  );
});
