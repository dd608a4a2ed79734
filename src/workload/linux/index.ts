/**
 * Linux user mode without a kernel: what systems and front ends use of it.
 */
export { LinuxProcess, type ProcessEnd } from './process.ts';
export type { Credentials, LinuxProcessOptions } from './process-options.ts';
