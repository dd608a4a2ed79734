// An unmodified Debian kernel on the simulated PC, executed by KVM: to a shell on the serial console, saved in the middle
// of its boot, restored, powered off. It runs in the rig (docs/rig.md), which has the kernel and KVM's whole semantics.

import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { COMMAND_LINE, INITRD, KERNEL, LinuxMachine, PROMPT } from '../support/linux-machine.ts';
import { inTwoAttempts } from '../support/two-attempts.ts';

const scratch = mkdtempSync(join(tmpdir(), 'hypertick-linux-'));
after(() => rmSync(scratch, { recursive: true }));

async function useShell(machine: LinuxMachine): Promise<void> {
  await machine.waitFor(PROMPT);
  assert.match(await machine.shell('echo product $((6 * 7))'), /product 42/);
  const uptimes = await machine.shell(
    'a=$(cut -d. -f1 /proc/uptime); sleep 2; echo from $a to $(cut -d. -f1 /proc/uptime)',
  );
  const [, before, behind] = /from (\d+) to (\d+)/.exec(uptimes) ?? [];
  const passed = Number(behind) - Number(before);
  assert.ok(passed >= 2 && passed <= 10, `${uptimes}: two seconds of sleep are about two seconds`);
}

test('a Debian kernel boots to a shell, is saved in mid-boot on the way, restored, and powered off', async () => {
  const saved = join(scratch, 'saved');
  await inTwoAttempts('boot', async () => {
    rmSync(saved, { recursive: true, force: true });
    const kernel = ['--initrd', INITRD, '--append', COMMAND_LINE, KERNEL];
    const first = new LinuxMachine(scratch, ['--checkpoint-at', '2s', saved, ...kernel]);
    await first.waitFor(PROMPT);
    assert.ok(existsSync(join(saved, 'manifest.json')), 'it was saved before the shell was there');
    await useShell(first);
    assert.deepEqual(await first.complaints(), []);
    assert.equal(await first.powerOff(), 0, first.log.slice(-2000));
  });
  await inTwoAttempts('restore', async () => {
    const second = new LinuxMachine(scratch, ['--restore', saved]);
    await useShell(second);
    assert.match(second.log, /BusyBox/, 'the shell starts behind the restore');
    assert.deepEqual(await second.complaints(), []);
    assert.equal(await second.powerOff(), 0, second.log.slice(-2000));
  });
});
