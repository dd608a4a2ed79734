// The door to native code: addresses, foreign memory, errno, signatures.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { Errno, errnoName, HostError } from '../../../src/host/errors.ts';
import { addressOf, bind, bindSyscall, call6, check, errno, orNegativeErrno } from '../../../src/host/ffi.ts';
import { viewOf } from '../../../src/host/memory.ts';

const ROOT = join(import.meta.dirname, '..', '..', '..');

test('one module alone reaches for node:ffi', () => {
  const users = globSync('{src,tools,bench,examples}/**/*.ts', { cwd: ROOT }).filter((file) =>
    /(import|require|getBuiltinModule)\b[^;]*['"]node:ffi['"]/.test(readFileSync(join(ROOT, file), 'utf8')),
  );
  assert.deepEqual(users, ['src/host/ffi.ts']);
});

describe('addresses', () => {
  test('of a view count from its first byte', () => {
    const buffer = new ArrayBuffer(64);
    assert.equal(addressOf(new Uint8Array(buffer, 24)) - addressOf(buffer), 24n);
  });

  test('of small arrays and shared memories show the bytes that JavaScript writes', () => {
    const shared = new Uint8Array(new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true }).buffer);
    for (const owned of [new Uint8Array(8), new Uint8Array(4096), shared.subarray(100, 108)]) {
      const seen = viewOf(addressOf(owned), owned.length);
      owned[3] = 0x5a;
      assert.equal(seen[3], 0x5a);
      seen[4] = 0xa5;
      assert.equal(owned[4], 0xa5);
    }
  });
});

describe('native functions', () => {
  test('can be bound with several signatures under one name', () => {
    const asNumber = bind('labs', ['int32'], 'int32');
    const asBigint = bind('labs', ['int64'], 'int64');
    assert.equal(asNumber(7), 7);
    assert.equal(asBigint(-(2n ** 40n)), 2n ** 40n);
  });

  test('take a uint32 where C reads 64 bits, above 2^31 too', () => {
    // memchr looks at `size_t` bytes: a size with garbage above bit 31 would find the byte behind the range.
    const memchr = bind('memchr', ['pointer', 'int32', 'uint32'], 'pointer');
    const bytes = new Uint8Array(64);
    bytes[40] = 1;
    const start = addressOf(bytes);
    for (let i = 0; i < 20_000; i++) assert.ok(memchr(start, 1, 40) === 0n);
    assert.equal(memchr(start, 1, 41), start + 40n);
    assert.equal(memchr(start, 1, 0xffff_ffff), start + 40n);
    assert.equal(bytes[40], 1, 'the bytes were there all the time: an address alone keeps nothing alive');
  });

  test('leave their errno', () => {
    const close = bind('close', ['int32'], 'int32');
    assert.equal(close(-1), -1);
    assert.equal(errno(), Errno.EBADF);
    assert.equal(orNegativeErrno(-1), -Errno.EBADF);
    assert.equal(orNegativeErrno(5), 5);
  });

  test('leave their errno even if the call is the first of the process', () => {
    const ffi = new URL('../../../src/host/ffi.ts', import.meta.url).href;
    const script = `const { bind, errno } = await import('${ffi}');
      bind('close', ['int32'], 'int32')(-1);
      const number = errno();
      process.stdout.write(String(number));`;
    const options = ['--disable-warning=ExperimentalWarning', '--input-type=module', '--eval', script];
    assert.equal(execFileSync(process.execPath, options, { encoding: 'utf8' }), String(Errno.EBADF));
  });
});

describe('system calls', () => {
  // Numbers of x86-64: getpid, close, pread64 (arm64 in brackets).
  const nr = process.arch === 'arm64' ? { getpid: 172, close: 57 } : { getpid: 39, close: 3 };

  test('by number give the value', () => {
    assert.equal(call6(nr.getpid), process.pid);
    assert.equal(bindSyscall([])(nr.getpid), process.pid);
  });

  test('give a negated errno', () => {
    assert.equal(call6(nr.close, -1), -Errno.EBADF);
  });
});

describe('a HostError', () => {
  test('names call, errno and remedy in one line', () => {
    const error = new HostError('open(/dev/kvm)', Errno.EACCES, 'join the group "kvm"');
    assert.equal(error.message, 'open(/dev/kvm): EACCES: join the group "kvm"');
    assert.equal(error.code, 'EACCES');
    assert.equal(error.errno, 13);
  });

  test('says only what is known', () => {
    assert.equal(new HostError('munmap', Errno.EINVAL).message, 'munmap: EINVAL');
    assert.equal(errnoName(4000), 'errno 4000');
  });

  test('comes of a result of −1 and of nothing else, with the remedy for its errno', () => {
    const close = bind('close', ['int32'], 'int32');
    assert.equal(check(0, 'close'), 0);
    assert.throws(() => check(close(-1), 'close', { EBADF: 'open it first', EIO: 'no' }), {
      message: 'close: EBADF: open it first',
    });
  });
});
