// Machine code of our own, called as native functions.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { Errno } from '../../../src/host/errors.ts';
import { nativeCallsAvailable } from '../../../src/host/ffi.ts';
import { enterByLibrary, enterFunction } from '../../../src/host/kvm/enter.ts';
import { machineCode, sharedObject } from '../../../src/host/machine-code.ts';
import { ROOT } from '../../support/hypertick.ts';

const skip = process.arch !== 'x64' ? 'machine code of x86-64' : !nativeCallsAvailable() && 'no node:ffi';

/** lea eax, [rdi + rsi]; ret */
const SUM = Uint8Array.of(0x8d, 0x04, 0x37, 0xc3);
/** mov eax, 39 (getpid); syscall; ret */
const GETPID = Uint8Array.of(0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xc3);

test('takes arguments and returns a result', { skip }, () => {
  const sum = machineCode('sum', SUM, ['int32', 'int32'], 'int32');
  assert.equal(sum(40, 2), 42);
  assert.equal(sum(-1, 1), 0);
});

test('two functions of the same name are two functions', { skip }, () => {
  const pid = machineCode('same', GETPID, [], 'int32');
  const sum = machineCode('same', SUM, ['int32', 'int32'], 'int32');
  assert.equal(pid(), process.pid);
  assert.equal(sum(1, 2), 3);
});

test('a function may fill its page, and no more', { skip }, () => {
  const slide = new Uint8Array(0xe00).fill(0x90);
  slide.set(GETPID, slide.length - GETPID.length);
  assert.equal(machineCode('slide', slide, [], 'int32')(), process.pid);
  assert.throws(() => sharedObject('f', new Uint8Array(0x1000)), /more than a page/);
});

test('a limit on the size of files is a refusal, not an end of the process', { skip }, () => {
  const script = `
    import { machineCode } from './src/host/machine-code.ts';
    try { machineCode('f', Uint8Array.of(0xc3), [], 'void')(); } catch (error) { console.log(error.name); }`;
  const node = `"${process.execPath}" --disable-warning=ExperimentalWarning --input-type=module`;
  const { stdout, status } = spawnSync('sh', ['-c', `ulimit -f 0; ${node}`], { input: script, cwd: ROOT });
  assert.deepEqual([stdout.toString(), status], ['MachineCodeRefusedError\n', 0]);
});

test('KVM_RUN on what is no vCPU gives the errno, by both ways', { skip }, () => {
  for (const enter of [enterFunction(), enterByLibrary()]) {
    assert.equal(enter(-1), -Errno.EBADF);
    assert.equal(enter(0) < 0, true);
  }
});
