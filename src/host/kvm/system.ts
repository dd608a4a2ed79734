/*
 * /dev/kvm itself: API version, capabilities, supported CPUID entries and MSRs, and the making of VMs.
 * Source: Documentation/virt/kvm/api.rst, sections 4.1 to 4.4 and 4.46.
 */
import { Errno, HostError, type Remedies } from '../errors.ts';
import { bind, lastError, lazily } from '../ffi.ts';
import { closeFd, ioctl } from '../ioctl.ts';
import { KVM_API_VERSION, KvmCap, KvmIoctl } from './abi.ts';
import { KvmX86Ioctl } from './abi-x86.ts';
import { type CpuidEntry, cpuidFromKvm } from './cpuid-list.ts';
import { KvmVmFd } from './vm.ts';

const O_RDWR_CLOEXEC = 0o2 | 0o2000000;

const OPEN_REMEDIES: Remedies = {
  ENOENT:
    'this host offers no KVM: load the module (modprobe kvm-intel or kvm-amd), enable virtualization in the ' +
    'firmware, or pass /dev/kvm into the container (--device /dev/kvm)',
  EACCES:
    'no permission: add your user to its group (ls -l /dev/kvm; often: sudo usermod -aG kvm $USER) and log in again; ' +
    'if the group may not open it either: sudo chgrp kvm /dev/kvm && sudo chmod 660 /dev/kvm',
  EPERM: 'the container or sandbox forbids it: pass the device in (--device /dev/kvm)',
  ENODEV: 'the device node is there but no KVM module is loaded: modprobe kvm-intel or kvm-amd',
  ENXIO: 'the device node is there but no KVM module is loaded: modprobe kvm-intel or kvm-amd',
};

const libc = lazily(() => ({ open: bind('open', ['pointer', 'int32'], 'int32') }));

/** An open /dev/kvm. */
export class KvmSystem {
  readonly #fd: number;
  readonly #path: string;
  /** Size of a vCPU's shared pages. */
  readonly vcpuMmapSizeBytes: number;

  /**
   * Opens KVM, close-on-exec.
   * @throws HostError with a remedy, if there is no usable KVM
   */
  static open(path = '/dev/kvm'): KvmSystem {
    const fd = libc().open(path, O_RDWR_CLOEXEC);
    if (fd === -1) throw lastError(`open(${path})`, OPEN_REMEDIES);
    try {
      return new KvmSystem(fd, path);
    } catch (error) {
      closeFd(fd);
      throw error;
    }
  }

  private constructor(fd: number, path: string) {
    this.#fd = fd;
    this.#path = path;
    const version = ioctl(fd, KvmIoctl.GET_API_VERSION, null, 'KVM_GET_API_VERSION', {
      ENOTTY: `${path} is not a KVM device`,
    });
    if (version !== KVM_API_VERSION) {
      throw new HostError(
        'ioctl(KVM_GET_API_VERSION)',
        Errno.EPROTO,
        `KVM speaks API version ${version}, ${KVM_API_VERSION} is needed: use Linux 2.6.22 or later`,
      );
    }
    this.vcpuMmapSizeBytes = ioctl(fd, KvmIoctl.GET_VCPU_MMAP_SIZE, null, 'KVM_GET_VCPU_MMAP_SIZE');
  }

  /**
   * The value of a capability (one of `KvmCap`): 0 if KVM does not have it. Some capabilities are bit
   * masks or sizes, and some depend on the VM: ask `KvmVmFd.checkExtension` for those.
   */
  checkExtension(cap: number): number {
    return ioctl(this.#fd, KvmIoctl.CHECK_EXTENSION, BigInt(cap), 'KVM_CHECK_EXTENSION');
  }

  /** The CPUID entries that KVM can give to a guest. */
  supportedCpuid(): CpuidEntry[] {
    return cpuidFromKvm(this.#fd, KvmX86Ioctl.GET_SUPPORTED_CPUID, 'KVM_GET_SUPPORTED_CPUID');
  }

  /** The leaves of Hyper-V's interface that KVM can give to a guest; needs `KVM_CAP_SYS_HYPERV_CPUID`. */
  supportedHyperVCpuid(): CpuidEntry[] {
    return cpuidFromKvm(this.#fd, KvmX86Ioctl.GET_SUPPORTED_HV_CPUID, 'KVM_GET_SUPPORTED_HV_CPUID');
  }

  /** Indices of the MSRs that can be read and written. */
  msrIndexList(): Uint32Array {
    // The kernel says how many there are (E2BIG) if the buffer is too small; 1024 is far above any
    // kernel's list.
    const list = new Uint32Array(1 + 1024);
    list[0] = 1024;
    ioctl(this.#fd, KvmX86Ioctl.GET_MSR_INDEX_LIST, list, 'KVM_GET_MSR_INDEX_LIST');
    return list.slice(1, 1 + list[0]!);
  }

  /** Makes a VM without memory and vCPUs. */
  createVm(): KvmVmFd {
    // EINTR: the kernel allocates under a killable wait and leaves the repetition to us.
    for (;;) {
      try {
        const fd = ioctl(this.#fd, KvmIoctl.CREATE_VM, 0n, 'KVM_CREATE_VM', {
          ENOMEM: 'not enough kernel memory for another VM',
          EBUSY: 'another hypervisor holds the processor (VirtualBox?): stop it',
        });
        return new KvmVmFd(fd, {
          vcpuMmapSizeBytes: this.vcpuMmapSizeBytes,
          coalescedPage: this.checkExtension(KvmCap.COALESCED_MMIO),
        });
      } catch (error) {
        if (!(error instanceof HostError && error.errno === Errno.EINTR)) throw error;
      }
    }
  }

  /** The path it was opened by. */
  get path(): string {
    return this.#path;
  }

  /** Closes the descriptor. VMs made from it stay usable. */
  close(): void {
    closeFd(this.#fd);
  }
}
