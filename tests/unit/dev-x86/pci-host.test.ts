/** PCI host against the PCI Local Bus Specification 3.0: configuration space, BARs (§6.2.5.1), INTx (§2.2.6, §6.2.2). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IO_SPACE_BASE } from '../../../src/arch/x86/address-spaces.ts';
import { type PciBus, PciFunction } from '../../../src/dev/pci/pci-function.ts';
import { RegisterFile, reg } from '../../../src/dev/register-file.ts';
import { PciHost } from '../../../src/dev/x86/pci-host.ts';
import { ResetControl } from '../../../src/dev/x86/reset-control.ts';
import { PanicError } from '../../../src/sim/trouble.ts';
import { Accessor, Probe, quietRoot, restoreAll, saveAll } from './pc-bench.ts';

const COMMAND = 0x04;
const STATUS = 0x06;
const BAR = (n: number) => 0x10 + 4 * n;
const IO_ENABLE = 1;
const MEMORY_ENABLE = 2;
const DISABLE_INTX = 0x400;

/** A made-up device: 40 bytes of I/O registers, 4 KiB of memory, 64 KiB prefetchable behind a 64-bit BAR. */
class MadeUp extends PciFunction {
  readonly ports: RegisterFile<{ id: ReturnType<typeof reg> }>;
  readonly memory: RegisterFile<{ scratch: ReturnType<typeof reg> }>;
  readonly far: RegisterFile<{ last: ReturnType<typeof reg> }>;

  constructor(bus: PciBus, name: string, device: number) {
    const id = reg({ at: 0, sizeBytes: 4, access: 'ro', reset: 0x600d_cafe, doc: 'identification' });
    const ports = new RegisterFile({ id }, {}, { sizeBytes: 40 });
    const scratch = reg({ at: 0x10, sizeBytes: 4, doc: 'scratch' });
    const memory = new RegisterFile({ scratch }, {}, { sizeBytes: 0x1000 });
    const far = new RegisterFile({ last: reg({ at: 0xfffc, sizeBytes: 4, doc: 'last' }) });
    super(
      bus,
      name,
      { device },
      {
        vendor: 0x1234,
        device: 0x5678,
        revision: 9,
        classCode: 0xff_02_01,
        subsystemVendor: 0x1111,
        subsystem: 0x2222,
        interruptPin: 1,
        bars: [
          { index: 0, kind: 'io', bank: ports },
          { index: 1, kind: 'memory', bank: memory },
          { index: 2, kind: 'memory64', prefetchable: true, bank: far },
        ],
        registers: { own: reg({ at: 0x40, reset: 0x5a, doc: 'a register of its own' }) },
      },
    );
    this.ports = ports;
    this.memory = this.state('memory', memory);
    this.far = far;
  }

  interrupt(level: boolean): void {
    this.setInterrupt(level);
  }
}

function bench() {
  const root = quietRoot();
  const host = new PciHost(root, 'pci', new ResetControl(root, 'reset', () => {}));
  const fn = new MadeUp(host, 'madeUp', 5);
  const inta = new Probe();
  fn.intx.connect(inta);
  const io = new Accessor(host);
  const read = (register: number, sizeBytes = 4) => io.configRead([5, register], sizeBytes);
  const write = (register: number, value: number, sizeBytes = 4) =>
    io.configWrite([5, register], sizeBytes, value >>> 0);
  return { root, host, fn, inta, io, read, write };
}

test('00:00.0 is a 440FX host bridge, 00:01.0 a PIIX3 ISA bridge', () => {
  const { io } = bench();
  assert.equal(io.configRead([0, 0x00], 4), 0x1237_8086);
  assert.equal(io.configRead([0, 0x08], 4), 0x0600_0002);
  assert.equal(io.configRead([1, 0x00], 4), 0x7000_8086);
  assert.equal(io.configRead([1, 0x0a], 2), 0x0601);
  assert.equal(io.configRead([1, 0x60], 4), 0x8080_8080);
  assert.equal(io.configRead([0, 0x0e], 1), 0);
});

test('where there is no function, configuration space reads as ones and writes vanish', () => {
  const { io } = bench();
  assert.equal(io.configRead([2, 0x00], 4), 0xffff_ffff);
  io.configWrite([2, 0x00], 4, 0);
  assert.equal(io.configRead([2, 0x02], 2), 0xffff);
  assert.equal(io.configRead([0, 0x00], 4, 1), 0xffff_ffff, 'bus 1');
});

test('the bridges keep what software programs into them, and nothing in what is read-only', () => {
  const { io } = bench();
  io.configWrite([0, 0x00], 4, 0);
  assert.equal(io.configRead([0, 0x00], 4), 0x1237_8086);
  io.configWrite([0, 0x59], 1, 0xff);
  assert.equal(io.configRead([0, 0x59], 1), 0x30);
  io.configWrite([1, 0x82], 1, 0x02);
  assert.equal(io.configRead([1, 0x82], 1), 0x02);
});

test('the header of a function, byte by byte', () => {
  const { read, write } = bench();
  assert.equal(read(0x00), 0x5678_1234);
  assert.equal(read(0x08), 0xff02_0109);
  assert.equal(read(0x2c), 0x2222_1111);
  assert.deepEqual([read(0x3d, 1), read(0x40, 1)], [1, 0x5a]);
  write(0x3c, 11, 1);
  assert.equal(read(0x3c, 2), 0x010b);
  assert.equal(read(0x03, 1), 0x56);
  assert.equal(read(0x44), 0);
});

test('ones written to a BAR read back as its size and kind', () => {
  const { read, write } = bench();
  for (const n of [0, 1, 2, 3, 4]) write(BAR(n), 0xffff_ffff);
  assert.equal(read(BAR(0)), 0xffff_ffc1, '40 bytes of I/O: 64');
  assert.equal(read(BAR(1)), 0xffff_f000);
  assert.equal(read(BAR(2)), 0xffff_000c, '64 bits, prefetchable');
  assert.equal(read(BAR(3)), 0xffff_ffff);
  assert.equal(read(BAR(4)), 0, 'there is none');
});

test('a memory BAR answers where it has been put, and only while memory space is enabled', () => {
  const { io, write, fn } = bench();
  write(BAR(1), 0xe000_0000);
  assert.equal(io.load(0xe000_0010, 4), 0xffff_ffff);
  write(COMMAND, MEMORY_ENABLE, 2);
  io.store(0xe000_0010, 4, 0x0102_0304);
  assert.equal(fn.memory.get('scratch'), 0x0102_0304);
  assert.equal(io.load(0xe000_0012, 2), 0x0102);
  assert.equal(io.load(0xe000_1000, 4), 0xffff_ffff);
  write(BAR(1), 0xd000_0000);
  assert.equal(io.load(0xe000_0010, 4), 0xffff_ffff);
  assert.equal(io.load(0xd000_0010, 4), 0x0102_0304);
});

test('an I/O BAR answers at its ports, zeros beyond its registers, ones beyond the BAR', () => {
  const { io, write } = bench();
  write(BAR(0), 0xc040);
  write(COMMAND, MEMORY_ENABLE, 2);
  assert.equal(io.in(0xc040, 4), 0xffff_ffff);
  write(COMMAND, IO_ENABLE, 2);
  assert.equal(io.in(0xc040, 4), 0x600d_cafe);
  assert.deepEqual([io.in(0xc07c, 4), io.in(0xc080, 4), io.in(0xc07f, 2)], [0, 0xffff_ffff, 0xff00]);
});

test('a 64-bit BAR counts both halves', () => {
  const { io, write } = bench();
  write(COMMAND, MEMORY_ENABLE, 2);
  write(BAR(2), 0xc001_0000);
  io.store(0xc001_fffc, 4, 0x55aa_55aa);
  assert.equal(io.load(0xc001_fffc, 4), 0x55aa_55aa);
  write(BAR(3), 1);
  assert.equal(io.load(0xc001_fffc, 4), 0xffff_ffff);
});

test('BARs that software puts on RAM, on other devices or on each other do no harm', () => {
  const { io, write, host, fn } = bench();
  const other = new MadeUp(host, 'other', 6);
  write(COMMAND, MEMORY_ENABLE | IO_ENABLE, 2);
  const ranges = host.addrRanges().map(String);
  for (const base of [0, 0x1000, 0xfee0_0000, 0xffff_f000]) write(BAR(1), base);
  assert.deepEqual(host.addrRanges().map(String), ranges);
  io.configWrite([6, COMMAND], 2, MEMORY_ENABLE);
  write(BAR(1), 0xd000_0000);
  io.configWrite([6, BAR(1)], 4, 0xd000_0000);
  io.store(0xd000_0010, 4, 7);
  assert.deepEqual([fn.memory.get('scratch'), other.memory.get('scratch')], [7, 0]);
});

test('INTx follows the device unless it is disabled; the status bit does in any case', () => {
  const { read, write, fn, inta } = bench();
  fn.interrupt(true);
  assert.deepEqual([inta.level, read(STATUS, 2)], [true, 0x08]);
  write(COMMAND, DISABLE_INTX, 2);
  assert.deepEqual([inta.level, read(STATUS, 2)], [false, 0x08]);
  write(COMMAND, 0, 2);
  assert.equal(inta.level, true);
  fn.interrupt(false);
  assert.deepEqual([inta.level, read(STATUS, 2)], [false, 0]);
});

test('the host answers configuration space and its windows of ports and memory, no more', () => {
  const { host } = bench();
  const ranges = host.addrRanges();
  assert.deepEqual(
    ranges.slice(1).map(({ start, end }) => [start, end]),
    [
      [IO_SPACE_BASE + 0xcf8, IO_SPACE_BASE + 0xd00],
      [IO_SPACE_BASE + 0x1000, IO_SPACE_BASE + 0x1_0000],
      [0xc000_0000, 0xfec0_0000],
    ],
  );
});

test('two functions at one place, and BARs that do not exist, are refused', () => {
  const { host } = bench();
  assert.throws(() => new MadeUp(host, 'again', 5), PanicError);
  const bars = [{ index: 5, kind: 'memory64' as const, bank: new RegisterFile({}, {}, { sizeBytes: 16 }) }];
  const identity = { vendor: 1, device: 1, classCode: 0, bars };
  assert.throws(() => new PciFunction(host, 'seventh', { device: 7 }, identity), RangeError);
});

test('a checkpoint keeps configuration, mappings and interrupts', () => {
  const one = bench();
  one.write(BAR(1), 0xe000_0000);
  one.write(COMMAND, MEMORY_ENABLE, 2);
  one.io.store(0xe000_0010, 4, 99);
  one.fn.interrupt(true);
  const other = bench();
  restoreAll(other.root, saveAll(one.root));
  assert.equal(other.inta.level, true);
  assert.equal(other.io.load(0xe000_0010, 4), 99);
});

test('mechanism #1: an address with bit 31 selects the register that the data port shows, at any size', () => {
  const io = new Accessor(new PciHost(quietRoot(), 'pci', new ResetControl(quietRoot(), 'reset', () => {})));
  io.out(0xcf8, 0x8000_0000, 4);
  assert.equal(io.in(0xcf8, 4), 0x8000_0000);
  assert.equal(io.in(0xcfc, 4), 0x1237_8086);
  assert.equal(io.in(0xcfe, 2), 0x1237);
  assert.equal(io.in(0xcfd, 1), 0x80);
  io.out(0xcf8, 0x8000_0000 | (1 << 11) | 8, 4);
  assert.equal(io.in(0xcff, 1), 0x06, 'the ISA bridge is a bridge');
  io.out(0xcf8, 0x8000_0000 | (9 << 11), 4);
  assert.equal(io.in(0xcfc, 4), 0xffff_ffff, 'no device 9');
  io.out(0xcf8, 0, 4);
  assert.equal(io.in(0xcfc, 4), 0xffff_ffff, 'the mechanism is off');
});

test('mechanism #1: bits 1:0 of the register in the address count, as under QEMU, within the double word', () => {
  const io = new Accessor(new PciHost(quietRoot(), 'pci', new ResetControl(quietRoot(), 'reset', () => {})));
  io.out(0xcf8, 0x8000_0002, 4);
  assert.equal(io.in(0xcfc, 2), 0x1237);
  assert.equal(io.in(0xcfe, 2), 0x1237);
  assert.equal(io.in(0xcfd, 1), 0x12);
  assert.equal(io.in(0xcfc, 4), 0xffff_ffff);
});

test('mechanism #1: accesses of the address port that are not of 32 bits do not change the address', () => {
  const io = new Accessor(new PciHost(quietRoot(), 'pci', new ResetControl(quietRoot(), 'reset', () => {})));
  io.out(0xcf8, 0x8000_0800, 4);
  io.out(0xcf8, 0x12, 1);
  io.out(0xcfa, 0x3456, 2);
  io.out(0xcfb, 1, 1);
  assert.equal(io.in(0xcf8, 4), 0x8000_0800);
  assert.equal(io.in(0xcf8, 1), 0xff);
});
