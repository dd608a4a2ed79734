// Messages from the rig survive a wire that cuts them anywhere, and noise on it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeMessage, type Message, MessageReader } from '../../../tools/rig/protocol.ts';

const MESSAGES: readonly Message[] = [
  { type: 'ready', hasKvm: true, uptimeSeconds: 4.5 },
  { type: 'output', stream: 'stdout', latin1: '\x00\n\r\x7f\x80\xff' },
  { type: 'done', status: 3 },
];

test('messages come out as they went in, however the bytes are cut', () => {
  const bytes = Buffer.from(MESSAGES.map(encodeMessage).join(''));
  for (let size = 1; size <= bytes.length; size++) {
    const reader = new MessageReader();
    const found: Message[] = [];
    for (let at = 0; at < bytes.length; at += size) found.push(...reader.push(bytes.subarray(at, at + size)));
    assert.deepEqual(found, MESSAGES, `in pieces of ${size}`);
  }
});

test('a message is one line, whatever it carries', () => {
  for (const message of MESSAGES) assert.match(encodeMessage(message), /^[^\n]+\n$/);
});

test('a terminal that adds carriage returns does no harm', () => {
  assert.deepEqual(new MessageReader().push(Buffer.from('{"type":"done","status":0}\r\n\r\n')), [
    { type: 'done', status: 0 },
  ]);
});

test('lines that are no messages are passed on as output', () => {
  for (const line of ['Segmentation fault', '{"type":', '[1]', 'null', '7']) {
    assert.deepEqual(new MessageReader().push(Buffer.from(`${line}\n`)), [
      { type: 'output', stream: 'stderr', latin1: `${line}\n` },
    ]);
  }
});
