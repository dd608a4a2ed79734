// An unmodified Debian kernel on the simulated PC with an IOMMU: it takes it for what it says it is, has its interrupts remapped,
// and hears of a device that reads where it may not. It runs in the rig (docs/rig.md).

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { COMMAND_LINE, INITRD, KERNEL, LinuxMachine, PROMPT } from '../support/linux-machine.ts';
import { inTwoAttempts } from '../support/two-attempts.ts';

const scratch = mkdtempSync(join(tmpdir(), 'hypertick-linux-'));
after(() => rmSync(scratch, { recursive: true }));

const PARAMS = [
  'board.iommu=intel',
  'board.iommu.eim=true',
  'board.iommu.verifyIoApic=true',
  'board.edu=true',
];
/** Bus master and memory decoding; then edu's DMA from 0x7000 to its buffer, 4 bytes. */
const READ_ASTRAY = [
  "printf '\\006' | dd of=/sys/bus/pci/devices/0000:00:02.0/config bs=1 seek=4 conv=notrunc 2>/dev/null",
  ...['0xc0000080 32 0x7000', '0xc0000088 32 0x40000', '0xc0000090 32 4', '0xc0000098 32 1'].map(
    (words) => `devmem ${words}`,
  ),
  'sleep 1',
].join('; ');

test('Linux remaps interrupts and DMA, and reports a fault', async () => {
  await inTwoAttempts('boot', async () => {
    const machine = new LinuxMachine(scratch, [
      ...PARAMS.flatMap((param) => ['--param', param]),
      ...['--initrd', INITRD, '--append', `${COMMAND_LINE} intel_iommu=on`, KERNEL],
    ]);
    await machine.waitFor(PROMPT);
    const log = await machine.shell('dmesg | grep DMAR; cat /proc/interrupts');
    assert.match(log, /DMAR-IR: Enabled IRQ remapping in x2apic mode/);
    assert.match(log, /DMAR: dmar0: Using Queued invalidation/);
    assert.match(log, /IR-IO-APIC +4-edge +ttyS0/);
    await machine.shell(READ_ASTRAY);
    const faults = await machine.shell('dmesg | grep -i fault');
    assert.match(faults, /DMAR: \[DMA Read.*\] Request device \[00:02\.0\] fault addr 0x7000 .*reason 0x06/);
    assert.deepEqual(await machine.complaints(), []);
    assert.equal(await machine.powerOff(), 0, machine.log.slice(-2000));
  });
});
