// Dumps: the JSON record of `--dump-state`, and the readable groups.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  dumpAll,
  dumpDebug,
  dumpEvents,
  dumpFpu,
  dumpInteger,
  dumpMsrs,
  dumpSpecial,
  dumpXcr,
  dumpXsave,
  stateRecord,
} from '../../../src/arch/x86/dump.ts';
import { Gpr, Seg } from '../../../src/arch/x86/registers.ts';
import { SegmentPreset } from '../../../src/arch/x86/segments.ts';
import { EVENT, OFFSET, STRIDE } from '../../../src/arch/x86/state-layout.ts';
import { X86ThreadContext } from '../../../src/arch/x86/thread-context.ts';
import { randomState } from './random-state.ts';

function userState(): X86ThreadContext {
  const tc = new X86ThreadContext();
  tc.powerOn();
  tc.rip = 0x40_1000n;
  tc.rflags = 0x246;
  tc.setSegment(Seg.CS, { ...SegmentPreset.userCode64, selector: 0x33 });
  tc.setSegment(Seg.SS, { ...SegmentPreset.userData, selector: 0x2b });
  tc.setSegmentBase(Seg.FS, 0x7f00_0000_0740n);
  tc.setGpr(Gpr.RAX, 0xffff_ffff_ffff_fff2n);
  tc.set(OFFSET.xcr0, 0x7n);
  tc.u16[OFFSET.fsw >> 1] = 7 << 11;
  tc.u16[OFFSET.ftw >> 1] = 0x80;
  tc.u8.set([0, 0, 0, 0, 0, 0, 0, 0x80, 0xff, 0x3f], OFFSET.st + 7 * STRIDE.st); // ST0 = R7 = 1.0
  for (let i = 0; i < 32; i++) tc.u8[OFFSET.zmm + STRIDE.zmm + i] = i;
  return tc;
}

describe('the state record', () => {
  test('has the fields of --dump-state, and no zmm without AVX-512', () => {
    const record = stateRecord(userState(), { cause: 'exit_group', code: 3 });
    assert.deepEqual(Object.keys(record), [
      'rip',
      'rflags',
      'gpr',
      'ymm',
      'st',
      'fcw',
      'fsw',
      'ftw',
      'mxcsr',
      'fsbase',
      'gsbase',
      'segments',
      'exit',
    ]);
    assert.equal(Object.keys(record.gpr).length, 16);
    assert.deepEqual(Object.keys(record.segments), ['es', 'cs', 'ss', 'ds', 'fs', 'gs', 'ldtr', 'tr']);
    assert.deepEqual(record.exit, { cause: 'exit_group', code: 3 });
  });

  test('prints vectors most significant digit first and x87 registers in physical order', () => {
    const record = stateRecord(userState(), { cause: 'signal', signal: 11 });
    assert.equal(record.rip, '0x0000000000401000');
    assert.equal(record.rflags, '0x0000000000000246');
    assert.equal(record.gpr.rax, '0xfffffffffffffff2');
    assert.equal(record.ymm[1], '0x1f1e1d1c1b1a191817161514131211100f0e0d0c0b0a09080706050403020100');
    assert.equal(record.st[7], '0x3fff8000000000000000');
    assert.equal(record.fcw, '0x037f');
    assert.equal(record.fsw, '0x3800');
    assert.equal(record.ftw, '0x3fff'); // R7 valid, the rest empty
    assert.equal(record.mxcsr, '0x00001f80');
    assert.equal(record.fsbase, '0x00007f0000000740');
    assert.deepEqual(record.segments.cs, {
      selector: '0x0033',
      base: '0x0000000000000000',
      limit: '0xffffffff',
      attributes: '0x0a0fb',
    });
  });

  test('widths are fixed: 16 ymm of 64 digits, 32 zmm of 128, 8 st of 20', () => {
    const tc = randomState(1);
    tc.set(OFFSET.xcr0, 0xe7n);
    const record = stateRecord(tc, { cause: 'test' });
    assert.deepEqual([record.ymm.length, record.zmm?.length, record.st.length], [16, 32, 8]);
    for (const ymm of record.ymm) assert.match(ymm, /^0x[0-9a-f]{64}$/);
    for (const zmm of record.zmm ?? []) assert.match(zmm, /^0x[0-9a-f]{128}$/);
    for (const st of record.st) assert.match(st, /^0x[0-9a-f]{20}$/);
    assert.equal(record.zmm?.[5]?.slice(-64), record.ymm[5]?.slice(2));
  });
});

describe('readable dumps', () => {
  test('name the flags that are set', () => {
    assert.match(dumpInteger(userState()), /rip 0x0000000000401000 {2}rflags 0x00000246 \[PF ZF IF\] cpl 3/);
  });

  test('show segments with their rights', () => {
    const text = dumpSpecial(userState());
    assert.match(text, /^cs {3}0x0033 base 0x0{16} limit 0xffffffff type 0xb dpl 3 S P L G$/m);
    assert.match(text, /^cr0 0x0000000060000010 \[ET NW CD\]$/m);
    assert.match(text, /^apicBase 0x0{16} \[\]$/m);
  });

  test('show an unusable segment as such', () => {
    const tc = userState();
    tc.setSegment(Seg.GS, SegmentPreset.unusable);
    assert.match(dumpSpecial(tc), /^gs .* unusable$/m);
  });

  test('show the x87 stack in stack order with physical numbers', () => {
    const text = dumpFpu(userState());
    assert.match(text, /^st0 \(r7\) 0x3fff8000000000000000$/m);
    assert.match(text, /^st1 \(r0\) 0x0{20} empty$/m);
    assert.match(text, /fsw 0x3800 \(top 7\)/);
  });

  test('show vector registers as wide as XCR0 enables them', () => {
    const tc = userState();
    assert.match(dumpXsave(tc), /^ymm15 /m);
    assert.doesNotMatch(dumpXsave(tc), /zmm|k0/);
    tc.set(OFFSET.xcr0, 0xe7n);
    assert.match(dumpXsave(tc), /^zmm31 0x0{128}$/m);
    assert.match(dumpXcr(tc), /\[X87 SSE AVX OPMASK ZMM_HI256 HI16_ZMM\]/);
  });

  test('show only the events there are', () => {
    const tc = userState();
    assert.equal(dumpEvents(tc), 'none');
    tc.u8[OFFSET.events + EVENT.interruptShadow] = 1;
    assert.equal(dumpEvents(tc), 'event.interruptShadow 0x1');
  });

  test('name MSRs and debug registers', () => {
    assert.match(dumpMsrs(userState()), /^PAT +\(0x277\) 0x0007040600070406$/m);
    assert.match(dumpDebug(userState()), /^dr7 0x0000000000000400$/m);
  });

  test('together have every group', () => {
    const text = dumpAll(userState());
    const headings = ['integer', 'special', 'debug', 'fpu', 'xsave', 'events', 'msrs'];
    for (const heading of headings) assert.match(text, new RegExp(`^-- ${heading}$`, 'm'));
  });
});
