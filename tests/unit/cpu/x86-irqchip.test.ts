// The in-kernel interrupt controllers over a scripted VM: routes, pins, and state that travels in the records of the
// simulated ones. Linux arch/x86/include/uapi/asm/kvm.h, kvm_pic_state, kvm_ioapic_state, kvm_lapic_state.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MsrIndex } from '../../../src/arch/x86/msrs.ts';
import { Activity, activityOf, setActivity } from '../../../src/arch/x86/processor-reset.ts';
import { RegClass } from '../../../src/arch/x86/thread-context.ts';
import { type IrqchipVm, KvmIrqchip, pcRoutes } from '../../../src/cpu/kvm/x86/kvm-irqchip.ts';
import { KvmMpState } from '../../../src/host/kvm/abi.ts';
import { KvmIrqchip as Chip, KvmIrqchipId, KvmLapicState } from '../../../src/host/kvm/abi-x86.ts';
import type { IrqRoute } from '../../../src/host/kvm/vm.ts';
import { Root } from '../../../src/sim/root.ts';
import { fakeFullSystem } from '../../support/fake-full-system.ts';
import { FakeIrqchip } from '../../support/fake-irqchip.ts';
import { FakeVcpu } from '../../support/fake-vcpu.ts';

/** A VM's descriptor with memory of its own for the three chips. */
class FakeVm implements IrqchipVm {
  readonly log: string[] = [];
  readonly chips = [0, 1, 2].map((chip) => {
    const bytes = new Uint8Array(Chip.size).map((_, i) => (i * 7 + chip) & 0xff);
    bytes.set([chip, 0, 0, 0], 0);
    return bytes;
  });
  routes: readonly IrqRoute[] = [];
  irqLine(irq: number, level: boolean): void {
    this.log.push(`irq ${irq} ${level}`);
  }
  getIrqchip(buffer: Uint8Array): void {
    buffer.set(this.chips[buffer[0]!]!);
  }
  setIrqchip(buffer: Uint8Array): void {
    this.log.push(`set chip ${buffer[0]}`);
    this.chips[buffer[0]!]!.set(buffer);
  }
  setGsiRouting(routes: readonly IrqRoute[]): void {
    this.routes = routes;
  }
}

function irqchip() {
  const root = new Root({ warnSink: () => {} });
  const vm = new FakeVm();
  let made: (vm: IrqchipVm) => void = () => {};
  const chip = new KvmIrqchip(root, 'irqchip', {
    useIrqchip: (whenMade) => {
      made = whenMade;
    },
  });
  return { root, vm, chip, make: () => made(vm) };
}

test('ISA interrupts reach an 8259 and the I/O APIC, the timer at input 2; the cascade is no input', () => {
  const of = (gsi: number) =>
    pcRoutes()
      .filter((route) => route.gsi === gsi)
      .map(({ chip, pin }) => [chip, pin]);
  const { PIC_MASTER, PIC_SLAVE, IOAPIC } = KvmIrqchipId;
  assert.deepEqual(of(0), [
    [PIC_MASTER, 0],
    [IOAPIC, 2],
  ]);
  assert.deepEqual(of(2), []);
  assert.deepEqual(of(4), [
    [PIC_MASTER, 4],
    [IOAPIC, 4],
  ]);
  assert.deepEqual(of(15), [
    [PIC_SLAVE, 7],
    [IOAPIC, 15],
  ]);
  assert.deepEqual(of(17), [[IOAPIC, 17]]);
  assert.ok(pcRoutes().every(({ pin, chip }) => pin < (chip === IOAPIC ? 24 : 8)));
});

test('a pin that was driven before the machine was made is driven then', () => {
  const m = irqchip();
  const pin = m.chip.input(4);
  pin.setLevel(true);
  m.make();
  pin.setLevel(false);
  assert.deepEqual(m.vm.log, ['irq 4 true', 'irq 4 false']);
  assert.equal(m.vm.routes.length, pcRoutes().length);
});

test('synthetic interrupt sources have lines behind those of the PC, which are raised and never lowered', () => {
  const m = irqchip();
  m.chip.routeSints(2);
  m.make();
  const sints = m.vm.routes.slice(pcRoutes().length);
  assert.deepEqual(sints[0], { gsi: 24, vpIndex: 0, sint: 0 });
  assert.deepEqual(sints.at(-1), { gsi: 24 + 31, vpIndex: 1, sint: 15 });
  assert.equal(new Set(m.vm.routes.map(({ gsi }) => gsi)).size, 23 + 32);
  m.chip.raiseSint(1, 3);
  m.chip.raiseSint(1, 3);
  assert.deepEqual(m.vm.log, ['irq 43 true', 'irq 43 true']);
});

test('all controllers go through a checkpoint, byte by byte', () => {
  const source = irqchip();
  source.make();
  const vcpu = new FakeVcpu();
  const lapic = new Uint8Array(KvmLapicState.size).map((_, i) => (i % 16 < 4 ? (i * 3) & 0xff : 0));
  vcpu.stored.set('lapic', lapic);
  source.chip.vcpuCreated(0, vcpu);
  const saved = source.chip.stateCells.get('controllers')!.save();

  const target = irqchip();
  for (const chip of target.vm.chips) chip.fill(0, 4);
  target.chip.stateCells.get('controllers')!.restore(JSON.parse(JSON.stringify(saved)));
  target.make();
  assert.deepEqual(target.vm.log, ['set chip 0', 'set chip 1', 'set chip 2']);
  for (const id of [0, 1])
    assert.deepEqual(target.vm.chips[id]!.slice(8, 24), source.vm.chips[id]!.slice(8, 24), `8259 ${id}`);
  // ioregsel, id, irr and the redirection table; the base address stays.
  assert.deepEqual(target.vm.chips[2]!.slice(16, 28), source.vm.chips[2]!.slice(16, 28));
  assert.deepEqual(target.vm.chips[2]!.slice(32, 224), source.vm.chips[2]!.slice(32, 224));
  assert.deepEqual([...target.vm.chips[2]!.slice(8, 16)], [0, 0, 0, 0, 0, 0, 0, 0]);

  const restored = new FakeVcpu();
  target.chip.vcpuCreated(0, restored);
  assert.equal(target.chip.owesLocalApic(0), true);
  assert.deepEqual(
    target.chip.localApic(0),
    source.chip.localApic(0),
    'it can be saved again before it is given',
  );
  target.chip.giveLocalApic(0);
  assert.equal(target.chip.owesLocalApic(0), false);
  assert.deepEqual(restored.stored.get('lapic'), lapic);
});

test('NMI comes through LINT1 if the local APIC delivers it as one', () => {
  for (const [lvt, passes] of [
    [0x400, true],
    [0x1_0400, false],
    [0x700, false],
  ] as const) {
    const m = irqchip();
    m.make();
    const vcpu = new FakeVcpu();
    const lapic = new Uint8Array(KvmLapicState.size);
    new DataView(lapic.buffer).setUint32(0x360, lvt, true);
    vcpu.stored.set('lapic', lapic);
    m.chip.vcpuCreated(0, vcpu);
    m.chip.nmi.setLevel(true);
    m.chip.nmi.setLevel(false);
    assert.equal(vcpu.calls.filter((call) => call === 'nmi').length, passes ? 1 : 0);
  }
});

test('a CPU gives its local APIC after the APIC base, and the deadline last', async () => {
  const order: string[] = [];
  let owed = true;
  const m = fakeFullSystem([FakeVcpu.spin], {
    wiring: {
      interrupts: undefined as never,
      irqchip: Object.assign(new FakeIrqchip(), {
        vcpuCreated: (id: number) => order.push(`vcpu ${id}`),
        owesLocalApic: () => owed,
        giveLocalApic: () => {
          owed = false;
          order.push(...m.vcpu.calls.filter((call) => call === 'set sregs'), 'lapic');
          m.vcpu.calls.length = 0;
        },
      }),
    },
  });
  m.cpu.modifyState(RegClass.msr).setMsr(MsrIndex.TSC_DEADLINE, 99n);
  await m.run(1_000_000);
  assert.deepEqual(order, ['vcpu 0', 'set sregs', 'lapic']);
  assert.equal(m.vcpu.calls[0], 'set msrs 6e0');
});

test('with an in-kernel irqchip the activity state is KVM’s MP state, both ways', async () => {
  const m = fakeFullSystem([FakeVcpu.spin], {
    wiring: {
      interrupts: undefined as never,
      irqchip: new FakeIrqchip(),
    },
  });
  setActivity(m.cpu.modifyState(RegClass.events), Activity.halted);
  m.at(0, () => setActivity(m.cpu.modifyState(RegClass.events), Activity.halted));
  await m.run(1_000_000);
  assert.deepEqual([...m.vcpu.stored.get('mpstate')!], [KvmMpState.HALTED, 0, 0, 0]);
  m.vcpu.stored.set('mpstate', Uint8Array.of(KvmMpState.INIT_RECEIVED, 0, 0, 0));
  assert.equal(activityOf(m.cpu.readState(RegClass.events)), Activity.waitForSipi);
});
