// The help texts, put together from the tables of commands and options.

import { COMMANDS, type CommandName } from './commands.ts';
import { describeOptions, describeRows } from './options.ts';

/** The list of commands. */
export function overview(): string {
  const rows = Object.entries(COMMANDS).map(([name, { summary }]) => [name, summary] as const);
  return `hypertick: a full-system computer simulator whose CPU can be the real one

usage: hypertick COMMAND [options] [operands]

${describeRows([...rows, ['help [COMMAND]', 'explain a command']])}
  hypertick --version says which version this is.
`;
}

/** The help text of a command, or the overview. */
export async function help(name: CommandName | undefined): Promise<string> {
  if (name === undefined) return overview();
  const command = await COMMANDS[name].load();
  const operands = command.operands === '' ? '' : ` ${command.operands}`;
  const options = Object.keys(command.options).length === 0 ? '' : `\n${describeOptions(command.options)}`;
  return `hypertick ${name}: ${COMMANDS[name].summary}

usage: hypertick ${name} [options]${operands}
${options}
${command.notes}`;
}
