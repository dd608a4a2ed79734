/**
 * Linux user mode without a kernel: what systems and front ends use of it.
 */
export { LinuxProcess } from './process.ts';
export type { ProcessEnd } from './process-end.ts';
export type { Credentials, LinuxProcessOptions } from './process-options.ts';
