// The command line as a whole: finds the sub-command, runs it, and turns every kind of trouble into one line
// on standard error and an exit status. A JavaScript stack trace is shown for our own bugs, on request, only.

import { nearNames } from '../sim/debug-flags.ts';
import { ExitStatus, FatalError, PanicError } from '../sim/trouble.ts';
import { COMMANDS, type CommandName } from './commands.ts';
import { answer, say, sayRaw } from './terminal.ts';

/** Runs the command line without the program's name; returns the exit status. */
export async function main(args: readonly string[]): Promise<number> {
  try {
    return await dispatch(args);
  } catch (error) {
    return report(error);
  }
}

async function dispatch([first, ...rest]: readonly string[]): Promise<number> {
  if (first === undefined) {
    sayRaw((await import('./help.ts')).overview());
    return ExitStatus.failure;
  }
  if (first === '--version' || first === '-V') {
    answer(`hypertick ${(await import('./version.ts')).version()}\n`);
    return 0;
  }
  if (first === '--help' || first === '-h' || first === 'help') {
    const { help } = await import('./help.ts');
    answer(await help(rest[0] === undefined ? undefined : commandName(rest[0])));
    return 0;
  }
  const name = commandName(first);
  const command = await COMMANDS[name].load();
  if (isHelpAsked(rest)) {
    answer(await (await import('./help.ts')).help(name));
    return 0;
  }
  return command.run(rest);
}

/** `hypertick run --help`, as the first option only: behind PROGRAM it is the program's. */
const isHelpAsked = ([option]: readonly string[]): boolean => option === '--help' || option === '-h';

function commandName(word: string): CommandName {
  if (Object.hasOwn(COMMANDS, word)) return word as CommandName;
  if (word.startsWith('-'))
    throw new FatalError(`unknown option ${word} before the command; see hypertick --help`);
  const [similar] = nearNames(word, Object.keys(COMMANDS));
  const hint = similar === undefined ? 'see hypertick --help' : `did you mean ${similar}?`;
  throw new FatalError(`unknown command '${word}'; ${hint} (a program is run by: hypertick run ${word})`);
}

/** Tells the user about an error that ended the command; returns the exit status. */
export function report(error: unknown): number {
  if (error instanceof FatalError) {
    say(error.message);
    return error.exitStatus;
  }
  if (error instanceof Error && error.name === 'HostError') {
    say(error.message);
    return ExitStatus.failure;
  }
  const what = error instanceof Error ? error.message : String(error);
  say(error instanceof PanicError ? what : `internal error: ${what}`);
  if (process.env.HYPERTICK_STACK) sayRaw(`${error instanceof Error ? error.stack : ''}\n`);
  else say('this is a bug in hypertick; HYPERTICK_STACK=1 in the environment shows where');
  return ExitStatus.failure;
}
