// The probe of the host, against hosts that the test makes up.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Errno, HostError } from '../../../src/host/errors.ts';
import { isTestedNode } from '../../../src/host/node-version.ts';
import { type ProbeSources, probeHost } from '../../../src/host/probe.ts';

const FILES: Readonly<Record<string, string>> = {
  '/proc/cpuinfo':
    'processor\t: 0\nmodel name\t: Example CPU\nflags\t\t: fpu sse2 svm\n\n' +
    'processor\t: 1\nmodel name\t: Example CPU\nflags\t\t: fpu sse2 svm\n',
  '/proc/meminfo': 'MemTotal:       2048 kB\nMemFree: 10 kB\nMemAvailable:   1024 kB\n',
  '/proc/sys/kernel/osrelease': '6.1.0-test\n',
  '/proc/sys/kernel/perf_event_paranoid': '2\n',
  '/sys/kernel/mm/transparent_hugepage/enabled': 'always [madvise] never\n',
};

function host(changes: Partial<ProbeSources> = {}): ProbeSources {
  return {
    readText: (path) => FILES[path],
    exists: (path) => path === '/sys/module/kvm_amd',
    kvmCapabilities: () => ({ USER_MEMORY: 1 }),
    tryCounter: () => undefined,
    nodeVersion: 'v26.10.0',
    nativeCalls: true,
    platform: 'linux',
    arch: 'x64',
    ...changes,
  };
}

describe('the probe', () => {
  test('reads processor, memory and kernel', () => {
    const { processor, memory, system, perf } = probeHost(host());
    assert.deepEqual(processor, { model: 'Example CPU', count: 2, flags: ['fpu', 'sse2', 'svm'] });
    assert.deepEqual(memory, { totalBytes: 2 << 20, availableBytes: 1 << 20, hugePages: 'madvise' });
    assert.deepEqual(system, { kernel: '6.1.0-test', arch: 'x64', isLinux: true });
    assert.deepEqual(perf, { paranoid: 2, hardware: { available: true }, software: { available: true } });
  });

  test('tells the flavour of KVM by the module, and by the processor where KVM is built in', () => {
    const flavour = (changes: Partial<ProbeSources>) => {
      const { kvm } = probeHost(host(changes));
      return kvm.available && kvm.flavour;
    };
    assert.equal(flavour({}), 'svm');
    assert.equal(flavour({ exists: (path) => path === '/sys/module/kvm_intel' }), 'vmx');
    assert.equal(flavour({ exists: (path) => path === '/sys/module/kvm_pvm' }), 'pvm');
    assert.equal(flavour({ exists: () => false }), 'svm');
    assert.equal(flavour({ exists: () => false, readText: () => undefined }), 'unknown');
    assert.equal(flavour({ arch: 'arm64' }), 'arm64');
  });

  test('passes on why KVM cannot be opened and what to do', () => {
    const refuse = () => {
      throw new HostError('open(/dev/kvm)', Errno.EACCES, 'join the group');
    };
    assert.deepEqual(probeHost(host({ kvmCapabilities: refuse })).kvm, {
      available: false,
      reason: 'open(/dev/kvm): EACCES',
      remedy: 'join the group',
    });
  });

  test('does not try native code on a Node or a system that has none', () => {
    const mustNot = () => assert.fail('tried');
    const old = probeHost(host({ nativeCalls: false, nodeVersion: 'v20.1.0', kvmCapabilities: mustNot }));
    assert.equal(old.kvm.available, false);
    assert.equal(old.node.isTested, false);
    const mac = probeHost(host({ platform: 'darwin', kvmCapabilities: mustNot, tryCounter: mustNot }));
    assert.equal(mac.kvm.available, false);
    assert.equal(mac.perf.hardware.available, false);
  });

  test('lets errors of its own through', () => {
    const broken = () => {
      throw new TypeError('a mistake of ours');
    };
    assert.throws(() => probeHost(host({ kvmCapabilities: broken })), TypeError);
  });

  test('works on the host it runs on', () => {
    assert.ok(probeHost().memory.totalBytes > 0);
  });
});

test('tested versions of Node are a half-open range', () => {
  assert.deepEqual(['v26.9.9', 'v26.10.0', 'v26.11.2', 'v27.0.0', '26.10.1'].map(isTestedNode), [
    false,
    true,
    true,
    false,
    true,
  ]);
});
