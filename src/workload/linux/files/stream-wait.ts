/**
 * Reads and writes that have to wait for the other end of a stream. The open file is held meanwhile: another thread
 * may close the descriptor, which does not end the call.
 */
import { Poll } from '../../../host/files-abi.ts';
import { Errno, Restart } from '../errno.ts';
import type { HostReadiness, SyscallCall, SyscallResult, Wait } from '../syscall.ts';
import { SIGPIPE } from './abi.ts';
import type { OpenFile } from './open-file.ts';
import { readStream, writeStream } from './transfer.ts';
import type { UserBuffer } from './user-buffer.ts';

/** Reads a stream, waiting for data unless the descriptor is non-blocking. */
export function readOrWait(
  call: SyscallCall,
  file: OpenFile,
  buffer: UserBuffer,
  mayWait: boolean,
): SyscallResult {
  const { host } = call.process.files;
  const result = readStream(host, file, buffer);
  if (result !== -Errno.EAGAIN || !mayWait) return result;
  return waitFor(file, Poll.IN, Restart.sys, () => {
    const later = readStream(host, file, buffer);
    return later === -Errno.EAGAIN ? undefined : later;
  });
}

/** Writes all of the buffer to a stream, waiting for room unless the descriptor is non-blocking. */
export function writeOrWait(
  call: SyscallCall,
  file: OpenFile,
  buffer: UserBuffer,
  mayWait: boolean,
): SyscallResult {
  const write = new StreamWrite(call, file, buffer);
  const result = write.poll();
  if (result !== undefined) return result;
  if (!mayWait) return write.done > 0 ? write.done : -Errno.EAGAIN;
  file.retain();
  write.holdsFile = true;
  return write;
}

class StreamWrite implements Wait {
  /** Bytes written so far. */
  done = 0;
  /** Set once the call waits. */
  holdsFile = false;
  readonly hostFds: readonly HostReadiness[];
  readonly #process: SyscallCall['process'];
  readonly #thread: SyscallCall['thread'];
  readonly #file: OpenFile;
  readonly #buffer: UserBuffer;

  constructor(call: SyscallCall, file: OpenFile, buffer: UserBuffer) {
    this.#process = call.process;
    this.#thread = call.thread;
    this.#file = file;
    this.#buffer = buffer;
    this.hostFds = [{ fd: file.hostFd, events: Poll.OUT }];
  }

  poll(): number | undefined {
    const { host } = this.#process.files;
    do {
      const result = writeStream(host, this.#file, this.#buffer, this.done);
      if (result === -Errno.EAGAIN) return undefined;
      if (result === -Errno.EPIPE) this.#process.signalThread(this.#thread, SIGPIPE);
      if (result < 0) return this.#end(this.done > 0 ? this.done : result);
      this.done += result;
    } while (this.done < this.#buffer.length);
    return this.#end(this.done);
  }

  get interruptResult(): number {
    return this.done > 0 ? this.done : Restart.sys;
  }

  cancel(): void {
    this.#end(0);
  }

  #end(result: number): number {
    if (this.holdsFile) this.#file.release();
    this.holdsFile = false;
    return result;
  }
}

/** A wait on one open file, which is held until the wait is over. */
export function waitFor(
  file: OpenFile,
  events: number,
  interruptResult: number,
  attempt: () => number | undefined,
): Wait {
  file.retain();
  return {
    hostFds: [{ fd: file.hostFd, events }],
    interruptResult,
    poll: () => {
      let isOver = true;
      try {
        const result = attempt();
        isOver = result !== undefined;
        return result;
      } finally {
        // Over also if user memory that the call writes to has gone.
        if (isOver) file.release();
      }
    },
    cancel: () => void file.release(),
  };
}
