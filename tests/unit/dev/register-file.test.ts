import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bit, bits, RegisterFile, reg } from '../../../src/dev/register-file.ts';

const TABLE = {
  byte: reg({ at: 0, reset: 0x12, doc: 'a byte' }),
  word: reg({ at: 2, sizeBytes: 2, writable: 0x0ff0, reset: 0xa00a, doc: 'a word with fixed ends' }),
  status: reg({ at: 4, sizeBytes: 4, access: 'w1c', reset: 0xffff_ffff, writable: 0xf, doc: 'flags' }),
  version: reg({ at: 8, access: 'ro', reset: 0x11, doc: 'fixed' }),
  command: reg({ at: 8, access: 'wo', doc: 'in the place of version' }),
  bank0: reg({ at: 9, when: '0', doc: 'one of two' }),
  bank1: reg({ at: 9, when: '1', reset: 0x77, doc: 'the other' }),
  fields: reg({
    at: 12,
    sizeBytes: 4,
    doc: 'fields',
    fields: { top: bits(31, 28), one: bit(0), all: bits(31, 0) },
  }),
};

test('a register has its reset value, and keeps what its mask lets through', () => {
  const regs = new RegisterFile(TABLE);
  assert.equal(regs.sizeBytes, 16);
  assert.equal(regs.read(0, 1), 0x12);
  regs.write(2, 2, 0xffff);
  assert.equal(regs.read(2, 2), 0xaffa);
  regs.reset();
  assert.equal(regs.read(2, 2), 0xa00a);
});

test('parts of registers, and several at once, are read and written as bytes are', () => {
  const regs = new RegisterFile(TABLE);
  regs.write(3, 1, 0x0b);
  assert.equal(regs.read(2, 2), 0xab0a);
  assert.equal(regs.read(0, 4), 0xab0a_0012, 'what is between the registers reads as zero');
  regs.write(0, 4, 0x0550_ff34);
  assert.deepEqual([regs.get('byte'), regs.get('word')], [0x34, 0xa55a]);
  assert.equal(regs.read(14, 4), 0, 'beyond the end too');
});

test('ones clear the flags of a w1c register, and only those', () => {
  const seen: number[] = [];
  const regs = new RegisterFile(TABLE, { status: { write: (value) => void seen.push(value) } });
  regs.write(4, 4, 0xffff_fff5);
  assert.equal(regs.read(4, 4), 0xffff_fffa);
  regs.write(4, 1, 0x08);
  assert.equal(regs.get('status'), 0xffff_fff2);
  assert.deepEqual(seen, [0x5, 0x8], 'the hook is told what was written');
});

test('a read-only and a write-only register share a place', () => {
  const commands: number[] = [];
  for (const table of [TABLE, Object.fromEntries(Object.entries(TABLE).reverse()) as typeof TABLE]) {
    const regs = new RegisterFile(table, { command: { write: (value) => void commands.push(value) } });
    regs.write(8, 1, 0x42);
    assert.equal(regs.read(8, 1), 0x11);
    assert.equal(regs.get('version'), 0x11);
  }
  assert.deepEqual(commands, [0x42, 0x42]);
});

test('a write-only register alone reads as zero, a read-only one alone ignores writes', () => {
  const regs = new RegisterFile({
    in: reg({ at: 0, access: 'wo', reset: 0xff, doc: '' }),
    out: reg({ at: 1, access: 'ro', reset: 0xee, doc: '' }),
  });
  regs.write(0, 2, 0x1234);
  assert.equal(regs.read(0, 2), 0xee00);
});

test('a selection decides which of two registers is there', () => {
  let selected = '0';
  const regs = new RegisterFile(TABLE, {}, { selection: () => selected });
  regs.write(9, 1, 0x55);
  selected = '1';
  assert.equal(regs.read(9, 1), 0x77);
  selected = '0';
  assert.equal(regs.read(9, 1), 0x55);
  selected = 'neither';
  regs.write(9, 1, 0x66);
  assert.equal(regs.read(9, 1), 0);
});

test('hooks see unsigned values, and reads by hook replace the stored value', () => {
  const seen: [number, number][] = [];
  const regs = new RegisterFile(TABLE, {
    fields: { read: () => 0xdead_beef, write: (value, previous) => void seen.push([value, previous]) },
  });
  regs.write(12, 4, 0xffff_ffff);
  regs.write(13, 1, 0x00);
  assert.deepEqual(seen, [
    [0xffff_ffff, 0],
    [0xffff_00ff, 0xffff_ffff],
  ]);
  assert.equal(regs.read(12, 4), 0xdead_beef);
  assert.equal(regs.read(14, 2), 0xdead);
});

test('fields are read and set without touching their neighbours', () => {
  const regs = new RegisterFile(TABLE);
  regs.setField('fields', 'top', 0xf);
  regs.setField('fields', 'one', 3);
  assert.equal(regs.get('fields'), 0xf000_0001);
  assert.equal(regs.field('fields', 'top'), 0xf);
  assert.equal(regs.field('fields', 'all') >>> 0, 0xf000_0001);
  regs.setField('fields', 'all', 0x8000_0000);
  assert.equal(regs.get('fields'), 0x8000_0000);
});

test('values are saved by name', () => {
  const regs = new RegisterFile(TABLE);
  regs.write(12, 4, 0x89ab_cdef);
  const copy = new RegisterFile(TABLE);
  copy.restore(JSON.parse(JSON.stringify(regs.save())));
  assert.deepEqual(copy.save(), regs.save());
  assert.throws(() => copy.restore({ byte: 1 }), /expected a number/);
});
