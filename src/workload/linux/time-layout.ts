/**
 * struct timespec and struct timeval in user memory: two 64-bit signed integers.
 */
import { NS_PER_SECOND, type TimeSpec } from './clock.ts';
import type { UserMemory } from './user-memory.ts';

export function readTimeSpec(memory: UserMemory, va: number): TimeSpec {
  return { seconds: Number(memory.readI64(va)), nanoseconds: Number(memory.readI64(va + 8)) };
}

export function writeTimeSpec(memory: UserMemory, va: number, time: TimeSpec): void {
  memory.writeNumber64(va, time.seconds);
  memory.writeNumber64(va + 8, time.nanoseconds);
}

/** Whether the kernel takes it: not negative, nanoseconds below one second. */
export function isValidTime({ seconds, nanoseconds }: TimeSpec): boolean {
  return seconds >= 0 && nanoseconds >= 0 && nanoseconds < NS_PER_SECOND;
}

export function toNs({ seconds, nanoseconds }: TimeSpec): number {
  return seconds * NS_PER_SECOND + nanoseconds;
}

export function fromNs(ns: number): TimeSpec {
  return { seconds: Math.floor(ns / NS_PER_SECOND), nanoseconds: ns % NS_PER_SECOND };
}
