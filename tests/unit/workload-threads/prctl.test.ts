import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Errno } from '../../../src/workload/linux/errno.ts';
import { DATA, Machine } from './machine.ts';

const AT = DATA + 0x400;

/** Set operation, get operation, a value that is taken, one that is not. */
const SETTINGS: readonly (readonly [name: string, set: number, get: number, good: number, bad: number])[] = [
  ['PR_SET_DUMPABLE', 4, 3, 0, 2],
  ['PR_SET_KEEPCAPS', 8, 7, 1, 2],
  ['PR_SET_NO_NEW_PRIVS', 38, 39, 1, 0],
];

for (const [name, set, get, good, bad] of SETTINGS) {
  test(`${name}: what was set is read back, what is no value is EINVAL`, () => {
    const m = new Machine();
    assert.equal(m.call('prctl', set, bad, 0, 0, 0), -Errno.EINVAL);
    assert.equal(m.call('prctl', set, good, 0, 0, 0), 0);
    assert.equal(m.call('prctl', get, 0, 0, 0, 0), good);
  });
}

test('the timer slack is the thread’s, and 0 is its default', () => {
  const m = new Machine();
  assert.equal(m.call('prctl', 30), 50_000);
  assert.equal(m.call('prctl', 29, 1234), 0);
  assert.equal(m.call('prctl', 30), 1234);
  m.call('prctl', 29, 0);
  assert.equal(m.call('prctl', 30), 50_000);
});

test('values that come by pointer: the parent’s death signal and the tid address', () => {
  const m = new Machine();
  assert.equal(m.call('prctl', 1, 9), 0);
  assert.equal(m.call('prctl', 1, 65), -Errno.EINVAL);
  assert.equal(m.call('prctl', 2, AT), 0);
  assert.equal(m.memory.readI32(AT), 9);
  m.call('set_tid_address', 0x1234);
  assert.equal(m.call('prctl', 40, AT), 0);
  assert.equal(m.memory.readU64(AT), 0x1234n);
});

test('a capability dropped from the bounding set is gone', () => {
  const m = new Machine({ uid: 0 });
  assert.equal(m.call('prctl', 23, 5), 1);
  assert.equal(m.call('prctl', 24, 5), 0);
  assert.equal(m.call('prctl', 23, 5), 0);
  assert.equal(m.call('prctl', 23, 99), -Errno.EINVAL);
});

test('an unknown operation is EINVAL', () => {
  assert.equal(new Machine().call('prctl', 9999, 0, 0, 0, 0), -Errno.EINVAL);
});

test('personality returns the former one, and tells without changing', () => {
  const m = new Machine();
  assert.equal(m.call('personality', 0x4_0000), 0);
  assert.equal(m.call('personality', 0xffff_ffff), 0x4_0000);
  assert.equal(m.call('personality', 0), 0x4_0000);
});

test('a private expedited barrier needs its registration', () => {
  const m = new Machine();
  const [privateExpedited, registration] = [8, 16];
  assert.equal(m.call('membarrier', privateExpedited, 0, 0), -Errno.EPERM);
  assert.equal(m.call('membarrier', registration, 0, 0), 0);
  assert.equal(m.call('membarrier', privateExpedited, 0, 0), 0);
  assert.equal(m.call('membarrier', 0, 1, 0), -Errno.EINVAL);
});
