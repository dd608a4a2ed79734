// The PC as its processor sees it: what is where, whose interrupts arrive, what ends the machine, and that all of it
// survives a checkpoint. Expected values are the manuals' of the chips, and docs/machine.md.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { IO_SPACE_BASE, PCI_CONFIG_BASE } from '../../../src/arch/x86/address-spaces.ts';
import { Gpr } from '../../../src/arch/x86/registers.ts';
import { RegClass } from '../../../src/arch/x86/thread-context.ts';
import { asPhysAddr, hex } from '../../../src/mem/addr.ts';
import { PcExitCause } from '../../../src/system/pc-board.ts';
import { MMIO, PORTS, pciPorts, TEST_DEVICE } from '../../../src/system/pc-map.ts';
import { buildMemoryMap, type Span } from '../../../src/workload/boot/index.ts';
import { DOCUMENT, renderMachine } from '../../../tools/machine-map.ts';
import { scratchDirectory } from '../../support/hypertick.ts';
import { testBoard } from './board.ts';

const PIC_VECTORS = 0x20;

/** Initializes the 8259s as a BIOS does, all but `irq` masked. */
function initPics({ out }: ReturnType<typeof testBoard>, irq: number): void {
  for (const [port, vectors, wiring] of [
    [0x20, PIC_VECTORS, 4],
    [0xa0, PIC_VECTORS + 8, 2],
  ] as const) {
    out(port, 0x11);
    for (const word of [vectors, wiring, 1]) out(port + 1, word);
  }
  const mask = 0xffff & ~(1 << irq) & ~(irq < 8 ? 0 : 1 << 2);
  out(0x21, mask & 0xff);
  out(0xa1, mask >> 8);
}

/** Spans in ascending order, with those in one that touch. */
function joined(spans: readonly Span[]): string[] {
  const whole: Span[] = [];
  for (const { start, sizeBytes } of spans.toSorted((a, b) => a.start - b.start)) {
    const last = whole.at(-1);
    if (last !== undefined && last.start + last.sizeBytes === start)
      whole[whole.length - 1] = { start: last.start, sizeBytes: last.sizeBytes + sizeBytes };
    else whole.push({ start, sizeBytes });
  }
  return whole.map(({ start, sizeBytes }) => `${hex(start)}+${hex(sizeBytes)}`);
}

describe('the map', () => {
  test('docs/machine.md is current: node tools/machine-map.ts makes it', () => {
    assert.equal(readFileSync(DOCUMENT, 'utf8'), renderMachine());
  });

  test('devices are where it says, and nowhere else', () => {
    // One of the bytes of the PCI configuration address.
    const { resetControl: _, ...ports } = PORTS;
    const { kvm: __, ...windows } = MMIO;
    const { registers, lines, hyperV, memory } = TEST_DEVICE;
    const partition = { synics: [], connect: () => {} };
    const withTestDevice = { ...ports, pci: pciPorts(true), registers, lines };
    for (const [options, portSpans, memorySpans] of [
      [{ testDevice: false }, ports, windows],
      [{ testDevice: true }, withTestDevice, { ...windows, memory }],
      [
        { testDevice: true, hyperV: partition },
        { ...withTestDevice, hyperV },
        { ...windows, memory },
      ],
      [{ testDevice: false, hyperV: partition }, ports, windows],
    ] as const) {
      const answered = testBoard(options).board.devices.flatMap((device) => [...device.addrRanges()]);
      const between = (from: number, to: number) =>
        answered
          .filter(({ start }) => start >= from && start < to)
          .map(({ start, sizeBytes }) => ({ start: start - from, sizeBytes }));
      assert.deepEqual(joined(between(IO_SPACE_BASE, PCI_CONFIG_BASE)), joined(Object.values(portSpans)));
      assert.deepEqual(joined(between(0, IO_SPACE_BASE)), joined(Object.values(memorySpans)));
    }
  });

  test('nobody: ones, and writes vanish', () => {
    const { in: read, out, load } = testBoard();
    out(0x300, 0x55);
    assert.equal(read(0x300), 0xff);
    assert.equal(read(0x300, 4), 0xffff_ffff);
    assert.equal(load(0xfed4_0000), 0xffff_ffff);
    assert.equal(load(0x40_0000), 0xffff_ffff, 'beyond the RAM of 4 MiB');
  });

  test('RAM is reached through the bus', () => {
    const { board, load, store } = testBoard();
    store(0x1234, 0x8765_4321);
    assert.equal(load(0x1234), 0x8765_4321);
    assert.equal(board.memory.readU32(0x1234 as never), 0x8765_4321);
  });

  test('the memory map of the guest: RAM but for the firmware’s pieces and the windows', () => {
    const map = buildMemoryMap(testBoard().board.layout).map(
      ({ start, sizeBytes, type }) => `${start.toString(16)} ${sizeBytes.toString(16)} ${type}`,
    );
    assert.deepEqual(map, [
      '0 9fc00 1',
      '9fc00 60400 2',
      '100000 2ef000 1',
      '3ef000 10000 3',
      '3ff000 1000 4',
      'fec00000 1000 2',
      'fed00000 400 2',
      'fee00000 100000 2',
      'feffc000 4000 2',
      'ffff0000 10000 2',
    ]);
  });
});

describe('interrupts', () => {
  test('of the PIT reach the processor by the 8259 and LINT0, as a BIOS leaves it', async () => {
    const machine = testBoard();
    machine.spin();
    initPics(machine, 0);
    for (const [port, value] of [
      [0x43, 0x34],
      [0x40, 0x9c],
      [0x40, 0x2e],
    ] as const)
      machine.out(port, value);
    await machine.until(5);
    assert.equal(machine.interrupts.hasExternal, false, 'after half of its 10 ms');
    await machine.until(15);
    assert.equal(machine.interrupts.takeExternal(), PIC_VECTORS);
  });

  test('have the vectors of a PC’s BIOS until software says others: 08H and 70H', () => {
    // The port of the test device that drives the input, and the masks of both chips that let nothing else through.
    for (const { port, master, slave, vector } of [
      { port: 0x2005, master: 0xdf, slave: 0xff, vector: 0x0d },
      { port: 0x200b, master: 0xfb, slave: 0xf7, vector: 0x73 },
    ]) {
      const machine = testBoard({ testDevice: true });
      machine.out(0x21, master);
      machine.out(0xa1, slave);
      machine.out(port, 1);
      assert.equal(machine.interrupts.takeExternal(), vector);
    }
  });

  test('of COM1 reach it by input 4 of the I/O APIC', () => {
    const machine = testBoard();
    machine.out(0x21, 0xff);
    // I/O APIC: entry 4 is at index 0x18; fixed, physical, vector 0x55.
    machine.store(0xfec0_0000, 0x18);
    machine.store(0xfec0_0010, 0x55);
    // UART: OUT2, and the interrupt "transmitter empty", which it is.
    machine.out(0x3fc, 0x08);
    machine.out(0x3f9, 0x02);
    assert.equal(machine.interrupts.takeExternal(), 0x55);
  });

  test('IRQ0 is input 2 of the I/O APIC; in legacy replacement mode the HPET’s', async () => {
    const machine = testBoard();
    machine.spin();
    machine.out(0x21, 0xff);
    machine.store(0xfec0_0000, 0x14);
    machine.store(0xfec0_0010, 0x66);
    // Timer 0: 32 bits, interrupts on, once, after 5 ms; then counter and legacy replacement on.
    const period = machine.load(0xfed0_0004);
    machine.store(0xfed0_0100, (1 << 2) | (1 << 8));
    machine.store(0xfed0_0108, Math.round(5e12 / period));
    machine.store(0xfed0_0010, 3);
    await machine.until(4);
    assert.equal(machine.interrupts.hasExternal, false);
    await machine.until(6);
    assert.equal(machine.interrupts.takeExternal(), 0x66);
  });
});

describe('the test device', () => {
  test('interrupts by the I/O APIC as other devices do, ISA lines and those beyond', () => {
    const machine = testBoard({ testDevice: true });
    machine.out(0x21, 0xff);
    for (const [line, vector] of [
      [14, 0x55],
      [20, 0x66],
    ] as const) {
      machine.store(0xfec0_0000, 0x10 + 2 * line);
      machine.store(0xfec0_0010, vector);
      machine.out(0x2000 + line, 1);
      assert.equal(machine.interrupts.takeExternal(), vector);
    }
  });

  test('is part of what a checkpoint is of', async (t) => {
    const directory = `${scratchDirectory(t)}/cpt`;
    const first = testBoard({ testDevice: true });
    first.spin();
    first.out(0xe0, 0x1234_5678, 4);
    await first.until(1);
    await first.simulator.checkpoint(directory);
    assert.throws(
      () => testBoard().simulator.restore(directory),
      /board.testDevice.*this system has no such object/,
    );
    const second = testBoard({ testDevice: true });
    second.simulator.restore(directory);
    assert.equal(second.in(0xe0, 4), 0x1234_5678);
  });
});

describe('the end of the machine', () => {
  const ENDINGS: Record<string, [(machine: ReturnType<typeof testBoard>) => void, string, number]> = {
    'ACPI soft-off': [({ out }) => out(0x604, (5 << 10) | (1 << 13), 2), 'ACPI power off', 0],
    'reset by 0xcf9': [({ out }) => out(0xcf9, 6), 'machine reset', 0],
    'reset by the keyboard controller': [({ out }) => out(0x64, 0xfe), 'machine reset', 0],
    'reset by port 0x92': [({ out }) => out(0x92, 3), 'machine reset', 0],
    'the test-exit port': [({ out }) => out(0xf4, 0x10), 'isa-debug-exit', 33],
    m5_exit: [({ load }) => load(0xffff_2100), 'm5_exit instruction encountered', 0],
  };
  for (const [name, [act, cause, code]] of Object.entries(ENDINGS))
    test(name, async () => {
      const machine = testBoard();
      machine.spin();
      act(machine);
      assert.deepEqual(await machine.until(1), { cause, code, tick: 0n });
    });
});

describe('suspend to RAM', () => {
  const WAKING_VECTOR = 12;
  const asleep = (vector: number) => {
    const machine = testBoard();
    machine.store(machine.board.layout.acpi!.facs.start + WAKING_VECTOR, vector);
    machine.out(0x604, 0x2400, 2);
    assert.equal(machine.interrupts.hasInit, true);
    machine.interrupts.takeInit();
    assert.equal(machine.interrupts.hasStartup, false);
    machine.board.power.powerButton.setLevel(true);
    return machine;
  };

  test('INIT stops the processor; waking starts it at a jump to the vector in FACS', () => {
    const { interrupts, board } = asleep(0x9_b234);
    assert.equal(interrupts.hasStartup, true);
    const jump = new Uint8Array(5);
    board.memory.read(asPhysAddr(interrupts.takeStartup() << 12), jump);
    assert.deepEqual([...jump], [0xea, 0x04, 0x00, 0x23, 0x9b], 'jmp 9b23:0004');
  });

  test('woken before it has come to rest, the processor starts all the same', () => {
    const machine = testBoard();
    machine.store(machine.board.layout.acpi!.facs.start + WAKING_VECTOR, 0x9_b000);
    machine.out(0x604, 0x2400, 2);
    machine.board.power.powerButton.setLevel(true);
    machine.interrupts.takeInit();
    assert.equal(machine.interrupts.hasStartup, true);
  });

  test('with no vector to wake at, or none in the reach of real mode, the machine is reset', async () => {
    for (const vector of [0, 0x10_0000]) {
      const machine = asleep(vector);
      assert.equal(machine.interrupts.hasStartup, false);
      machine.spin();
      assert.equal((await machine.until(1)).cause, PcExitCause.reset);
    }
  });
});

describe('starting', () => {
  test('an image is in memory, and the processor at its first instruction', async () => {
    const { board, until, spin } = testBoard();
    spin();
    assert.equal(board.memory.readU16(0x10_0000 as never), 0xfeeb);
    await until(0);
    assert.equal(board.cpu.thread.status, 'active');
    assert.equal(board.cpu.readState(RegClass.all).rip, 0x10_0000n);
  });

  test('without an image: one line', async () => {
    await assert.rejects(testBoard().until(1), /^FatalError: board: nothing to execute: boot an image/);
  });
});

describe('a checkpoint', () => {
  test('holds devices, interrupts under way, memory and processor', async (t) => {
    const directory = `${scratchDirectory(t)}/cpt`;
    const first = testBoard();
    first.spin();
    initPics(first, 0);
    first.out(0x43, 0x34);
    first.out(0x40, 0x9c);
    first.out(0x40, 0x2e);
    first.out(0x3ff, 0x5a);
    first.store(0x2000, 0xdead_beef);
    await first.until(15);
    first.board.cpu.readState(RegClass.all).setGpr(Gpr.RBX, 7n);
    await first.simulator.checkpoint(directory);

    const second = testBoard();
    second.simulator.restore(directory);
    assert.equal(second.root.curTick, 15_000_000_000n);
    assert.equal(second.in(0x3ff), 0x5a);
    assert.equal(second.load(0x2000), 0xdead_beef);
    assert.equal(second.board.cpu.readState(RegClass.all).gpr(Gpr.RBX), 7n);
    assert.equal(second.interrupts.takeExternal(), PIC_VECTORS);
    second.out(0x20, 0x20);
    await second.until(19);
    assert.equal(second.interrupts.hasExternal, false);
    await second.until(21);
    assert.equal(second.interrupts.takeExternal(), PIC_VECTORS, 'the next period ends where it would have');
  });

  test('of another machine is refused by name', async (t) => {
    const directory = `${scratchDirectory(t)}/cpt`;
    const first = testBoard();
    first.spin();
    await first.until(1);
    await first.simulator.checkpoint(directory);
    const larger = testBoard({ memorySize: '8MiB' });
    assert.throws(
      () => larger.simulator.restore(directory),
      /a machine with 4194304 bytes of RAM, this one has 8388608/,
    );
  });
});
