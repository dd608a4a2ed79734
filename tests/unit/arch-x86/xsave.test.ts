// FXSAVE and XSAVE images. Byte positions: SDM vol. 1 table 10-2 and §13.4; the images of the hardware
// tests were written by FXSAVE64 and FNSTENV on a real processor (AMD Zen 4).

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  abridgeTagWord,
  fullTagWord,
  mmx,
  mxcsrMaskOf,
  readFxsave,
  setMmx,
  writeFxsave,
} from '../../../src/arch/x86/fxsave.ts';
import { Xcr0 } from '../../../src/arch/x86/registers.ts';
import { OFFSET, RegClass, STRIDE } from '../../../src/arch/x86/state-layout.ts';
import { X86ThreadContext } from '../../../src/arch/x86/thread-context.ts';
import { XsaveFormat, XsaveImageError } from '../../../src/arch/x86/xsave.ts';
import { randomState } from './random-state.ts';

/** CPUID leaf 0DH sub-leaves as two processors report them: [sub-leaf, size, offset, ECX]. */
const LAYOUTS = {
  'Intel Sapphire Rapids': [
    [2, 256, 576, 0],
    [5, 64, 1088, 0],
    [6, 512, 1152, 0],
    [7, 1024, 1664, 0],
    [9, 8, 2688, 0],
    [11, 16, 0, 1], // CET_U, a supervisor component: no place in the standard format
  ],
  'AMD Zen 4': [
    [2, 0x100, 0x240, 0],
    [5, 0x40, 0x340, 0],
    [6, 0x200, 0x380, 0],
    [7, 0x400, 0x580, 0],
    [11, 0x10, 0, 1],
    [12, 0x18, 0, 1],
  ],
} as const;

function formatOf(rows: readonly (readonly [number, number, number, number])[]): XsaveFormat {
  return XsaveFormat.fromCpuid(
    rows.map(([subleaf, eax, ebx, ecx]) => ({ leaf: 0xd, subleaf, eax, ebx, ecx, edx: 0 })),
  );
}

const intel = formatOf(LAYOUTS['Intel Sapphire Rapids']);

function imageOf(tc: X86ThreadContext, format = intel): Uint8Array {
  const area = new Uint8Array(format.sizeBytes).fill(0xa5);
  format.write(tc, area);
  return area;
}

/** Random state whose MXCSR has no reserved bits, so that it can be restored. */
function legalState(seed: number): X86ThreadContext {
  const tc = randomState(seed);
  tc.u32[OFFSET.mxcsr >> 2]! &= 0xffff;
  return tc;
}

function xstateBv(area: Uint8Array): number {
  return new DataView(area.buffer).getUint32(512, true);
}

function fromHex(digits: string): Uint8Array {
  const bytes = new Uint8Array(512);
  bytes.set(Buffer.from(digits, 'hex'));
  return bytes;
}

describe('XSAVE', () => {
  test('layouts from CPUID leave supervisor components out', () => {
    assert.equal(intel.components, 0x2e7);
    assert.equal(intel.sizeBytes, 2696);
    const amd = formatOf(LAYOUTS['AMD Zen 4']);
    assert.equal(amd.components, 0xe7);
    assert.equal(amd.sizeBytes, 0x980); // what the same processor reports in leaf 0DH EBX
  });

  for (const [name, rows] of Object.entries(LAYOUTS)) {
    test(`restores what it saved, for every TOP (${name})`, () => {
      const format = formatOf(rows);
      for (let top = 0; top < 8; top++) {
        const saved = legalState(100 + top);
        saved.u16[OFFSET.fsw >> 1] = top << 11;
        const restored = legalState(200);
        assert.equal(format.read(imageOf(saved, format), restored), 0);
        if (!(format.components & Xcr0.PKRU)) restored.u32[OFFSET.pkru >> 2] = saved.u32[OFFSET.pkru >> 2]!;
        assert.deepEqual(restored.diff(saved, RegClass.fpu), []);
      }
    });
  }

  test('puts each register where the manual says', () => {
    const tc = new X86ThreadContext();
    tc.initFpu();
    tc.u16[OFFSET.fsw >> 1] = 5 << 11; // TOP = 5: ST0 is R5, ST3 is R0
    tc.u8[OFFSET.st + 5 * STRIDE.st] = 0x50;
    tc.u8[OFFSET.st + 0 * STRIDE.st] = 0x30;
    tc.u8[OFFSET.zmm + 15 * STRIDE.zmm] = 0xf0; // xmm15
    tc.u8[OFFSET.zmm + 15 * STRIDE.zmm + 16] = 0xf1; // ymm15, high half
    tc.u8[OFFSET.zmm + 15 * STRIDE.zmm + 32] = 0xf2; // zmm15, high half
    tc.u8[OFFSET.zmm + 31 * STRIDE.zmm] = 0xf3;
    tc.u8[OFFSET.k + 7 * STRIDE.k] = 0x77;
    tc.u32[OFFSET.pkru >> 2] = 0x55;
    const area = imageOf(tc);
    const at = [
      32,
      32 + 3 * 16,
      160 + 15 * 16,
      576 + 15 * 16,
      1152 + 15 * 32,
      1664 + 15 * 64,
      1088 + 7 * 8,
      2688,
    ];
    assert.deepEqual(
      at.map((offset) => area[offset]),
      [0x50, 0x30, 0xf0, 0xf1, 0xf2, 0xf3, 0x77, 0x55],
    );
    assert.equal(new DataView(area.buffer).getUint32(24, true), 0x1f80);
  });

  test('XSTATE_BV names x87, SSE and what is not in its initial state', () => {
    const tc = new X86ThreadContext();
    tc.initFpu();
    assert.equal(xstateBv(imageOf(tc)), 0x3);
    const probes: [bit: number, at: number][] = [
      [Xcr0.AVX, OFFSET.zmm + 3 * STRIDE.zmm + 31],
      [Xcr0.OPMASK, OFFSET.k + 63],
      [Xcr0.ZMM_HI256, OFFSET.zmm + 15 * STRIDE.zmm + 63],
      [Xcr0.HI16_ZMM, OFFSET.zmm + 16 * STRIDE.zmm],
      [Xcr0.PKRU, OFFSET.pkru],
    ];
    for (const [bit, at] of probes) {
      tc.initFpu();
      tc.u8[at] = 1;
      assert.equal(xstateBv(imageOf(tc)), 0x3 | bit);
    }
  });

  test('a header is written whole: nothing of an older image stays', () => {
    const area = imageOf(legalState(1));
    assert.ok(area.subarray(516, 576).every((byte) => byte === 0));
  });

  test('components that are not asked for are neither written nor read', () => {
    const area = new Uint8Array(intel.sizeBytes).fill(0xa5);
    intel.write(legalState(2), area, Xcr0.X87 | Xcr0.SSE);
    assert.equal(xstateBv(area), 0x3);
    assert.ok(area.subarray(576).every((byte) => byte === 0xa5));
    const tc = legalState(3);
    intel.read(imageOf(legalState(4)), tc, Xcr0.OPMASK);
    const changed = tc.diff(legalState(3)).map(({ name }) => name);
    assert.deepEqual(changed, ['k0', 'k1', 'k2', 'k3', 'k4', 'k5', 'k6', 'k7']);
  });

  test('a clear XSTATE_BV bit restores the initial state, MXCSR excepted', () => {
    const area = imageOf(legalState(5));
    area.fill(0, 512, 520);
    const tc = legalState(6);
    const initial = new X86ThreadContext();
    initial.initFpu();
    initial.u32[OFFSET.mxcsr >> 2] = legalState(5).u32[OFFSET.mxcsr >> 2]!;
    intel.read(area, tc);
    assert.deepEqual(tc.diff(initial, RegClass.fpu), []);
  });

  test('MXCSR comes with SSE or AVX, and not with x87', () => {
    const area = imageOf(legalState(5));
    for (const components of [Xcr0.SSE, Xcr0.AVX]) {
      const tc = legalState(6);
      intel.read(area, tc, components);
      const changed = tc.diff(legalState(6)).map(({ name }) => name);
      assert.deepEqual(changed, ['mxcsr', ...Array.from({ length: 16 }, (_, i) => `zmm${i}`)]);
    }
    const tc = legalState(6);
    intel.read(area, tc, Xcr0.X87);
    assert.equal(tc.u32[OFFSET.mxcsr >> 2], legalState(6).u32[OFFSET.mxcsr >> 2]);
  });

  test('state that the context cannot hold is reported', () => {
    const withTiles = new XsaveFormat([{ bit: Xcr0.TILECFG, offset: 2752, sizeBytes: 64 }]);
    const area = new Uint8Array(withTiles.sizeBytes);
    withTiles.write(legalState(7), area);
    area[514] = 0x02; // XSTATE_BV bit 17
    assert.equal(withTiles.read(area, new X86ThreadContext()), Xcr0.TILECFG);
  });

  const refused: Record<string, [at: number, value: number, message: RegExp]> = {
    'the compacted format': [527, 0x80, /compacted/],
    'another XCOMP_BV': [520, 1, /header byte 8/],
    'reserved header bytes': [535, 1, /header byte 23/],
    'a component that is not enabled': [514, 0x02, /not enabled/],
    'a component above bit 31': [519, 0x40, /not enabled/],
    'reserved MXCSR bits': [26, 0x01, /MXCSR 0x1/],
  };
  for (const [what, [at, value, message]] of Object.entries(refused)) {
    test(`refuses ${what}, as XRSTOR does, and changes nothing`, () => {
      const area = imageOf(legalState(8));
      area[at] = value;
      const tc = legalState(9);
      assert.throws(
        () => intel.read(area, tc),
        (error) => error instanceof XsaveImageError && message.test(error.message),
      );
      assert.ok(tc.equals(legalState(9)));
    });
  }

  test("takes AMD's MXCSR.MM where the processor's mask has it", () => {
    const amd = new XsaveFormat([], 0x2_ffff);
    const tc = new X86ThreadContext();
    tc.u32[OFFSET.mxcsr >> 2] = 0x2_1f80;
    const area = imageOf(tc, amd);
    assert.equal(mxcsrMaskOf(area), 0x2_ffff);
    amd.read(area, tc);
    assert.equal(tc.u32[OFFSET.mxcsr >> 2], 0x2_1f80);
    assert.throws(() => new XsaveFormat([]).read(area, tc), XsaveImageError);
  });
});

describe('FXSAVE', () => {
  /**
   * FNINIT; FLD1; FLDZ; FLDPI; FLD denormal; FLD NaN; FLD unnormal; FFREE ST3. FNSTENV stored tag word
   * 1EAFH.
   */
  const HARDWARE_X87 = fromHex(
    '7f030010dc0000000000000000000000' +
      '0000000000000000801f0000ffff0200' +
      '01000000000000000140000000000000' +
      '00000000000000c0ff7f000000000000' +
      '01000000000000000000000000000000' +
      '35c26821a2da0fc90040000000000000' +
      '00000000000000000000000000000000' +
      '0000000000000080ff3f000000000000',
  );

  test('of a real processor is read into physical registers', () => {
    const tc = new X86ThreadContext();
    readFxsave(HARDWARE_X87, tc);
    const physical = [0, 1, 2, 3, 4, 5, 6, 7].map((i) =>
      tc.hex({ at: OFFSET.st + i * STRIDE.st, sizeBytes: 10 }),
    );
    assert.deepEqual(physical.slice(2), [
      '0x40010000000000000001', // R2: the unnormal, loaded last
      '0x7fffc000000000000000', // R3: NaN
      '0x00000000000000000001', // R4: denormal
      '0x4000c90fdaa22168c235', // R5: pi
      '0x00000000000000000000', // R6: zero
      '0x3fff8000000000000000', // R7: one, loaded first
    ]);
  });

  test('and its abridged tags give the full tag word that FNSTENV stores', () => {
    const tc = new X86ThreadContext();
    readFxsave(HARDWARE_X87, tc);
    assert.equal(fullTagWord(tc), 0x1eaf);
    assert.equal(abridgeTagWord(0x1eaf), 0xdc);
    assert.equal(mxcsrMaskOf(HARDWARE_X87), 0x2_ffff);
  });

  test('ignores the reserved byte beside the tags', () => {
    const area = HARDWARE_X87.slice();
    area[5] = 0xff;
    const tc = new X86ThreadContext();
    readFxsave(area, tc);
    assert.equal(tc.u16[OFFSET.ftw >> 1], 0xdc);
  });

  test('writes back the image it read', () => {
    const tc = new X86ThreadContext();
    readFxsave(HARDWARE_X87, tc);
    const area = new Uint8Array(512).fill(0xee);
    writeFxsave(tc, area);
    assert.deepEqual(area.subarray(0, 28), HARDWARE_X87.subarray(0, 28));
    assert.deepEqual(area.subarray(32, 416), HARDWARE_X87.subarray(32, 416));
    assert.ok(
      area.subarray(416).every((byte) => byte === 0xee),
      'reserved and software bytes are left alone',
    );
  });

  test('all registers are empty after FNINIT', () => {
    const tc = new X86ThreadContext();
    tc.initFpu();
    assert.equal(fullTagWord(tc), 0xffff);
  });

  test('MMX registers are the significands, and writing one is what MOVQ does', () => {
    // FNINIT; FLD1 three times; MOVQ MM3, 1122334455667788H; FXSAVE64 on hardware: FSW 0, all valid,
    // exponent FFFFH.
    const tc = new X86ThreadContext();
    tc.initFpu();
    tc.u16[OFFSET.fsw >> 1] = 5 << 11;
    setMmx(tc, 3, 0x1122_3344_5566_7788n);
    const area = new Uint8Array(512);
    writeFxsave(tc, area);
    assert.deepEqual([...area.subarray(0, 8)], [0x7f, 0x03, 0, 0, 0xff, 0, 0, 0]);
    assert.equal(Buffer.from(area.subarray(80, 96)).toString('hex'), '8877665544332211ffff000000000000');
    assert.equal(mmx(tc, 3), 0x1122_3344_5566_7788n);
  });
});
