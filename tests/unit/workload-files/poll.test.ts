/**
 * poll(2) and select(2): what is ready now, timeouts in simulated time, and what is written back.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Guest } from './harness.ts';

const IN = 1;
const OUT = 4;
const HUP = 0x10;
const NVAL = 0x20;
const EBADF = -9;
const EINVAL = -22;
/** Made again unless a handler runs: fs/select.c's ERESTARTNOHAND. */
const RESTART_NO_HANDLER = -514;

function pollfds(guest: Guest, ...entries: (readonly [fd: number, events: number])[]): number {
  const va = guest.memory.allocate(8 * entries.length);
  for (const [i, [fd, events]] of entries.entries()) {
    guest.memory.writeI32(va + 8 * i, fd);
    guest.memory.writeU32(va + 8 * i + 4, events | 0xffff_0000);
  }
  return va;
}

function revents(guest: Guest, va: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => guest.memory.readU32(va + 8 * i + 4) >>> 16);
}

describe('poll', () => {
  it('reports readiness, closed descriptors and hang-up, and ignores negative ones', () => {
    const guest = new Guest();
    const [a, b] = [guest.pipe(), guest.pipe()];
    guest.put(a.writeEnd, 'x');
    guest.call('close', b.writeEnd);
    const file = guest.call('open', '/etc/passwd', 0);
    const listing = guest.call('open', '/proc/self/fd', 0);
    const entries = [
      [a.readEnd, IN],
      [a.writeEnd, OUT],
      [b.readEnd, IN],
      [-1, IN],
      [200, IN],
      [file, IN],
      [listing, IN],
    ] as const;
    const va = pollfds(guest, ...entries);
    assert.equal(guest.call('poll', va, entries.length, -1), 6);
    assert.deepEqual(revents(guest, va, entries.length), [IN, OUT, HUP, 0, NVAL, IN, IN]);
    guest.close();
  });

  it('with timeout 0 returns at once, with another one at its deadline in simulated time', () => {
    const guest = new Guest();
    const { readEnd, writeEnd } = guest.pipe();
    const va = pollfds(guest, [readEnd, IN]);
    assert.equal(guest.call('poll', va, 1, 0), 0);
    assert.deepEqual(revents(guest, va, 1), [0]);
    guest.nowNs = 5_000;
    const wait = guest.wait('poll', va, 1, 20);
    assert.equal(wait.deadline, 20_005_000_000n);
    assert.equal(wait.interruptResult, RESTART_NO_HANDLER);
    assert.deepEqual(wait.hostFds?.length, 1);
    assert.equal(wait.poll(), undefined);
    guest.put(writeEnd, 'x');
    assert.equal(wait.poll(), 1);
    assert.deepEqual(revents(guest, va, 1), [IN]);
    guest.close();
  });

  it('with a negative timeout has no deadline', () => {
    const guest = new Guest();
    const wait = guest.wait('poll', pollfds(guest, [guest.pipe().readEnd, IN]), 1, -1);
    assert.equal(wait.deadline, undefined);
    wait.cancel?.();
    guest.close();
  });

  it('takes more descriptors than one page of them, but not more than may be open', () => {
    const guest = new Guest({ maxDescriptors: 2000 });
    const { writeEnd } = guest.pipe();
    const entries = Array.from({ length: 1500 }, () => [writeEnd, OUT] as const);
    assert.equal(guest.call('poll', pollfds(guest, ...entries), 1500, 0), 1500);
    assert.equal(guest.call('poll', 0x10000, 2001, 0), EINVAL);
    guest.close();
  });
});

describe('ppoll', () => {
  it('sets the signal mask and writes back what is left of the timeout', () => {
    const guest = new Guest();
    const { readEnd, writeEnd } = guest.pipe();
    const time = guest.memory.allocate(16);
    guest.memory.writeNumber64(time, 2);
    guest.memory.writeNumber64(time + 8, 500);
    const mask = guest.memory.allocate(8);
    guest.memory.writeNumber64(mask, 0x1_0000_0002);
    assert.equal(guest.start('ppoll', pollfds(guest, [readEnd, IN]), 1, time, mask, 4), EINVAL);
    const wait = guest.wait('ppoll', pollfds(guest, [readEnd, IN]), 1, time, mask, 8);
    assert.deepEqual(guest.masks, [[2, 1]]);
    guest.nowNs = 1_500_000_000;
    guest.put(writeEnd, 'x');
    assert.equal(wait.poll(), 1);
    assert.deepEqual([guest.memory.readAddress(time), guest.memory.readAddress(time + 8)], [0, 500_000_500]);
    guest.close();
  });

  it('refuses timeouts that are not normalized', () => {
    const guest = new Guest();
    const time = guest.memory.allocate(16);
    guest.memory.writeNumber64(time + 8, 1_000_000_000);
    assert.equal(guest.call('ppoll', 0, 0, time), EINVAL);
    guest.memory.writeNumber64(time, -1);
    guest.memory.writeNumber64(time + 8, 0);
    assert.equal(guest.call('ppoll', 0, 0, time), EINVAL);
    guest.close();
  });
});

describe('select', () => {
  /** A bit set of 64 descriptors. */
  function set(guest: Guest, ...fds: number[]): number {
    const va = guest.memory.allocate(8);
    guest.memory.writeNumber64(
      va,
      fds.reduce((bits, fd) => bits + 2 ** fd, 0),
    );
    return va;
  }
  const bits = (guest: Guest, va: number) => guest.memory.readAddress(va);

  it('counts bits over the three sets and clears those that are not ready', () => {
    const guest = new Guest();
    const [a, b] = [guest.pipe(), guest.pipe()];
    guest.put(a.writeEnd, 'x');
    const reads = set(guest, a.readEnd, b.readEnd);
    const writes = set(guest, a.writeEnd, b.writeEnd);
    assert.equal(guest.call('select', 40, reads, writes, 0, 0), 3);
    assert.equal(bits(guest, reads), 2 ** a.readEnd);
    assert.equal(bits(guest, writes), 2 ** a.writeEnd + 2 ** b.writeEnd);
    guest.close();
  });

  it('answers EBADF for a descriptor that is not open', () => {
    const guest = new Guest();
    assert.equal(guest.call('select', 40, set(guest, 39), 0, 0, 0), EBADF);
    assert.equal(guest.call('select', -1, 0, 0, 0, 0), EINVAL);
    guest.close();
  });

  it('leaves the sets alone while it waits, and empties them at the timeout', () => {
    const guest = new Guest();
    const { readEnd } = guest.pipe();
    const reads = set(guest, readEnd);
    const time = guest.memory.allocate(16);
    guest.memory.writeNumber64(time + 8, 250_000);
    const wait = guest.wait('select', readEnd + 1, reads, 0, 0, time);
    assert.equal(wait.deadline, 250_000_000_000n);
    assert.equal(bits(guest, reads), 2 ** readEnd);
    guest.nowNs = 250_000_000;
    wait.cancel?.();
    assert.equal(wait.timeoutResult, 0);
    assert.equal(bits(guest, reads), 0);
    assert.deepEqual([bits(guest, time), bits(guest, time + 8)], [0, 0]);
    guest.close();
  });

  it('takes the mask of pselect6 from its pair of address and size', () => {
    const guest = new Guest();
    const mask = guest.memory.allocate(8);
    guest.memory.writeNumber64(mask, 5);
    const pack = guest.memory.allocate(16);
    guest.memory.writeNumber64(pack, mask);
    guest.memory.writeNumber64(pack + 8, 8);
    const time = guest.memory.allocate(16);
    assert.equal(guest.call('pselect6', 0, 0, 0, 0, time, pack), 0);
    assert.deepEqual(guest.masks, [[5, 0]]);
    guest.close();
  });
});
