/*
 * KVM_RUN, as fast as a process can call it.
 */
import { lazily, orNegativeErrno } from '../ffi.ts';
import { ioctlFunction } from '../ioctl.ts';
import { MachineCodeRefusedError, machineCode } from '../machine-code.ts';
import { KvmIoctl } from './abi.ts';

/** Enters a vCPU by its descriptor: 0, or the negated errno. */
export type EnterFunction = (fd: number) => number;

const SYS_IOCTL = 16;
const imm32 = (value: number): number[] => [
  value & 0xff,
  (value >>> 8) & 0xff,
  (value >>> 16) & 0xff,
  value >>> 24,
];

/** `ioctl(edi, KVM_RUN, 0)` by SYSCALL, whose result is what this returns. */
const KVM_RUN = Uint8Array.of(
  ...[0xbe, ...imm32(KvmIoctl.RUN)], // mov esi, KVM_RUN
  ...[0x31, 0xd2], // xor edx, edx
  ...[0xb8, ...imm32(SYS_IOCTL)], // mov eax, 16
  ...[0x0f, 0x05], // syscall
  0xc3, // ret
);

export function enterByLibrary(): EnterFunction {
  const ioctl = ioctlFunction();
  return (fd) => orNegativeErrno(ioctl(fd, KvmIoctl.RUN, 0n));
}

/**
 * On x86-64 machine code of our own does the system call: 0.4 µs less than `ioctl` of the C library, which puts the errno into a
 * place where it has to be fetched from and takes an address that is a bigint.
 */
export const enterFunction = lazily((): EnterFunction => {
  if (process.arch !== 'x64') return enterByLibrary();
  try {
    return machineCode('hypertick_kvm_run', KVM_RUN, ['int32'], 'int32');
  } catch (error) {
    if (!(error instanceof MachineCodeRefusedError)) throw error;
    // The C library does the same.
    return enterByLibrary();
  }
});
