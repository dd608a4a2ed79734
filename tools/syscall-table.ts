/**
 * Writes docs/syscalls.md from the system call table: `node tools/syscall-table.ts`. A test says whether it
 * is current.
 */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { SYSCALL_GROUPS, type SyscallEntry, syscallTable } from '../src/workload/linux/syscall-table.ts';

export const DOCUMENT = fileURLToPath(new URL('../docs/syscalls.md', import.meta.url));

const HEAD = `# System calls

What \`hypertick run\` does with each system call of x86-64 Linux. Made from the table in
\`src/workload/linux/syscall-table.ts\` by \`node tools/syscall-table.ts\`; edit there.

- **Done**: made by the simulator, with Linux's results and errors for what single-process programs use.
- **Refused**: fails by intent, with the errno that programs cope with best. Where something is lost, a warning says so once.
- **Unknown**: fails with ENOSYS and a warning that names the call, once.

Time is simulated, randomness is seeded, there is one CPU, and nobody but the program's own threads exists.
`;

/** The document's text. */
export function renderSyscalls(): string {
  const table = syscallTable();
  const done = table.filter(({ subject }) => subject !== undefined);
  const refused = table.filter(({ subject, refusal }) => subject === undefined && refusal !== undefined);
  const unknown = table.filter(({ subject, refusal }) => subject === undefined && refusal === undefined);
  const sections = SYSCALL_GROUPS.map(([subject]) => {
    const rows = done.filter((entry) => entry.subject === subject);
    return `### ${subject} (${rows.length})\n\n${names(rows)}\n`;
  });
  return [
    HEAD,
    `## Done (${done.length})\n`,
    ...sections,
    `## Refused (${refused.length})\n`,
    ['| call | errno | why |', '| --- | --- | --- |', ...refused.map(refusalRow)].join('\n'),
    `\n## Unknown (${unknown.length})\n`,
    `${names(unknown)}\n`,
  ].join('\n');
}

function names(rows: readonly SyscallEntry[]): string {
  return rows.map(({ name, nr }) => `\`${name}\` ${nr}`).join(', ');
}

function refusalRow({ name, nr, refusal }: SyscallEntry): string {
  return `| \`${name}\` ${nr} | ${refusal!.errno} | ${refusal!.why} |`;
}

if (import.meta.main) writeFileSync(DOCUMENT, renderSyscalls());
