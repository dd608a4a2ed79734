// The shared page of a vCPU, its coalesced ring, and exits as values, over a page that the test writes as
// the kernel would. Offsets are those of Documentation/virt/kvm/api.rst, section 5, written out by hand.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { KvmIoctl } from '../../../src/host/kvm/abi.ts';
import { KvmSregs, KvmX86Ioctl } from '../../../src/host/kvm/abi-x86.ts';
import { decodeExit, describeExit } from '../../../src/host/kvm/exit.ts';
import { KvmRun } from '../../../src/host/kvm/run.ts';
import { struct, u8, u16, u32, u64 } from '../../../src/host/layout.ts';

const EXIT_REASON = 8;
const EXIT = 32;
const PAGE = 4096;

function fakeRun(coalescedPage = 0): KvmRun {
  return new KvmRun(new Uint8Array(3 * PAGE), coalescedPage);
}

/** Puts an exit into the page: its reason, and 32-bit words of its member of the union. */
function withExit(reason: number, ...words: readonly number[]): KvmRun {
  const run = fakeRun();
  run.view.setUint32(EXIT_REASON, reason, true);
  for (const [i, word] of words.entries()) run.view.setUint32(EXIT + 4 * i, word, true);
  return run;
}

describe('layouts', () => {
  test('align members and the whole as C does', () => {
    const inner = struct('inner', { a: u8, b: u32 });
    const outer = struct('outer', { a: u8, b: u16, c: [inner, 2], d: u8, e: u64, f: u8 });
    assert.deepEqual(outer.at, { a: 0, b: 2, c: 4, d: 20, e: 24, f: 32 });
    assert.equal(outer.size, 40);
    assert.equal(inner.size, 8);
  });

  test('of registers have the sizes that KVM documents', () => {
    assert.equal(KvmSregs.size, 312);
    assert.equal(KvmIoctl.RUN, 0xae80);
    assert.equal(KvmX86Ioctl.GET_REGS, 0x8090_ae81);
    assert.equal(KvmX86Ioctl.GET_MSRS, 0xc008_ae88);
  });
});

describe('the shared page', () => {
  test('holds what the simulator tells the kernel', () => {
    const run = fakeRun();
    run.requestInterruptWindow = true;
    run.setImmediateExit(true);
    run.cr8 = 7;
    run.apicBase = 0x12_fee0_0900;
    run.kvmValidRegs = 3;
    run.kvmDirtyRegs = 1;
    assert.deepEqual([...run.u8.subarray(0, 2)], [1, 1]);
    assert.equal(run.view.getBigUint64(16, true), 7n);
    assert.equal(run.view.getBigUint64(24, true), 0x12_fee0_0900n);
    assert.equal(run.view.getBigUint64(288, true), 3n);
    assert.equal(run.view.getBigUint64(296, true), 1n);
    assert.equal(run.apicBase, 0x12_fee0_0900);
    run.setImmediateExit(false);
    assert.equal(run.immediateExit, false);
  });

  test('has the synchronized registers behind the union of exits', () => {
    const { syncRegs, u8 } = fakeRun();
    u8[304 + 8] = 1;
    u8[304 + 144] = 2;
    u8[304 + 144 + 312] = 3;
    assert.deepEqual([syncRegs.regs[8], syncRegs.sregs[0], syncRegs.events[0]], [1, 2, 3]);
    assert.deepEqual([syncRegs.regs.length, syncRegs.sregs.length, syncRegs.events.length], [144, 312, 64]);
  });

  test('works at an offset in a larger buffer', () => {
    const buffer = new ArrayBuffer(4 * PAGE);
    const run = new KvmRun(new Uint8Array(buffer, 64, 3 * PAGE));
    new DataView(buffer).setUint32(64 + EXIT_REASON, 5, true);
    assert.equal(run.exitReason, 5);
  });

  test('gives addresses above 4 GiB exactly', () => {
    const { mmio } = withExit(6, 0x8000_0010, 0xf_ffff, 0, 0, 8, 0);
    assert.equal(mmio.physAddr, 0xf_ffff_8000_0010);
    assert.equal(mmio.isWrite, false);
  });
});

describe('exits as values', () => {
  test('of a string write hold every element', () => {
    const run = withExit(2, 0x03f8_0201, 3, PAGE);
    run.u8.set([1, 2, 3, 4, 5, 6], PAGE);
    assert.deepEqual(decodeExit(run), {
      kind: 'io',
      isOut: true,
      size: 2,
      port: 0x3f8,
      count: 3,
      data: Uint8Array.of(1, 2, 3, 4, 5, 6),
    });
  });

  test('stay what they were when the page changes', () => {
    const run = withExit(6, 0x1000, 0, 0x44332211, 0, 4, 1);
    const exit = decodeExit(run);
    run.u8.fill(0);
    assert.deepEqual(exit, {
      kind: 'mmio',
      physAddr: 0x1000,
      isWrite: true,
      len: 4,
      data: Uint8Array.of(0x11, 0x22, 0x33, 0x44),
    });
  });

  test('of a failed emulation carry the instruction', () => {
    const run = withExit(17, 1, 3, 1, 0, 0xb80f_f303, 0xc0);
    const exit = decodeExit(run);
    assert.equal(exit.kind, 'internalError');
    assert.equal(describeExit(exit), 'internal error EMULATION, instruction bytes f3 0f b8');
  });

  test('of a failed emulation without instruction bytes say so by their absence', () => {
    assert.equal(describeExit(decodeExit(withExit(17, 1, 0))), 'internal error EMULATION');
  });

  test('of a hypercall of Hyper-V’s interface show its fields, and take the result', () => {
    const run = withExit(27, 2, 0, 0x1_005d, 0, 0, 0, 0x22, 0x5);
    assert.equal(describeExit(decodeExit(run)), 'hyperv, type 0x2');
    const { hyperv } = run;
    assert.deepEqual([hyperv.type, hyperv.input, hyperv.inputParameter], [2, 0x1_005dn, 0x5_0000_0022n]);
    hyperv.result = 0x12n;
    assert.equal(run.view.getBigUint64(32 + 16, true), 0x12n);
  });

  test('of other internal errors never take data for an instruction', () => {
    const exit = decodeExit(withExit(17, 3, 1, 1, 0, 0x0303));
    assert.equal(describeExit(exit), 'internal error DELIVERY_EV');
    assert.deepEqual(exit.kind === 'internalError' && exit.data, [1n]);
  });

  test('say what they are in one line', () => {
    assert.equal(describeExit(decodeExit(withExit(5))), 'hlt');
    assert.equal(
      describeExit(decodeExit(withExit(9, 0x8000_0021, 0, 3))),
      'entry failed, hardware reason 0x80000021 on host CPU 3',
    );
    assert.equal(describeExit(decodeExit(withExit(24, 3, 0))), 'system event CRASH');
    assert.equal(describeExit(decodeExit(withExit(999))), 'exit reason 999');
    assert.equal(
      describeExit(decodeExit(withExit(6, 0x1000, 0, 0x2211, 0, 2, 1))),
      'mmio, physAddr 0x1000, isWrite true, len 0x2, data 11 22',
    );
  });
});

describe('the coalesced ring', () => {
  const CAPACITY = Math.floor((PAGE - 8) / 24);

  /** Appends as the kernel does. */
  function push(run: KvmRun, value: number): void {
    const page = 2 * PAGE;
    const last = run.view.getUint32(page + 4, true);
    const at = page + 8 + 24 * last;
    run.view.setBigUint64(at, 0x1_0000_0000n + BigInt(value), true);
    run.view.setUint32(at + 8, 4, true);
    run.view.setUint32(at + 12, value & 1, true);
    run.view.setUint32(at + 16, value, true);
    run.view.setUint32(page + 4, (last + 1) % CAPACITY, true);
  }

  test('gives writes in order, across its end', () => {
    const run = fakeRun(2);
    const ring = run.coalesced!;
    let taken = 0;
    for (let pushed = 0; pushed < 3 * CAPACITY; ) {
      for (let i = 0; i < 50; i++) push(run, pushed++);
      while (ring.shift()) {
        assert.equal(ring.physAddr, 0x1_0000_0000 + taken);
        assert.equal(ring.data[0], taken & 0xff);
        assert.equal(ring.isPort, (taken & 1) === 1);
        assert.equal(ring.len, 4);
        taken++;
      }
      assert.equal(taken, pushed);
    }
    assert.ok(ring.isEmpty);
  });

  test('keeps a copy of a write whose slot the kernel uses again', () => {
    const run = fakeRun(2);
    push(run, 7);
    run.coalesced!.shift();
    run.u8.fill(0xff, 2 * PAGE + 8);
    assert.equal(run.coalesced!.data[0], 7);
  });

  test('is absent where the kernel has none', () => {
    assert.equal(fakeRun().coalesced, undefined);
  });
});
