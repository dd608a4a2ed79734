/*
 * The end of the process: _exit(2) instead of Node's own way out.
 *
 * process.exit() waits for V8's compiler threads, and one of these may wait for a garbage collection that only the thread
 * that exits could make: up to one start in ten never ended (nodejs/node issue 54918).
 */
import { flushCompileCache } from 'node:module';
import { bind, nativeCallsAvailable } from './ffi.ts';

/**
 * Ends the process at once, behind the listeners of its `exit` event and with the compile cache written. What a stream still
 * holds back is lost, as with process.exit().
 * @param status exit status, 0–255
 */
export function leave(status: number): never {
  process.exitCode = status;
  if (nativeCallsAvailable() && process.platform === 'linux') {
    process.emit('exit', status);
    flushCompileCache();
    bind('_exit', ['int32'], 'void')(status);
  }
  return process.exit(status);
}
