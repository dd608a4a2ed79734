import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Errno } from '../../../src/workload/linux/errno.ts';
import { DATA, Machine } from './machine.ts';

const AT = DATA + 0x400;
const KEEP = -1;
const NOBODY = 65_534;

function userIds(m: Machine): number[] {
  assert.equal(m.call('getresuid', AT, AT + 4, AT + 8), 0);
  return [0, 4, 8].map((offset) => m.memory.readU32(AT + offset));
}

/** Low words of the effective and permitted capabilities. */
function capabilities(m: Machine): number[] {
  m.memory.writeU32(AT, 0x2008_0522);
  m.memory.writeU32(AT + 4, 0);
  assert.equal(m.call('capget', AT, AT + 8), 0);
  return [m.memory.readU32(AT + 8), m.memory.readU32(AT + 12)];
}

test('root becomes another for good with setuid, and loses its capabilities', () => {
  const m = new Machine({ uid: 0 });
  assert.deepEqual(capabilities(m), [0xffff_ffff, 0xffff_ffff]);
  assert.equal(m.call('setuid', NOBODY), 0);
  assert.deepEqual(userIds(m), [NOBODY, NOBODY, NOBODY]);
  assert.deepEqual(capabilities(m), [0, 0]);
  assert.equal(m.call('setuid', 0), -Errno.EPERM);
});

test('a saved id is a way back: effective capabilities go and return', () => {
  const m = new Machine({ uid: 0 });
  assert.equal(m.call('setresuid', KEEP, NOBODY, KEEP), 0);
  assert.deepEqual(userIds(m), [0, NOBODY, 0]);
  assert.deepEqual(capabilities(m), [0, 0xffff_ffff]);
  assert.equal(m.call('setresuid', 7, KEEP, KEEP), -Errno.EPERM);
  assert.equal(m.call('setresuid', KEEP, 0, KEEP), 0);
  assert.deepEqual(capabilities(m), [0xffff_ffff, 0xffff_ffff]);
});

test('setreuid saves the new effective id when the real one is set', () => {
  const m = new Machine({ uid: 0 });
  assert.equal(m.call('setreuid', 5, 6), 0);
  assert.deepEqual(userIds(m), [5, 6, 6]);
  assert.equal(m.call('setreuid', 6, 5), 0, 'the unprivileged may swap');
  assert.deepEqual(userIds(m), [6, 5, 5]);
});

test('PR_SET_KEEPCAPS keeps what is permitted', () => {
  const m = new Machine({ uid: 0 });
  assert.equal(m.call('prctl', 8, 1), 0);
  m.call('setuid', NOBODY);
  assert.deepEqual(capabilities(m), [0, 0xffff_ffff]);
});

test('capset gives up and takes up, but never wins', () => {
  const m = new Machine({ uid: 0 });
  capabilities(m);
  m.memory.writeU32(AT + 8, 1);
  m.memory.writeU32(AT + 12, 3);
  m.memory.writeU32(AT + 20, 0);
  m.memory.writeU32(AT + 24, 0);
  assert.equal(m.call('capset', AT, AT + 8), 0);
  assert.deepEqual(capabilities(m), [1, 3]);
  m.memory.writeU32(AT + 12, 7);
  assert.equal(m.call('capset', AT, AT + 8), -Errno.EPERM);
});

test('what was dropped from the bounding set cannot become inheritable', () => {
  const m = new Machine({ uid: 0 });
  const [CAPBSET_DROP, CAP_KILL] = [24, 5];
  assert.equal(m.call('prctl', CAPBSET_DROP, CAP_KILL), 0);
  capabilities(m);
  m.memory.writeU32(AT + 16, 1 << CAP_KILL);
  assert.equal(m.call('capset', AT, AT + 8), -Errno.EPERM);
  m.memory.writeU32(AT + 16, 1);
  assert.equal(m.call('capset', AT, AT + 8), 0);
});

test('an unknown version of the capability structures is answered with the right one', () => {
  const m = new Machine();
  m.memory.writeU32(AT, 1);
  assert.equal(m.call('capget', AT, AT + 8), -Errno.EINVAL);
  assert.equal(m.memory.readU32(AT), 0x2008_0522);
  m.memory.writeU32(AT, 1);
  assert.equal(m.call('capget', AT, 0), 0, 'how programs ask for the version');
});

test('setgroups is for the privileged, and sorts', () => {
  const m = new Machine({ uid: 0 });
  m.memory.writeU32(AT, 30);
  m.memory.writeU32(AT + 4, 10);
  assert.equal(m.call('setgroups', 2, AT), 0);
  assert.equal(m.call('getgroups', 2, AT + 8), 2);
  assert.deepEqual([m.memory.readU32(AT + 8), m.memory.readU32(AT + 12)], [10, 30]);
  assert.equal(new Machine().call('setgroups', 0, 0), -Errno.EPERM);
});

test('setfsuid returns the former id, whether or not it may change', () => {
  const m = new Machine();
  assert.equal(m.call('setfsuid', 5), 1000);
  assert.equal(m.call('setfsuid', 5), 1000);
});
