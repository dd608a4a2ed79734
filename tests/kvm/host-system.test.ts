// /dev/kvm itself, and what its failures say.

import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { describe, test } from 'node:test';
import { HostError } from '../../src/host/errors.ts';
import { KvmCap } from '../../src/host/kvm/abi.ts';
import { KvmSystem } from '../../src/host/kvm/system.ts';
import { probeHost } from '../../src/host/probe.ts';
import { kvmIsMissing } from '../support/hypertick.ts';

function failureOf(action: () => unknown): HostError {
  try {
    action();
  } catch (error) {
    assert.ok(error instanceof HostError);
    return error;
  }
  return assert.fail('it did not fail');
}

const openDescriptors = (): number => readdirSync('/proc/self/fd').length;

describe('opening KVM', () => {
  test('where there is none says what to do, in one line', () => {
    const error = failureOf(() => KvmSystem.open('/dev/no-such-kvm'));
    assert.match(error.message, /^open\(\/dev\/no-such-kvm\): ENOENT: this host offers no KVM: .*modprobe/);
    assert.doesNotMatch(error.message, /\n/);
  });

  test('on another device says so and leaves no descriptor open', () => {
    const before = openDescriptors();
    const error = failureOf(() => KvmSystem.open('/dev/null'));
    assert.equal(error.message, 'ioctl(KVM_GET_API_VERSION): ENOTTY: /dev/null is not a KVM device');
    assert.equal(openDescriptors(), before);
  });
});

describe('an open KVM', { skip: kvmIsMissing() }, () => {
  test('answers capabilities, CPUID and MSRs', (t) => {
    const kvm = KvmSystem.open();
    t.after(() => kvm.close());
    assert.equal(kvm.checkExtension(KvmCap.USER_MEMORY), 1);
    assert.equal(kvm.checkExtension(0xffff), 0);
    const [vendor] = kvm.supportedCpuid();
    assert.equal(vendor!.function, 0);
    assert.ok(kvm.msrIndexList().includes(0xc000_0082), 'LSTAR');
  });

  test('says which slot of memory was refused and why', (t) => {
    const kvm = KvmSystem.open();
    const vm = kvm.createVm();
    t.after(() => {
      vm.close();
      kvm.close();
    });
    const slot = { slot: 0, guestPhysAddr: 0x800, size: 0x1000, hostAddress: 0x1000n };
    const error = failureOf(() => vm.setUserMemoryRegion(slot));
    assert.match(error.message, /^ioctl\(KVM_SET_USER_MEMORY_REGION\): EINVAL: .*alignment/);
  });

  test('is closed on exec', (t) => {
    const kvm = KvmSystem.open();
    t.after(() => kvm.close());
    const descriptors = readdirSync('/proc/self/fd').filter(isKvm);
    assert.ok(descriptors.length > 0);
    for (const fd of descriptors) {
      const flags = /^flags:\s*([0-7]+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1];
      assert.notEqual(Number.parseInt(flags!, 8) & O_CLOEXEC, 0);
    }
  });

  test('is what the probe of the host reports', () => {
    const { kvm } = probeHost();
    assert.ok(kvm.available);
    assert.equal(kvm.capabilities.USER_MEMORY, 1);
  });
});

const O_CLOEXEC = 0o2000000;

function isKvm(fd: string): boolean {
  // The directory's own descriptor is gone by now.
  return existsSync(`/proc/self/fd/${fd}`) && readlinkSync(`/proc/self/fd/${fd}`) === '/dev/kvm';
}
