// AML: encodings that the ACPI specification 6.5 fixes (chapter 20, §6.4), and a DSDT that parses back to what the
// machine is.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  buffer,
  device,
  eisaId,
  integer,
  name,
  nameString,
  pack,
  text,
} from '../../../src/workload/boot/acpi/aml.ts';
import { buildDsdt } from '../../../src/workload/boot/acpi/dsdt.ts';
import * as resources from '../../../src/workload/boot/acpi/resources.ts';
import { parseDsdt, type Resource } from './aml-reader.ts';
import { MACHINE } from './pc.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

describe('encoding', () => {
  test('integers take the shortest form (§20.2.3)', () => {
    const forms = [0, 1, 2, 0xff, 0x100, 0xffff, 0x1_0000, 0xffff_ffff, 0x1_0000_0000].map((n) =>
      hex(integer(n)),
    );
    const words = ['0b0001', '0bffff', '0c00000100', '0cffffffff', '0e0000000001000000'];
    assert.deepEqual(forms, ['00', '01', '0a02', '0aff', ...words]);
  });

  test('EISA identifiers are packed letters and digits (§19.3.4)', () => {
    assert.equal(hex(eisaId('PNP0A03')), '0c41d00a03');
    assert.equal(hex(eisaId('PNP0501')), '0c41d00501');
    assert.throws(() => eisaId('PNP5'), RangeError);
  });

  test('names are padded, paths have a prefix by their length (§20.2.2)', () => {
    assert.equal(Buffer.from(nameString('\\_S5')).toString('latin1'), '\\_S5_');
    assert.equal(hex(nameString('A.B')), `2e${hex(Buffer.from('A___B___'))}`);
    assert.equal(hex(nameString('A.B.C')), `2f03${hex(Buffer.from('A___B___C___'))}`);
    assert.throws(() => nameString('lower'), RangeError);
    assert.throws(() => nameString('TOOLONG'), RangeError);
  });

  test('package lengths count themselves, in one to four bytes (§20.2.4)', () => {
    // Device: 5b 82, PkgLength, 4 bytes of name, content.
    const lengthOf = (content: number) => hex(device('D', new Uint8Array(content))).slice(4, 12);
    assert.equal(lengthOf(58).slice(0, 2), '3f', '63 bytes with the length byte');
    assert.equal(lengthOf(59).slice(0, 4), '4104', '65 bytes with two length bytes');
    assert.equal(lengthOf(4095 - 6).slice(0, 4), '4fff');
    assert.equal(lengthOf(4096 - 6).slice(0, 6), '810001', '4097 bytes with three');
    assert.equal(lengthOf(2 ** 20 - 7), 'c1000001', '0x100001 bytes with four');
  });

  test('objects', () => {
    assert.equal(hex(name('X', text('ab'))), '08585f5f5f0d616200');
    assert.equal(hex(pack(integer(1), integer(0x20))), '1205020' + '10a20');
    assert.equal(hex(buffer(new Uint8Array([7, 8]))), '11050a020708');
  });

  test('resources (§6.4.2, §6.4.3)', () => {
    assert.equal(hex(resources.ioPorts(0x3f8, 8)), '4701f803f8030108');
    assert.equal(hex(resources.isaInterrupt(4)), '221000');
    assert.equal(hex(resources.isaInterrupt(12)), '220010');
    assert.equal(hex(resources.fixedMemory(0xfed0_0000, 0x400)), '860900010000d0fe00040000');
    assert.equal(hex(resources.busWindow(0, 256)), '880d00020c000000' + '0000ff00' + '00000001');
    assert.equal(hex(resources.ioWindow(0xd00, 0xf300)), '880d00010c030000' + '000dffff' + '000000f3');
    assert.equal(
      hex(resources.memoryWindow(0xc000_0000, 0x3ec0_0000)),
      '871700000c0100000000000000c0ffffbffe000000000000c03e',
    );
    assert.equal(hex(resources.resourceTemplate()), '11050a027900');
  });
});

describe('DSDT', () => {
  const dsdt = parseDsdt(buildDsdt(MACHINE).subarray(36));
  const resourcesOf = (path: string) => dsdt.get(`${path}._CRS`) as Resource[];

  test('says how to suspend and how to switch off', () => {
    assert.deepEqual(dsdt.get('\\_S3_'), [1, 1, 0, 0]);
    assert.deepEqual(dsdt.get('\\_S5_'), [5, 5, 0, 0]);
  });

  test('names the devices by their plug-and-play identifiers', () => {
    const ids = [...dsdt]
      .filter(([path]) => path.endsWith('._HID'))
      .map(([path, id]) => [path.slice(6, 10), id]);
    assert.deepEqual(ids, [
      ['C000', 'ACPI0007'],
      ['C001', 'ACPI0007'],
      ['PCI0', 0x030a_d041],
      ['COM1', 0x0105_d041],
      ['COM2', 0x0105_d041],
      ['RTC_', 0x000b_d041],
      ['KBD_', 0x0303_d041],
      ['MOU_', 0x130f_d041],
      ['HPET', 0x0301_d041],
    ]);
    assert.equal(dsdt.get('\\_SB_.C001._UID'), 1, "a processor's _UID is its MADT entry's");
    assert.deepEqual([dsdt.get('\\_SB_.COM1._UID'), dsdt.get('\\_SB_.COM2._UID')], [1, 2]);
  });

  test('gives every device its ports and interrupts', () => {
    assert.deepEqual(resourcesOf('\\_SB_.COM1'), ['io 0x3f8+8', 'irq 4']);
    assert.deepEqual(resourcesOf('\\_SB_.COM2'), ['io 0x2f8+8', 'irq 3']);
    assert.deepEqual(resourcesOf('\\_SB_.RTC_'), ['io 0x70+2', 'irq 8']);
    assert.deepEqual(resourcesOf('\\_SB_.KBD_'), ['io 0x60+1', 'io 0x64+1', 'irq 1']);
    assert.deepEqual(resourcesOf('\\_SB_.MOU_'), ['irq 12']);
    assert.deepEqual(resourcesOf('\\_SB_.HPET'), ['memory 0xfed00000+1024']);
  });

  test('gives the PCI root its windows and its interrupt routes', () => {
    assert.deepEqual(resourcesOf('\\_SB_.PCI0'), [
      'window 2: 0x0–0xff, 256',
      'io 0xcf8+8',
      'window 1: 0x1000–0xffff, 61440',
      'window 0: 0xc0000000–0xfebfffff, 1052770304',
    ]);
    assert.deepEqual(dsdt.get('\\_SB_.PCI0._PRT'), [[0x3_ffff, 1, 0, 17]]);
  });
});
