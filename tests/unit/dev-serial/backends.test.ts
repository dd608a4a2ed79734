import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { BufferedBackend } from '../../../src/dev/serial/buffered-backend.ts';
import { BREAK, type CharBackend, NO_INPUT } from '../../../src/dev/serial/char-backend.ts';
import { FileBackend } from '../../../src/dev/serial/file-backend.ts';
import { openBackend } from '../../../src/dev/serial/open-backend.ts';
import { TcpBackend } from '../../../src/dev/serial/tcp-backend.ts';
import { TerminalBackend, type TerminalInput } from '../../../src/dev/serial/terminal-backend.ts';
import { FatalError } from '../../../src/sim/trouble.ts';

/** Joins a back end to nothing but a notebook. */
function listen(backend: CharBackend) {
  const heard = { arrivals: 0, troubles: [] as string[] };
  backend.connect({
    inputArrived: () => {
      heard.arrivals++;
    },
    trouble: (message) => void heard.troubles.push(message),
  });
  return heard;
}

function say(backend: CharBackend, text: string): void {
  for (const byte of Buffer.from(text, 'latin1')) backend.write(byte);
}

function hear(backend: CharBackend): number[] {
  const heard: number[] = [];
  for (let byte = backend.read(); byte !== NO_INPUT; byte = backend.read()) heard.push(byte);
  return heard;
}

function directory(t: TestContext): string {
  const made = mkdtempSync(join(tmpdir(), 'serial-'));
  t.after(() => rmSync(made, { recursive: true }));
  return made;
}

class Recorder extends BufferedBackend {
  readonly sent: string[] = [];
  released = 0;

  protected override send(bytes: Uint8Array): void {
    this.sent.push(Buffer.from(bytes).toString('latin1'));
  }

  protected override release(): void {
    this.released++;
  }
}

test('output is sent in one piece when the event loop turns', async () => {
  const backend = new Recorder();
  say(backend, 'hello, ');
  say(backend, 'world');
  assert.deepEqual(backend.sent, []);
  await nextTurn();
  assert.deepEqual(backend.sent, ['hello, world']);
});

test('a full buffer is sent at once, and close sends the rest, once', () => {
  const backend = new Recorder();
  say(backend, 'x'.repeat(65_537));
  assert.deepEqual(
    backend.sent.map((piece) => piece.length),
    [65_536],
  );
  backend.close();
  backend.close();
  assert.deepEqual(
    backend.sent.map((piece) => piece.length),
    [65_536, 1],
  );
  assert.equal(backend.released, 1);
});

test('a file is there from the start, is emptied when the machine begins, and keeps its contents if asked to', (t) => {
  const path = join(directory(t), 'console');
  writeFileSync(path, 'old\n');
  const fresh = new FileBackend(path);
  assert.equal(readFileSync(path, 'latin1'), 'old\n');
  fresh.begin();
  assert.equal(readFileSync(path, 'latin1'), '');
  say(fresh, 'boot\xff\n');
  fresh.flush();
  assert.equal(readFileSync(path, 'latin1'), 'boot\xff\n');
  fresh.close();
  const more = new FileBackend(path, { append: true });
  more.begin();
  say(more, 'again\n');
  more.close();
  assert.equal(readFileSync(path, 'latin1'), 'boot\xff\nagain\n');
});

test('a file that cannot be opened is one clear line', (t) => {
  const path = join(directory(t), 'missing', 'console');
  assert.throws(
    () => new FileBackend(path),
    new FatalError(`cannot write ${path}: its directory does not exist`),
  );
});

test('a full disk is said once, and the simulation goes on', () => {
  const backend = new FileBackend('/dev/full');
  const heard = listen(backend);
  for (let i = 0; i < 3; i++) {
    say(backend, 'x');
    backend.flush();
  }
  backend.close();
  assert.deepEqual(heard.troubles, [
    'cannot write /dev/full: no space left on device; the rest of the output is lost',
  ]);
});

/** A keyboard: what is written to `keys` is typed. */
function terminal(isTTY: boolean, outputFd: number) {
  const keys = new PassThrough();
  const modes: boolean[] = [];
  const process = new EventEmitter();
  let quits = 0;
  const input = Object.assign(keys, {
    isTTY,
    setRawMode: (isRaw: boolean) => modes.push(isRaw),
  }) as unknown as TerminalInput;
  const options = { input, outputFd, process, quit: () => void quits++ };
  const backend = new TerminalBackend(options);
  return { keys, modes, process, backend, quits: () => quits };
}

function scratch(t: TestContext) {
  const path = join(directory(t), 'output');
  const fd = openSync(path, 'w');
  t.after(() => closeSync(fd));
  return { fd, text: () => readFileSync(path, 'latin1') };
}

test('a terminal passes every key to the guest, Ctrl-c too, except after the escape key', async (t) => {
  const { fd, text } = scratch(t);
  const { keys, backend, quits } = terminal(true, fd);
  keys.write('a\x03b\x01');
  keys.write('\x01c\x01bd\x01zx');
  await nextTurn();
  assert.deepEqual(hear(backend), [0x61, 0x03, 0x62, 0x01, 0x63, BREAK, 0x64, 0x78]);
  assert.equal(quits(), 0);
  keys.write('\x01h');
  await nextTurn();
  assert.match(text(), /C-a x {4}end the simulation\n/);
  keys.write('e\x01x');
  await nextTurn();
  assert.deepEqual(hear(backend), [0x65]);
  assert.equal(quits(), 1);
  backend.close();
});

test('a terminal is raw from beginning to end, and again after the process was stopped', (t) => {
  const { modes, process, backend } = terminal(true, scratch(t).fd);
  assert.equal(modes.at(-1), true);
  modes.push(false);
  process.emit('SIGCONT');
  assert.equal(modes.at(-1), true);
  process.emit('exit');
  assert.equal(modes.at(-1), false);
  backend.close();
  assert.equal(modes.at(-1), false);
  assert.equal(process.listenerCount('exit') + process.listenerCount('SIGCONT'), 0);
});

test('what is no terminal is a stream of bytes with an end', async (t) => {
  const { keys, modes, backend } = terminal(false, scratch(t).fd);
  keys.end('\x01x\xff', 'latin1');
  await once(keys, 'close');
  assert.deepEqual(modes, []);
  assert.equal(backend.canInput, true);
  assert.deepEqual(hear(backend), [0x01, 0x78, 0xff]);
  assert.equal(backend.canInput, false);
  backend.close();
});

test('a guest that does not read holds the source back', async (t) => {
  const { keys, backend } = terminal(false, scratch(t).fd);
  keys.write(Buffer.alloc(65_536));
  await nextTurn();
  assert.equal(keys.isPaused(), true);
  assert.equal(hear(backend).length, 65_536);
  assert.equal(keys.isPaused(), false);
  backend.close();
});

test('waiting ends when input comes, when it ends, and when the time is over', async (t) => {
  const { keys, backend } = terminal(false, scratch(t).fd);
  await backend.waitForInput(1);
  const input = backend.waitForInput(60_000);
  keys.write('x');
  await input;
  hear(backend);
  const end = backend.waitForInput(60_000);
  keys.end();
  await end;
  await backend.waitForInput(60_000);
  backend.close();
});

async function client(port: number) {
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  let text = '';
  socket.on('data', (bytes) => {
    text += bytes.toString('latin1');
  });
  const expect = async (wanted: string) => {
    while (!text.includes(wanted)) await once(socket, 'data');
  };
  return { socket, expect, text: () => text };
}

test('a TCP port serves one client after the other, in both directions', async () => {
  const backend = await TcpBackend.listen(0);
  const heard = listen(backend);
  say(backend, 'before anybody came\n');
  backend.flush();
  const first = await client(backend.port);
  await first.expect('before anybody came\n');
  first.socket.write('abc');
  await backend.waitForInput(60_000);
  assert.deepEqual(hear(backend), [0x61, 0x62, 0x63]);
  const second = await client(backend.port);
  await second.expect('Somebody else is connected');
  first.socket.destroy();
  second.socket.destroy();
  // The farewell is noticed some turns later: until then the next one is turned away.
  for (;;) {
    const third = await client(backend.port);
    third.socket.write('x');
    const closed = once(third.socket, 'close');
    await Promise.race([closed, backend.waitForInput(60_000)]);
    if (third.text() === '') {
      say(backend, 'bye');
      backend.close();
      await closed;
      assert.equal(third.text(), 'bye');
      break;
    }
  }
  assert.ok(heard.arrivals >= 2);
  assert.deepEqual(heard.troubles, []);
});

test('a port that is taken is one clear line', async () => {
  const first = await TcpBackend.listen(0);
  await assert.rejects(
    TcpBackend.listen(first.port),
    new FatalError(`cannot listen on 127.0.0.1:${first.port}: the port is taken; choose another`),
  );
  first.close();
});

test('with wait, listening is over when the first client has come', async () => {
  const probe = await TcpBackend.listen(0);
  const { port } = probe;
  probe.close();
  let isThere = false;
  const waiting = TcpBackend.listen(port, { wait: true }).then((backend) => {
    isThere = true;
    return backend;
  });
  await nextTurn();
  assert.equal(isThere, false);
  const { socket } = await client(port);
  (await waiting).close();
  socket.destroy();
});

test('back ends have names; what is none is one clear line', async (t) => {
  const stdio = {
    input: new PassThrough() as unknown as TerminalInput,
    process: new EventEmitter(),
    quit: () => {},
  };
  const path = join(directory(t), 'tcp:1');
  assert.ok((await openBackend('stdio', stdio)) instanceof TerminalBackend);
  assert.equal((await openBackend('null', stdio)).canInput, false);
  const file = await openBackend(`file:${path}`, stdio);
  assert.ok(file instanceof FileBackend);
  file.close();
  for (const bad of ['tcp:', 'tcp:0', 'tcp:65536', 'tcp:x', 'tcp:80,nowait', '', 'file:']) {
    await assert.rejects(openBackend(bad, stdio), FatalError, bad);
  }
});
