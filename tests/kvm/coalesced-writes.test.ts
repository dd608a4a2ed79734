// useCoalescedMMIO on a PcBoard: writes to the diagnostic and delay ports cost no exit each, and reach their device in order.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { X86KvmCpu } from '../../src/cpu/kvm/x86/x86-kvm-cpu.ts';
import { PostPort } from '../../src/dev/x86/post-port.ts';
import { Root } from '../../src/sim/root.ts';
import { Simulator } from '../../src/sim/simulator.ts';
import { kvmProcessor } from '../../src/system/kvm-processor.ts';
import { PcBoard } from '../../src/system/pc-board.ts';
import { kvmIsMissing } from '../support/hypertick.ts';

const WRITES = 100;
/** mov ecx, 100; again: mov al, cl; out 0x80, al; out 0xed, al; loop again; out 0xf4, al; hlt */
const PROGRAM = Uint8Array.from([
  ...[0xb9, WRITES, 0, 0, 0, 0x88, 0xc8, 0xe6, 0x80, 0xe6, 0xed, 0xe2, 0xf8],
  ...[0xe6, 0xf4, 0xf4],
]);

async function exits(useCoalescedMMIO: boolean): Promise<number> {
  const root = new Root({ warnSink: () => {} });
  const board = new PcBoard(root, 'board', {
    memorySize: '2MiB',
    processor: kvmProcessor({ useCoalescedMMIO }),
  });
  board.boot({ image: PROGRAM, name: 'writes' });
  const simulator = new Simulator(root);
  after(() => simulator.close());
  assert.deepEqual((await simulator.runUntilExit()).code, 3);
  const post = board.devices.find((device) => device instanceof PostPort);
  assert.equal(post?.lastCode, 1, 'the last of the writes is the last to arrive');
  assert.ok(board.cpu instanceof X86KvmCpu);
  return board.cpu.stats.numVMExits.value;
}

test('writes that nobody waits for are queued by the kernel', { skip: kvmIsMissing() }, async () => {
  assert.ok((await exits(false)) > 2 * WRITES);
  assert.ok((await exits(true)) < WRITES / 2);
});
