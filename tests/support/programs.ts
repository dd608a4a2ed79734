// The programs of the conformance tests, each with what it is given: run natively, under KVM, on the functional CPU, and by both
// in turns.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { GLIBC_X86_64_V2 } from '../../bench/functional/peers.ts';
import type { Comparison } from './compare.ts';
import { ROOT } from './hypertick.ts';
import { generatedFile, generatedText } from './inputs.ts';

export interface Program {
  readonly name: string;
  readonly argv: readonly [string, ...string[]];
  readonly how: Comparison;
}

export const BUSYBOX = '/bin/busybox';
const TEXT = generatedText(20_000);
const NUMBERS = Array.from({ length: 500 }, (_, i) => `${(i * 7919) % 1000} line ${i}\n`).join('');

/** Per applet its arguments, and what it needs beyond the two text files. */
const APPLETS: Readonly<Record<string, [args: string[], how?: Comparison]>> = {
  awk: [['{s[$1%7]+=$1} END {for (k=0;k<7;k++) print k, s[k]}', 'b.txt']],
  base64: [['a.txt']],
  cat: [['a.txt', '-', 'b.txt'], { input: 'from standard input\n' }],
  cksum: [['a.txt', 'b.txt']],
  cp: [['a.txt', 'copy'], { outputs: ['a.txt', 'copy'] }],
  cut: [['-d', ' ', '-f', '1,3', 'b.txt']],
  dd: [['if=a.txt', 'bs=100', 'skip=3', 'count=7', 'status=none']],
  diff: [['a.txt', 'b.txt']],
  expr: [['6', '*', '7']],
  factor: [['1234567890', '97']],
  false: [[]],
  find: [['.', '-type', 'f', '-size', '+8']],
  grep: [['-c', 'ba', 'a.txt']],
  gzip: [['-c'], { input: TEXT }],
  head: [['-n', '3', 'a.txt', 'b.txt']],
  hexdump: [['-C', 'a.txt']],
  ls: [['-1', '-s', '-A']],
  md5sum: [['a.txt', 'b.txt', 'no-such-file']],
  mkdir: [['-p', 'x/y/z']],
  mv: [['a.txt', 'c.txt'], { outputs: ['c.txt'] }],
  nl: [['b.txt']],
  od: [['-t', 'x2', 'a.txt']],
  printf: [['%05d:%s\\n', '42', 'x']],
  rm: [['-v', 'a.txt']],
  sed: [['-n', 's/ba/BA/gp', 'a.txt']],
  seq: [['1', '3', '100']],
  sha256sum: [['a.txt']],
  sort: [['-n', 'b.txt']],
  stat: [['-c', '%s %F %a %h', 'a.txt']],
  tac: [['b.txt']],
  tail: [['-c', '100', 'a.txt']],
  tee: [['copy'], { input: TEXT, outputs: ['copy'] }],
  tr: [['a-m', 'N-Z'], { input: TEXT }],
  uniq: [['-c'], { input: 'a\na\nb\na\n' }],
  wc: [['a.txt', 'b.txt']],
};

/** Applets of Debian's busybox over files, directories and standard input. */
export function busyboxPrograms(): Program[] {
  const files = { 'a.txt': TEXT, 'b.txt': NUMBERS };
  return Object.entries(APPLETS).map(([applet, [args, how]]) => ({
    name: `busybox ${applet}`,
    argv: [BUSYBOX, applet, ...args],
    how: { files, ...how },
  }));
}

const THREADS_PROGRAM = `
import hashlib, json, re, threading
results = {}
def work(n):
    results[n] = hashlib.sha256(str(n).encode() * 1000).hexdigest()
threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
for t in threads: t.start()
for t in threads: t.join()
words = re.findall(r'\\b(\\w+)ing\\b', 'running, jumping and thinking of nothing')
print(json.dumps({'words': words, 'digests': results}, sort_keys=True, indent=1))
`;
const MATHS_PROGRAM =
  'import math, re; print(math.gamma(7.3), 2**200 // 3**50, re.findall("a.c", "abc axc ab"), 1e22 / 7)';
const BASH_PROGRAM = 'for ((i = 0; i < 500; i++)); do ((s += i * i)); done; printf "%d %.3f\\n" $s 2.71828';
const PERL_PROGRAM =
  'my %n; $n{$_ % 7} += $_ ** 2 for 1..10000; printf "%s: %d\\n", $_, $n{$_} for sort keys %n; exit 3';
const SQL = `create table city (name text primary key, people integer);
insert into city values ('Bern', 134794), ('Basel', 173863), ('Chur', 39402);
begin; update city set people = people + 1; rollback;
create index by_people on city (people);
select name, people from city where people > 100000 order by people desc;
select count(*), sum(people), avg(people) from city;
`;

/**
 * Programs of a Debian system.
 * @param inputBytes size of what is sorted, hashed and compressed
 */
export function debianPrograms(inputBytes: number): Program[] {
  const text = { 'in.txt': generatedText(inputBytes / 5) };
  const file = generatedFile(inputBytes);
  const sort = '/usr/bin/sort';
  const python = '/usr/bin/python3';
  return [
    {
      name: 'sort, several threads',
      argv: [sort, '--parallel=4', '-S', '64M', 'in.txt'],
      how: { files: text },
    },
    {
      name: 'sort, temporary files',
      argv: [sort, '-T', '.', '-S', '256K', '-r', '-u', 'in.txt'],
      how: { files: text },
    },
    { name: 'sha256sum', argv: ['/usr/bin/sha256sum', 'in'], how: { files: { in: file } } },
    { name: 'gzip', argv: ['/usr/bin/gzip', '-9', '-c'], how: { input: file } },
    {
      name: 'xz',
      argv: ['/usr/bin/xz', '-T2', '--block-size=4MiB', '-k', 'in'],
      how: { files: { in: file }, outputs: ['in', 'in.xz'] },
    },
    { name: 'python3, threads', argv: [python, '-c', THREADS_PROGRAM], how: {} },
    {
      name: 'python3, a status',
      argv: [python, '-c', 'import sys; print("last words"); sys.exit(42)'],
      how: {},
    },
    { name: 'python3, floating point', argv: [python, '-c', MATHS_PROGRAM], how: {} },
    { name: 'bash, floating point', argv: ['/bin/bash', '-c', BASH_PROGRAM], how: {} },
    { name: 'perl', argv: ['/usr/bin/perl', '-e', PERL_PROGRAM], how: {} },
    { name: 'sqlite3', argv: ['/usr/bin/sqlite3', 'test.db'], how: { input: SQL } },
  ];
}

const GUESTS = join(ROOT, 'tests', 'guests');
/** Builds the guest programs. */
export const GUESTS_BUILD = join(GUESTS, 'build.sh');
export const GUESTS_NEED = ['/usr/bin/gcc', '/usr/lib/x86_64-linux-gnu/libc.a'] as const;
export const guest = (name: string): string => join(GUESTS, 'build', name);

/** The programs of tests/guests; each says in its head what it goes through. */
export function guestPrograms(): Program[] {
  const names = ['files', 'interrupted', 'memory', 'signals', 'threads', 'times', 'turns'];
  return [
    {
      name: 'args',
      argv: [guest('args'), 'one', '', 'three words', 'ünïcode'],
      how: { env: { GUEST_A: '1', GUEST_EMPTY: '', GUEST_B: 'x=y' } },
    },
    ...names.map((name): Program => ({ name, argv: [guest(name)], how: {} })),
  ];
}

/** wild.S is many programs: `#if defined(NO_STACK)` is the program no-stack. Those that spin end by no signal. */
export function wildPrograms(): Program[] {
  const source = readFileSync(join(GUESTS, 'wild.S'), 'utf8');
  return [...source.matchAll(/^#.*if defined\((\w+)\)/gm)]
    .map(([, name = '']) => name.toLowerCase().replaceAll('_', '-'))
    .filter((name) => !name.includes('spin'))
    .map((name) => ({ name, argv: [guest(name)], how: { crashes: true } }));
}

export const DEMO = join(ROOT, 'share', 'demo', 'mixed');
export const demoProgram = (): Program => ({ name: 'demo', argv: [DEMO], how: {} });

/**
 * Holds a program to x86-64-v2 where KVM cannot hide the host's features: glibc and OpenSSL choose their functions by CPUID.
 * The first is that of bench/functional/peers.ts; the second takes bits of CPUID.1:ECX away (PCLMULQDQ, FMA, MOVBE, AES-NI, AVX,
 * RDRAND), and all of CPUID.7.
 */
export const HELD_TO_V2 = {
  GLIBC_TUNABLES: GLIBC_X86_64_V2,
  OPENSSL_ia32cap: '~0x7e40180200000000:~0xffffffffffffffff',
} as const;
