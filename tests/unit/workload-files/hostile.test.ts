/**
 * What a program may do to itself but not to the simulator: memory that goes away under a call that waits, links that
 * lead to themselves, the simulator's own memory, numbers beyond all bounds, files that eat the host's memory.
 */
import assert from 'node:assert/strict';
import { readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { X86ThreadContext } from '../../../src/arch/x86/thread-context.ts';
import { SyscallCall } from '../../../src/workload/linux/syscall.ts';
import { GuestFault } from '../../../src/workload/linux/user-memory.ts';
import { AT_FDCWD, Guest, inDirectory } from './harness.ts';

const O_RDWR = 2;
const O_NOFOLLOW = 0o400000;
const EACCES = -13;
const EINVAL = -22;
const ENOSPC = -28;
const ELOOP = -40;
const IN = 1;
const MIB = 2 ** 20;

/** From now on every access to the program's memory fails. */
function takeMemoryAway(guest: Guest): void {
  guest.memory.isAccessible = () => false;
}

describe('memory that goes away under a call that waits', () => {
  it('does not keep ppoll from being interrupted', () => {
    const guest = new Guest();
    const fds = guest.memory.allocate(8);
    guest.memory.writeI32(fds, guest.pipe().readEnd);
    guest.memory.writeU32(fds + 4, IN);
    const timeout = guest.memory.allocate(16);
    guest.memory.writeNumber64(timeout, 5);
    const wait = guest.wait('ppoll', fds, 1, timeout, 0, 8);
    takeMemoryAway(guest);
    assert.doesNotThrow(() => wait.cancel?.());
    guest.close();
  });

  it(
    'does not leak the file of sendfile',
    inDirectory((directory) => {
      const before = readdirSync('/proc/self/fd').length;
      const guest = new Guest();
      writeFileSync(join(directory, 'file'), 'x'.repeat(1 << 20));
      const source = guest.call('open', join(directory, 'file'), 0);
      const { readEnd, writeEnd } = guest.pipe();
      const offset = guest.memory.allocate(8);
      const to = guest.memory.allocate(1 << 16);
      assert.equal(guest.call('sendfile', writeEnd, source, offset, 1 << 16), 1 << 16);
      const wait = guest.wait('sendfile', writeEnd, source, offset, 1 << 16);
      guest.call('read', readEnd, to, 1 << 16);
      takeMemoryAway(guest);
      assert.throws(() => wait.poll(), GuestFault);
      guest.close();
      assert.equal(readdirSync('/proc/self/fd').length, before);
    }),
  );
});

describe('links that lead to themselves', () => {
  it('are ELOOP: an executable called /proc/self/exe', () => {
    const guest = new Guest({ facts: { executablePath: '/proc/self/exe' } });
    assert.equal(guest.call('open', '/proc/self/exe', 0), ELOOP);
    assert.equal(guest.call('open', '/proc/self/exe', O_NOFOLLOW), ELOOP);
    assert.equal(guest.call('chdir', '/proc/self/exe'), ELOOP);
    assert.equal(guest.call('open', '/proc/self/exe/x', 0), ELOOP);
    assert.equal(guest.call('access', '/proc/self/exe', 0), ELOOP);
    assert.equal(guest.files.openProgram('/proc/self/exe'), ELOOP);
    guest.close();
  });

  it('do not come from a working directory that was named by a link', () => {
    const guest = new Guest({ cwd: '/proc/self/cwd' });
    assert.equal(guest.call('access', '/proc/self/cwd/.', 0), 0);
    guest.close();
  });
});

describe("the simulator's own memory", () => {
  it(
    'cannot be opened for writing, by whatever way',
    inDirectory((directory) => {
      const guest = new Guest({ cwd: directory });
      symlinkSync('/proc/self/mem', join(directory, 'mem'));
      symlinkSync(`/proc/${process.pid}`, join(directory, 'simulator'));
      for (const path of ['mem', 'simulator/mem', `/proc/${process.pid}/mem`, 'simulator/task/../mem'])
        assert.equal(guest.call('open', path, O_RDWR), EACCES, path);
      const lookup = guest.call('open', 'mem', 0o10000000);
      assert.equal(guest.call('open', `/proc/self/fd/${lookup}`, O_RDWR), EACCES);
      guest.close();
    }),
  );

  it('is no reason to refuse what is shared with the host', () => {
    const guest = new Guest();
    assert.ok(guest.call('open', '/proc/mounts', 0) > 0);
    guest.close();
  });
});

it('the largest off_t is one that the host can be asked for', () => {
  const registers = new X86ThreadContext();
  registers.setGpr(7, 0x7fff_ffff_ffff_ffffn);
  registers.setGpr(6, 0x8000_0000_0000_0000n);
  const call = new SyscallCall(undefined as unknown as SyscallCall['process']);
  call.start(undefined as unknown as SyscallCall['thread'], registers, 0);
  assert.ok(call.long(0) < 2 ** 63 && call.long(0) > 2 ** 62);
  assert.equal(call.long(1), -(2 ** 63));
  const guest = new Guest();
  const fd = guest.call('memfd_create', 'x', 0);
  assert.equal(guest.call('lseek', fd, -(2 ** 63), 0), EINVAL);
  assert.equal(guest.call('lseek', fd, call.long(0), 0), call.long(0));
  guest.close();
});

describe('files in memory take no more of the host than the program has RAM', () => {
  const small = () => new Guest({ facts: { memory: { totalBytes: 4 * MIB, freeBytes: 0 } } });

  it('by writing, in one file and in many', () => {
    const guest = small();
    const from = guest.memory.allocate(MIB);
    guest.memory.bytes.fill(1);
    const files = [1, 2].map((i) => guest.call('memfd_create', `m${i}`, 0));
    const write = (i: number) =>
      guest.call('pwrite64', files[i]!, from, MIB, guest.call('lseek', files[i]!, 0, 2));
    for (const i of [0, 1, 0, 1]) {
      assert.equal(write(i), MIB);
      guest.call('lseek', files[i]!, 0, 2);
    }
    assert.equal(write(0), ENOSPC);
    assert.equal(write(1), ENOSPC);
    guest.call('close', files[0]!);
    assert.equal(write(1), MIB, 'a file that is closed takes nothing');
    guest.close();
  });

  it('by allocating, copying and a new description of the file', () => {
    const guest = small();
    const fd = guest.call('memfd_create', 'm', 0);
    assert.equal(guest.call('fallocate', fd, 0, 0, 8 * MIB), ENOSPC);
    assert.equal(guest.call('fallocate', fd, 0, 0, 2 * MIB), 0);
    const again = guest.call('openat', AT_FDCWD, `/proc/self/fd/${fd}`, O_RDWR);
    assert.equal(guest.call('fallocate', again, 0, 2 * MIB, 3 * MIB), ENOSPC);
    assert.equal(guest.call('ftruncate', fd, 2 ** 40), 0, 'what is sparse takes nothing');
    assert.equal(guest.call('copy_file_range', fd, 0, again, 0, 16 * MIB, 0), ENOSPC);
    assert.equal(guest.call('sendfile', again, fd, 0, 16 * MIB), ENOSPC);
    guest.close();
  });
});
