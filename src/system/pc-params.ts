/** What a PcBoard can be told, and what of it a checkpoint remembers. */
import { MEMORY_MODES } from '../mem/memory-mode.ts';
import { bool, choice, declareParams, type ParamValues, size } from '../sim/params.ts';
import { asRecord, customCell, decodeNumber, type Json, type StateCell, StateError } from '../sim/state.ts';
import { CPU_MODELS } from './cpu-models.ts';

/** Where the interrupt controllers are: simulated, or in the host's kernel. */
export const IRQCHIPS = ['simulated', 'kernel'] as const;
/** What is between the PCI functions and memory. */
export const IOMMUS = ['none', 'intel'] as const;

export const PC_BOARD_PARAMS = declareParams({
  cpu: choice(CPU_MODELS, { default: 'best', description: 'CPU model' }),
  memorySize: size({ default: '512MiB', min: '2MiB', max: '4064MiB', description: 'RAM' }),
  memoryMode: choice(MEMORY_MODES, {
    default: 'atomicNoncaching',
    description: 'how the CPUs access memory and devices',
  }),
  irqchip: choice(IRQCHIPS, { default: 'simulated', description: 'where the interrupt controllers are' }),
  testDevice: bool({ default: false, description: 'what test kernels want beyond a PC: see pc-testdev.ts' }),
  iommu: choice(IOMMUS, {
    default: 'none',
    description: 'IOMMU: intel is VT-d, see intel-iommu.ts; with simulated interrupt controllers only',
  }),
  edu: bool({ default: false, description: "QEMU's educational PCI device: see edu.ts" }),
});
export type PcBoardParams = ParamValues<typeof PC_BOARD_PARAMS>;

/** Parameters without which a checkpoint cannot be restored: they are saved in it. */
export interface SavedPcParams
  extends Pick<PcBoardParams, 'memorySize' | 'irqchip' | 'testDevice' | 'iommu' | 'edu'> {
  readonly startTime: number;
}

/** 2026-01-01T00:00:00Z, in seconds since 1970. */
export const DEFAULT_START_TIME = Date.UTC(2026, 0, 1) / 1000;

/** The machine that a checkpoint is of: restoring it into another one is refused. */
export function machineCell(params: PcBoardParams, startTime: number): StateCell {
  const { memorySize, irqchip, testDevice, iommu, edu } = params;
  return customCell(
    () => ({ memorySize, irqchip, testDevice, iommu, edu, startTime }),
    (saved) => {
      const was = restoredParams(saved);
      if (was.memorySize !== memorySize)
        throw new StateError(`a machine with ${was.memorySize} bytes of RAM, this one has ${memorySize}`);
      if (was.irqchip !== irqchip)
        throw new StateError(`a machine with irqchip ${was.irqchip}, this one has irqchip ${irqchip}`);
    },
  );
}

/** What the board of a checkpoint was built with. @throws StateError if `saved` is something else */
export function restoredParams(saved: Json): SavedPcParams {
  const {
    memorySize = null,
    irqchip = null,
    testDevice = false,
    iommu = 'none',
    edu = false,
    startTime = DEFAULT_START_TIME,
  } = asRecord(saved);
  return {
    memorySize: decodeNumber(memorySize),
    irqchip: oneOf('irqchip', IRQCHIPS, irqchip),
    testDevice: testDevice === true,
    iommu: oneOf('iommu', IOMMUS, iommu),
    edu: edu === true,
    startTime: decodeNumber(startTime),
  };
}

function oneOf<const C extends string>(param: string, choices: readonly C[], saved: Json): C {
  const found = choices.find((choice) => choice === saved);
  if (found === undefined) throw new StateError(`no ${param}`);
  return found;
}
