/**
 * What the simulation does while every thread waits for the host: asks the descriptors, first at once, then
 * every millisecond of host time. Simulated time stands still meanwhile.
 */
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import type { HostFiles } from '../../host/files.ts';
import type { IdleSource } from '../../sim/root.ts';
import type { Scheduler } from './scheduler.ts';
import type { HostReadiness } from './syscall.ts';

/** So many turns of the event loop before the first sleep: a busy pipe is answered within microseconds. */
const EAGER_TURNS = 50;
const SLEEP_MS = 1;
/** size of struct pollfd */
const POLLFD_BYTES = 8;

export class HostWaiting implements IdleSource {
  readonly #host: HostFiles;
  readonly #scheduler: Scheduler;

  constructor(host: HostFiles, scheduler: Scheduler) {
    this.#host = host;
    this.#scheduler = scheduler;
  }

  canWake(): boolean {
    return this.#scheduler.isIdleForHost;
  }

  async wait(maxMs: number): Promise<void> {
    const pollfds = encode(this.#scheduler.hostDescriptors());
    const sleeps = Math.max(1, Math.floor(maxMs / SLEEP_MS));
    for (let turn = 0; turn < EAGER_TURNS + sleeps; turn++) {
      if (!this.#scheduler.isIdleForHost) return;
      // An error counts as readiness: the call itself reports it.
      if (this.#host.poll(pollfds) !== 0) break;
      if (turn < EAGER_TURNS) await nextTurn();
      else await sleep(SLEEP_MS);
    }
    this.#scheduler.filesChanged();
  }
}

/** An array of struct pollfd. */
function encode(wanted: readonly HostReadiness[]): Uint8Array {
  const bytes = new Uint8Array(wanted.length * POLLFD_BYTES);
  const view = new DataView(bytes.buffer);
  wanted.forEach(({ fd, events }, i) => {
    view.setInt32(i * POLLFD_BYTES, fd, true);
    view.setInt16(i * POLLFD_BYTES + 4, events, true);
  });
  return bytes;
}
