import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Gpr, Seg } from '../../../src/arch/x86/registers.ts';
import { Errno } from '../../../src/workload/linux/errno.ts';
import { REFUSALS, SYSCALL_GROUPS, syscallTable } from '../../../src/workload/linux/syscall-table.ts';
import { DOCUMENT, renderSyscalls } from '../../../tools/syscall-table.ts';
import { DATA, Machine } from './machine.ts';

const AT = DATA + 0x400;

function text(m: Machine, va: number): string {
  return Buffer.from(m.memory.readCString(va)!).toString('latin1');
}

test('getrandom is seeded: the same seed gives the same bytes, another one others', () => {
  const draw = (seed: number) => {
    const m = new Machine({ seed });
    assert.equal(m.call('getrandom', AT, 100, 0), 100);
    return m.memory.read(AT, 100).toHex();
  };
  assert.equal(draw(1), draw(1));
  assert.notEqual(draw(1), draw(2));
  assert.equal(new Machine().call('getrandom', AT, 1, 6), -Errno.EINVAL);
});

test('uname names Linux 6.1 on x86_64', () => {
  const m = new Machine();
  assert.equal(m.call('uname', AT), 0);
  assert.equal(text(m, AT), 'Linux');
  assert.match(text(m, AT + 130), /^6\.1\./);
  assert.equal(text(m, AT + 4 * 65), 'x86_64');
});

test('the program is who its user is and cannot become another', () => {
  const m = new Machine();
  assert.deepEqual(
    ['getuid', 'geteuid', 'getgid', 'getegid'].map((name) => m.call(name)),
    [1000, 1000, 100, 100],
  );
  assert.equal(m.call('setuid', 1000), 0);
  assert.equal(m.call('setresuid', -1, 1000, -1), 0);
  assert.equal(m.call('setuid', 0), -Errno.EPERM);
  assert.equal(m.call('getgroups', 9, AT), 2);
  assert.deepEqual([m.memory.readU32(AT), m.memory.readU32(AT + 4)], [100, 27]);
  assert.equal(m.call('getgroups', 1, AT), -Errno.EINVAL);
});

test('limits: the stack has 8 MiB, a soft limit moves below the hard one, which only sinks', () => {
  const m = new Machine();
  assert.equal(m.call('getrlimit', 3, AT), 0);
  assert.equal(m.memory.readU64(AT), 8n << 20n);
  m.memory.writeU64(AT, 2000n);
  m.memory.writeU64(AT + 8, 4000n);
  assert.equal(m.call('prlimit64', 0, 7, AT, AT + 32), 0);
  assert.equal(m.memory.readU64(AT + 32), 1024n);
  assert.equal(m.process.limit(7), 2000);
  m.memory.writeU64(AT + 8, 5000n);
  assert.equal(m.call('setrlimit', 7, AT), -Errno.EPERM);
  m.memory.writeU64(AT, 6000n);
  assert.equal(m.call('setrlimit', 7, AT), -Errno.EINVAL);
  assert.equal(m.call('getrlimit', 16, AT), -Errno.EINVAL);
});

test('there is one CPU', () => {
  const m = new Machine();
  assert.equal(m.call('sched_getaffinity', 0, 128, AT), 8);
  assert.equal(m.memory.readU64(AT), 1n);
  m.memory.writeU64(AT, 2n);
  assert.equal(m.call('sched_setaffinity', 0, 8, AT), -Errno.EINVAL);
  m.memory.writeU64(AT, 3n);
  assert.equal(m.call('sched_setaffinity', 0, 8, AT), 0);
  assert.equal(m.call('getcpu', AT, 0, 0), 0);
  assert.equal(m.memory.readU32(AT), 0);
});

test('arch_prctl moves the FS base and refuses addresses that are not user ones', () => {
  const m = new Machine();
  assert.equal(m.call('arch_prctl', 0x1002, 0x7000_1234), 0);
  assert.equal(m.cpu.context.segmentBase(Seg.FS), 0x7000_1234n);
  assert.equal(m.call('arch_prctl', 0x1003, AT), 0);
  assert.equal(m.memory.readU64(AT), 0x7000_1234n);
  assert.equal(m.call('arch_prctl', 0x1002, 2n ** 63n), -Errno.EPERM);
});

test('a bad pointer is EFAULT, whatever the call', () => {
  const m = new Machine();
  const bad = 2n ** 64n - 1n;
  for (const [name, ...args] of [
    ['uname', bad],
    ['clock_gettime', 0, bad],
    ['rt_sigprocmask', 0, bad, 0, 8],
    ['getrandom', 0x1000, 8, 0],
    ['nanosleep', bad, 0],
  ] as const) {
    assert.equal(m.call(name, ...args), -Errno.EFAULT, name);
  }
});

test('the name of a thread is cut at 15 bytes, also the first one, which is the program', () => {
  const m = new Machine();
  assert.equal(m.call('prctl', 16, AT), 0);
  assert.equal(text(m, AT), 'a-program-with-');
  m.memory.write(AT, Buffer.from('0123456789abcdefghi\0'));
  assert.equal(m.call('prctl', 15, AT), 0);
  assert.equal(m.process.currentThread.name, '0123456789abcde');
});

test('memory calls reach the address space', () => {
  const m = new Machine();
  const va = m.call('mmap', 0, 8192, 3, 0x22, -1, 0);
  assert.ok(va > 0);
  m.memory.writeU32(va, 5);
  assert.equal(m.call('mprotect', va, 4096, 1), 0);
  assert.equal(m.call('munmap', va, 8192), 0);
  assert.equal(m.call('mprotect', va, 4096, 1), -Errno.ENOMEM);
  assert.equal(m.call('mmap', 0, 4096, 1, 2, 99, 0), -Errno.EBADF);
});

test('an unknown or missing call is ENOSYS and warned about once, by name and number', () => {
  const m = new Machine();
  assert.equal(m.call('quotactl'), -Errno.ENOSYS);
  assert.equal(m.call('quotactl'), -Errno.ENOSYS);
  assert.equal(m.warnings.length, 1);
  assert.match(m.warnings[0]!, /quotactl \(179\)/);
  for (const nr of [400, 5000, 0xffff_ffff]) {
    m.cpu.context.setGprNumber(Gpr.RAX, nr);
    m.process.syscall(m.cpu);
    assert.equal(m.rax, -Errno.ENOSYS);
  }
  assert.equal(m.warnings.length, 4);
});

test('calls are counted by name', () => {
  const m = new Machine();
  m.call('getpid');
  m.call('getpid');
  m.call('quotactl');
  m.process.statistics.prepareDump();
  const { syscalls, numSyscalls } = m.process.stats;
  const count = (name: string) => syscalls.elements[syscalls.elementNames.indexOf(name)]!.value;
  assert.deepEqual([count('getpid'), count('quotactl'), numSyscalls.value], [2, 1, 3]);
});

test('traces show name, arguments and result, in hex, as errno, and strings if verbose', () => {
  const m = new Machine({ debugFlags: 'SyscallBase' });
  m.memory.write(AT, Buffer.from('/nowhere/"x"\0'));
  m.call('access', AT, 4);
  m.call('getpid');
  assert.deepEqual(m.trace, [
    `      0: process: T1000: access(0x${AT.toString(16)}, 04) = -1 ENOENT`,
    '      0: process: T1000: getpid() = 1000',
  ]);
  const verbose = new Machine({ debugFlags: 'SyscallVerbose' });
  verbose.memory.write(AT, Buffer.from('/nowhere/"x"\0'));
  verbose.call('access', AT, 4);
  assert.deepEqual(verbose.trace, ['      0: process: T1000: access("/nowhere/\\"x\\"", 04) = -1 ENOENT']);
});

test('every handler and refusal has a number, and none is both', () => {
  const names = new Set(syscallTable().map(({ name }) => name));
  const handled = SYSCALL_GROUPS.flatMap(([, handlers]) => Object.keys(handlers));
  assert.deepEqual(
    handled.filter((name) => !names.has(name)),
    [],
  );
  assert.deepEqual(
    handled.filter((name, i) => handled.indexOf(name) !== i),
    [],
  );
  assert.deepEqual(
    [...REFUSALS.keys()].filter((name) => !names.has(name) || handled.includes(name)),
    [],
  );
});

test('numbers are those of x86-64', () => {
  const numbers = Object.fromEntries(syscallTable().map(({ name, nr }) => [name, nr]));
  // A sample over all ranges of arch/x86/entry/syscalls/syscall_64.tbl.
  const expected = {
    read: 0,
    mmap: 9,
    rt_sigreturn: 15,
    clone: 56,
    exit_group: 231,
    openat: 257,
    rseq: 334,
    clone3: 435,
  };
  for (const [name, nr] of Object.entries(expected)) assert.equal(numbers[name], nr, name);
});

test('docs/syscalls.md is current: node tools/syscall-table.ts makes it', () => {
  assert.equal(readFileSync(DOCUMENT, 'utf8'), renderSyscalls());
});

test('there are no children, and waiting for them badly is EINVAL', () => {
  const m = new Machine();
  assert.equal(m.call('wait4', -1, 0, 0, 0), -Errno.ECHILD);
  assert.equal(m.call('wait4', -1, 0, 0x100_0000, 0), -Errno.EINVAL);
  assert.equal(m.call('waitid', 0, 0, 0, 4, 0), -Errno.ECHILD);
  assert.equal(m.call('waitid', 0, 0, 0, 0, 0), -Errno.EINVAL, 'no event to wait for');
  assert.equal(m.call('waitid', 9, 0, 0, 4, 0), -Errno.EINVAL);
});

test('the process leads the one group that there is', () => {
  const m = new Machine();
  assert.equal(m.call('setpgid', 0, 0), 0);
  assert.equal(m.call('setpgid', 0, 4242), -Errno.EPERM);
  assert.equal(m.call('setpgid', 0, -1), -Errno.EINVAL);
  assert.equal(m.call('setpgid', 4242, 0), -Errno.ESRCH);
});
