// `hypertick doctor`: what this host offers to the simulator, and what to do about what is missing.

import { type HostProbe, type KvmFlavour, probeHost } from '../host/probe.ts';
import { FatalError } from '../sim/trouble.ts';
import type { Command } from './commands.ts';
import { parseOptions } from './options.ts';
import { answer } from './terminal.ts';

const NOTES = `The exit status is 0 if programs can be run here, else 1.
`;

export const command: Command = { operands: '', options: {}, notes: NOTES, run };

async function run(args: readonly string[]): Promise<number> {
  const { operands } = parseOptions({}, args);
  if (operands[0] !== undefined) throw new FatalError(`doctor takes no operand, found '${operands[0]}'`);
  const findings = diagnose(probeHost());
  answer(formatFindings(findings));
  return findings.some(({ verdict }) => verdict === 'missing') ? 1 : 0;
}

/** One line of the report. `missing` keeps programs from being run, `limited` costs something. */
export interface Finding {
  readonly subject: string;
  readonly verdict: 'ok' | 'limited' | 'missing';
  readonly text: string;
  /** What the user can do. */
  readonly remedy?: string;
}

const FLAVOURS: Readonly<Record<KvmFlavour, string>> = {
  vmx: 'Intel VT-x: user and kernel code at full speed',
  svm: 'AMD-V: user and kernel code at full speed',
  pvm: 'PVM: user code at full speed, kernel code emulated, exits to the simulator cost tens of microseconds',
  arm64: 'arm64; simulated programs are x86-64 so far: the functional CPU runs them',
  unknown: 'of unknown kind',
};

/** What the probe found, judged. */
export function diagnose(probe: HostProbe): Finding[] {
  return [host(probe), node(probe), kvm(probe), functional(), counters(probe), memory(probe)];
}

function host({ system, processor }: HostProbe): Finding {
  const text = `${system.arch}, Linux ${system.kernel}, ${processor.count} × ${processor.model}`;
  if (system.isLinux) return { subject: 'host', verdict: 'ok', text };
  return {
    subject: 'host',
    verdict: 'missing',
    text: `not Linux (${system.arch})`,
    remedy: 'run on a Linux host',
  };
}

function node({ node: { version, tested, isTested, nativeCalls } }: HostProbe): Finding {
  const range = `${tested.min} up to, not including, ${tested.below}`;
  const remedy = 'install with the optional dependencies (npm ci): the tested Node comes along';
  if (!nativeCalls)
    return { subject: 'node', verdict: 'missing', text: `${version} has no node:ffi`, remedy };
  if (isTested) return { subject: 'node', verdict: 'ok', text: `${version} (tested: ${range})` };
  return { subject: 'node', verdict: 'limited', text: `${version} is not tested (${range} is)`, remedy };
}

function kvm({ kvm: found }: HostProbe): Finding {
  if (!found.available) {
    const { reason, remedy } = found;
    return {
      subject: 'kvm',
      verdict: 'limited',
      text: `${reason}; programs run on the functional CPU, more slowly, and machines do not boot`,
      remedy,
    };
  }
  const text = `${found.path} works, ${FLAVOURS[found.flavour]}`;
  if (found.flavour === 'pvm')
    return {
      subject: 'kvm',
      verdict: 'limited',
      text,
      remedy:
        'programs and small bare-metal images run, Linux does not boot: that takes a host with VT-x or AMD-V',
    };
  return { subject: 'kvm', verdict: found.flavour === 'arm64' ? 'limited' : 'ok', text };
}

/** It needs nothing of the host. */
function functional(): Finding {
  const text = 'the functional CPU works: x86-64-v2, the same everywhere (run --cpu functional)';
  return { subject: 'functional', verdict: 'ok', text };
}

function counters({ perf: { hardware, paranoid } }: HostProbe): Finding {
  const subject = 'counters';
  if (hardware.available) return { subject, verdict: 'ok', text: 'hardware performance counters work' };
  const level = paranoid === undefined ? '' : `, perf_event_paranoid is ${paranoid}`;
  const text =
    `no hardware counters (${hardware.reason}${level}): ` +
    'instructions are not counted, and time in the guest is read from the clock';
  return {
    subject,
    verdict: 'limited',
    text,
    ...(hardware.remedy === '' ? {} : { remedy: hardware.remedy }),
  };
}

function memory({ memory: { totalBytes, availableBytes, hugePages } }: HostProbe): Finding {
  const text = `${gib(availableBytes)} of ${gib(totalBytes)} available, huge pages: ${hugePages ?? 'none'}`;
  if (hugePages === 'always' || hugePages === 'madvise') return { subject: 'memory', verdict: 'ok', text };
  const remedy = 'echo madvise > /sys/kernel/mm/transparent_hugepage/enabled speeds guests up';
  return { subject: 'memory', verdict: 'limited', text, remedy };
}

const gib = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(1)} GiB`;

/** The report as text. */
export function formatFindings(findings: readonly Finding[]): string {
  return findings
    .map(({ subject, verdict, text, remedy }) => {
      const head = `${subject.padEnd(10)} ${verdict.padEnd(8)} ${text}\n`;
      return remedy === undefined ? head : `${head}${' '.repeat(20)}→ ${remedy}\n`;
    })
    .join('');
}
