/** What the assists of an engine use, put together from what the engine has and what it was given. */

import type { X86ThreadContext } from '../../arch/x86/thread-context.ts';
import { XsaveFormat } from '../../arch/x86/xsave.ts';
import type { AssistContext } from './assists.ts';
import type { EngineOptions } from './engine-interface.ts';
import type { Mmu } from './mmu.ts';
import { RandomNumbers } from './random.ts';
import { linuxDescriptor } from './segment-assists.ts';
import { X87Assist } from './x87-assist.ts';
import { XsaveAssist } from './xsave-assist.ts';

export function assistContext(
  tc: X86ThreadContext,
  mmu: Mmu,
  scratch: DataView,
  {
    features,
    xsave = new XsaveFormat([]),
    readTsc,
    cpuid,
    random = new RandomNumbers(),
    descriptor,
  }: EngineOptions,
): AssistContext {
  return {
    tc,
    scratch,
    x87: new X87Assist(tc, scratch),
    xsave: new XsaveAssist(tc, xsave, features.has('xsavec'), mmu),
    raise: (vector, errorCode) => mmu.setFault(vector, errorCode),
    readTsc,
    cpuid,
    random: () => random.next(),
    descriptor: descriptor ?? linuxDescriptor,
  };
}
