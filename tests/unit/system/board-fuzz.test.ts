// Random accesses of every size, everywhere, through the crossbars of a PC: nothing throws, nothing storms, nothing gets
// lost on the way, who is not there answers ones, and a machine that was saved goes on as the one that was not.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { localApicAddress, pciConfigAddress, portAddress } from '../../../src/arch/x86/address-spaces.ts';
import type { NoDevice } from '../../../src/dev/no-device.ts';
import type { Packet } from '../../../src/mem/packet.ts';
import { HostileBus } from '../../support/hostile-bus.ts';
import { scratchDirectory } from '../../support/hypertick.ts';
import { Random } from '../../support/random.ts';

const SEED = 0x0b0a_12d5;
const ACCESSES = 200_000;
const BETWEEN_CHECKPOINTS = 200_000;
const SIDE_BY_SIDE = 2_000;
const SIZES = [1, 1, 2, 2, 4, 4, 4, 8, 8, 3] as const;

interface Access {
  readonly address: number;
  readonly sizeBytes: number;
  /** undefined: a read. */
  readonly value: number | undefined;
}

/** Where accesses go: near what answers, across its edges, and where nobody is. */
class Aim {
  readonly #random: Random;
  readonly #starts: readonly { readonly start: number; readonly sizeBytes: number }[];

  constructor(random: Random, { answered }: HostileBus) {
    this.#random = random;
    this.#starts = answered;
  }

  next(): Access {
    const random = this.#random;
    const sizeBytes = random.pick(SIZES);
    return {
      address: this.#address(),
      sizeBytes,
      value: random.oneIn(2) ? undefined : this.#value(sizeBytes),
    };
  }

  #address(): number {
    const random = this.#random;
    const { start, sizeBytes } = random.pick(this.#starts);
    switch (random.below(8)) {
      case 0:
        return Math.max(0, start - 8) + random.below(16);
      case 1:
        return start + sizeBytes - 8 + random.below(16);
      case 2:
        return random.oneIn(2) ? portAddress(random.below(0x1_0000)) : random.u32();
      case 3:
        return start + (random.u32() % sizeBytes);
      case 4: // a device of the PCI bus, or a register of one
        return pciConfigAddress(random.below(2), random.below(32), random.below(8), random.below(0x100));
      case 5:
        return localApicAddress(0) + random.below(0x400);
      default:
        return start + random.below(Math.min(sizeBytes, 0x40));
    }
  }

  #value(sizeBytes: number): number {
    const random = this.#random;
    const limit = 2 ** (8 * Math.min(sizeBytes, 6));
    if (random.oneIn(4)) return random.pick([0, limit - 1, 2 ** random.below(8 * Math.min(sizeBytes, 6))]);
    return random.oneIn(2) ? random.below(0x100) : (random.u32() * 0x1_0000 + random.below(0x1_0000)) % limit;
  }
}

const told = ({ address, sizeBytes, value }: Access): string =>
  `${value === undefined ? 'read' : `write of 0x${value.toString(16)}`}, ${sizeBytes} bytes at 0x${address.toString(16)}`;

/** Bytes that nobody answers read as ones. */
function checkOnes(bus: HostileBus, access: Access, data: Uint8Array): void {
  for (const [i, byte] of data.entries()) {
    if (byte !== 0xff && !bus.isAnswered(access.address + i))
      assert.fail(`byte ${i} of a ${told(access)} is ${byte}`);
  }
}

/** Time that passes between two accesses, in ticks: mostly little, now and then a millisecond or a second. */
function pause(random: Random): number {
  if (random.oneIn(2000)) return 1e12;
  return random.oneIn(20) ? random.below(1e8) : random.below(1e6);
}

test(`${ACCESSES} accesses, a third of them timing, some refused: all are answered, and checkpoints hold`, async (t) => {
  const random = new Random(SEED);
  const directory = scratchDirectory(t);
  const underWay = new Map<Packet, Access>();
  const hear = (packet: Packet) => {
    const access = underWay.get(packet);
    assert.ok(access !== undefined && underWay.delete(packet), `${packet} answers no request`);
    assert.ok(!packet.isError, `refused: ${told(access)}`);
    if (access.value === undefined) checkOnes(bus, access, packet.data);
  };
  let bus = new HostileBus(hear);
  const aim = new Aim(random, bus);
  let refusals = 0;
  for (let done = 0; done < ACCESSES; ) {
    for (const goal = done + BETWEEN_CHECKPOINTS; done < goal; done++) {
      const access = aim.next();
      try {
        step(bus, access, random, underWay);
      } catch (error) {
        throw new Error(`access ${done}: ${told(access)}`, { cause: error });
      }
    }
    bus.cpu.refuse = 0;
    bus.pass(1e9);
    assert.equal(underWay.size, 0, 'every request is answered');
    assert.equal(bus.cpu.outstanding, 0);
    refusals += bus.cpu.refusals;
    // Nothing is left but timers.
    assert.ok(bus.root.eventQueue.size <= 24, `${bus.root.eventQueue.size} events are scheduled`);
    bus = await compareWithRestored(bus, hear, aim, random, `${directory}/${done}`);
  }
  assert.ok(refusals > 1000, `${refusals} responses were refused`);
});

function step(bus: HostileBus, access: Access, random: Random, underWay: Map<Packet, Access>): void {
  const { address, sizeBytes, value } = access;
  const arguments_ = bus.cpu.context;
  // Delay and period of pseudo-instructions.
  if (random.oneIn(64)) arguments_.setGprNumber(7, random.below(1e6));
  if (random.oneIn(3)) {
    if (random.oneIn(8)) bus.cpu.refuse += 1 + random.below(3);
    underWay.set(bus.request(address, sizeBytes, value), access);
  } else {
    const data = bus.access(address, sizeBytes, value);
    if (value === undefined) checkOnes(bus, access, data);
  }
  if (random.oneIn(4)) bus.pass(pause(random));
  if (random.oneIn(16)) bus.takeInterrupt();
}

/** Saves the machine and restores it into another one; both then do the same for a while. Returns the other one. */
async function compareWithRestored(
  bus: HostileBus,
  hear: (packet: Packet) => void,
  aim: Aim,
  random: Random,
  directory: string,
): Promise<HostileBus> {
  await bus.simulator.checkpoint(directory);
  bus.simulator.resume();
  const copy = new HostileBus(hear);
  copy.simulator.restore(directory);
  for (const object of copy.root.descendants()) object.startup();
  copy.simulator.resume();
  for (let i = 0; i < SIDE_BY_SIDE; i++) {
    const access = aim.next();
    const { address, sizeBytes, value } = access;
    const expected = bus.access(address, sizeBytes, value).toHex();
    assert.equal(
      copy.access(address, sizeBytes, value).toHex(),
      expected,
      `step ${i} after a restore: ${told(access)}`,
    );
    const ticks = pause(random);
    for (const one of [bus, copy]) one.pass(ticks);
    if (random.oneIn(16)) for (const one of [bus, copy]) one.takeInterrupt();
  }
  return copy;
}

describe('an access across the edge of a device', () => {
  const COM1 = 0x3f8;
  const SCRATCH = COM1 + 7;

  test('gets the device’s bytes, and ones where nobody is', () => {
    const bus = new HostileBus();
    bus.access(portAddress(SCRATCH), 1, 0x5a);
    assert.equal(bus.access(portAddress(SCRATCH), 2).toHex(), '5aff');
    assert.equal(
      bus
        .access(portAddress(SCRATCH - 1), 4)
        .toHex()
        .slice(2),
      '5affff',
      'behind the modem status',
    );
    // COM2's divisor latch begins where nobody ends.
    bus.access(portAddress(0x2fb), 1, 0x80);
    bus.access(portAddress(0x2f7), 2, 0x34_12);
    assert.equal(bus.access(portAddress(0x2f7), 2).toHex(), 'ff34');
  });

  test('from one device to the next reaches both', () => {
    const bus = new HostileBus();
    // The keyboard controller's data at 0x60; port 0x61, of which bits 0 and 1 can be written.
    // 0xee is "echo", which a keyboard answers with the same.
    bus.access(portAddress(0x60), 2, 0x03ee);
    assert.equal(bus.access(portAddress(0x61), 1)[0]! & 3, 3);
    const [answer, gate] = bus.access(portAddress(0x60), 2);
    assert.deepEqual([answer, gate! & 3], [0xee, 3]);
  });

  test('from memory into the hole', () => {
    const bus = new HostileBus();
    const end = bus.board.memory.regions[0]!.sizeBytes;
    bus.access(end - 2, 4, 0x4433_2211);
    assert.equal(bus.access(end - 2, 4).toHex(), '1122ffff');
  });

  test('as a timing access gets the same answer', () => {
    const answers: string[] = [];
    const bus = new HostileBus((packet) => answers.push(packet.data.toHex()));
    bus.access(portAddress(SCRATCH), 1, 0x5a);
    bus.request(portAddress(SCRATCH), 2);
    bus.pass(1e6);
    assert.deepEqual(answers, ['5aff']);
  });

  test('that nobody answers at all counts as one', () => {
    const bus = new HostileBus();
    const nobody = [...bus.board.descendants()].find(({ name }) => name === 'nobody') as NoDevice;
    bus.access(portAddress(0x300), 4);
    bus.access(portAddress(SCRATCH), 2);
    assert.equal(nobody.stats.numReads.value, 2);
  });
});
