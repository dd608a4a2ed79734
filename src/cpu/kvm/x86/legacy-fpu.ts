// kvm_fpu, the form of the x87 and SSE state before XSAVE: only where XSAVE cannot be used. It holds what FXSAVE holds
// in another order (Linux, arch/x86/include/uapi/asm/kvm.h), so that one conversion serves both. KVM leaves MXCSR out of
// this call, whatever the structure says: a guest's changes to it stay unknown.

import { FXSAVE, readX87, readXmm, writeX87, writeXmm } from '../../../arch/x86/fxsave.ts';
import type { X86ThreadContext } from '../../../arch/x86/thread-context.ts';
import { KvmFpu } from '../../../host/kvm/abi-x86.ts';

/** Offset in kvm_fpu, offset in the FXSAVE image, bytes. */
const PLACES: readonly (readonly [fpu: number, fxsave: number, sizeBytes: number])[] = [
  [KvmFpu.at.fpr, FXSAVE.st, 128],
  [KvmFpu.at.fcw, FXSAVE.fcw, 2],
  [KvmFpu.at.fsw, FXSAVE.fsw, 2],
  [KvmFpu.at.ftwx, FXSAVE.ftw, 1],
  [KvmFpu.at.last_opcode, FXSAVE.fop, 2],
  [KvmFpu.at.last_ip, FXSAVE.fip, 8],
  [KvmFpu.at.last_dp, FXSAVE.fdp, 8],
  [KvmFpu.at.xmm, FXSAVE.xmm, 256],
];

/** kvm_fpu → thread context. MXCSR and the upper parts of the vector registers stay as they are. */
export function fpuFromKvm(tc: X86ThreadContext, fpu: Uint8Array): void {
  const image = new Uint8Array(FXSAVE.sizeBytes);
  for (const [from, to, sizeBytes] of PLACES) image.set(fpu.subarray(from, from + sizeBytes), to);
  readX87(image, tc);
  readXmm(image, tc);
}

/** Thread context → kvm_fpu. */
export function fpuToKvm(tc: X86ThreadContext, fpu: Uint8Array): void {
  const image = new Uint8Array(FXSAVE.sizeBytes);
  writeX87(tc, image);
  writeXmm(tc, image);
  for (const [to, from, sizeBytes] of PLACES) fpu.set(image.subarray(from, from + sizeBytes), to);
}
