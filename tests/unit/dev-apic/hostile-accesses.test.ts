import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IoApic } from '../../../src/dev/x86/apic/io-apic.ts';
import { advanceTo, copyState, makeApics, Prober, randomNumbers } from './apic-bench.ts';

const SIZES = [1, 2, 4, 4, 4] as const;

test('random accesses, messages, levels and time neither fail nor flood the event queue, and can be saved', () => {
  const random = randomNumbers(0xbeef_cafe);
  const { root, bus, probes } = makeApics({}, {});
  const ioApic = new IoApic(root, 'ioApic', bus);
  const ioProber = new Prober(ioApic.pio);
  const pins = Array.from({ length: 24 }, (_, n) => ioApic.input(n));
  const [first, second] = probes as [(typeof probes)[0], (typeof probes)[0]];
  first.apic.msrsReachable = true;
  const word = () => (random(3) === 0 ? random(0x10_0000) : random(2 ** 32));
  let tick = 0;
  let events = 0;
  const probe = () => (random(2) === 0 ? first : second);
  const steps = [
    () => probe().write(16 * random(80), word()),
    () => probe().write(random(0x1000), word(), SIZES[random(5)]!),
    () => probe().read(random(0x1000), SIZES[random(5)]!),
    () => probe().write('svr', 0x100 + random(256)),
    () => first.apic.writeMsr(0x800 + random(0x48), BigInt(word()) << (random(8) === 0 ? 32n : 0n)),
    () => first.apic.writeMsr(0x6e0, BigInt(random(4) * tick) / 500n),
    () => first.apic.readMsr(0x800 + random(0x48)),
    () => random(200) === 0 && first.apic.writeMsr(0x1b, 0xfee0_0000n + BigInt(0x400 * random(4))),
    () => ioProber.write(0xfec0_0000, random(0x48)),
    () => ioProber.write(0xfec0_0010, word(), SIZES[random(5)]!),
    () => ioProber.read(0xfec0_0000 + random(0x1000), SIZES[random(5)]!),
    () => pins[random(24)]!.setLevel(random(2) === 0),
    () => probe().apic[random(2) === 0 ? 'lint0' : 'lint1'].setLevel(random(2) === 0),
    () => probe().apic.takeExternal(),
    () => probe().write('eoi', 0),
    () => {
      const { apic } = probe();
      if (apic.hasInit) apic.takeInit();
      else if (apic.hasStartup) apic.takeStartup();
      else if (apic.hasNmi) apic.takeNmi();
    },
    () => {
      tick += random(1_000_000);
      events += advanceTo(root, tick);
    },
  ];
  const STEPS = 60_000;
  for (let i = 0; i < STEPS; i++) {
    steps[random(steps.length)]!();
    if (i % 5000 !== 0) continue;
    const copy = makeApics({}).probes[0]!;
    copyState(first.apic, copy.apic);
    assert.deepEqual(
      copy.apic.saveState().registers.subarray(0, 0x39),
      first.apic.saveState().registers.subarray(0, 0x39),
    );
    assert.equal(copy.apic.isPending, first.apic.isPending);
  }
  assert.ok(events < STEPS, 'at most one event per access');
  assert.ok(tick > 0 && root.eventQueue.size <= 2);
});
