// Real programs of a Debian system: the same bytes and the same exit status as natively.

import { describe, test } from 'node:test';
import { assertSameAsNative } from '../support/compare.ts';
import { missing } from '../support/hypertick.ts';
import { generatedFile, generatedText } from '../support/inputs.ts';

const TEN_MB = 10_000_000;

describe('sort', { skip: missing('/usr/bin/sort') }, () => {
  const files = { 'in.txt': generatedText(2_000_000) };
  test('with several threads', (t) =>
    assertSameAsNative(t, ['/usr/bin/sort', '--parallel=4', '-S', '64M', 'in.txt'], { files }));
  test('through temporary files', (t) =>
    assertSameAsNative(t, ['/usr/bin/sort', '-T', '.', '-S', '256K', '-r', '-u', 'in.txt'], { files }));
});

test('sha256sum of 10 MB', { skip: missing('/usr/bin/sha256sum') }, (t) =>
  assertSameAsNative(t, ['/usr/bin/sha256sum', 'in'], { files: { in: generatedFile(TEN_MB) } }),
);

test('gzip -9 of 10 MB from standard input', { skip: missing('/usr/bin/gzip') }, (t) =>
  assertSameAsNative(t, ['/usr/bin/gzip', '-9', '-c'], { input: generatedFile(TEN_MB) }),
);

test('xz -T2 of 10 MB', { skip: missing('/usr/bin/xz') }, (t) =>
  assertSameAsNative(t, ['/usr/bin/xz', '-T2', '--block-size=4MiB', '-k', 'in'], {
    files: { in: generatedFile(TEN_MB) },
    outputs: ['in', 'in.xz'],
  }),
);

describe('python3', { skip: missing('/usr/bin/python3') }, () => {
  const PROGRAM = `
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
  test('with json, re, hashlib and threading', (t) =>
    assertSameAsNative(t, ['/usr/bin/python3', '-c', PROGRAM]));
  test('exits with the status that it asks for', (t) =>
    assertSameAsNative(t, ['/usr/bin/python3', '-c', 'import sys; print("last words"); sys.exit(42)']));
});

test('perl', { skip: missing('/usr/bin/perl') }, (t) =>
  assertSameAsNative(t, [
    '/usr/bin/perl',
    '-e',
    'my %n; $n{$_ % 7} += $_ ** 2 for 1..10000; printf "%s: %d\\n", $_, $n{$_} for sort keys %n; exit 3',
  ]),
);

test('sqlite3 creates and queries a table', { skip: missing('/usr/bin/sqlite3') }, (t) =>
  assertSameAsNative(t, ['/usr/bin/sqlite3', 'test.db'], {
    input: `create table city (name text primary key, people integer);
insert into city values ('Bern', 134794), ('Basel', 173863), ('Chur', 39402);
begin; update city set people = people + 1; rollback;
create index by_people on city (people);
select name, people from city where people > 100000 order by people desc;
select count(*), sum(people), avg(people) from city;
`,
  }),
);
