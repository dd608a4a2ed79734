// A Linux kernel on the simulated PC, executed by KVM in the rig (docs/rig.md), and its shell on the serial console.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { after } from 'node:test';

const HYPERTICK = join(import.meta.dirname, '../../bin/hypertick');
export const KERNEL = '/boot/vmlinuz';
export const INITRD = '/boot/initrd';
// XSETBV of a nested guest does not leave it under QEMU's software emulation: KVM does not learn of the new XCR0, and the
// kernel finds CPUID leaf 0DH inconsistent. Without XSAVE the guest has no XCR0.
export const COMMAND_LINE = 'console=ttyS0 quiet panic=-1 noxsave';
export const PROMPT = 'guest# ';
/** Everything takes some hundred times as long in here. */
const PATIENCE_MS = 240_000;

/** What a kernel says when its clocks or interrupts are not as they should be, for grep -E. */
const COMPLAINTS =
  'unstable|lost|calibration (failed|not)|unable to calibrate|could not calculate|interrupt took|watchdog: |skew|spurious|' +
  'nobody cared|doesn.t work|stuck|backwards|WARNING:|BUG:|Oops|Call Trace';
/** The same kernel says this under `qemu-system-x86_64 -accel kvm` in the rig, too. */
const UNDER_QEMU_TOO = [
  'Unstable clock detected, switching default tracing clock to "global"',
  'Perf NMI watchdog permanently disabled',
];

/**
 * This says how fast the rig is: where the HPET stands in for the RTC, the kernel wants each interrupt served within 16 ms. An exit
 * takes some 0.2 ms in here; on a busy host it takes milliseconds, and serving takes five. On an idle host it has never been seen.
 */
const ON_A_BUSY_HOST = /hpet: Lost \d+ RTC interrupts/;

/** A run whose serial console is a pair of pipes. */
export class LinuxMachine {
  readonly #child;
  log = '';

  /** @param scratch directory for what the run writes */
  constructor(scratch: string, args: readonly string[]) {
    const common = ['boot', '--cpu', 'kvm', '--outdir', join(scratch, 'out')];
    this.#child = spawn(HYPERTICK, [...common, ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
    after(() => this.#child.kill('SIGKILL'));
    this.#child.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.log += text;
    });
  }

  /** Waits for a text on the console, from `from` on. */
  async waitFor(text: string, from = 0): Promise<void> {
    const deadline = performance.now() + PATIENCE_MS;
    while (!this.log.includes(text, from)) {
      const last = this.log.slice(-2000);
      assert.equal(this.#child.exitCode, null, `it ended before '${text}':\n${last}`);
      assert.ok(performance.now() < deadline, `no '${text}':\n${last}`);
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }

  /** Types a command at the shell; returns what it prints. */
  async shell(command: string): Promise<string> {
    const from = this.log.length;
    this.#child.stdin.write(`${command}; echo END$((1+1))\n`);
    await this.waitFor('END2', from);
    return this.log.slice(from);
  }

  /** Powers off; returns the exit status. */
  async powerOff(): Promise<number | null> {
    this.#child.stdin.write('poweroff -f\n');
    const [status] = (await once(this.#child, 'exit')) as [number | null];
    return status;
  }

  /** What the kernel has complained about, by its log. */
  async complaints(): Promise<string[]> {
    const found = await this.shell(`dmesg | grep -iE "${COMPLAINTS}"`);
    return found
      .split(/\r?\n/)
      .filter((line) => /^\[ *\d+\.\d+\]/.test(line))
      .filter((line) => !ON_A_BUSY_HOST.test(line))
      .filter((line) => !UNDER_QEMU_TOO.some((known) => line.includes(known)));
  }
}
