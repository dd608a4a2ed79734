// The list of kvm-unit-tests is read as its own runner reads it (docs/unittests.txt of that project), and the end of a test
// is judged by its exit status and summary.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bootOptions, memoryMiB, parseUnitTests, verdict } from '../../../tools/rig/unittests-cfg.ts';

test('sections become tests, with what they leave out', () => {
  const text = [
    '# file = comment.flat',
    '[x2apic]',
    'file = apic.flat',
    'smp = 2',
    'qemu_params = -cpu qemu64,+x2apic -m 2g',
    'arch = x86_64',
    'timeout = 30',
    'groups = apic slow',
    'check = /sys/a=Y /sys/b=0',
    '',
    '[plain]',
    'file = plain.flat',
  ].join('\n');
  assert.deepEqual(parseUnitTests(text), [
    {
      name: 'x2apic',
      file: 'apic.flat',
      processors: 2,
      testArgs: '',
      qemuParams: ['-cpu', 'qemu64,+x2apic', '-m', '2g'],
      arch: 'x86_64',
      groups: ['apic', 'slow'],
      checks: ['/sys/a=Y', '/sys/b=0'],
      timeoutSeconds: 30,
    },
    {
      name: 'plain',
      file: 'plain.flat',
      processors: 1,
      testArgs: '',
      qemuParams: [],
      arch: undefined,
      groups: [],
      checks: [],
      timeoutSeconds: undefined,
    },
  ]);
});

test('arguments keep their quotes, extra_params is the old name of qemu_params, and three quotes hold many lines', () => {
  const text = [
    '[a]',
    'test_args = "-x y"',
    'extra_params = -m 64',
    '[b]',
    'qemu_params = """-cpu max',
    '-m 4g"""',
  ].join('\n');
  const [a, b] = parseUnitTests(text);
  assert.equal(a?.testArgs, '"-x y"');
  assert.deepEqual(a?.qemuParams, ['-m', '64']);
  assert.deepEqual(b?.qemuParams, ['-cpu', 'max', '-m', '4g']);
});

test('the last -m counts, in MiB or GiB', () => {
  assert.equal(memoryMiB(['-m', '64', '-m', '4g'], 128), 4096);
  assert.equal(memoryMiB(['-m', '256M'], 128), 256);
  assert.equal(memoryMiB(['-cpu', 'max'], 128), 128);
});

test('a test gets the options that stand for its qemu_params, or that its image expects', () => {
  const text = [
    '[synic]',
    'file = hyperv_synic.flat',
    'qemu_params = -cpu host,hv_passthrough -device hyperv-testdev',
    '[asyncpf]',
    'file = asyncpf.flat',
    'qemu_params = -cpu host -m 2048',
    '[plain]',
    'file = plain.flat',
    'qemu_params = -cpu host',
  ].join('\n');
  assert.deepEqual(parseUnitTests(text).map(bootOptions), [
    ['--irqchip=kernel', '--param=board.cpu.hyperV=true'],
    ['--irqchip=kernel', '--param=board.cpu.showHypervisor=true'],
    [],
  ]);
});

for (const [status, output, expected] of [
  [1, 'PASS: a\r\nSUMMARY: 12 tests\r\n', 'PASS 12'],
  [1, 'no summary at all', 'PASS'],
  [1, '\r\n', 'not started'],
  [3, 'SUMMARY: 12 tests, 2 unexpected failures\n', 'FAIL 2/12'],
  [3, 'SUMMARY: 12 tests, 1 unexpected failures, 3 skipped\n', 'FAIL 1/12'],
  [77, 'SUMMARY: 1 tests, 1 skipped\n', 'SKIP'],
  [122, 'PASS: a\nFAIL: b\nPASS: c\n', 'died 122 after 2 passes, 1 failures'],
  ['SIGABRT', '', 'died SIGABRT'],
  ['timeout', 'PASS: a\n', 'timeout after 1 passes, 0 failures'],
] as const)
  test(`status ${status} and '${output.split('\n')[0]?.trim()}' is ${expected}`, () => {
    assert.equal(verdict(status, output), expected);
  });
