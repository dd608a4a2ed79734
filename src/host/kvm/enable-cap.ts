/*
 * Capabilities that have to be switched on, of a VM or of a vCPU: KVM_ENABLE_CAP on its descriptor.
 * Source: Documentation/virt/kvm/api.rst, section 4.37.
 */
import { ioctl } from '../ioctl.ts';
import { KvmEnableCap, KvmIoctl } from './abi.ts';

/**
 * Switches a capability on.
 * @param fd of the VM or of the vCPU, whichever the capability is of
 * @param args at most four, as the capability says
 * @throws HostError if KVM does not have it
 */
export function enableCap(fd: number, cap: number, args: readonly bigint[]): void {
  const { at, size } = KvmEnableCap;
  const argument = new DataView(new ArrayBuffer(size));
  argument.setUint32(at.cap, cap, true);
  for (const [i, value] of args.entries()) argument.setBigUint64(at.args + 8 * i, value, true);
  ioctl(fd, KvmIoctl.ENABLE_CAP, argument, `KVM_ENABLE_CAP ${cap}`, {
    EINVAL: 'this KVM does not have the capability, or not these arguments',
  });
}
