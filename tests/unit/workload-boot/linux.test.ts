// Linux kernels: what boot_params holds, byte by byte, and how the processor starts. Offsets and values: Linux's
// Documentation/arch/x86/boot.rst and zero-page.rst.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type BzImageOptions, bzImage, elf, KERNEL_ADDRESS, KERNEL_BYTES, linuxNote } from './images.ts';
import { boot, FACS, LAYOUT, MIB, type Options, pattern, RAM_BYTES, RSDP_ADDRESS, TABLES } from './pc.ts';

const MAP = [
  [0, 0x9_fc00, 1],
  [0x9_fc00, 0x6_0400, 2],
  [MIB, TABLES.start - MIB, 1],
  [TABLES.start, TABLES.sizeBytes, 3],
  [FACS.start, FACS.sizeBytes, 4],
  [0xfee0_0000, 0x1000, 2],
];

function bootLinux(options: BzImageOptions = {}, request: Options = {}) {
  const { start, memory } = boot(bzImage(options), { commandLine: 'console=ttyS0', ...request });
  return { start, memory, params: start.gpr.rsi! };
}

describe('boot_params', () => {
  test('carries the setup header of the file and nothing else of it', () => {
    const { memory, params } = bootLinux();
    assert.equal(memory.u16(params + 0x1fe), 0xaa55);
    assert.equal(memory.text(params + 0x202).slice(0, 4), 'HdrS');
    assert.equal(memory.u32(params + 0x230), 0x20_0000, 'kernel_alignment');
    assert.equal(memory.bytes[params + 0x1ef], 0, 'sentinel');
    assert.ok(
      memory.slice(params + 0x26c, 0x64).every((byte) => byte === 0),
      'beyond the header',
    );
    assert.ok(
      memory.slice(params, 0x70).every((byte) => byte === 0),
      'screen_info and APM',
    );
  });

  test('says who loaded the kernel, where it is and where the command line is', () => {
    const { memory, params } = bootLinux();
    assert.equal(memory.bytes[params + 0x210], 0xff, 'type_of_loader: undefined');
    assert.equal(memory.u16(params + 0x1fa), 0xffff, 'vid_mode: normal');
    assert.equal(memory.u32(params + 0x214), KERNEL_ADDRESS, 'code32_start');
    const commandLine = memory.u32(params + 0x228);
    assert.ok(commandLine < 0xa_0000);
    assert.equal(memory.text(commandLine), 'console=ttyS0');
    assert.equal(memory.u64(params + 0x70), BigInt(RSDP_ADDRESS), 'acpi_rsdp_addr');
    assert.equal(memory.text(RSDP_ADDRESS).slice(0, 8), 'RSD PTR ');
  });

  test('has the E820 map of the machine', () => {
    const { memory, params } = bootLinux();
    const count = memory.bytes[params + 0x1e8]!;
    const map = Array.from({ length: count }, (_, i) => {
      const at = params + 0x2d0 + 20 * i;
      return [Number(memory.u64(at)), Number(memory.u64(at + 8)), memory.u32(at + 16)];
    });
    assert.deepEqual(map, MAP);
  });

  test('leaves ramdisk fields zero without an initrd', () => {
    const { memory, params } = bootLinux();
    assert.deepEqual([memory.u32(params + 0x218), memory.u32(params + 0x21c)], [0, 0]);
  });
});

describe('the initrd', () => {
  const initrd = pattern(0x1234, 3);

  test('lies page-aligned at the top of usable RAM', () => {
    const { memory, params } = bootLinux({}, { initrd });
    const at = memory.u32(params + 0x218);
    assert.equal(at, (TABLES.start - initrd.length) & ~0xfff);
    assert.equal(memory.u32(params + 0x21c), initrd.length);
    assert.deepEqual(memory.slice(at, initrd.length), initrd);
  });

  test('ends at initrd_addr_max at the latest, and stays out of the room that the kernel needs', () => {
    const whole = pattern(0x2000, 3);
    const initrdMax = KERNEL_ADDRESS + 0x10_0000 + 0x1fff;
    const { memory, params } = bootLinux({ initrdMax }, { initrd: whole });
    assert.equal(memory.u32(params + 0x218), KERNEL_ADDRESS + 0x10_0000);
    const { memory: lower, params: other } = bootLinux({ initrdMax: initrdMax - 1 }, { initrd: whole });
    assert.equal(lower.u32(other + 0x218), KERNEL_ADDRESS - 0x2000);
    const refused = /no 8192 free bytes of RAM for the initrd/;
    assert.throws(() => bootLinux({ initrdMax: 0x10_1ffe }, { initrd: whole }), refused);
  });

  test('may be anywhere below 4 GiB, but RAM must hold it', () => {
    assert.throws(
      () => bootLinux({}, { initrd: new Uint8Array(RAM_BYTES) }),
      /initrd.*give the machine more memory/,
    );
  });
});

describe('entry', () => {
  test('with XLF_KERNEL_64 is 0x200 behind the load address, in 64-bit mode on identity page tables', () => {
    const { start, memory } = bootLinux();
    assert.equal(start.mode, 'long');
    assert.equal(start.rip, KERNEL_ADDRESS + 0x200);
    assert.deepEqual(memory.slice(KERNEL_ADDRESS, KERNEL_BYTES), pattern(KERNEL_BYTES));
    assert.equal(start.description, 'Linux 5.6.7-test (boot protocol 2.15, 64-bit entry point)');
  });

  test('without it is the load address, in protected mode without paging', () => {
    const { start } = bootLinux({ xLoadFlags: 0 });
    assert.equal(start.mode, 'protected');
    assert.equal(start.rip, KERNEL_ADDRESS);
    assert.equal(start.cr0 & 0x8000_0000, 0);
  });

  test('has __BOOT_CS 0x10 and __BOOT_DS 0x18, interrupts off, and zero in EBX, EBP and EDI', () => {
    for (const xLoadFlags of [0, 1]) {
      const { start, memory } = bootLinux({ xLoadFlags });
      assert.equal(start.cs.selector, 0x10);
      assert.equal(start.data.selector, 0x18);
      assert.equal(start.rflags, 2);
      assert.deepEqual(Object.keys(start.gpr), ['rsi']);
      const code = xLoadFlags === 1 ? 0x00af_9b00_0000_ffffn : 0x00cf_9b00_0000_ffffn;
      assert.equal(memory.u64(start.gdtr.base + 0x10), code, 'GDT entry 2');
      assert.equal(memory.u64(start.gdtr.base + 0x18), 0x00cf_9300_0000_ffffn, 'GDT entry 3');
      assert.equal(start.gdtr.limit, 0x1f);
    }
  });

  test('of protocol 2.09 and before is at code32_start, whatever lies at the newer fields', () => {
    const { start } = bootLinux({ version: 0x209, preferred: 0xffff_ffff_ffff });
    assert.equal(start.rip, MIB);
    assert.equal(start.mode, 'protected');
  });
});

describe('vmlinux', () => {
  const segments = [
    { physical: KERNEL_ADDRESS, virtual: 0xffff_ffff_8100_0000n, bytes: pattern(512), memorySize: 0x4000 },
    { type: 4, physical: 0, bytes: linuxNote() },
  ];

  test('is known by its notes, and starts in 64-bit mode with boot_params', () => {
    const { start, memory } = boot(elf({ entry: BigInt(KERNEL_ADDRESS), segments }), {
      commandLine: 'quiet',
    });
    assert.equal(start.kind, 'linux');
    assert.equal(start.mode, 'long');
    assert.equal(start.rip, KERNEL_ADDRESS);
    const params = start.gpr.rsi!;
    assert.equal(memory.text(params + 0x202).slice(0, 4), 'HdrS');
    assert.equal(memory.text(memory.u32(params + 0x228)), 'quiet');
    assert.equal(memory.bytes[params + 0x1e8], MAP.length);
    assert.ok(
      memory.slice(KERNEL_ADDRESS + 512, 0x4000 - 512).every((byte) => byte === 0),
      'bss',
    );
  });

  test('with a virtual entry point starts at the physical address of it', () => {
    const { start } = boot(elf({ entry: 0xffff_ffff_8100_0123n, segments }));
    assert.equal(start.rip, KERNEL_ADDRESS + 0x123);
  });
});

describe('refused', () => {
  const cases: [string, BzImageOptions, RegExp][] = [
    ['an old protocol', { version: 0x205 }, /speaks Linux boot protocol 2\.05: 2\.06/],
    ['a zImage', { loadFlags: 0 }, /is a zImage/],
    ['a header that ends nowhere', { jump: 0x8f }, /its setup header ends at 0x291/],
    ['a header without its fields', { jump: 0x10 }, /its setup header ends at 0x212/],
    [
      'more kernel than file',
      { sysSize: 0x1000 },
      /truncated: this Linux kernel has 67072 bytes, the file 7680/,
    ],
    ['no kernel', { sysSize: 0 }, /its protected-mode part has 0 bytes/],
    ['a payload outside', { payloadLength: 0x2000 }, /its payload ends at 0x2100, outside the file/],
    ['an address beyond 4 GiB', { preferred: 2 ** 40 }, /wants 1048576 bytes at 0x10000000000, beyond 4 GiB/],
    ['an address without RAM', { preferred: 64 * MIB }, /the kernel at .* is beyond usable RAM.*more memory/],
    ['more room than RAM', { initSize: 64 * MIB }, /the kernel at .* is beyond usable RAM.*more memory/],
    ['the room of the BIOS', { preferred: 0xf_0000, initSize: 0x1000 }, /not in usable RAM/],
    ['a long command line', { commandLineSize: 12 }, /command line has 13 bytes, this kernel takes 12/],
  ];
  for (const [what, options, message] of cases) {
    test(what, () => assert.throws(() => bootLinux(options), { name: 'ExecError', message }));
  }

  test('modules', () => {
    const modules = [{ bytes: pattern(1), text: 'one' }];
    assert.throws(() => bootLinux({}, { modules }), /takes one initrd and no modules/);
  });

  test('a machine without ACPI gets a kernel without a root pointer', () => {
    const { acpi, ...bare } = LAYOUT;
    assert.ok(acpi);
    const { memory, params } = bootLinux({}, { layout: bare });
    assert.equal(memory.u64(params + 0x70), 0n);
  });
});
