// One measurement of the exit benchmark, in a process of its own: runs a guest on a PcBoard and prints nanoseconds per
// iteration, which a tenth of the batches keep below, and exits per iteration.
//
// usage: node machine.ts GUEST       an index into GUESTS

import { Kvm } from '../../src/cpu/kvm/kvm.ts';
import { attachVcpu } from '../../src/cpu/kvm/kvm-host.ts';
import { X86KvmCpu } from '../../src/cpu/kvm/x86/x86-kvm-cpu.ts';
import { X86KvmVm } from '../../src/cpu/kvm/x86/x86-kvm-vm.ts';
import { TEST_EXIT_CAUSE } from '../../src/dev/x86/test-exit.ts';
import { KvmSystem } from '../../src/host/kvm/system.ts';
import type { KvmVmFd } from '../../src/host/kvm/vm.ts';
import { Root } from '../../src/sim/root.ts';
import { Simulator } from '../../src/sim/simulator.ts';
import { kvmProcessor, type ProcessorFactory } from '../../src/system/kvm-processor.ts';
import { PcBoard } from '../../src/system/pc-board.ts';
import { BATCHES, GUESTS, imageOf, WARM_UP_BATCHES, type Zone } from './guests.ts';

/** A KVM whose machines queue the writes to a zone. */
class CoalescingKvm extends Kvm {
  readonly #zone: Zone;

  constructor(zone: Zone) {
    super(KvmSystem.open('/dev/kvm'));
    this.#zone = zone;
  }

  override createVm(): KvmVmFd {
    const vm = super.createVm();
    const { start, sizeBytes, isPort } = this.#zone;
    vm.registerCoalescedMmio({ addr: start, size: sizeBytes, isPort });
    return vm;
  }
}

/** The board's usual processor, with a zone of coalesced writes. */
function coalescingProcessor(zone: Zone): ProcessorFactory {
  return (board, { apicId, localApic, memory, memoryMode }) => {
    const kvm = new CoalescingKvm(zone);
    const vm = new X86KvmVm(board, 'vm', { kvm, memory });
    const wiring = {
      kvm,
      createVcpu: () => vm.createVcpu(),
      attach: attachVcpu,
      memoryMode,
      memory,
      interrupts: localApic!.controller,
      localApic: localApic!.address,
      apicTimerKhz: localApic!.timerKhz,
    };
    return { cpu: new X86KvmCpu(board, 'cpu', wiring, { apicId, useCoalescedMMIO: true }) };
  };
}

const guest = GUESTS[Number(process.argv[2])]!;
const root = new Root();
const board = new PcBoard(root, 'board', {
  memorySize: '64MiB',
  processor: guest.zone === undefined ? kvmProcessor() : coalescingProcessor(guest.zone),
});
board.boot({ image: imageOf(guest), name: guest.name });
const { cpu } = board;
if (!(cpu instanceof X86KvmCpu)) throw new Error('no KVM processor');
const simulator = new Simulator(root);

/** Runs one batch; returns what an iteration took, in ns. */
async function batch(): Promise<number> {
  const begin = performance.now();
  const { cause } = await simulator.runUntilExit();
  if (cause !== TEST_EXIT_CAUSE) throw new Error(`${guest.name}: ended by '${cause}'`);
  return (1e6 * (performance.now() - begin)) / guest.iterations;
}

for (let i = 0; i < WARM_UP_BATCHES; i++) await batch();
simulator.stats.reset();
const times: number[] = [];
for (let i = 0; i < BATCHES; i++) times.push(await batch());
simulator.close();
const { numVMExits } = cpu.stats;
times.sort((a, b) => a - b);
console.log(times[BATCHES / 10]!.toFixed(0), (numVMExits.value / (BATCHES * guest.iterations)).toFixed(2));
