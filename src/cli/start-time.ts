// The instant at which the simulated CLOCK_REALTIME begins.

import { FatalError } from '../sim/trouble.ts';

const LEGAL = "'now', a date such as 2026-01-31, or a time such as 2026-01-31T12:00:00Z (UTC without a zone)";
const ISO = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?$/;

/** Seconds since 1970-01-01T00:00:00Z. Throws FatalError with the legal forms. */
export function parseStartTime(argument: string): number {
  if (argument === 'now') return Date.now() / 1000;
  const hasZone = /(Z|[+-]\d\d:\d\d)$/.test(argument) || !argument.includes('T');
  const milliseconds = ISO.test(argument) ? Date.parse(hasZone ? argument : `${argument}Z`) : Number.NaN;
  if (!isDay(argument.slice(0, 10)) || Number.isNaN(milliseconds) || milliseconds < 0)
    throw new FatalError(`'${argument}' is not ${LEGAL}`);
  return milliseconds / 1000;
}

/** Whether the calendar has this day; Date.parse takes 31 February for 3 March. */
function isDay(day: string): boolean {
  const midnight = new Date(`${day}T00:00:00Z`);
  return !Number.isNaN(midnight.getTime()) && midnight.toISOString().startsWith(day);
}
