// A simulation as a script: builds a machine, runs a program on it up to a point in simulated time, looks at the
// statistics, and lets it go on to its end. With the Node.js that npm ci brought along:
//   npx node --disable-warning=ExperimentalWarning examples/measure-program.ts PROGRAM [ARGUMENTS…]

import { resolve } from 'node:path';
import { Root } from '../src/sim/root.ts';
import { Simulator } from '../src/sim/simulator.ts';
import { asTick } from '../src/sim/tick.ts';
import { SeSystem } from '../src/system/se-system.ts';

const MILLISECOND = 1_000_000_000n;

const [program = 'share/demo/mixed', ...args] = process.argv.slice(2);
const root = new Root({ seed: 42 });
const system = new SeSystem(root, 'system', {
  cpu: 'best',
  memorySize: '256MiB',
  workload: {
    executablePath: resolve(program),
    args: [program, ...args],
    environment: [],
    cwd: process.cwd(),
  },
});
const simulator = new Simulator(root);

/** Statistics are typed fields of their objects: no text to parse. */
const report = (moment: string): void => {
  simulator.stats.snapshot(); // brings counts up to date that are kept by name
  const { stats } = system.process;
  console.error(`${moment}: tick ${root.curTick}, ${stats.numSyscalls.value} system calls`);
};

const first = await simulator.runUntilExit({ maxTick: asTick(100n * MILLISECOND) });
report(`after 100 ms (${first.cause})`);
simulator.stats.reset();
if (system.process.end === undefined) {
  const last = await simulator.runUntilExit();
  report(`from there to the end (${last.cause})`);
}
simulator.close();
process.exitCode = system.process.end?.kind === 'exited' ? system.process.end.status : 1;
