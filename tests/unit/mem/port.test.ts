import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RequestPort, ResponsePort } from '../../../src/mem/port.ts';
import { EventQueue } from '../../../src/sim/event-queue.ts';
import { readReq, ScriptedRequestor, ScriptedResponder } from './fixtures.ts';

function pair() {
  const queue = new EventQueue('queue');
  const requestor = new ScriptedRequestor('cpu.port', queue);
  const responder = new ScriptedResponder('device.port', queue, 0, 0x1000);
  requestor.port.bind(responder.port);
  return { requestor, responder };
}

test('bound ports know each other, and neither can be bound again', () => {
  const { requestor, responder } = pair();
  assert.equal(requestor.port.peer, responder.port);
  assert.equal(responder.port.peer, requestor.port);
  assert.throws(
    () => requestor.port.bind(new ResponsePort('other', responder)),
    /bound to device.port already/,
  );
  const other = new RequestPort('other', requestor);
  assert.throws(() => other.bind(responder.port), /bound to cpu.port already/);
  assert.ok(!other.isBound, 'a refused binding leaves no trace');
});

test('an unbound port says its name', () => {
  const port = new RequestPort('cpu.port', pair().requestor);
  assert.throws(() => port.sendAtomic(readReq(0)), /cpu.port is not bound/);
});

test('an atomic access is answered at once, with its latency', () => {
  const { requestor } = pair();
  const request = readReq(0x10);
  assert.equal(requestor.port.sendAtomic(request), 1000);
  assert.ok(request.isResponse);
});

test('a refused request is sent again at the retry', () => {
  const { requestor, responder } = pair();
  responder.refusals = 1;
  requestor.send(readReq(0x10));
  assert.deepEqual(responder.log, ['0 refuse ReadReq [10:13]']);
  responder.port.sendRetryReq();
  assert.deepEqual(responder.log.slice(1), ['0 ReadReq [10:13] +0']);
});

test('a refused response is sent again at the retry', () => {
  const { requestor, responder } = pair();
  const request = readReq(0x10);
  requestor.send(request);
  request.makeResponse();
  requestor.refusals = 1;
  assert.ok(!responder.port.sendTimingResp(request));
  requestor.port.sendRetryResp();
  assert.equal(responder.log.at(-1), '0 retry');
  assert.ok(responder.port.sendTimingResp(request));
});

test('polling instead of waiting for the retry is a bug that is named', () => {
  const { requestor, responder } = pair();
  responder.refusals = 1;
  assert.ok(!requestor.port.sendTimingReq(readReq(0x10)));
  assert.throws(() => requestor.port.sendTimingReq(readReq(0x10)), /has to wait for a retry/);
});

test('a retry that nobody is owed is a bug that is named', () => {
  const { requestor, responder } = pair();
  assert.throws(() => responder.port.sendRetryReq(), /has refused no request/);
  assert.throws(() => requestor.port.sendRetryResp(), /has refused no response/);
});

test('requests and responses cannot be mixed up', () => {
  const { requestor, responder } = pair();
  assert.throws(() => responder.port.sendTimingResp(readReq(0)), /as a response/);
  const answered = readReq(0);
  answered.makeResponse();
  assert.throws(() => requestor.port.sendTimingReq(answered), /as a request/);
});
