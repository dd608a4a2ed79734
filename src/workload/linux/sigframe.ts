/**
 * The signal frame on the user's stack, exactly as Linux lays it out on x86-64, written at delivery and read
 * by rt_sigreturn. arch/x86/kernel/signal_64.c and fpu/signal.c; include/uapi/asm/{sigcontext,ucontext}.h.
 *
 *   high  red zone of 128 bytes (not on an alternate stack that is being entered)
 *         XSAVE image, 64-byte aligned, with FP_XSTATE_MAGIC1 inside and FP_XSTATE_MAGIC2 behind; where CPUID has no
 *         OSXSAVE, only its legacy part, without them
 *         siginfo_t        128 bytes, at +312
 *         ucontext         304 bytes, at +8:  uc_flags, uc_link, uc_stack, sigcontext (256), uc_sigmask
 *   RSP → return address   the restorer, 8 bytes; (RSP + 8) is a multiple of 16
 */
import { Gpr, Rflags, Seg, Xcr0 } from '../../arch/x86/registers.ts';
import { OFFSET, SEGMENT, segmentOffset } from '../../arch/x86/state-layout.ts';
import type { X86ThreadContext } from '../../arch/x86/thread-context.ts';
import { LinuxSelector, setUserSegments, USER_CODE_32 } from '../../arch/x86/user-mode.ts';
import { XSAVE_HEADER, type XsaveFormat, XsaveImageError } from '../../arch/x86/xsave.ts';
import type { SignalInfo, SignalSet } from './signals.ts';

export const FRAME_SIZE = 440;
const UCONTEXT = 8;
const SIGINFO = 312;
const RED_ZONE = 128;

/** Offsets from the start of the frame. */
const UC = {
  flags: 8,
  link: 16,
  stackBase: 24,
  stackFlags: 32,
  stackSize: 40,
  sigcontext: 48,
  sigmask: 304,
} as const;

/** Offsets inside struct sigcontext. */
const SC = {
  rip: 128,
  rflags: 136,
  cs: 144,
  ss: 150,
  errorCode: 152,
  trapNumber: 160,
  oldMask: 168,
  cr2: 176,
  fpstate: 184,
} as const;

/** General registers in the order of struct sigcontext. */
const SIGCONTEXT_GPRS = [
  Gpr.R8,
  Gpr.R9,
  Gpr.R10,
  Gpr.R11,
  Gpr.R12,
  Gpr.R13,
  Gpr.R14,
  Gpr.R15,
  Gpr.RDI,
  Gpr.RSI,
  Gpr.RBP,
  Gpr.RBX,
  Gpr.RDX,
  Gpr.RAX,
  Gpr.RCX,
  Gpr.RSP,
] as const;

/** Of uc_flags: there is an XSAVE image; SS is saved, and restored as it is (UC_SIGCONTEXT_SS, UC_STRICT_RESTORE_SS). */
const UC_FP_XSTATE = 1;
const UC_SS_FLAGS = 6;

/** Software bytes of the FXSAVE area: where, and the words that mark an XSAVE image. */
const SW_BYTES = 464;
const FP_XSTATE_MAGIC1 = 0x4650_5853;
const FP_XSTATE_MAGIC2 = 0x4650_5845;
const MAGIC2_BYTES = 4;

/** Flags that rt_sigreturn takes from the frame (the kernel's FIX_EFLAGS). */
const RESTORED_FLAGS =
  Rflags.AC |
  Rflags.OF |
  Rflags.DF |
  Rflags.TF |
  Rflags.SF |
  Rflags.ZF |
  Rflags.AF |
  Rflags.PF |
  Rflags.CF |
  Rflags.RF;

/** sigaltstack(2)'s ss_flags. */
export const StackFlag = { ONSTACK: 1, DISABLE: 2, AUTODISARM: 0x8000_0000 } as const;

/** An alternate signal stack; `sizeBytes` 0 = none. */
export interface SignalStack {
  base: number;
  sizeBytes: number;
  /** Only StackFlag.AUTODISARM is kept. */
  flags: number;
}

/** Whether `sp` lies on the alternate stack, as the kernel asks it. */
export function isOnStack(stack: SignalStack, sp: number): boolean {
  return stack.flags === 0 && sp > stack.base && sp - stack.base <= stack.sizeBytes;
}

/** What the frame says about the last exception of the thread. */
export interface FaultRecord {
  trapNumber: number;
  errorCode: number;
  cr2: bigint;
}

/** User memory, as much of it as frames need. A bad address throws GuestFault. */
export interface FrameMemory {
  write(va: number, bytes: Uint8Array): void;
  readInto(va: number, bytes: Uint8Array): void;
}

export interface FrameRequest {
  readonly info: SignalInfo;
  readonly handler: number;
  readonly restorer: number;
  /** Mask to be restored by rt_sigreturn. */
  readonly mask: SignalSet;
  readonly stack: SignalStack;
  /** Whether the handler asked for the alternate stack. */
  readonly onStack: boolean;
  readonly fault: FaultRecord;
}

/** What rt_sigreturn takes from a frame besides the registers. */
export interface RestoredFrame {
  readonly maskLo: number;
  readonly maskHi: number;
  readonly stack: { readonly base: number; readonly sizeBytes: number; readonly flags: number };
}

/**
 * Writes and reads frames; the format of the XSAVE image comes in, because the processor decides it. Hot path of programs that
 * live on signals: nothing is allocated for a frame.
 */
export class SignalFrames {
  readonly #memory: FrameMemory;
  readonly #xsave: XsaveFormat;
  readonly #frame = new Uint8Array(FRAME_SIZE);
  readonly #frameView = new DataView(this.#frame.buffer);
  /** The XSAVE image and the magic number behind it; the image alone; its legacy part. */
  readonly #image: Uint8Array;
  readonly #xsaveArea: Uint8Array;
  readonly #legacyArea: Uint8Array;
  readonly #imageView: DataView;

  constructor(memory: FrameMemory, xsave: XsaveFormat) {
    this.#memory = memory;
    this.#xsave = xsave;
    this.#image = new Uint8Array(xsave.sizeBytes + MAGIC2_BYTES);
    this.#xsaveArea = this.#image.subarray(0, xsave.sizeBytes);
    this.#legacyArea = this.#image.subarray(0, XSAVE_HEADER.at);
    this.#imageView = new DataView(this.#image.buffer);
  }

  /** Most bytes that a frame takes: AT_MINSIGSTKSZ. */
  get maxSizeBytes(): number {
    return FRAME_SIZE + 16 + 63 + this.#xsave.sizeBytes + 4 + RED_ZONE;
  }

  /**
   * Puts a frame on the stack and the registers at the handler's entry.
   * @returns false if the frame does not fit the alternate stack
   * @throws GuestFault if the stack cannot be written; the registers are unchanged then
   */
  push(tc: X86ThreadContext, request: FrameRequest): boolean {
    const { stack } = request;
    const sp = tc.gprNumber(Gpr.RSP);
    let at = sp - RED_ZONE;
    const nested = isOnStack(stack, sp);
    const entering = request.onStack && stack.sizeBytes > 0 && !nested;
    if (entering) at = stack.base + stack.sizeBytes;
    const image = this.#fpImage(tc);
    const fpstate = roundDown(at - image.length, 64);
    const frame = roundDown(fpstate - FRAME_SIZE, 16) - 8;
    if ((entering || nested) && frame <= stack.base) return false;
    this.#memory.write(fpstate, image);
    writeFrame(this.#frame, this.#frameView, tc, request, fpstate);
    this.#memory.write(frame, this.#frame);
    // Handlers are 64-bit code, whatever was interrupted.
    if (!tc.in64BitMode) setUserSegments(tc);
    enterHandler(tc, request, frame);
    return true;
  }

  /**
   * Takes the registers from the frame that the handler returned from (rt_sigreturn).
   * @returns undefined if the frame holds what the processor would refuse
   * @throws GuestFault if the frame cannot be read
   */
  pop(tc: X86ThreadContext): RestoredFrame | undefined {
    const frame = tc.gprNumber(Gpr.RSP) - 8;
    this.#memory.readInto(frame, this.#frame);
    const view = this.#frameView;
    const sc = UC.sigcontext;
    const fpstate = numberAt(view, sc + SC.fpstate);
    if (fpstate === 0) tc.initFpu();
    else if (!this.#restoreFp(tc, fpstate)) return undefined;
    for (let i = 0; i < SIGCONTEXT_GPRS.length; i++) {
      const at = sc + i * 8;
      tc.setGprHalves(SIGCONTEXT_GPRS[i]!, view.getUint32(at, true), view.getUint32(at + 4, true));
    }
    tc.rip = view.getBigUint64(sc + SC.rip, true);
    const cs = view.getUint16(sc + SC.cs, true) | 3;
    if (cs === LinuxSelector.sysretBase) tc.setSegment(Seg.CS, { ...USER_CODE_32, selector: cs });
    const flags = view.getUint32(sc + SC.rflags, true);
    tc.rflags = (tc.rflags & ~RESTORED_FLAGS) | (flags & RESTORED_FLAGS);
    return {
      maskLo: view.getUint32(UC.sigmask, true),
      maskHi: view.getUint32(UC.sigmask + 4, true),
      stack: {
        base: numberAt(view, UC.stackBase),
        sizeBytes: numberAt(view, UC.stackSize),
        flags: view.getUint32(UC.stackFlags, true),
      },
    };
  }

  /** The components that the program may use and a thread context holds. */
  #components(tc: X86ThreadContext): number {
    const enabled = tc.u32[OFFSET.xcr0 >> 2]!;
    return ((enabled | Xcr0.X87 | Xcr0.SSE) & this.#xsave.components) >>> 0;
  }

  #fpImage(tc: X86ThreadContext): Uint8Array {
    const size = this.#xsave.sizeBytes;
    const components = this.#components(tc);
    this.#image.fill(0);
    this.#xsave.write(tc, this.#xsaveArea, components);
    if (!hasXsave(tc)) return this.#legacyArea;
    const view = this.#imageView;
    view.setUint32(SW_BYTES, FP_XSTATE_MAGIC1, true);
    view.setUint32(SW_BYTES + 4, size + MAGIC2_BYTES, true);
    view.setUint32(SW_BYTES + 8, components, true);
    view.setUint32(SW_BYTES + 16, size, true);
    view.setUint32(size, FP_XSTATE_MAGIC2, true);
    return this.#image;
  }

  /** Without valid magic words only the legacy part is restored, and the rest becomes initial. */
  #restoreFp(tc: X86ThreadContext, fpstate: number): boolean {
    this.#readImage(tc, fpstate);
    try {
      this.#xsave.read(this.#xsaveArea, tc, this.#components(tc));
      return true;
    } catch (error) {
      if (error instanceof XsaveImageError) return false;
      throw error;
    }
  }

  #readImage(tc: X86ThreadContext, fpstate: number): void {
    const size = this.#xsave.sizeBytes;
    const view = this.#imageView;
    this.#memory.readInto(fpstate, this.#legacyArea);
    const isMarked = view.getUint32(SW_BYTES, true) === FP_XSTATE_MAGIC1;
    if (hasXsave(tc) && isMarked && view.getUint32(SW_BYTES + 16, true) === size) {
      this.#memory.readInto(fpstate, this.#image);
      if (view.getUint32(size, true) === FP_XSTATE_MAGIC2) return;
    }
    this.#image.fill(0, XSAVE_HEADER.at);
    this.#image[XSAVE_HEADER.xstateBv] = Xcr0.X87 | Xcr0.SSE;
  }
}

/** Whether there is XSAVE for the program: XCR0 has more than x87 then. (CR4.OSXSAVE does not tell under PVM.) */
function hasXsave(tc: X86ThreadContext): boolean {
  return (tc.u32[OFFSET.xcr0 >> 2]! & Xcr0.SSE) !== 0;
}

function roundDown(value: number, multiple: number): number {
  return value - (((value % multiple) + multiple) % multiple);
}

function numberAt(view: DataView, at: number): number {
  return view.getUint32(at + 4, true) * 0x1_0000_0000 + view.getUint32(at, true);
}

function setNumber(view: DataView, at: number, value: number): void {
  view.setUint32(at, value >>> 0, true);
  view.setUint32(at + 4, Math.floor(value / 0x1_0000_0000), true);
}

function selector(tc: X86ThreadContext, segment: number): number {
  return tc.u32[(segmentOffset(segment) + SEGMENT.selector) >> 2]!;
}

function writeFrame(
  bytes: Uint8Array,
  view: DataView,
  tc: X86ThreadContext,
  request: FrameRequest,
  fpstate: number,
): void {
  bytes.fill(0);
  const { stack, fault } = request;
  const sp = tc.gprNumber(Gpr.RSP);
  setNumber(view, 0, request.restorer);
  setNumber(view, UC.flags, UC_SS_FLAGS | (hasXsave(tc) ? UC_FP_XSTATE : 0));
  setNumber(view, UC.stackBase, stack.base);
  view.setUint32(UC.stackFlags, stackFlags(stack, sp), true);
  setNumber(view, UC.stackSize, stack.sizeBytes);
  const sc = UC.sigcontext;
  for (let i = 0; i < SIGCONTEXT_GPRS.length; i++) {
    const register = SIGCONTEXT_GPRS[i]!;
    view.setUint32(sc + i * 8, tc.gprLo(register), true);
    view.setUint32(sc + i * 8 + 4, tc.gprHi(register), true);
  }
  view.setBigUint64(sc + SC.rip, tc.rip, true);
  setNumber(view, sc + SC.rflags, tc.rflags);
  view.setUint16(sc + SC.cs, selector(tc, Seg.CS), true);
  view.setUint16(sc + SC.ss, selector(tc, Seg.SS), true);
  setNumber(view, sc + SC.errorCode, fault.errorCode);
  setNumber(view, sc + SC.trapNumber, fault.trapNumber);
  view.setInt32(sc + SC.oldMask, request.mask.lo, true);
  view.setInt32(sc + SC.oldMask + 4, request.mask.hi, true);
  view.setBigUint64(sc + SC.cr2, fault.cr2, true);
  setNumber(view, sc + SC.fpstate, fpstate);
  view.setInt32(UC.sigmask, request.mask.lo, true);
  view.setInt32(UC.sigmask + 4, request.mask.hi, true);
  writeSiginfo(view, SIGINFO, request.info);
}

/** ss_flags as sigaltstack(2) and frames report them. */
export function stackFlags(stack: SignalStack, sp: number): number {
  if (stack.sizeBytes === 0) return StackFlag.DISABLE;
  return (isOnStack(stack, sp) ? StackFlag.ONSTACK : 0) | stack.flags;
}

/** siginfo_t, 128 bytes. */
export function siginfoBytes(info: SignalInfo): Uint8Array {
  const bytes = new Uint8Array(128);
  writeSiginfo(new DataView(bytes.buffer), 0, info);
  return bytes;
}

/** Where `view` is zero. */
function writeSiginfo(view: DataView, at: number, info: SignalInfo): void {
  view.setInt32(at, info.signal, true);
  view.setInt32(at + 8, info.code, true);
  if (info.timer !== undefined) {
    view.setInt32(at + 16, info.timer.id, true);
    view.setInt32(at + 20, info.timer.overrun, true);
  } else if (info.address !== undefined) {
    view.setBigUint64(at + 16, BigInt.asUintN(64, info.address), true);
  } else {
    view.setInt32(at + 16, info.pid ?? 0, true);
    view.setUint32(at + 20, info.uid ?? 0, true);
  }
  if (info.value !== undefined) view.setBigUint64(at + 24, BigInt.asUintN(64, info.value), true);
}

/** Registers at the entry of a handler: System V ABI, with the floating-point state fresh as after execve. */
function enterHandler(tc: X86ThreadContext, request: FrameRequest, frame: number): void {
  tc.setGprNumber(Gpr.RDI, request.info.signal);
  tc.setGprNumber(Gpr.RSI, frame + SIGINFO);
  tc.setGprNumber(Gpr.RDX, frame + UCONTEXT);
  tc.setGprNumber(Gpr.RAX, 0);
  tc.setGprNumber(Gpr.RSP, frame);
  tc.ripNumber = request.handler;
  tc.rflags &= ~(Rflags.DF | Rflags.RF | Rflags.TF);
  const pkru = tc.u32[OFFSET.pkru >> 2]!;
  tc.initFpu();
  tc.u32[OFFSET.pkru >> 2] = pkru;
}
