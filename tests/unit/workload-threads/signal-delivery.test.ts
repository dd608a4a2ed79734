import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Gpr, Seg } from '../../../src/arch/x86/registers.ts';
import { OFFSET } from '../../../src/arch/x86/state-layout.ts';
import { LinuxSelector, USER_CODE_32 } from '../../../src/arch/x86/user-mode.ts';
import { Errno } from '../../../src/workload/linux/errno.ts';
import { SaFlag, Signal } from '../../../src/workload/linux/signals.ts';
import { CODE, DATA, Machine, STACK_TOP } from './machine.ts';

const HANDLER = CODE + 0x1000;
const SETMASK = 2;
const SCRATCH = DATA + 0x800;

function setMask(m: Machine, mask: bigint): void {
  m.memory.writeU64(SCRATCH, mask);
  assert.equal(m.call('rt_sigprocmask', SETMASK, SCRATCH, 0, 8), 0);
}

const bit = (signal: number) => 1n << BigInt(signal - 1);

function kill(m: Machine, signal: number): number {
  return m.call('kill', m.process.pid, signal);
}

/** The handler returns: its RET pops the restorer's address, which makes rt_sigreturn. */
function sigreturn(m: Machine): void {
  m.cpu.context.setGprNumber(Gpr.RSP, m.cpu.context.gprNumber(Gpr.RSP) + 8);
  m.call('rt_sigreturn');
}

const rip = (m: Machine) => m.cpu.context.ripNumber;

test('a signal without a handler ends the process with its number', () => {
  const m = new Machine();
  kill(m, Signal.SIGTERM);
  assert.deepEqual(m.process.end, {
    kind: 'signaled',
    signal: 15,
    name: 'SIGTERM',
    code: 'SI_USER',
    address: undefined,
    tid: m.process.pid,
  });
  m.run(0);
  assert.equal(m.root.takeExit()?.code, 128 + 15);
});

test('a handler runs with its mask and the signal itself blocked; its return restores everything', () => {
  const m = new Machine();
  m.handle(Signal.SIGUSR1, HANDLER, SaFlag.SIGINFO, bit(Signal.SIGUSR2));
  m.cpu.context.setGpr(Gpr.RBX, 77n);
  kill(m, Signal.SIGUSR1);
  assert.equal(rip(m), HANDLER);
  assert.equal(m.cpu.context.gprNumber(Gpr.RDI), Signal.SIGUSR1);
  const { blocked } = m.process.currentThread;
  assert.deepEqual([...blocked], [Signal.SIGUSR1, Signal.SIGUSR2]);
  assert.equal(m.memory.readI32(m.cpu.context.gprNumber(Gpr.RSI) + 16), m.process.pid);
  m.cpu.context.setGpr(Gpr.RBX, 0n);
  sigreturn(m);
  assert.equal(rip(m), CODE);
  assert.equal(m.cpu.context.gpr(Gpr.RBX), 77n);
  assert.equal(m.rax, 0, 'the result of kill');
  assert.equal(m.cpu.context.gprNumber(Gpr.RSP), STACK_TOP);
  assert.equal(blocked.isEmpty, true);
  assert.equal(m.process.stats.numSignals.value, 1);
});

test('a blocked signal waits until it is unblocked', () => {
  const m = new Machine();
  m.handle(Signal.SIGUSR1);
  setMask(m, bit(Signal.SIGUSR1));
  kill(m, Signal.SIGUSR1);
  assert.equal(rip(m), CODE);
  m.call('rt_sigpending', SCRATCH, 8);
  assert.equal(m.memory.readU64(SCRATCH), bit(Signal.SIGUSR1));
  setMask(m, 0n);
  assert.equal(rip(m), HANDLER);
});

test('a handler is 64-bit code, and returns to compatibility mode if that was interrupted', () => {
  const m = new Machine();
  const tc = m.cpu.context;
  m.handle(Signal.SIGUSR1, HANDLER);
  tc.setSegment(Seg.CS, { ...USER_CODE_32, selector: LinuxSelector.sysretBase });
  kill(m, Signal.SIGUSR1);
  assert.deepEqual([rip(m), tc.in64BitMode], [HANDLER, true]);
  sigreturn(m);
  assert.deepEqual([rip(m), tc.in64BitMode], [CODE, false]);
});

test('two signals at once: the second frame lies on the first, whose handler runs last', () => {
  const m = new Machine();
  m.handle(Signal.SIGUSR1, HANDLER);
  m.handle(Signal.SIGUSR2, HANDLER + 0x100);
  setMask(m, bit(Signal.SIGUSR1) | bit(Signal.SIGUSR2));
  kill(m, Signal.SIGUSR2);
  kill(m, Signal.SIGUSR1);
  setMask(m, 0n);
  assert.equal(rip(m), HANDLER + 0x100);
  sigreturn(m);
  assert.equal(rip(m), HANDLER);
  sigreturn(m);
  assert.equal(rip(m), CODE);
});

test('ignored signals are dropped, SIGKILL and SIGSTOP cannot be caught or blocked', () => {
  const m = new Machine();
  m.handle(Signal.SIGTERM, 1);
  kill(m, Signal.SIGTERM);
  kill(m, Signal.SIGCHLD);
  assert.equal(m.cpu.halted, false);
  assert.equal(m.call('rt_sigaction', Signal.SIGKILL, DATA, 0, 8), -Errno.EINVAL);
  setMask(m, 0xffff_ffff_ffff_ffffn);
  assert.equal(m.process.currentThread.blocked.has(Signal.SIGKILL), false);
  kill(m, Signal.SIGKILL);
  assert.equal(m.process.end?.kind, 'signaled');
});

test('SA_RESETHAND and SA_NODEFER do what they say', () => {
  const m = new Machine();
  m.handle(Signal.SIGUSR1, HANDLER, SaFlag.RESETHAND + SaFlag.NODEFER);
  kill(m, Signal.SIGUSR1);
  assert.equal(m.process.currentThread.blocked.isEmpty, true);
  kill(m, Signal.SIGUSR1);
  assert.equal(m.process.end?.kind, 'signaled');
});

test('a page fault outside any area is SIGSEGV with address, code, trap number and error code', () => {
  const m = new Machine();
  m.handle(Signal.SIGSEGV, HANDLER, SaFlag.SIGINFO);
  m.fault(14, 6, 0x1234_5678n);
  const info = m.cpu.context.gprNumber(Gpr.RSI);
  const sigcontext = m.cpu.context.gprNumber(Gpr.RDX) + 40;
  assert.deepEqual([m.memory.readI32(info), m.memory.readI32(info + 8)], [Signal.SIGSEGV, 1]);
  assert.equal(m.memory.readU64(info + 16), 0x1234_5678n);
  const [errorCode, trap, cr2] = [152, 160, 176].map((at) => m.memory.readU64(sigcontext + at));
  assert.deepEqual([errorCode, trap, cr2], [6n, 14n, 0x1234_5678n]);
});

test('a page fault in an area of the process is made good and no signal', () => {
  const m = new Machine();
  const va = m.call('mmap', 0, 4 << 20, 3, 0x22, -1, 0);
  m.fault(14, 6, BigInt(va + 0x20_1000));
  assert.equal(m.process.end, undefined);
  assert.equal(rip(m), CODE);
});

test('a blocked or ignored fault signal ends the process all the same', () => {
  for (const handler of [1, HANDLER]) {
    const m = new Machine();
    m.handle(Signal.SIGSEGV, handler);
    setMask(m, bit(Signal.SIGSEGV));
    m.fault(14, 4, 0n);
    assert.equal(m.process.end?.kind, 'signaled');
  }
});

test('exceptions become the signals and codes of Linux', () => {
  const cases: [vector: number, name: string, code: string, address: number | undefined][] = [
    [0, 'SIGFPE', 'FPE_INTDIV', CODE],
    [1, 'SIGTRAP', 'TRAP_TRACE', CODE],
    [3, 'SIGTRAP', 'SI_KERNEL', undefined],
    [6, 'SIGILL', 'ILL_ILLOPN', CODE],
    [12, 'SIGBUS', 'SI_KERNEL', undefined],
    [13, 'SIGSEGV', 'SI_KERNEL', undefined],
    [17, 'SIGBUS', 'BUS_ADRALN', 0],
  ];
  for (const [vector, name, code, address] of cases) {
    const m = new Machine();
    m.fault(vector);
    assert.partialDeepStrictEqual(m.process.end, { kind: 'signaled', name, code, address });
  }
});

test('a floating-point exception is named after the unmasked flag', () => {
  const cases: [vector: number, fsw: number, fcw: number, mxcsr: number, code: string][] = [
    [16, 0x01, 0x37e, 0x1f80, 'FPE_FLTINV'],
    [16, 0x24, 0x35b, 0x1f80, 'FPE_FLTDIV'],
    [19, 0, 0x37f, 0x1b88, 'FPE_FLTOVF'],
    [19, 0, 0x37f, 0x0fa0, 'FPE_FLTRES'],
  ];
  for (const [vector, fsw, fcw, mxcsr, code] of cases) {
    const m = new Machine();
    m.cpu.context.u16[OFFSET.fsw >> 1] = fsw;
    m.cpu.context.u16[OFFSET.fcw >> 1] = fcw;
    m.cpu.context.u32[OFFSET.mxcsr >> 2] = mxcsr;
    m.fault(vector);
    assert.partialDeepStrictEqual(m.process.end, { name: 'SIGFPE', code });
  }
});

test('no room for a frame ends the process by SIGSEGV', () => {
  const m = new Machine();
  m.handle(Signal.SIGUSR1);
  m.cpu.context.setGprNumber(Gpr.RSP, 0x1000);
  kill(m, Signal.SIGUSR1);
  assert.partialDeepStrictEqual(m.process.end, { kind: 'signaled', name: 'SIGSEGV' });
});

test('a frame with nonsense in it ends the process instead of the simulator', () => {
  const m = new Machine();
  m.cpu.context.setGprNumber(Gpr.RSP, 8);
  m.call('rt_sigreturn');
  assert.partialDeepStrictEqual(m.process.end, { kind: 'signaled', name: 'SIGSEGV' });
});

test('an interrupted pause returns EINTR behind the handler', () => {
  const m = new Machine();
  m.handle(Signal.SIGALRM);
  m.call('alarm', 1);
  m.call('pause');
  assert.equal(m.cpu.active, false);
  m.run(1_000_000_000);
  assert.equal(m.cpu.active, true);
  assert.equal(rip(m), HANDLER);
  sigreturn(m);
  assert.equal(m.rax, -Errno.EINTR);
  assert.equal(rip(m), CODE);
});

test('with SA_RESTART a futex wait is made again after the handler, without it fails with EINTR', () => {
  for (const flags of [SaFlag.RESTART, 0]) {
    const m = new Machine();
    m.handle(Signal.SIGALRM, HANDLER, flags);
    m.call('alarm', 1);
    m.call('futex', DATA + 0x100, 0x80, 0, 0);
    m.run(1_000_000_000);
    assert.equal(rip(m), HANDLER);
    sigreturn(m);
    assert.equal(rip(m), flags === 0 ? CODE : CODE - 2);
    assert.equal(m.rax, flags === 0 ? -Errno.EINTR : 202);
  }
});

test('sigsuspend waits with another mask and puts the old one back behind the handler', () => {
  const m = new Machine();
  m.handle(Signal.SIGUSR1);
  setMask(m, bit(Signal.SIGUSR1));
  kill(m, Signal.SIGUSR1);
  m.memory.writeU64(SCRATCH, 0n);
  m.call('rt_sigsuspend', SCRATCH, 8);
  assert.equal(rip(m), HANDLER);
  sigreturn(m);
  assert.equal(m.rax, -Errno.EINTR);
  assert.deepEqual([...m.process.currentThread.blocked], [Signal.SIGUSR1]);
});

test('sigtimedwait takes a blocked signal, sent before or later, or times out with EAGAIN', () => {
  const m = new Machine();
  const [set, info, timeout] = [SCRATCH, SCRATCH + 0x10, SCRATCH + 0x100];
  setMask(m, bit(40));
  m.memory.writeU64(set, bit(40));
  m.memory.writeNumber64(timeout, 1);
  m.memory.writeNumber64(timeout + 8, 0);
  m.memory.writeI32(info + 8, -1);
  m.memory.writeU64(info + 24, 0x99n);
  assert.equal(m.call('rt_sigqueueinfo', m.process.pid, 40, info), 0);
  m.memory.writeU64(info + 24, 0n);
  assert.equal(m.call('rt_sigtimedwait', set, info, timeout, 8), 40);
  assert.equal(m.memory.readU64(info + 24), 0x99n);
  const tid = m.thread();
  m.call('rt_sigtimedwait', set, 0, timeout, 8);
  assert.equal(m.tid, tid);
  assert.equal(m.call('tgkill', m.process.pid, m.process.pid, 40), 0);
  m.call('sched_yield');
  assert.equal(m.tid, m.process.pid);
  assert.equal(m.rax, 40);
  m.call('rt_sigtimedwait', set, 0, timeout, 8);
  m.run(1_000_000_000);
  m.call('exit', 0);
  assert.equal(m.rax, -Errno.EAGAIN);
});

test('a process-directed signal goes to a thread that does not block it, and interrupts its wait', () => {
  const m = new Machine();
  m.handle(Signal.SIGUSR1);
  const tid = m.thread();
  setMask(m, bit(Signal.SIGUSR1));
  m.call('futex', DATA + 0x100, 0x80, 0, 0);
  assert.equal(m.tid, tid);
  kill(m, Signal.SIGUSR1);
  assert.equal(m.tid, tid);
  assert.equal(rip(m), HANDLER);
});

test('sigaltstack reports what was set, and refuses a small one or a change while in use', () => {
  const m = new Machine();
  m.memory.writeNumber64(SCRATCH, DATA + 0x9000);
  m.memory.writeU32(SCRATCH + 8, 0);
  m.memory.writeNumber64(SCRATCH + 16, 2047);
  assert.equal(m.call('sigaltstack', SCRATCH, 0), -Errno.ENOMEM);
  m.memory.writeNumber64(SCRATCH + 16, 0x4000);
  assert.equal(m.call('sigaltstack', SCRATCH, SCRATCH + 0x40), 0);
  assert.equal(m.memory.readU32(SCRATCH + 0x48), 2, 'SS_DISABLE before');
  m.handle(Signal.SIGSEGV, HANDLER, SaFlag.ONSTACK);
  m.fault(14, 4, 0n);
  const sp = m.cpu.context.gprNumber(Gpr.RSP);
  assert.ok(sp > DATA + 0x9000 && sp < DATA + 0xd000);
  assert.equal(m.call('sigaltstack', SCRATCH, 0), -Errno.EPERM);
  assert.equal(m.call('sigaltstack', 0, SCRATCH + 0x40), 0);
  assert.equal(m.memory.readU32(SCRATCH + 0x48), 1, 'SS_ONSTACK');
});

test('a stop signal does not stop the program, and says so once', () => {
  const m = new Machine();
  kill(m, Signal.SIGTSTP);
  kill(m, Signal.SIGTSTP);
  assert.equal(m.process.end, undefined);
  assert.equal(m.warnings.length, 1);
});

test('kill and tgkill know nobody else', () => {
  const m = new Machine();
  assert.equal(m.call('kill', m.process.pid, 0), 0);
  assert.equal(m.call('kill', 77, 9), -Errno.ESRCH);
  assert.equal(m.call('kill', 1, 9), -Errno.EPERM);
  assert.equal(m.call('kill', m.process.pid, 65), -Errno.EINVAL);
  assert.equal(m.call('tgkill', m.process.pid, 5, 9), -Errno.ESRCH);
});

test('SIGCONT discards pending stop signals, and each of those discards SIGCONT', () => {
  const m = new Machine();
  setMask(m, bit(Signal.SIGTSTP) | bit(Signal.SIGCONT) | bit(Signal.SIGTTIN));
  const pending = () => {
    m.call('rt_sigpending', SCRATCH, 8);
    return m.memory.readU64(SCRATCH);
  };
  kill(m, Signal.SIGTSTP);
  kill(m, Signal.SIGCONT);
  assert.equal(pending(), bit(Signal.SIGCONT));
  kill(m, Signal.SIGTTIN);
  assert.equal(pending(), bit(Signal.SIGTTIN));
});

test('SA_RESETHAND forgets the handler, not the flags', () => {
  const m = new Machine();
  m.handle(Signal.SIGUSR1, HANDLER, SaFlag.RESETHAND | SaFlag.SIGINFO);
  kill(m, Signal.SIGUSR1);
  const { handler, flags } = m.process.signals.actions.get(Signal.SIGUSR1);
  assert.equal(handler, 0);
  assert.equal(flags & SaFlag.SIGINFO, SaFlag.SIGINFO);
});

test('kill takes the number of any thread for its process', () => {
  const m = new Machine();
  const tid = m.thread();
  setMask(m, bit(Signal.SIGUSR1));
  assert.equal(m.call('kill', tid, Signal.SIGUSR1), 0);
  assert.equal(m.process.signals.shared.set.has(Signal.SIGUSR1), true);
});

test('a process may send itself any si_code; real-time signals end at RLIMIT_SIGPENDING', () => {
  const m = new Machine();
  const [info, sigpending, realtime] = [SCRATCH + 0x100, 11, 40];
  setMask(m, bit(realtime));
  m.memory.writeU64(SCRATCH, 2n);
  m.memory.writeU64(SCRATCH + 8, 2n);
  m.call('setrlimit', sigpending, SCRATCH);
  const queue = () => m.call('rt_sigqueueinfo', m.process.pid, realtime, info);
  assert.deepEqual([queue(), queue(), queue()], [0, 0, -Errno.EAGAIN]);
  assert.equal(m.call('tgkill', m.process.pid, m.tid, realtime), -Errno.EAGAIN);
  assert.equal(m.call('rt_tgsigqueueinfo', m.process.pid, 0, realtime, info), -Errno.EINVAL);
  assert.equal(m.call('rt_sigqueueinfo', 4242, realtime, info), -Errno.EPERM);
});
