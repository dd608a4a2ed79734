// What the handlers of the memory calls add to AddressSpace: answers about reservations of any size.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { X86ThreadContext } from '../../../src/arch/x86/thread-context.ts';
import { Errno } from '../../../src/workload/linux/errno.ts';
import { MapFlag } from '../../../src/workload/linux/memory-flags.ts';
import { SyscallCall, type SyscallHandler } from '../../../src/workload/linux/syscall.ts';
import { memorySyscalls } from '../../../src/workload/linux/syscalls/memory.ts';
import { GuestFault } from '../../../src/workload/linux/user-memory.ts';
import { Machine, MIB, PAGE, PRIVATE_ANON } from './machine.ts';

const ARGUMENTS = [7, 6, 2];

function caller(m: Machine) {
  const process: unknown = { addressSpace: m.space, memory: m.user };
  const call = new SyscallCall(process as SyscallCall['process']);
  return (handler: SyscallHandler, ...args: number[]) => {
    const registers = new X86ThreadContext();
    for (const [i, arg] of args.entries()) registers.setGprNumber(ARGUMENTS[i]!, arg);
    call.start(undefined as unknown as SyscallCall['thread'], registers, 0);
    return handler(call);
  };
}

test('mincore answers page by page, across its pieces', () => {
  const m = new Machine();
  const call = caller(m);
  const pages = 5000;
  const va = m.map({ length: pages * PAGE, flags: PRIVATE_ANON | MapFlag.noReserve });
  const to = m.map({ length: 2 * PAGE });
  m.user.writeU8(va + 4999 * PAGE, 1);
  assert.equal(call(memorySyscalls.mincore, va, pages * PAGE - 1, to), 0);
  const answers = m.user.read(to, pages);
  assert.equal(answers[4999], 1);
  assert.equal(answers[0], 0);
  assert.equal(call(memorySyscalls.mincore, va + 1, 0, to), -Errno.EINVAL);
  assert.equal(call(memorySyscalls.mincore, va, (pages + 1) * PAGE, to), -Errno.ENOMEM);
});

test('mincore and mlock of a reservation of 32 TiB neither take long nor much memory', () => {
  const m = new Machine();
  const call = caller(m);
  const length = 2 ** 45;
  const va = m.map({ length, prot: 0, flags: PRIVATE_ANON | MapFlag.noReserve });
  const to = m.map({ length: MIB });
  assert.throws(() => call(memorySyscalls.mincore, va, length, to), GuestFault);
  assert.equal(call(memorySyscalls.mlock, va + 5, length - 5), 0);
  assert.equal(call(memorySyscalls.mlock, va, length + 2 ** 46), -Errno.ENOMEM);
});
