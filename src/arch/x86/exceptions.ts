/**
 * The processor's exceptions and interrupts by vector. Intel SDM vol. 3 table 6-1 and §6.3 to §6.5; vectors
 * 21 (#CP) from the same table, 28 to 30 (#HV, #VC, #SX) from AMD's APM vol. 2 table 8-1.
 */

/**
 * When the saved RIP points at the instruction (`fault`), behind it (`trap`), or nowhere reliable
 * (`abort`).
 */
export type ExceptionClass = 'fault' | 'trap' | 'abort' | 'interrupt';

export type ExceptionDescription = {
  readonly vector: number;
  readonly mnemonic: string;
  readonly name: string;
  readonly class: ExceptionClass;
  /** Whether delivery pushes an error code. */
  readonly pushesErrorCode: boolean;
};

/** Vector numbers by mnemonic. */
export const Vector = {
  DE: 0,
  DB: 1,
  NMI: 2,
  BP: 3,
  OF: 4,
  BR: 5,
  UD: 6,
  NM: 7,
  DF: 8,
  TS: 10,
  NP: 11,
  SS: 12,
  GP: 13,
  PF: 14,
  MF: 16,
  AC: 17,
  MC: 18,
  XM: 19,
  VE: 20,
  CP: 21,
  HV: 28,
  VC: 29,
  SX: 30,
} as const;

type Row = readonly [
  mnemonic: keyof typeof Vector,
  name: string,
  kind: ExceptionClass,
  errorCode?: 'error code',
];

/** #DB is a trap here; instruction breakpoints make it a fault (SDM vol. 3 §6.15). */
const ROWS: readonly Row[] = [
  ['DE', 'divide error', 'fault'],
  ['DB', 'debug exception', 'trap'],
  ['NMI', 'nonmaskable interrupt', 'interrupt'],
  ['BP', 'breakpoint', 'trap'],
  ['OF', 'overflow', 'trap'],
  ['BR', 'BOUND range exceeded', 'fault'],
  ['UD', 'invalid opcode', 'fault'],
  ['NM', 'device not available', 'fault'],
  ['DF', 'double fault', 'abort', 'error code'],
  ['TS', 'invalid TSS', 'fault', 'error code'],
  ['NP', 'segment not present', 'fault', 'error code'],
  ['SS', 'stack-segment fault', 'fault', 'error code'],
  ['GP', 'general protection', 'fault', 'error code'],
  ['PF', 'page fault', 'fault', 'error code'],
  ['MF', 'x87 FPU floating-point error', 'fault'],
  ['AC', 'alignment check', 'fault', 'error code'],
  ['MC', 'machine check', 'abort'],
  ['XM', 'SIMD floating-point exception', 'fault'],
  ['VE', 'virtualization exception', 'fault'],
  ['CP', 'control protection exception', 'fault', 'error code'],
  ['HV', 'hypervisor injection exception', 'interrupt'],
  ['VC', 'VMM communication exception', 'fault', 'error code'],
  ['SX', 'security exception', 'fault', 'error code'],
];

/** Every architectural exception, ascending by vector. */
export const EXCEPTIONS: readonly ExceptionDescription[] = ROWS.map(([mnemonic, name, kind, errorCode]) => ({
  vector: Vector[mnemonic],
  mnemonic: mnemonic === 'NMI' ? mnemonic : `#${mnemonic}`,
  name,
  class: kind,
  pushesErrorCode: errorCode !== undefined,
}));

const BY_VECTOR: ReadonlyMap<number, ExceptionDescription> = new Map(EXCEPTIONS.map((e) => [e.vector, e]));

/** The exception with this vector; undefined for reserved and external vectors. */
export function exceptionOf(vector: number): ExceptionDescription | undefined {
  return BY_VECTOR.get(vector);
}

/** Whether delivery through `vector` pushes an error code when the processor raises it. */
export function pushesErrorCode(vector: number): boolean {
  return BY_VECTOR.get(vector)?.pushesErrorCode ?? false;
}

/** For messages: `#PF (page fault)`, or `vector 0x80`. */
export function describeVector(vector: number): string {
  const exception = BY_VECTOR.get(vector);
  return exception ? `${exception.mnemonic} (${exception.name})` : `vector 0x${vector.toString(16)}`;
}

/** Page-fault error code. SDM vol. 3 figure 4-12. */
export const PageFaultError = {
  PRESENT: 0x01,
  WRITE: 0x02,
  USER: 0x04,
  RESERVED_BIT: 0x08,
  FETCH: 0x10,
  PROTECTION_KEY: 0x20,
  SHADOW_STACK: 0x40,
} as const;
