// QEMU's words for a machine, in hypertick's.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bootOptions, HYPER_V } from '../../../tools/rig/qemu-params.ts';

const words = (text: string): string[] => text.split(' ').filter((word) => word !== '');

const CASES: readonly (readonly [qemu: string, offered: string, boot: string, file?: string])[] = [
  ['', '', ''],
  ['-m 4g', 'svm', ''],
  ['-cpu qemu64,+x2apic,+tsc-deadline', 'svm la57', ''],
  ['-cpu qemu64,-x2apic,+tsc-deadline', '', '--param=board.cpu.features=-x2apic'],
  ['-cpu max,+svm -m 4g', 'svm', '--irqchip=kernel --param=board.cpu.features=+svm'],
  ['-cpu max,+svm,-npt', 'svm', '--irqchip=kernel --param=board.cpu.features=+svm,-npt'],
  ['-cpu max,host-phys-bits', 'la57', '--param=board.cpu.features=+la57'],
  ['-cpu max,host-phys-bits', '', ''],
  ['-cpu host,-pmu,migratable=no', 'svm', ''],
  ['-cpu host,hv_passthrough -device hyperv-testdev', '', ''],
  ['-cpu max,+svm', '', ''],
  [
    '-cpu host,hv_passthrough -device hyperv-testdev',
    HYPER_V,
    '--irqchip=kernel --param=board.cpu.hyperV=true',
  ],
  ['-cpu host -m 2048', '', '--irqchip=kernel --param=board.cpu.showHypervisor=true', 'asyncpf.flat'],
  [
    '-M q35,kernel-irqchip=split -device intel-iommu,intremap=on,eim=off -device edu',
    '',
    '--param=board.iommu=intel --param=board.edu=true',
  ],
  ['-device pci-testdev -device constructor edu -device', '', ''],
];

for (const [qemu, offered, boot, file = 'test.flat'] of CASES) {
  test(`${file}: '${qemu}' where KVM offers '${offered}'`, () => {
    assert.deepEqual(bootOptions({ file, qemuParams: words(qemu) }, new Set(words(offered))), words(boot));
  });
}
