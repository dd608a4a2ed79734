/**
 * ioctl(2). Requests are a table: what is not in it is ENOTTY, so that nothing unknown reaches the host through a
 * pointer, and nothing that would act on the user's terminal behind its back (TIOCSTI, TIOCSCTTY, TIOCLINUX).
 * Numbers and sizes: include/uapi/asm-generic/ioctls.h, include/uapi/linux/fs.h, ioctl_tty(2).
 */
import { Errno } from '../errno.ts';
import { OpenFlag } from '../files/abi.ts';
import { fileArgument } from '../files/arguments.ts';
import type { OpenFile } from '../files/open-file.ts';
import type { SyscallCall, SyscallMap } from '../syscall.ts';

/** How a request's argument travels: a structure of `bytes` in or out, or a plain number. */
type Request =
  | { readonly name: string; readonly kind: 'in' | 'out'; readonly bytes: number }
  | { readonly name: string; readonly kind: 'value' }
  | {
      readonly name: string;
      readonly kind: 'own';
      readonly run: (call: SyscallCall, file: OpenFile) => number;
    };

const out = (name: string, bytes: number): Request => ({ name, kind: 'out', bytes });
const input = (name: string, bytes: number): Request => ({ name, kind: 'in', bytes });
const value = (name: string): Request => ({ name, kind: 'value' });
const own = (name: string, run: (call: SyscallCall, file: OpenFile) => number): Request => ({
  name,
  kind: 'own',
  run,
});

const TERMIOS_BYTES = 36;
const TERMIOS2_BYTES = 44;
const WINSIZE_BYTES = 8;
const TIOCGPGRP = 0x540f;

const REQUESTS: ReadonlyMap<number, Request> = new Map([
  [0x5401, out('TCGETS', TERMIOS_BYTES)],
  [0x5402, input('TCSETS', TERMIOS_BYTES)],
  [0x5403, input('TCSETSW', TERMIOS_BYTES)],
  [0x5404, input('TCSETSF', TERMIOS_BYTES)],
  [0x802c_542a, out('TCGETS2', TERMIOS2_BYTES)],
  [0x402c_542b, input('TCSETS2', TERMIOS2_BYTES)],
  [0x402c_542c, input('TCSETSW2', TERMIOS2_BYTES)],
  [0x402c_542d, input('TCSETSF2', TERMIOS2_BYTES)],
  [0x5409, value('TCSBRK')],
  [0x540a, value('TCXONC')],
  [0x540b, value('TCFLSH')],
  [TIOCGPGRP, own('TIOCGPGRP', foregroundGroup)],
  [0x5410, own('TIOCSPGRP', setForegroundGroup)],
  [0x5411, out('TIOCOUTQ', 4)],
  [0x5413, out('TIOCGWINSZ', WINSIZE_BYTES)],
  [0x5414, input('TIOCSWINSZ', WINSIZE_BYTES)],
  [0x541b, out('FIONREAD', 4)],
  [0x5421, own('FIONBIO', (call, file) => setFlag(call, file, OpenFlag.NONBLOCK))],
  [0x5429, own('TIOCGSID', foregroundGroup)],
  [0x5450, own('FIONCLEX', (call) => setCloseOnExec(call, false))],
  [0x5451, own('FIOCLEX', (call) => setCloseOnExec(call, true))],
  [0x5452, own('FIOASYNC', (call, file) => setFlag(call, file, OpenFlag.ASYNC))],
  [0x5460, out('FIOQSIZE', 8)],
  [0x8004_5430, out('TIOCGPTN', 4)],
  [0x4004_5431, input('TIOCSPTLCK', 4)],
  [0x0000_0002, out('FIGETBSZ', 4)],
  [0x0000_1268, out('BLKSSZGET', 4)],
  [0x8008_1272, out('BLKGETSIZE64', 8)],
  [0x8008_6601, out('FS_IOC_GETFLAGS', 4)],
  // Copying falls back to reading and writing.
  [0x4004_9409, own('FICLONE', () => -Errno.EOPNOTSUPP)],
  [0x4020_940d, own('FICLONERANGE', () => -Errno.EOPNOTSUPP)],
  [0xc020_660b, own('FS_IOC_FIEMAP', () => -Errno.EOPNOTSUPP)],
]);

function setFlag(call: SyscallCall, file: OpenFile, flag: number): number {
  const on = call.process.memory.readI32(call.addr(2)) !== 0;
  file.flags = on ? file.flags | flag : file.flags & ~flag;
  return 0;
}

function setCloseOnExec(call: SyscallCall, on: boolean): number {
  call.process.files.table.setCloseOnExec(call.i32(0), on);
  return 0;
}

/** A program that has a terminal is in its foreground group, with a process group and session of its own number. */
function foregroundGroup(call: SyscallCall, file: OpenFile): number {
  const { files, memory, pid } = call.process;
  const result = files.host.ioctlStruct(file.hostFd, TIOCGPGRP, new Uint8Array(4));
  if (result < 0) return result;
  memory.writeI32(call.addr(2), pid);
  return 0;
}

function setForegroundGroup(call: SyscallCall, file: OpenFile): number {
  const { files, memory, pid } = call.process;
  const result = files.host.ioctlStruct(file.hostFd, TIOCGPGRP, new Uint8Array(4));
  if (result < 0) return result;
  return memory.readI32(call.addr(2)) === pid ? 0 : -Errno.EPERM;
}

function ioctl(call: SyscallCall): number {
  const file = fileArgument(call, 0);
  if (file === undefined) return -Errno.EBADF;
  const request = REQUESTS.get(call.u32(1));
  if (request === undefined || (file.kind === 'listing' && request.kind !== 'own')) return -Errno.ENOTTY;
  if (request.kind === 'own') return request.run(call, file);
  const { files, memory } = call.process;
  const { host } = files;
  if (request.kind === 'value') return host.ioctl(file.hostFd, call.u32(1), call.i32(2));
  if (request.kind === 'in')
    return host.ioctlStruct(file.hostFd, call.u32(1), memory.read(call.addr(2), request.bytes));
  const result = host.ioctlStruct(file.hostFd, call.u32(1), new Uint8Array(request.bytes));
  if (result >= 0) memory.write(call.addr(2), host.data.slice(0, request.bytes));
  return result;
}

export const ioctlSyscalls = { ioctl } satisfies SyscallMap;
