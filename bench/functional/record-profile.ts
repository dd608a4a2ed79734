// Loaded in front of hypertick by bench/profile.ts: has V8's profiler write to the file that HYPERTICK_PROFILE names. Node's own
// --cpu-prof writes at its way out of the process, which hypertick does not take.

import { writeFileSync } from 'node:fs';
import { Session } from 'node:inspector';

const file = process.env.HYPERTICK_PROFILE;
if (file === undefined) throw new Error('HYPERTICK_PROFILE names no file');
const session = new Session();
session.connect();
session.post('Profiler.enable');
session.post('Profiler.start');
process.on('exit', () =>
  session.post('Profiler.stop', (error, { profile }) => {
    if (error !== null) throw error;
    writeFileSync(file, JSON.stringify(profile));
  }),
);
