// `hypertick boot` with images of a few bytes: what ends a machine and with which status, serial ports, checkpoints. Port
// 0xf4 gives statuses as QEMU's isa-debug-exit does; the others are in docs/cli.md.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import {
  CLI_HLT,
  clockSector,
  ECHO,
  m5,
  movEdi,
  movEsi,
  out8,
  out16,
  print,
  SPIN,
  STI_HLT,
  testExit,
  UD2,
} from '../support/flat-images.ts';
import {
  HYPERTICK,
  hypertick,
  kvmIsMissing,
  type RunOptions,
  scratchDirectory,
} from '../support/hypertick.ts';

const skip = kvmIsMissing();

/** Boots an image of these bytes in a directory of its own. */
function booted(
  t: TestContext,
  image: Iterable<number>,
  args: readonly string[] = [],
  options: RunOptions = {},
) {
  const cwd = scratchDirectory(t);
  writeFileSync(join(cwd, 'image'), Uint8Array.from(image));
  const { stdout, stderr, status } = hypertick(['boot', 'image', '--memory', '16MiB', ...args], {
    cwd,
    ...options,
  });
  // What the host's KVM cannot do is said, and is not the subject here.
  const said = stderr.split('\n').filter((line) => line !== '' && !line.includes(': warn: '));
  return { cwd, stdout: stdout.toString('latin1'), said, status };
}

describe('the end of a machine', { skip }, () => {
  test('by the test-exit port: twice the value and one, after its output, silently', (t) => {
    const { stdout, said, status, cwd } = booted(t, [...print('Hello\n'), ...testExit(0x10)]);
    assert.deepEqual([stdout, said, status], ['Hello\n', [], 33]);
    assert.deepEqual(readdirSync(join(cwd, 'out')).sort(), ['config.json', 'stats.json', 'stats.txt']);
  });

  test('by ACPI: 0', (t) => {
    const { said, status } = booted(t, [...out16(0x604, (5 << 10) | (1 << 13)), ...SPIN]);
    assert.deepEqual([said, status], [[], 0]);
  });

  test('by m5_exit: 0, by m5_fail: its code', (t) => {
    assert.equal(booted(t, [...movEdi(0), ...m5(0x21), ...SPIN]).status, 0);
    assert.equal(booted(t, [...movEdi(0), ...movEsi(7), ...m5(0x22), ...SPIN]).status, 7);
  });

  const DEATHS: Record<string, [readonly number[], RegExp]> = {
    'a reset': [[...out8(0xcf9, 6), ...SPIN], /^hypertick: the guest reset the machine; see out\/crash.txt$/],
    'a triple fault': [UD2, /^hypertick: the processor shut down after a triple fault; see/],
    'a halt with interrupts off': [
      CLI_HLT,
      /^hypertick: the guest halted for good: HLT with interrupts off, or INIT without STARTUP; see/,
    ],
    'a halt without an interrupt to come': [
      [...out8(0x21, 0xff), ...STI_HLT],
      /^hypertick: the guest halted for good: it waits for an/,
    ],
  };
  for (const [name, [code, line]] of Object.entries(DEATHS))
    test(`by ${name}: 122, one line, and the registers in crash.txt`, (t) => {
      const { cwd, said, status } = booted(t, code, ['--serial', 'none']);
      assert.equal(status, 122);
      assert.equal(said.length, 1);
      assert.match(said[0] ?? '', line);
      assert.match(readFileSync(join(cwd, 'out', 'crash.txt'), 'latin1'), /\nrip 0x00000000001000/);
    });

  test('by --max-ticks: 124', (t) => {
    const { said, status } = booted(t, SPIN, ['--max-ticks', '20ms']);
    assert.deepEqual([said, status], [['hypertick: stopped at tick 20000000000 by --max-ticks'], 124]);
  });

  test('by SIGINT: 130, with statistics', async (t) => {
    const cwd = scratchDirectory(t);
    writeFileSync(join(cwd, 'image'), Uint8Array.from([...print('up'), ...SPIN]));
    const child = spawn(HYPERTICK, ['boot', 'image'], { cwd, stdio: ['ignore', 'pipe', 'ignore'] });
    await once(child.stdout, 'data');
    child.kill('SIGINT');
    const [status] = await once(child, 'exit');
    assert.equal(status, 130);
    assert.ok(existsSync(join(cwd, 'out', 'stats.txt')));
  });
});

describe('options', { skip }, () => {
  for (const args of [
    ['--memory-mode', 'timingNoncaching'],
    ['--irqchip', 'kernel'],
    ['--memory', '3584MiB'],
    ['--cpu', 'kvm', '--kind', 'flat', '--load-address', '0x200000', '--entry', '0x200000'],
  ])
    test(`${args.join(' ')} boots`, (t) => {
      const { stdout, said, status } = booted(t, [...print('ok'), ...testExit(1)], args);
      assert.deepEqual([stdout, said, status], ['ok', [], 3]);
    });

  test('--outdir, --dump-state and --summary are those of run', (t) => {
    const args = ['--outdir', 'elsewhere', '--dump-state', 'state.json', '--summary'];
    const { cwd, said } = booted(t, [...movEdi(0x1234), ...testExit(1)], args);
    assert.ok(existsSync(join(cwd, 'elsewhere', 'stats.txt')));
    assert.ok(!existsSync(join(cwd, 'out')));
    const state = JSON.parse(readFileSync(join(cwd, 'state.json'), 'utf8'));
    assert.equal(state.gpr.rdi, '0x0000000000001234');
    assert.equal(state.exit.cause, 'isa-debug-exit');
    assert.match(said.join('\n'), /simulated time/);
  });
});

describe('serial ports', { skip }, () => {
  test('standard input reaches the guest, byte for byte', (t) => {
    const input = Buffer.from([0x00, 0x03, 0x01, 0x78, 0xff, 0x0d, 0x71]);
    const { stdout, status } = booted(t, ECHO, [], { input });
    assert.deepEqual([stdout, status], [input.toString('latin1'), 11]);
  });

  test('a file gets the output, a second port another', (t) => {
    const code = [...print('one'), ...out8(0x2f8, 0x32), ...testExit(0)];
    const { cwd, stdout } = booted(t, code, ['--serial', 'com1.txt', '--serial', 'com2.txt']);
    assert.equal(stdout, '');
    assert.equal(readFileSync(join(cwd, 'com1.txt'), 'latin1'), 'one');
    assert.equal(readFileSync(join(cwd, 'com2.txt'), 'latin1'), '2');
  });

  test('a TCP port is a console', async (t) => {
    const cwd = scratchDirectory(t);
    writeFileSync(join(cwd, 'image'), Uint8Array.from(ECHO));
    const port = await freePort();
    const child = spawn(HYPERTICK, ['boot', 'image', '--serial', `tcp:${port},wait`], {
      cwd,
      stdio: 'ignore',
    });
    const exited = once(child, 'exit');
    const socket = await connectSoon(port);
    socket.write('helloq');
    let heard = '';
    socket.on('data', (bytes) => {
      heard += bytes;
    });
    const [status] = await exited;
    if (!socket.readableEnded) await once(socket, 'end');
    assert.deepEqual([heard, status], ['helloq', 11]);
  });
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  return port;
}

/** A connection to a server that is about to listen. */
async function connectSoon(port: number): Promise<ReturnType<typeof connect>> {
  for (;;) {
    const socket = connect(port, '127.0.0.1');
    try {
      await once(socket, 'connect');
      return socket;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ECONNREFUSED') throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

describe('checkpoints', { skip }, () => {
  /** Dots of 60 interrupts, 10 ms apart. */
  const CLOCK = clockSector(60);

  for (const irqchip of ['simulated', 'kernel'])
    test(`a machine goes on where it was saved: irqchip ${irqchip}`, (t) => {
      const saved = booted(t, CLOCK, ['--irqchip', irqchip, '--checkpoint-at', '205ms', 'cpt']);
      assert.deepEqual([saved.stdout, saved.status], ['.'.repeat(60), 3], 'saving changes nothing');
      const { stdout, status } = hypertick(['boot', '--restore', 'cpt'], { cwd: saved.cwd });
      const dots = stdout.toString().length;
      assert.equal(stdout.toString(), '.'.repeat(dots));
      // Interrupts that come while the host keeps the guest from running are one in the kernel's controllers.
      const most = irqchip === 'simulated' ? 41 : 59;
      assert.ok(dots >= 39 && dots <= most, `${dots} dots of 60 after 205 of 600 ms`);
      assert.equal(status, 3);
    });

  test('keeps what --param has set; what is given with --restore counts more', (t) => {
    const params = ['--param', 'board.cpu.features=-avx2', '--param', 'board.cpu.tscDrift=70us'];
    const { cwd } = booted(t, SPIN, [...params, '--checkpoint-at', '1ms', 'cpt', '--max-ticks', '2ms']);
    const cpuAfter = (...options: string[]): Record<string, unknown> => {
      const { status, stderr } = hypertick(['boot', '--restore', 'cpt', '--max-ticks', '3ms', ...options], {
        cwd,
      });
      assert.equal(status, 124, stderr);
      return JSON.parse(readFileSync(join(cwd, 'out', 'config.json'), 'utf8')).children.board.children.cpu
        .params;
    };
    const { features, tscDrift } = cpuAfter();
    assert.deepEqual([features, tscDrift], ['-avx2', 70_000_000]);
    assert.equal(cpuAfter('--param', 'board.cpu.tscDrift=80us').tscDrift, 80_000_000);
  });

  test('several times, and at the guest’s own wish in the output directory', (t) => {
    const code = [...movEdi(0), ...movEsi(0), ...m5(0x43), ...testExit(4)];
    const { cwd, status } = booted(t, code);
    assert.equal(status, 9);
    const [name = ''] = readdirSync(join(cwd, 'out')).filter((entry) => entry.startsWith('cpt.'));
    assert.equal(hypertick(['boot', '--restore', join('out', name)], { cwd }).status, 9);
    const twice = ['--checkpoint-at', '5ms', 'a', '--checkpoint-at', '3ms', 'b', '--max-ticks', '8ms'];
    const spinning = booted(t, SPIN, twice);
    assert.equal(spinning.status, 124);
    const tick = (name: string) =>
      JSON.parse(readFileSync(join(spinning.cwd, name, 'manifest.json'), 'utf8')).tick;
    assert.ok(BigInt(tick('b')) < BigInt(tick('a')));
  });

  test('that there was no time for are reported; times before the checkpoint are refused', (t) => {
    const { cwd, said } = booted(t, SPIN, [
      '--checkpoint-at',
      '2ms',
      'a',
      '--checkpoint-at',
      '9s',
      'b',
      '--max-ticks',
      '3ms',
    ]);
    assert.match(
      said.at(-1) ?? '',
      /^hypertick: no checkpoint b: the run ended at tick 3000000000, before 9000000000000$/,
    );
    for (const option of [
      ['--max-ticks', '1ms'],
      ['--checkpoint-at', '1ms', 'c'],
    ]) {
      const { stderr, status } = hypertick(['boot', '--restore', 'a', ...option], { cwd });
      assert.match(
        stderr,
        /^hypertick: --(max-ticks|checkpoint-at): 1000000000 is in the past: the checkpoint is of tick 2/,
      );
      assert.equal(status, 125);
    }
  });

  test('of another machine is refused in one line', (t) => {
    const { cwd } = booted(t, SPIN, [
      '--memory',
      '64MiB',
      '--checkpoint-at',
      '2ms',
      'cpt',
      '--max-ticks',
      '3ms',
    ]);
    const { stderr, status } = hypertick(['boot', '--restore', 'cpt', '--memory', '1GiB'], { cwd });
    assert.equal(status, 125);
    assert.match(
      stderr,
      /^hypertick: --memory 1024MiB: the checkpoint cpt is of a machine with 64MiB; leave/,
    );
  });
});
