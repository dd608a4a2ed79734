// A machine as a script: a PC that boots an image, with its console in memory, stopped at the guest's work items, saved in
// the middle and measured. With the Node.js that npm ci brought along:
//   npx node --disable-warning=ExperimentalWarning examples/boot-board.ts IMAGE [COMMAND LINE]

import { readFileSync } from 'node:fs';
import { MemoryBackend } from '../src/dev/serial/char-backend.ts';
import { Root } from '../src/sim/root.ts';
import { Simulator } from '../src/sim/simulator.ts';
import { asTick } from '../src/sim/tick.ts';
import { kvmProcessor } from '../src/system/kvm-processor.ts';
import { PcBoard } from '../src/system/pc-board.ts';

const SECOND = 1_000_000_000_000n;

const [image, commandLine = ''] = process.argv.slice(2);
if (image === undefined) throw new Error('usage: boot-board.ts IMAGE [COMMAND LINE]');

const root = new Root({ seed: 42 });
const console1 = new MemoryBackend();
console1.end(); // nobody will type: a guest that waits for input has halted
const board = new PcBoard(root, 'board', {
  memorySize: '256MiB',
  processor: kvmProcessor({ hostFactor: 2 }), // a processor half as fast as the host's
  serial: [console1],
});
const start = board.boot({ image: readFileSync(image), name: image, commandLine });
console.log(start.description);

const simulator = new Simulator(root);
try {
  for await (const event of simulator.run({ maxTick: asTick(10n * SECOND) })) {
    console.log(`${event.tick}: ${event.cause} (${event.code})`);
    if (event.cause === 'workbegin') simulator.stats.reset();
    else if (event.cause === 'checkpoint') await simulator.checkpoint(`out/cpt.${event.tick}`);
    else break; // workend, power off, the test-exit port, …
  }
  console.log(`the guest printed:\n${console1.text}`);
} finally {
  simulator.close();
}
