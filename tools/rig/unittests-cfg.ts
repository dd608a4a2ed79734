// The list of tests of kvm-unit-tests, x86/unittests.cfg: sections of `name = value` lines. Its format is described in
// that project's docs/unittests.txt.

/** One section. */
export interface UnitTest {
  readonly name: string;
  /** Image, such as `apic.flat`. */
  readonly file: string;
  readonly processors: number;
  /** Arguments of the image, as a shell would read them. */
  readonly testArgs: string;
  readonly qemuParams: readonly string[];
  /** `i386` or `x86_64`; undefined: both. */
  readonly arch: string | undefined;
  readonly groups: readonly string[];
  /** Files of the host and the value that each must have: `path=value`. */
  readonly checks: readonly string[];
  readonly timeoutSeconds: number | undefined;
}

/** The sections of the file, in its order. */
export function parseUnitTests(text: string): UnitTest[] {
  const sections: { name: string; values: Map<string, string> }[] = [];
  const lines = text.split('\n');
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i]?.replace(/^\s*#.*/, '').trim() ?? '';
    const section = /^\[(.*)\]$/.exec(line);
    const setting = /^(\w+)\s*=\s*(.*)$/.exec(line);
    if (section !== null) sections.push({ name: section[1] ?? '', values: new Map() });
    else if (setting !== null) {
      let [, key = '', value = ''] = setting;
      // Three quotes hold a text of several lines.
      if (value.startsWith('"""')) {
        while (!value.slice(3).includes('"""') && i + 1 < lines.length) value += `\n${lines[++i]}`;
        value = value.slice(3, value.lastIndexOf('"""'));
      }
      if (key === 'extra_params') key = 'qemu_params';
      sections.at(-1)?.values.set(key, value);
    }
  }
  return sections.map(({ name, values }) => {
    const words = (key: string): string[] =>
      (values.get(key) ?? '').split(/\s+/).filter((word) => word !== '');
    const timeout = Number.parseInt(values.get('timeout') ?? '', 10);
    return {
      name,
      file: values.get('file') ?? '',
      processors: Number.parseInt(values.get('smp') ?? '1', 10) || 1,
      testArgs: values.get('test_args') ?? '',
      qemuParams: words('qemu_params'),
      arch: values.get('arch'),
      groups: words('groups'),
      checks: words('check'),
      timeoutSeconds: Number.isNaN(timeout) ? undefined : timeout,
    };
  });
}

/** What `hypertick boot` is told for what a test asks QEMU for, or expects of it without asking. */
const BOOT_OPTIONS: readonly {
  readonly wants: (test: UnitTest) => boolean;
  readonly options: readonly string[];
}[] = [
  {
    // The hyperv-testdev comes with --test-device then.
    wants: ({ qemuParams }) => qemuParams.some((param) => param.includes('hv_passthrough')),
    options: ['--irqchip=kernel', '--param=board.cpu.hyperV=true'],
  },
  {
    // KVM's asynchronous page faults, which every guest of QEMU sees.
    wants: ({ file }) => file === 'asyncpf.flat',
    options: ['--irqchip=kernel', '--param=board.cpu.showHypervisor=true'],
  },
];

/** Options of `hypertick boot` with which the machine has what the test wants. */
export function bootOptions(test: UnitTest): string[] {
  return BOOT_OPTIONS.filter(({ wants }) => wants(test)).flatMap(({ options }) => options);
}

/** Memory in MiB that QEMU's parameters ask for with `-m`. */
export function memoryMiB(qemuParams: readonly string[], otherwise: number): number {
  const at = qemuParams.lastIndexOf('-m');
  const [, digits, unit] = /^(\d+)([gGmM]?)$/.exec(at < 0 ? '' : (qemuParams[at + 1] ?? '')) ?? [];
  if (digits === undefined) return otherwise;
  return Number(digits) * (unit?.toLowerCase() === 'g' ? 1024 : 1);
}

/**
 * How a test ended, from QEMU's exit status or ours and what it printed on the serial port. The image writes its own
 * status v to the exit port, which makes (v << 1) | 1 of it: 1 is success, 77 means that nothing was left to test
 * (lib/report.c there). A test that crashes never gets to its summary.
 */
export function verdict(status: number | NodeJS.Signals | 'timeout', output: string): string {
  const summary = /^SUMMARY: (\d+) tests?(?:, (\d+) unexpected failures?)?.*$/m.exec(
    output.replaceAll('\r', ''),
  );
  const of = summary === null ? '' : ` ${summary[2] ?? 0}/${summary[1]}`;
  if (status === 'timeout') return `timeout${failuresSoFar(output)}`;
  // A program that refuses its arguments ends with 1 as well, and the image has said nothing.
  if (status === 1 && output.trim() === '') return 'not started';
  if (status === 1) return summary === null ? 'PASS' : `PASS ${summary[1]}`;
  if (status === 77) return 'SKIP';
  if (of !== '') return `FAIL${of}`;
  return `died ${status}${failuresSoFar(output)}`;
}

/** Reports that came out before the end, which is all one has of a test without a summary. */
function failuresSoFar(output: string): string {
  const count = (word: string): number => output.match(new RegExp(`^${word}: `, 'gm'))?.length ?? 0;
  const [pass, fail] = [count('PASS'), count('FAIL')];
  return pass + fail === 0 ? '' : ` after ${pass} passes, ${fail} failures`;
}
