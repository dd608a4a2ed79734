// Mappings of the host's address space.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { HostError } from '../../../src/host/errors.ts';
import { Advice, MapFlag, madvise, mmap, mprotect, munmap, Prot, viewOf } from '../../../src/host/memory.ts';

const PAGE = 4096;
const ANONYMOUS = { prot: Prot.Read | Prot.Write, flags: MapFlag.Private | MapFlag.Anonymous };

describe('anonymous memory', () => {
  test('begins as zeros, keeps what is written, and is zero again after MADV_DONTNEED', (t) => {
    const address = mmap({ ...ANONYMOUS, length: 2 * PAGE });
    t.after(() => munmap(address, 2 * PAGE));
    const bytes = viewOf(address, 2 * PAGE);
    assert.equal(bytes[PAGE], 0);
    bytes[0] = 1;
    bytes[PAGE] = 2;
    madvise(address + BigInt(PAGE), PAGE, Advice.DontNeed);
    assert.deepEqual([bytes[0], bytes[PAGE]], [1, 0]);
  });

  test('can be placed at an address, in the place of what was there', (t) => {
    const address = mmap({ ...ANONYMOUS, length: PAGE });
    t.after(() => munmap(address, PAGE));
    viewOf(address, PAGE)[0] = 1;
    assert.equal(
      mmap({ prot: Prot.Read, flags: ANONYMOUS.flags | MapFlag.Fixed, length: PAGE, address }),
      address,
    );
    assert.equal(viewOf(address, PAGE)[0], 0);
  });

  test('keeps its contents when it is protected and unprotected', (t) => {
    const address = mmap({ ...ANONYMOUS, length: PAGE });
    t.after(() => munmap(address, PAGE));
    const bytes = viewOf(address, PAGE);
    bytes[7] = 9;
    mprotect(address, PAGE, Prot.Read);
    assert.equal(bytes[7], 9);
    mprotect(address, PAGE, Prot.Read | Prot.Write);
    bytes[7] = 10;
    assert.equal(bytes[7], 10);
  });
});

test('a mapping that cannot be had names the call, the errno and a remedy', () => {
  const isHelpful = (error: unknown) =>
    error instanceof HostError && error.code === 'ENOMEM' && /less guest memory/.test(error.message);
  assert.throws(() => mmap({ ...ANONYMOUS, length: 2 ** 47 }), isHelpful);
  assert.throws(() => munmap(1n, PAGE), { message: 'munmap: EINVAL' });
});
