/**
 * A KVM that shadows the guest's page tables sees no store of ours to them: it keeps a translation until the
 * host page under it is discarded or dropped. The stand-in here does exactly that, and uses what it has kept.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { walk } from '../../../src/arch/x86/page-table.ts';
import type { PhysAddr } from '../../../src/mem/addr.ts';
import { Advice, MapFlag, MremapFlag, Prot } from '../../../src/workload/linux/memory-flags.ts';
import { Machine, MIB, PAGE, PRIVATE_ANON, RW } from './machine.ts';

const W = 2;
const U = 4;
const BASE = 0x20_0000_0000;
const SLOTS = 64;

interface Cached {
  readonly frame: number;
  readonly writable: boolean;
}

/** Runs "user code": single-byte accesses through kept translations. */
class ShadowingCpu {
  readonly #m: Machine;
  readonly #kept = new Map<number, Cached>();

  constructor(m: Machine) {
    this.#m = m;
  }

  /** The byte at `va` after the access, or the signal's code. */
  access(va: number, write?: number): number | string {
    for (let attempt = 0; attempt < 3; attempt++) {
      const page = this.#translate(va, write !== undefined);
      if (page !== undefined) {
        const pa = (page.frame + (va % PAGE)) as PhysAddr;
        if (write !== undefined) this.#m.ram.writeU8(pa, write);
        return this.#m.ram.readU8(pa);
      }
      const result = this.#m.space.handleFault(va, { write: write !== undefined, fetch: false });
      if (result !== 'resolved') return result.code;
    }
    return 'endless fault';
  }

  #translate(va: number, write: boolean): Cached | undefined {
    this.#forgetDropped();
    const page = va - (va % PAGE);
    const kept = this.#kept.get(page);
    if (kept !== undefined && (kept.writable || !write)) return kept;
    const found = walk(
      { readU64: (pa) => this.#m.ram.readU64(pa as PhysAddr) },
      this.#m.space.pageTableRoot,
      BigInt(page),
    );
    if (found === undefined || !(found.flags & U)) return undefined;
    const fresh = { frame: found.physicalAddress, writable: (found.flags & W) !== 0 };
    this.#kept.set(page, fresh);
    return fresh.writable || !write ? fresh : undefined;
  }

  #forgetDropped(): void {
    const { dropped } = this.#m.host;
    if (dropped.size === 0) return;
    for (const [page, { frame }] of this.#kept) if (dropped.has(frame)) this.#kept.delete(page);
    dropped.clear();
  }
}

/** What memory should hold: the byte at the start of each page slot, and its rights. */
type Model = ({ value: number; prot: number } | undefined)[];

function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** One random call, done to the machine and to the model. */
function step(m: Machine, model: Model, next: (below: number) => number): string {
  const first = next(SLOTS);
  const count = 1 + next(Math.min(12, SLOTS - first));
  const va = BASE + first * PAGE;
  const length = count * PAGE;
  const slots = () => model.slice(first, first + count);
  const set = (change: (old: Model[number]) => Model[number]) => {
    for (let i = first; i < first + count; i++) model[i] = change(model[i]);
  };
  switch (next(6)) {
    case 0:
      assert.equal(m.map({ address: va, length, flags: PRIVATE_ANON | MapFlag.fixed }), va);
      set(() => ({ value: 0, prot: RW }));
      return 'mmap';
    case 1:
      assert.equal(m.space.munmap(va, length), 0);
      set(() => undefined);
      return 'munmap';
    case 2:
    case 3: {
      const prot = [Prot.none, Prot.read, RW][next(3)]!;
      if (slots().includes(undefined)) return 'nothing';
      assert.equal(m.space.mprotect(va, length, prot), 0);
      set((old) => old && { ...old, prot });
      return 'mprotect';
    }
    case 4:
      m.space.madvise(va, length, Advice.dontNeed);
      set((old) => old && { ...old, value: 0 });
      return 'madvise';
    default: {
      const to = next(SLOTS - count + 1);
      const overlaps = to < first + count && first < to + count;
      const moved = slots();
      const isOneArea = moved.every((slot) => slot !== undefined && slot.prot === moved[0]?.prot);
      if (overlaps || !isOneArea) return 'nothing';
      const target = BASE + to * PAGE;
      const flags = MremapFlag.mayMove | MremapFlag.fixed;
      assert.equal(m.space.mremap(va, length, length, flags, target), target);
      set(() => undefined);
      for (const [i, slot] of moved.entries()) model[to + i] = slot;
      return 'mremap';
    }
  }
}

function expected(slot: Model[number], write: boolean): number | string {
  if (slot === undefined) return 'SEGV_MAPERR';
  return slot.prot & (write ? Prot.write : Prot.read) ? slot.value : 'SEGV_ACCERR';
}

test('no translation that a shadowing KVM keeps outlives the change of its entry', () => {
  for (const seed of [1, 2, 3, 4, 5]) {
    const m = new Machine(4 * MIB);
    const cpu = new ShadowingCpu(m);
    const model: Model = new Array(SLOTS).fill(undefined);
    const next = random(seed);
    for (let round = 0; round < 400; round++) {
      const what = step(m, model, next);
      for (let i = 0; i < SLOTS; i++) {
        const context = `seed ${seed}, round ${round}, after ${what}: page ${i}`;
        const va = BASE + i * PAGE;
        const slot = model[i];
        assert.equal(cpu.access(va), expected(slot, false), context);
        if (next(4) > 0) continue;
        const value = 1 + next(255);
        if (slot !== undefined && slot.prot & Prot.write) slot.value = value;
        assert.equal(cpu.access(va, value), expected(slot, true), `${context}, written`);
      }
    }
    const inUse = m.frames.totalFrames - m.frames.freeFrames;
    const { residentPages, tablePages } = m.space.usage();
    assert.equal(inUse, residentPages + tablePages, 'no frame is lost');
  }
});

test('system calls never use a translation that was changed', () => {
  const m = new Machine();
  const va = m.map({ length: PAGE });
  m.user.writeU8(va, 9);
  m.space.mprotect(va, PAGE, Prot.read);
  assert.throws(() => m.user.writeU8(va, 1), /SEGV_ACCERR/);
  assert.equal(m.user.readU8(va), 9);
  const to = m.space.mremap(va, PAGE, PAGE, MremapFlag.mayMove | MremapFlag.fixed, BASE);
  assert.equal(m.user.readU8(to), 9);
  assert.throws(() => m.user.readU8(va), /SEGV_MAPERR/);
});

test('a fault on an entry that permits the access makes KVM forget the page', () => {
  const m = new Machine();
  const va = m.map({ length: PAGE });
  m.user.writeU8(va, 1);
  m.host.dropped.clear();
  assert.equal(m.space.handleFault(va, { write: true, fetch: false }), 'resolved');
  assert.equal(m.host.dropped.size, 1);
});
