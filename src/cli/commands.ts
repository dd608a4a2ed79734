// The sub-commands: one row each. A command's module is loaded when it is used.

import type { OptionTable } from './options.ts';

/** What the module of a sub-command exports as `command`. */
export interface Command {
  /** Placeholders behind the options, for the usage line. */
  readonly operands: string;
  readonly options: OptionTable;
  /** Paragraphs below the option list of the help text. */
  readonly notes: string;
  /** Runs with the arguments behind the command's name; returns the exit status. Trouble is thrown. */
  run(args: readonly string[]): Promise<number>;
}

interface CommandRow {
  readonly summary: string;
  load(): Promise<Command>;
}

export const COMMANDS = {
  run: {
    summary: 'run a Linux program on the simulated machine',
    load: async () => (await import('./run.ts')).command,
  },
  boot: {
    summary: 'boot a kernel or a bare-metal image on a simulated PC',
    load: async () => (await import('./boot.ts')).command,
  },
  demo: {
    summary: 'run the bundled program and print what the simulator saw',
    load: async () => (await import('./demo.ts')).command,
  },
  doctor: {
    summary: 'say what this host offers, and what to do about what is missing',
    load: async () => (await import('./doctor.ts')).command,
  },
} satisfies Record<string, CommandRow>;

export type CommandName = keyof typeof COMMANDS;
