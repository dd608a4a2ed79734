// Gathers what the agent says about test files into lines for people and one line of summary, in the form of `npm test`.

import type { Exclusion } from './exclusions.ts';
import type { FileResult, Message } from './protocol.ts';
import { describeEnd, type MachineEnd } from './qemu.ts';

/** What all machines of a run come to. */
export class TestReport {
  #passed = 0;
  #failed = 0;
  readonly #skipped: { readonly name: string; readonly reason: string }[] = [];
  /** Files whose first process crashed, and how. */
  readonly #retried: string[] = [];
  readonly #finished = new Set<string>();
  readonly #files: readonly string[];
  #hasLostMachine = false;

  constructor(files: readonly string[]) {
    this.#files = files;
  }

  count({ passed, skipped }: FileResult, file: string, failed: number): void {
    this.#finished.add(file);
    this.#passed += passed;
    this.#failed += failed;
    this.#skipped.push(...skipped);
  }

  countRetry(file: string, signal: string | null): void {
    this.#retried.push(`run again ${file}: Node died of ${signal} the first time`);
  }

  lostMachine(): void {
    this.#hasLostMachine = true;
  }

  /** The end of the run: files that have not ended count as failed; so does a machine that was lost with nothing to do. */
  finish(): string {
    const unfinished = this.#files.filter((file) => !this.#finished.has(file));
    this.#failed += Math.max(unfinished.length, this.#hasLostMachine ? 1 : 0);
    return unfinished.map((file) => `FAILED ${file}: has not come to its end\n`).join('');
  }

  /** The closing lines; the last one sums up. */
  summary(exclusions: readonly Exclusion[]): string {
    const reasons = Map.groupBy(this.#skipped, ({ reason }) => reason);
    return [
      ...exclusions.map(({ what, reason }) => `excluded ${what}: ${reason}`),
      ...[...reasons].map(([reason, tests]) => `skipped ${tests.length}: ${reason}`),
      ...this.#retried,
      `${this.#passed} passed, ${this.#failed} failed, ${this.#skipped.length} skipped`,
    ]
      .map((line) => `${line}\n`)
      .join('');
  }

  get isGood(): boolean {
    return this.#failed === 0 && this.#passed > 0;
  }
}

/** Follows the messages of one machine. */
export class MachineReport {
  readonly #report: TestReport;
  #running: string | undefined;
  /** Whether tests can run there. */
  isUsable = true;
  /** What the running file has written: the output of machines does not mix. */
  #output = '';
  /** The crash of the file's first process, while nobody knows whether there is a second. */
  #crash: (FileResult & { readonly file: string }) | undefined;

  constructor(report: TestReport) {
    this.#report = report;
  }

  /** Takes the message in and gives the text to print, which may be empty. */
  take(message: Message): string {
    switch (message.type) {
      case 'ready':
        return this.#ready(message);
      case 'start':
        return this.#start(message);
      case 'output':
        this.#output += Buffer.from(message.latin1, 'latin1').toString();
        return '';
      case 'end':
        this.#running = undefined;
        return this.#takeOutput() + this.#end(message);
      case 'next':
      case 'done':
        return this.#takeOutput() + this.#settleCrash();
    }
  }

  /** The machine's end. `consoleEnd`: the kernel's last words. */
  finish(end: MachineEnd, consoleEnd: string): string {
    if (end.why === 'done') return '';
    const running = this.#running === undefined ? 'no test file was running' : `${this.#running} was running`;
    this.#report.lostMachine();
    return [
      this.#takeOutput(),
      this.#settleCrash(),
      `FAILED ${describeEnd(end)}; ${running}. Its kernel's last words:\n${consoleEnd.replace(/^/gm, '    ')}\n`,
    ].join('');
  }

  #takeOutput(): string {
    const output = this.#output;
    this.#output = '';
    return output;
  }

  #ready({ hasKvm, uptimeSeconds }: Message & { type: 'ready' }): string {
    if (hasKvm) return `# the rig is up, ${uptimeSeconds.toFixed(1)} s after its kernel's start\n`;
    this.isUsable = false;
    this.#report.lostMachine();
    return 'FAILED the rig has no /dev/kvm\n';
  }

  #start({ file, attempt }: Message & { type: 'start' }): string {
    this.#running = file;
    if (attempt === 1 || this.#crash === undefined) return this.#settleCrash();
    const { signal } = this.#crash;
    this.#crash = undefined;
    this.#report.countRetry(file, signal);
    return `CRASHED ${file}: Node died of ${signal}; it is run again\n`;
  }

  #end(result: FileResult & { readonly file: string; readonly attempt: number }): string {
    if (result.signal !== null && !result.timedOut && result.attempt === 1) {
      this.#crash = result;
      return '';
    }
    return this.#count(result);
  }

  /** A crash that no second attempt followed is a failure. */
  #settleCrash(): string {
    const crash = this.#crash;
    this.#crash = undefined;
    return crash === undefined ? '' : this.#count(crash);
  }

  #count(result: FileResult & { readonly file: string }): string {
    const { file, passed, skipped, status, signal, timedOut, seconds } = result;
    let { failed } = result;
    let text = '';
    if (status !== 0 && failed === 0) {
      failed = 1;
      const how = timedOut
        ? 'takes too long and was ended'
        : `the test process ended by ${signal ?? `status ${status}`}`;
      text = `FAILED ${file}: ${how}\n`;
    }
    this.#report.count(result, file, failed);
    const counts = `${passed} passed, ${failed} failed, ${skipped.length} skipped`;
    return `${text}# ${file}: ${counts} in ${seconds.toFixed(1)} s\n`;
  }
}
