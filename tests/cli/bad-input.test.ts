// Whatever a user gets wrong: one clear line on standard error, the right exit status, nothing on standard output,
// nothing written, never a JavaScript stack trace.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { CODE_ADDRESS, Code, ElfType, elf, SegmentType, writeProgram } from '../support/elf.ts';
import { hypertick, kvmIsMissing, scratchDirectory } from '../support/hypertick.ts';

interface Case {
  args: readonly string[];
  status: number;
  says: RegExp;
  /** Makes what the case needs in the working directory. */
  given?: (directory: string) => void;
  env?: Record<string, string>;
}

function check(name: string, { args, status, says, given, env }: Case): void {
  test(name, (t) => {
    const cwd = scratchDirectory(t);
    given?.(cwd);
    const before = readdirSync(cwd, { recursive: true });
    const outcome = hypertick(args, { cwd, ...(env === undefined ? {} : { env }) });
    assert.match(outcome.stderr, says);
    assert.match(outcome.stderr, /^hypertick: [^\n]+\n$/, 'one line');
    assert.equal(outcome.stdout.toString(), '');
    assert.equal(outcome.status, status);
    assert.deepEqual(readdirSync(cwd, { recursive: true }), before, 'nothing written');
  });
}

describe('the command line', () => {
  const bad = (args: readonly string[], says: RegExp): Case => ({ args, status: 125, says });
  check('unknown command', bad(['rum'], /unknown command 'rum'; did you mean run\?/));
  check(
    'unknown option',
    bad(['run', '--memor', '1GiB', 'x'], /unknown option --memor; did you mean --memory\?/),
  );
  check(
    'unknown option that resembles nothing',
    bad(['run', '--frobnicate', 'x'], /unknown option --frobnicate/),
  );
  check('unknown short option', bad(['run', '-x', 'true'], /unknown option -x/));
  check(
    'option before the command',
    bad(['--cpu', 'kvm', 'run', 'x'], /unknown option --cpu before the command/),
  );
  check('option without its value', bad(['run', '--memory'], /option --memory needs a value: --memory SIZE/));
  check(
    'option that swallows the next',
    bad(['run', '--cpu', '--memory', 'x'], /needs a value, found --memory/),
  );
  check('flag with a value', bad(['run', '--read-only=yes', 'x'], /option --read-only takes no value/));
  check('no program', bad(['run', '--read-only'], /no program given/));
  check('operand of doctor', bad(['doctor', 'me'], /doctor takes no operand, found 'me'/));
});

describe('option values', () => {
  const bad = (option: string, argument: string, says: RegExp): Case => ({
    args: ['run', option, argument, '/bin/true'],
    status: 125,
    says,
  });
  check(
    'unknown unit',
    bad('--memory', '3parsec', /option --memory: '3parsec' is not a size such as '512MiB'/),
  );
  check('no number', bad('--memory', 'lots', /option --memory: 'lots' is not a size/));
  check(
    'too little memory',
    bad('--memory', '4KiB', /option --memory: '4KiB' is not a size .* from 16MiB to/),
  );
  check('too much memory', bad('--memory', '8TiB', /option --memory: '8TiB' is not a size .* from 16MiB to/));
  check('unknown CPU', bad('--cpu', 'i387', /option --cpu: 'i387' is not one of best, kvm, functional/));
  check(
    'no instructions',
    bad('--max-insts', '0', /option --max-insts: '0' is not a whole number between 1/),
  );
  check('no time between switches', bad('--switch-every', '0ns', /option --switch-every: there is no time/));
  check(
    'none of the second CPU',
    bad('--switch-every', '1us,0ns', /option --switch-every: there is no time/),
  );
  check('three CPUs', bad('--switch-every', '1us,2us,3us', /--switch-every: '1us,2us,3us' is more than two/));
  check(
    'an interval without a unit',
    bad('--switch-every', 'often', /option --switch-every: 'often' is not a time/),
  );
  check('negative seed', bad('--seed', '-1', /option --seed: '-1' is not a whole number/));
  check('fractional ticks', bad('--max-ticks', '1.5', /option --max-ticks: '1\.5' is not a time/));
  check('no ticks', bad('--max-ticks', '0', /option --max-ticks: '0' is not a whole number between 1 and/));
  check(
    'a date that is none',
    bad('--start-time', '2026-02-31T25:00', /--start-time: '2026-02-31T25:00' is not/),
  );
  check(
    'variable without a value',
    bad('--env', 'HOME', /option --env: 'HOME' is not of the form NAME=VALUE/),
  );
  check('unknown debug flag', bad('--debug-flags', 'Kvmm', /unknown flag 'Kvmm'; did you mean Kvm/));
  check('working directory that does not exist', bad('--cwd', 'nowhere', /nowhere: no such file/));
  check('root that does not exist', bad('--root', 'nowhere', /nowhere: no such file/));
  for (const option of ['--root', '--cwd'])
    check(`${option} that is a file`, {
      ...bad(option, 'file', new RegExp(`option ${option}: file: is not a directory`)),
      given: (directory) => writeFileSync(join(directory, 'file'), ''),
    });
});

describe('outputs', () => {
  const aFile = (directory: string): void => writeFileSync(join(directory, 'file'), '');
  const bad = (option: string, argument: string, says: RegExp): Case => ({
    args: ['run', option, argument, '/bin/true'],
    status: 125,
    says,
    given: aFile,
  });
  check('directory where a file is', bad('--outdir', 'file', /output directory file: a file of that name/));
  check(
    'directory below a file',
    bad('--outdir', 'file/out', /output directory file\/out: .*not a directory/),
  );
  check(
    'directory that cannot be made',
    bad('--outdir', '/proc/out', /cannot write the output directory \/proc\/out/),
  );
  check(
    'state dump into no directory',
    bad('--dump-state', 'no/state', /cannot write no\/state: its directory/),
  );
  check(
    'debug file into no directory',
    bad('--debug-file', 'no/trace', /cannot write the debug file no\/trace: its directory does not exist/),
  );
  for (const name of ['stats.txt', 'stats.json', 'config.json'])
    check(`directory where ${name} is to be`, {
      ...bad('--outdir', '.', new RegExp(`cannot write ${name}: is a directory`)),
      given: (directory) => mkdirSync(join(directory, name)),
    });
  check('state dump where a directory is', {
    ...bad('--dump-state', 'state', /cannot write state: is a directory/),
    given: (directory) => mkdirSync(join(directory, 'state')),
  });
  check('two outputs in one file', {
    args: ['run', '--dump-state', 'x', '--debug-file', './x', '/bin/true'],
    status: 125,
    says: /options --dump-state and --debug-file: both would write \.\/x/,
  });
  for (const option of ['--dump-state', '--debug-file'])
    check(`${option} in a file of --outdir`, {
      args: ['run', '--outdir', 'link', option, 'out/crash.txt', '/bin/true'],
      status: 125,
      says: new RegExp(`options --outdir and ${option}: both would write out/crash.txt`),
      given: (directory) => {
        mkdirSync(join(directory, 'out'));
        symlinkSync('out', join(directory, 'link'));
      },
    });
});

describe('programs that are not there or cannot be executed', () => {
  check('missing file', { args: ['run', './none'], status: 127, says: /\.\/none: no such file/ });
  check('missing in PATH', {
    args: ['run', 'no-such-command'],
    status: 127,
    says: /no-such-command: not found in PATH/,
  });
  check('control characters in the name', {
    args: ['run', './a\nb\x1b[1m'],
    status: 127,
    says: /\.\/a\\nb\\x1b\[1m: no such file/,
  });
  check('empty name', { args: ['run', ''], status: 127, says: /the name is empty/ });
  check('directory', { args: ['run', '/etc'], status: 126, says: /\/etc: is a directory/ });
  check('path through a file', {
    args: ['run', './file/x'],
    status: 127,
    says: /not a directory/,
    given: (directory) => writeFileSync(join(directory, 'file'), ''),
  });
  check('file without permission', {
    args: ['run', './data'],
    status: 126,
    says: /\.\/data: permission denied/,
    given: (directory) => writeFileSync(join(directory, 'data'), elf(Code.exit(0)), { mode: 0o644 }),
  });
  check('a name that leads to itself', {
    args: ['run', '/proc/self/exe'],
    status: 126,
    says: /\/proc\/self\/exe: cannot be opened: ELOOP/,
  });
  check('a loop of symbolic links', {
    args: ['run', './loop'],
    status: 126,
    says: /\.\/loop: too many symbolic links/,
    given: (directory) => symlinkSync('loop', join(directory, 'loop')),
  });
  check('a named pipe', {
    args: ['run', './pipe'],
    status: 126,
    says: /pipe: permission denied/,
    given: (directory) => {
      execFileSync('mkfifo', ['-m', '755', join(directory, 'pipe')]);
    },
  });
  check('directory in PATH is not a program', {
    args: ['run', 'tool'],
    status: 127,
    says: /tool: not found/,
    given: (directory) => mkdirSync(join(directory, 'tool')),
    env: { PATH: '.' },
  });
});

describe('files that are no x86-64 programs', { skip: kvmIsMissing() }, () => {
  const image = elf(Code.exit(0));
  const load = { flags: 5, offset: 0, address: CODE_ADDRESS, fileSize: 0x1000, memorySize: 0x1000 };
  const FILES: Readonly<Record<string, readonly [contents: Buffer | string, says: RegExp]>> = {
    'an empty file': ['', /empty|not an ELF/i],
    'a text': ['hello\n', /not an ELF/i],
    'a script': ['#!/usr/bin/env python3\n', /\/usr\/bin\/env python3/],
    'ELF magic alone': [image.subarray(0, 4), /truncated/],
    'a header cut off': [image.subarray(0, 40), /truncated/],
    'program headers beyond the end': [elf([], { headerOffset: 0x10_0000 }), /header/],
    'program headers at the end of the world': [elf([], { headerOffset: 0xffff_ffff_ffff_fff0n }), /header/],
    'program headers of a wrong size': [elf([], { headerSize: 32 }), /header/],
    'no program headers': [elf([], { headerCount: 0, segments: [] }), /segment|header/],
    'a 32-bit program': [elf([], { elfClass: 1 }), /32-bit/],
    'a program for another machine': [elf([], { machine: 183 }), /AArch64|machine/i],
    'an object file': [elf([], { type: ElfType.REL }), /object file|relocatable/i],
    'a segment beyond the end of the file': [
      elf([], { segments: [{ ...load, fileSize: 0x9000, memorySize: 0x9000 }] }),
      /end|file/,
    ],
    'a segment larger in the file than in memory': [
      elf([], { segments: [{ ...load, memorySize: 16 }] }),
      /memory/,
    ],
    'overlapping segments': [
      elf([], {
        segments: [
          { ...load, memorySize: 0x2000 },
          { ...load, address: CODE_ADDRESS + 0x1000 },
        ],
      }),
      /overlap|order/,
    ],
    'a segment that wraps': [
      elf([], { segments: [{ ...load, address: 0xffff_ffff_ffff_f000n, memorySize: 0x2000 }] }),
      /address|wrap/,
    ],
    'a segment in the kernel half': [
      elf([], { segments: [{ ...load, address: 0xffff_8000_0000_0000n }] }),
      /address/,
    ],
  };
  for (const [name, [contents, says]] of Object.entries(FILES)) {
    check(name, {
      args: ['run', '--outdir', '.', './program'],
      status: 126,
      says,
      given: (directory) => writeProgram(join(directory, 'program'), contents),
    });
  }

  const loader = { ...load, type: SegmentType.INTERP, offset: 0x1000, fileSize: 15, memorySize: 15 };
  check('a program whose loader is missing', {
    args: ['run', './program'],
    status: 127,
    says: /\/no\/such\/ld\.so/,
    given: (directory) =>
      writeProgram(
        join(directory, 'program'),
        elf([...Buffer.from('/no/such/ld.so\0')], { segments: [load, loader] }),
      ),
  });
});
