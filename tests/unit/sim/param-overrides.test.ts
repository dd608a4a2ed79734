// Parameters that the user sets by path: over what the machine's code gives, checked, and none is lost.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bool, declareParams, float, int, size, text } from '../../../src/sim/params.ts';
import { Root } from '../../../src/sim/root.ts';
import { SimObject } from '../../../src/sim/sim-object.ts';
import { FatalError } from '../../../src/sim/trouble.ts';

const PARAMS = declareParams({
  count: int({ default: 1, min: 0, max: 8, description: 'a count' }),
  factor: float({ default: 1, description: 'a factor' }),
  size: size({ default: '1KiB', description: 'a size' }),
  isOn: bool({ default: false, description: 'a switch' }),
  label: text({ default: '', description: 'a text' }),
});
const MORE = declareParams({ extra: int({ default: 0, description: 'declared apart' }) });

class Thing extends SimObject {
  readonly values = { ...this.resolveParams(PARAMS, { count: 2 }), ...this.resolveParams(MORE, {}) };
}

function thing(...overrides: string[]) {
  const root = new Root({ overrides });
  const { values } = new Thing(new Thing(root, 'board'), 'cpu');
  root.overrides.checkAllTaken();
  return values;
}

test('what the user sets wins, in the type of the parameter', () => {
  assert.equal(thing().count, 2);
  const values = thing(
    ...['board.cpu.count=3', 'board.cpu.count=4', 'board.cpu.factor=0.5', 'board.cpu.size=2MiB'],
    ...['board.cpu.isOn=true', 'board.cpu.label=true = "yes"', 'board.cpu.extra=0x10'],
  );
  assert.deepEqual(values, {
    ...{ count: 4, factor: 0.5, size: 2 ** 21, isOn: true, label: 'true = "yes"', extra: 16 },
  });
});

test('a text parameter keeps what looks like a number', () => {
  assert.equal(thing('board.cpu.label=1').label, '1');
  assert.equal(thing('board.cpu.label=').label, '');
});

test('only the named object is meant', () => {
  assert.equal(thing('board.count=7').count, 2);
});

for (const [override, complaint] of [
  ['board.cpu.count=9', /^board\.cpu: parameter 'count': '9' is not an integer from 0 to 8$/],
  ['board.cpu.count=', /^board\.cpu: parameter 'count': '' is not an integer/],
  ['board.cpu.isOn=1', /'1' is not true or false/],
  ['board.cpu.coumt=1', /^board\.cpu has no parameter 'coumt'; did you mean count\?$/],
  ['board.cpu.zzz=1', /; there are: count, factor, size, isOn, label, extra$/],
  ['board.cpv.count=1', /^no object 'board\.cpv' has parameters; did you mean board\.cpu\?$/],
  ['count', /^'count' is not of the form PATH\.NAME=VALUE/],
  ['=', /is not of the form/],
] as const)
  test(`${override} is refused`, () => {
    assert.throws(
      () => thing(override),
      (error) => {
        assert.ok(error instanceof FatalError);
        assert.match(error.message, complaint);
        return true;
      },
    );
  });
