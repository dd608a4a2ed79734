// ACPI tables as an operating system finds them: from the root pointer through every list, with checksums, then field by
// field. Offsets and values: ACPI specification 6.5 chapter 5; IA-PC HPET specification 1.0a §3.2.4; VT-d specification §8.1 to §8.3.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type AcpiLayout, buildAcpiTables } from '../../../src/workload/boot/index.ts';
import { boot, FACS, LAYOUT, MACHINE, pattern, RSDP_ADDRESS, TABLES, TestMemory } from './pc.ts';

function sum(bytes: Uint8Array): number {
  return bytes.reduce((total, byte) => total + byte, 0) & 0xff;
}

function install(acpi: AcpiLayout = LAYOUT.acpi!): TestMemory {
  const memory = new TestMemory();
  for (const { address, bytes } of buildAcpiTables(acpi)) memory.write(address, bytes);
  return memory;
}

/** A table in memory, once its length and checksum are right. */
function table(memory: TestMemory, address: number): { signature: string; bytes: Buffer } {
  const bytes = Buffer.from(memory.slice(address, memory.u32(address + 4)));
  const signature = bytes.toString('latin1', 0, 4);
  assert.ok(address >= TABLES.start && address + bytes.length <= TABLES.start + TABLES.sizeBytes);
  assert.equal(sum(bytes), 0, `checksum of ${signature}`);
  assert.equal(bytes.toString('latin1', 10, 24), 'HYPERTHYPERTCK');
  return { signature, bytes };
}

/** All tables by signature, walked as an operating system does. */
function walkTables(memory: TestMemory): Map<string, Buffer> {
  const rsdp = memory.slice(RSDP_ADDRESS, 36);
  assert.equal(Buffer.from(rsdp).toString('latin1', 0, 8), 'RSD PTR ');
  assert.equal(sum(rsdp.subarray(0, 20)), 0, 'checksum of ACPI 1.0');
  assert.equal(sum(rsdp), 0, 'extended checksum');
  assert.equal(rsdp[15], 2, 'revision');
  const rsdt = table(memory, memory.u32(RSDP_ADDRESS + 16)).bytes;
  const xsdt = table(memory, Number(memory.u64(RSDP_ADDRESS + 24))).bytes;
  const count = (xsdt.length - 36) / 8;
  const found = new Map<string, Buffer>();
  for (let i = 0; i < count; i++) {
    const address = Number(xsdt.readBigUInt64LE(36 + 8 * i));
    assert.equal(rsdt.readUInt32LE(36 + 4 * i), address, 'RSDT and XSDT agree');
    const { signature, bytes } = table(memory, address);
    found.set(signature, bytes);
  }
  const dsdt = table(memory, found.get('FACP')!.readUInt32LE(40));
  return found.set(dsdt.signature, dsdt.bytes);
}

describe('the tables', () => {
  test('are found from the root pointer, every checksum right', () => {
    assert.deepEqual([...walkTables(install()).keys()], ['FACP', 'APIC', 'HPET', 'DSDT']);
  });

  test('are in guest memory whatever image is started', () => {
    const { memory } = boot(pattern(100));
    assert.deepEqual([...walkTables(memory).keys()], ['FACP', 'APIC', 'HPET', 'DSDT']);
  });

  test('leave out what the machine does not have', () => {
    const { hpet, rtc, keyboardController, pci, ...machine } = MACHINE;
    assert.ok(hpet && rtc && keyboardController && pci);
    const tables = walkTables(install({ ...LAYOUT.acpi!, machine }));
    assert.deepEqual([...tables.keys()], ['FACP', 'APIC', 'DSDT']);
    assert.equal(tables.get('FACP')!.readUInt16LE(109), 0x25, 'legacy devices, no VGA, no RTC');
    assert.equal(tables.get('FACP')!.readUInt8(108), 0, 'no century');
  });

  test('are refused where the board gives them too little room', () => {
    const acpi = { ...LAYOUT.acpi!, tables: { ...TABLES, sizeBytes: 256 } };
    assert.throws(() => buildAcpiTables(acpi), { name: 'FatalError', message: /do not fit the board's 256/ });
  });
});

describe('FADT', () => {
  const fadt = walkTables(install()).get('FACP')!;

  test('is of revision 6.5 and points to FACS and DSDT', () => {
    assert.deepEqual([fadt.length, fadt[8], fadt[131]], [276, 6, 5]);
    assert.equal(fadt.readUInt32LE(36), FACS.start);
    assert.equal(fadt.readBigUInt64LE(132), 0n, 'X_FIRMWARE_CTRL: only one of both may be set');
    assert.equal(fadt.readBigUInt64LE(140), BigInt(fadt.readUInt32LE(40)), 'X_DSDT');
  });

  test('names the power management registers twice alike', () => {
    const blocks: [string, number, number, number, number, number][] = [
      ['PM1a_EVT', 56, 148, 0x600, 4, 88],
      ['PM1a_CNT', 64, 172, 0x604, 2, 89],
      ['PM_TMR', 76, 208, 0x608, 4, 91],
    ];
    for (const [name, at, xAt, port, sizeBytes, lengthAt] of blocks) {
      assert.equal(fadt.readUInt32LE(at), port, name);
      assert.equal(fadt[lengthAt], sizeBytes, `${name}_LEN`);
      assert.deepEqual([fadt[xAt], fadt[xAt + 1], fadt[xAt + 2]], [1, 8 * sizeBytes, 0], `X_${name}`);
      assert.equal(fadt.readBigUInt64LE(xAt + 4), BigInt(port), `X_${name}`);
    }
    for (const at of [60, 68, 72, 80, 84]) assert.equal(fadt.readUInt32LE(at), 0);
  });

  test('has no SMI port: the machine is in ACPI mode from the start', () => {
    assert.equal(fadt.readUInt32LE(48), 0, 'SMI_CMD');
    assert.deepEqual([fadt[52], fadt[53]], [0, 0], 'ACPI_ENABLE and ACPI_DISABLE');
    assert.equal(fadt.readUInt16LE(46), 9, 'SCI_INT');
  });

  test('resets by writing 6 to port 0xcf9', () => {
    assert.deepEqual([...fadt.subarray(116, 128)], [1, 8, 0, 1, 0xf9, 0x0c, 0, 0, 0, 0, 0, 0]);
    assert.equal(fadt[128], 6);
  });

  test('has the flags of the machine', () => {
    assert.equal(fadt.readUInt32LE(112), 0x525, 'WBINVD, C1, no sleep button, 32-bit timer, reset');
    assert.equal(fadt.readUInt16LE(109), 0x7, 'legacy devices, 8042, no VGA');
    assert.equal(fadt[108], 0x32, 'century');
    assert.deepEqual([fadt.readUInt16LE(96), fadt.readUInt16LE(98)], [0xfff, 0xfff], 'no C2, no C3');
  });

  test('shares a FACS of 64 bytes, aligned to 64', () => {
    const facs = install().slice(FACS.start, 64);
    assert.equal(Buffer.from(facs).toString('latin1', 0, 4), 'FACS');
    assert.deepEqual([facs[4], facs[32], FACS.start % 64], [64, 2, 0]);
  });
});

test('MADT lists processors, I/O APIC, overrides and the NMI', () => {
  const madt = walkTables(install()).get('APIC')!;
  assert.equal(madt.readUInt32LE(36), 0xfee0_0000);
  assert.equal(madt.readUInt32LE(40), 1, 'PCAT_COMPAT');
  const entries: number[][] = [];
  for (let at = 44; at < madt.length; at += madt[at + 1]!)
    entries.push([...madt.subarray(at, at + madt[at + 1]!)]);
  assert.deepEqual(entries, [
    [0, 8, 0, 0, 1, 0, 0, 0],
    [0, 8, 1, 4, 0, 0, 0, 0],
    [1, 12, 2, 0, 0x00, 0x00, 0xc0, 0xfe, 0, 0, 0, 0],
    [2, 10, 0, 0, 2, 0, 0, 0, 0x00, 0],
    [2, 10, 0, 9, 9, 0, 0, 0, 0x0d, 0],
    [4, 6, 0xff, 0, 0, 1],
  ]);
});

test('HPET table says where the timer is', () => {
  const hpet = walkTables(install()).get('HPET')!;
  assert.equal(hpet.length, 56);
  assert.equal(hpet.readUInt32LE(36), 0x8086_a201);
  assert.deepEqual([hpet[40], hpet[41]], [0, 64]);
  assert.equal(hpet.readBigUInt64LE(44), 0xfed0_0000n);
  assert.equal(hpet.readUInt16LE(53), 0x80);
});

test('DMAR, where there is an IOMMU: one unit for all PCI functions, with I/O APIC and HPET', () => {
  const dmar = {
    addressBits: 48,
    registers: 0xfed9_0000,
    ioApics: [{ id: 2, bus: 0xff, device: 0x1e }],
    hpets: [{ id: 0, bus: 0xff, device: 0x1f }],
  };
  const found = walkTables(install({ ...LAYOUT.acpi!, machine: { ...MACHINE, dmar } })).get('DMAR')!;
  assert.deepEqual(
    [found[8], found[36], found[37]],
    [1, 47, 1],
    'revision, address width − 1, interrupt remapping',
  );
  assert.deepEqual([...found.subarray(38, 48)], new Array(10).fill(0));
  assert.deepEqual(
    [...found.subarray(48)],
    [
      // DRHD, 32 bytes, INCLUDE_PCI_ALL, segment 0, registers.
      ...[0, 0, 32, 0, 1, 0, 0, 0, 0x00, 0x00, 0xd9, 0xfe, 0, 0, 0, 0],
      ...[3, 8, 0, 0, 2, 0xff, 0x1e, 0],
      ...[4, 8, 0, 0, 0, 0xff, 0x1f, 0],
    ],
  );
});
