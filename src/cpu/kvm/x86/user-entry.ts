// User mode without a kernel: what the exits of the stub (user-stub.ts) mean, and where the vCPU stands between user
// code and the simulator. Outside this file the thread context always shows user code at an instruction boundary:
//
//   user code ──SYSCALL──▶ stub: OUT ──exit──▶ os.syscall()        TC: RIP = RCX, RFLAGS = R11, ring 3
//             ◀──SYSRETQ── (ring 0 only) ◀──── entry
//   user code ──exception──▶ entry of the stub: OUT ──exit──▶ os.exception()     TC: from the frame on the stub's stack
//
// A signal (timer, kick) may end a run anywhere in between. What can be told as a state of user code is: in front of the
// OUT it is the SYSCALL not yet made, behind it the return. Only an exception entry cannot, nor an exception that KVM
// has queued: then the thread is half delivered, and registers must stay until the vCPU has run on.

import { describeVector, Vector } from '../../../arch/x86/exceptions.ts';
import { Gpr, Rflags } from '../../../arch/x86/registers.ts';
import { OFFSET, RegClass, type X86ThreadContext } from '../../../arch/x86/thread-context.ts';
import { setUserSegments } from '../../../arch/x86/user-mode.ts';
import { panic } from '../../../sim/trouble.ts';
import type { BaseCpu } from '../../base-cpu.ts';
import type { UserException, UserModeOs } from '../../user-mode-os.ts';
import type { KvmCpuStats } from '../stats.ts';
import { isHalfDelivered } from './interrupt-delivery.ts';
import type { X86StateTransfer } from './state-transfer.ts';
import { StubExit, type UserStub } from './user-stub.ts';

/** What user entry needs of its CPU. */
export interface UserEntryCpu extends BaseCpu<X86ThreadContext> {
  readonly stats: KvmCpuStats;
  /** Privilege level in KVM at the last exit: SS.DPL. */
  readonly cplInKvm: number;
}

/** A port access as the exit describes it. */
export interface PortAccess {
  readonly isOut: boolean;
  readonly port: number;
  /** Bytes of one element. */
  readonly size: number;
  /** Elements: more than one for string instructions. */
  readonly count: number;
}

const RING_3 = 3;
const SYSCALL_BYTES = 2;
/** High half of the first address that user code cannot have, 2^47: not canonical. */
const USER_END_HIGH = 0x8000;
/** RFLAGS that user code may choose. I/O privilege, VM and the rest would let it out, or make the entry fail. */
const USER_FLAGS =
  Rflags.CF |
  Rflags.PF |
  Rflags.AF |
  Rflags.ZF |
  Rflags.SF |
  Rflags.TF |
  Rflags.DF |
  Rflags.OF |
  Rflags.NT |
  Rflags.RF |
  Rflags.AC |
  Rflags.ID;
/** Word (32-bit) indices in the thread context; RFLAGS lies behind RIP. */
const RIP = OFFSET.rip >> 2;
const RFLAGS = OFFSET.rflags >> 2;
const RCX = (OFFSET.gpr >> 2) + 2 * Gpr.RCX;
const R11 = (OFFSET.gpr >> 2) + 2 * Gpr.R11;
const RIP_AND_RFLAGS_WORDS = 4;

export class UserEntry {
  readonly #cpu: UserEntryCpu;
  readonly #os: UserModeOs;
  readonly #stub: UserStub;
  /** The vCPU stands in ring 0 in front of SYSRETQ; RIP and RFLAGS as they are there. */
  #behindSyscall = false;
  readonly #stubRegisters = new Uint32Array(RIP_AND_RFLAGS_WORDS);
  readonly #userRegisters = new Uint32Array(RIP_AND_RFLAGS_WORDS);
  /** The vCPU stands in an exception entry: the interrupted state is in the frame, and the exit is still to come. */
  #inExceptionEntry = false;
  readonly #exception: UserException = { vector: 0, errorCode: 0, address: 0n };

  constructor(cpu: UserEntryCpu, os: UserModeOs, stub: UserStub) {
    this.#cpu = cpu;
    this.#os = os;
    this.#stub = stub;
  }

  /** The vCPU was entered: where it stands is to be found out anew. After a signal it may be in the stub. */
  entered(bySignal: boolean): void {
    this.#behindSyscall = false;
    this.#inExceptionEntry = false;
    if (bySignal) this.#settle();
  }

  /** Whether the thread context is user code's, with nothing on its way to it. */
  get isSettled(): boolean {
    if (this.#inExceptionEntry) return false;
    return !isHalfDelivered(this.#cpu.readState(RegClass.events));
  }

  /**
   * Serves an access to a port. Those that ring 3 makes by itself and the permission bitmap lets through find nothing: what
   * they write is lost.
   * @returns false where user code has made such an access
   */
  serve(access: PortAccess): boolean {
    const what = this.#meaningOf(access);
    if (what === StubExit.None) return false;
    if (what === StubExit.Syscall) this.#serveSyscall();
    else this.#serveException(what);
    this.#os.afterService(this.#cpu);
    return true;
  }

  /** Whether the processor can go to RIP. If not, the program gets the #GP that it would have got there. */
  prepare(): boolean {
    const { u32 } = this.#cpu.readState(RegClass.none);
    if (u32[RIP + 1]! < USER_END_HIGH) return true;
    this.#raise(Vector.GP, 0, 0n);
    this.#os.afterService(this.#cpu);
    return false;
  }

  /** Whether SYSRETQ in the stub leads to the state that the thread context wants. A half entry would not get there. */
  returnsBySysret(classes: number, halfEntry: boolean): boolean {
    const { u32 } = this.#cpu.readState(RegClass.none);
    return (
      this.#behindSyscall &&
      !halfEntry &&
      (classes & RegClass.special) === 0 &&
      u32[RIP] === u32[RCX] &&
      u32[RIP + 1] === u32[RCX + 1] &&
      u32[RFLAGS] === u32[R11]
    );
  }

  /** Writes the classes with the RIP and RFLAGS that the vCPU has in the stub. The thread context keeps user code's. */
  storeInStub(transfer: X86StateTransfer, classes: number): void {
    const { u32 } = this.#cpu.readState(RegClass.none);
    const user = this.#userRegisters;
    for (let i = 0; i < RIP_AND_RFLAGS_WORDS; i++) {
      user[i] = u32[RIP + i]!;
      u32[RIP + i] = this.#stubRegisters[i]!;
    }
    transfer.store(classes);
    for (let i = 0; i < RIP_AND_RFLAGS_WORDS; i++) u32[RIP + i] = user[i]!;
  }

  /** The vCPU will not go on in the stub: returns the classes that must be written for that. */
  leaveStub(classes: number): number {
    // A thread that another CPU model has started knows nothing of the stub's tables.
    const tc = this.#cpu.readState(RegClass.none);
    if (classes & RegClass.special && !this.#stub.isIn(tc)) this.#stub.setRegisters(tc);
    if (!this.#behindSyscall) return classes;
    this.#cpu.modifyState(RegClass.special);
    this.#behindSyscall = false;
    return classes | RegClass.special;
  }

  /** Special registers have been read from KVM: those of ring 0 in the stub are not user code's. */
  loadedSpecial(tc: X86ThreadContext): void {
    if (this.#behindSyscall) setUserSegments(tc);
  }

  #meaningOf({ isOut, port, size, count }: PortAccess): number {
    if (!isOut || size !== 1 || count !== 1) return StubExit.None;
    const what = this.#stub.classify(port);
    if (this.#cpu.cplInKvm !== RING_3) {
      return what === StubExit.None ? panic(this.#cpu.path, `OUT to port ${port} in ring 0`) : what;
    }
    // Under PVM the stub runs in ring 3. KVM shows RIP in front of the OUT or behind it.
    const offset = this.#stub.offsetOf(this.#cpu.readState(RegClass.general));
    const inStub = offset === 0 || offset === this.#stub.sysretOffset;
    return what === StubExit.Syscall && inStub ? what : StubExit.None;
  }

  /** Behind SYSCALL: RCX is the return address, R11 the flags (SDM vol. 2B "SYSCALL"). Hot path. */
  #serveSyscall(): void {
    this.#cpu.stats.numUserSyscalls.inc();
    const tc = this.#cpu.modifyState(RegClass.general);
    this.#behindSyscall = this.#cpu.cplInKvm !== RING_3;
    if (this.#behindSyscall) {
      for (let i = 0; i < RIP_AND_RFLAGS_WORDS; i++) this.#stubRegisters[i] = tc.u32[RIP + i]!;
    }
    returnToUser(tc, 0);
    this.#os.syscall(this.#cpu);
  }

  /** In an exception entry of the stub: the interrupted state is in the frame. */
  #serveException(vector: number): void {
    const tc = this.#cpu.modifyState(RegClass.general | RegClass.special);
    const frame = this.#stub.readFrame(vector);
    if ((frame.cs & RING_3) !== RING_3) {
      panic(
        this.#cpu.path,
        `${describeVector(vector)} in the supervisor stub at 0x${frame.rip.toString(16)}`,
      );
    }
    tc.rip = frame.rip;
    tc.rflags = frame.rflags;
    tc.setGpr(Gpr.RSP, frame.rsp);
    setUserSegments(tc, frame.cs);
    this.#raise(vector, frame.errorCode, vector === Vector.PF ? tc.get(OFFSET.cr2) : 0n);
  }

  #raise(vector: number, errorCode: number, address: bigint): void {
    const cpu = this.#cpu;
    cpu.stats.numUserExceptions.inc();
    const exception = this.#exception;
    exception.vector = vector;
    exception.errorCode = errorCode;
    exception.address = address;
    if (cpu.debug.Faults) {
      const rip = cpu.readState(RegClass.general).rip.toString(16);
      const at = vector === Vector.PF ? ` on 0x${address.toString(16)}` : '';
      cpu.trace('Faults', `${describeVector(vector)} at 0x${rip}${at}, error code ${errorCode}`);
    }
    this.#os.exception(cpu, exception);
  }

  /** A signal has ended the run: brings the thread context to user code, if the vCPU is not there. */
  #settle(): void {
    const offset = this.#stub.offsetOf(this.#cpu.readState(RegClass.general));
    const inRing3 = this.#cpu.cplInKvm === RING_3;
    if (inRing3 && offset !== 0) return;
    if (offset === 0 || offset === this.#stub.sysretOffset) {
      const tc = this.#cpu.modifyState(RegClass.general | RegClass.special);
      returnToUser(tc, offset === 0 ? SYSCALL_BYTES : 0);
      setUserSegments(tc);
    } else this.#inExceptionEntry = true;
  }
}

/** RIP = RCX − `back`, RFLAGS = R11 as far as user code may choose. Hot path. */
function returnToUser({ u32 }: X86ThreadContext, back: number): void {
  const low = u32[RCX]!;
  u32[RIP] = low - back;
  u32[RIP + 1] = low < back ? u32[RCX + 1]! - 1 : u32[RCX + 1]!;
  u32[RFLAGS] = (u32[R11]! & USER_FLAGS) | Rflags.IF | Rflags.FIXED;
  u32[RFLAGS + 1] = 0;
}
