// Runs the rig in QEMU under software emulation, whose `max` processor has AMD's virtualization with nested paging.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { FatalError } from '../../src/sim/trouble.ts';
import { type Message, MessageReader } from './protocol.ts';

const QEMU = 'qemu-system-x86_64';
const KERNEL_ARGUMENTS: readonly string[] = [
  'console=ttyS0',
  'rdinit=/init',
  // Warnings and worse go to the console; after a panic the machine resets, which ends QEMU.
  'loglevel=5',
  'panic=-1',
  // The rig holds no secrets, and emulation makes the mitigations dear.
  'mitigations=off',
  'random.trust_cpu=on',
  // All processors show one counter. Linux does not believe it unasked, and KVM then stops a guest's counter at each exit.
  'tsc=reliable',
  // Addresses are those of System.map.
  'nokaslr',
];

export interface Machine {
  readonly kernelImage: string;
  readonly initramfs: string;
  readonly processors: number;
  readonly memoryMiB: number;
  /** Written by the machine: what its kernel says. */
  readonly consoleFile: string;
  /** Where QEMU's monitor listens. */
  readonly monitorSocket: string;
}

/** QEMU's arguments. `serial`: where its serial ports go. */
export function qemuArguments(machine: Machine, serial: readonly string[]): string[] {
  return [
    // One thread for all processors: with one each, QEMU 7.2 may keep executing a breakpoint that another processor
    // has just removed. Linux patches its scheduler so whenever the first virtual machine comes or the last one goes.
    ...['-accel', 'tcg,thread=single', '-cpu', 'max'],
    ...['-smp', `${machine.processors}`, '-m', `${machine.memoryMiB}`],
    ...['-kernel', machine.kernelImage, '-initrd', machine.initramfs, '-append', KERNEL_ARGUMENTS.join(' ')],
    ...['-nodefaults', '-display', 'none', '-no-reboot'],
    ...['-monitor', `unix:${machine.monitorSocket},server=on,wait=off`],
    ...serial.flatMap((port) => ['-serial', port]),
  ];
}

/** How the machine ended. */
export type MachineEnd =
  /** The agent was done. */
  { readonly why: 'done'; readonly status: number } | EarlyEnd;

/**
 * `died`: the kernel crashed, or the agent did. Else it was ended: it said nothing for too long, took too long
 * altogether, or the user asked for it. `detail` may be empty.
 */
export interface EarlyEnd {
  readonly why: 'died' | 'silent' | 'late' | 'interrupted';
  readonly detail: string;
}

const EARLY: Readonly<Record<EarlyEnd['why'], string>> = {
  died: 'the rig died',
  silent: 'the rig is silent: it hangs',
  late: 'the time is up',
  interrupted: 'interrupted',
};

/** An early end, in words. */
export const describeEnd = ({ why, detail }: EarlyEnd): string =>
  detail === '' ? EARLY[why] : `${EARLY[why]} (${detail})`;

export interface Limits {
  /** Of the whole run. */
  readonly totalSeconds: number;
  /** Between two messages of the agent; what the agent runs has a limit of its own below this. */
  readonly silenceSeconds: number;
  /** Ends the machine when it fires. */
  readonly interrupt: AbortSignal;
}

/** Boots the machine, hands on what the agent says, sends it what `onMessage` answers, and ends it. */
export async function runMachine(
  machine: Machine,
  limits: Limits,
  onMessage: (message: Message) => string | undefined,
): Promise<MachineEnd> {
  const args = qemuArguments(machine, [`file:${machine.consoleFile}`, 'stdio']);
  const qemu = spawn(QEMU, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  // A machine that died reads nothing; its end is told below.
  qemu.stdin.on('error', () => {});
  const kill = (): boolean => qemu.kill('SIGKILL');
  // However we end, even by an exception: QEMU would go on.
  process.on('exit', kill);
  let stderr = '';
  qemu.stderr.on('data', (data: Buffer) => {
    stderr += data.toString();
  });
  const reader = new MessageReader();
  const end = Promise.withResolvers<MachineEnd>();
  let isEnding = false;
  const endEarly = async (why: EarlyEnd['why']): Promise<void> => {
    isEnding = true;
    end.resolve({ why, detail: await whereProcessorsAre(machine) });
  };
  const total = setTimeout(endEarly, limits.totalSeconds * 1000, 'late');
  const silence = setTimeout(endEarly, limits.silenceSeconds * 1000, 'silent');
  limits.interrupt.addEventListener('abort', () => end.resolve({ why: 'interrupted', detail: '' }));
  qemu.stdout.on('data', (data: Buffer) => {
    silence.refresh();
    for (const message of isEnding ? [] : reader.push(data)) {
      const answer = onMessage(message);
      if (answer !== undefined) qemu.stdin.write(answer);
      if (message.type === 'done') end.resolve({ why: 'done', status: message.status });
    }
  });
  qemu.on('error', (error) => end.reject(cannotStart(error)));
  qemu.on('close', (status, signal) => {
    end.resolve({ why: 'died', detail: stderr.trim() || `QEMU ended by ${signal ?? `status ${status}`}` });
  });
  try {
    return await end.promise;
  } finally {
    clearTimeout(total);
    clearTimeout(silence);
    await stop(qemu);
    process.off('exit', kill);
  }
}

/** Boots the machine with its console on the terminal. Gives QEMU's exit status. */
export async function runInteractively(machine: Machine): Promise<number> {
  const args = qemuArguments(machine, ['mon:stdio']);
  const qemu = spawn(QEMU, args, { stdio: 'inherit' });
  // Ctrl-C is the guest's.
  const ignore = (): void => {};
  process.on('SIGINT', ignore);
  try {
    const [status] = (await once(qemu, 'close')) as [number | null];
    return status ?? 1;
  } catch (error) {
    throw cannotStart(error as Error);
  } finally {
    process.off('SIGINT', ignore);
  }
}

const cannotStart = (error: Error): FatalError =>
  new FatalError(`${QEMU} does not start (${error.message}); install qemu-system-x86`, { cause: error });

async function stop(qemu: ChildProcess): Promise<void> {
  if (qemu.pid === undefined || qemu.exitCode !== null || qemu.signalCode !== null) return;
  const closed = once(qemu, 'close');
  qemu.kill('SIGKILL');
  await closed;
}

/** Asks QEMU's monitor for the instruction pointers, which say most about a machine that hangs. */
async function whereProcessorsAre(machine: Machine): Promise<string> {
  const monitor = connect(machine.monitorSocket);
  let answer = '';
  monitor.on('data', (data: Buffer) => {
    answer += data.toString();
  });
  monitor.on('error', (error) => {
    answer += error.message;
  });
  monitor.write('info registers -a\n');
  // It neither says when it has said all, nor closes.
  await sleep(1000);
  monitor.destroy();
  const pointers = [...answer.matchAll(/RIP=([0-9a-f]+)/g)].map(([, rip], i) => `processor ${i} at 0x${rip}`);
  return pointers.length > 0 ? pointers.join(', ') : answer;
}

/** The last lines that the kernel said. */
export function endOfConsole(machine: Machine, lines = 40): string {
  if (!existsSync(machine.consoleFile)) return '';
  const text = readFileSync(machine.consoleFile, 'utf8').replaceAll('\r', '').trimEnd();
  return text.split('\n').slice(-lines).join('\n');
}
