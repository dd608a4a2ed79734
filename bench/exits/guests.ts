// The guests of the exit benchmark, as bytes: 32-bit protected mode, flat segments, no paging. Each repeats a body that
// leaves the guest, for ever; a write to the test-exit port marks the end of each batch. Encodings: SDM vol. 2.

/** Batches that are measured, and those before them that fill caches and let code be compiled. */
export const BATCHES = 200;
export const WARM_UP_BATCHES = 100;

/** Where the image is loaded and entered. */
export const IMAGE_ADDRESS = 0x10_0000;

/** A zone whose writes the kernel queues instead of leaving the guest. */
export interface Zone {
  readonly start: number;
  readonly sizeBytes: number;
  readonly isPort: boolean;
}

export interface Guest {
  readonly name: string;
  /** Machine code of one iteration. It keeps ECX, ESI and EBP. */
  readonly body: readonly number[];
  /** Iterations of a batch. */
  readonly iterations: number;
  readonly zone?: Zone;
}

const POST_PORT = 0x80;
const TEST_EXIT_PORT = 0xf4;
const PIC1_MASK = 0x21;
const PIC2_MASK = 0xa1;
const IO_APIC = 0xfec0_0000;
const HPET_COUNTER = 0xfed0_00f0;
const LOCAL_APIC = 0xfee0_0000;
const APIC_ID = LOCAL_APIC + 0x20;
const APIC_EOI = LOCAL_APIC + 0xb0;
const APIC_SPURIOUS = LOCAL_APIC + 0xf0;
const APIC_COMMAND = LOCAL_APIC + 0x300;
const APIC_ENABLED = 0x1ff;
/** To itself (destination shorthand 01), asserted, fixed; SDM vol. 3 §11.6.1. */
const SELF_IPI = 0x4_4000;
const VECTOR = 0x40;
export const STRING_ELEMENTS = 64;

const STACK_TOP = 0x8_0000;
const BUFFER = 0x9_0000;
const CODE_SELECTOR = 8;
const DATA_SELECTOR = 16;

const STI = 0xfb;
const NOP = 0x90;
const CLD = 0xfc;
const PUSH_ECX = 0x51;
const POP_ECX = 0x59;
/** DEC ECX */
const DEC_ECX = 0x49;
/** In place of IRET, which KVM's instruction emulator lacks in protected mode: STI, RETF over the saved flags. */
const RETURN_FROM_INTERRUPT = [0xfb, 0xca, 4, 0];
const REP_OUTSB = [0xf3, 0x6e];
const REP_INSB = [0xf3, 0x6c];

const u16 = (value: number): number[] => [value & 0xff, (value >>> 8) & 0xff];
const u32 = (value: number): number[] => [...u16(value), ...u16(value >>> 16)];
/** MOV r32, imm32 */
const movEcx = (value: number): number[] => [0xb9, ...u32(value)];
const movEdx = (value: number): number[] => [0xba, ...u32(value)];
const movEsp = (value: number): number[] => [0xbc, ...u32(value)];
const movEsi = (value: number): number[] => [0xbe, ...u32(value)];
const movEdi = (value: number): number[] => [0xbf, ...u32(value)];
const movEax = (value: number): number[] => [0xb8, ...u32(value)];
/** MOV DWORD PTR [address], imm32 */
const store = (address: number, value: number): number[] => [0xc7, 0x05, ...u32(address), ...u32(value)];
/** MOV EAX, [address] */
const load = (address: number): number[] => [0xa1, ...u32(address)];
const outAl = (port: number): number[] => [0xe6, port];
const inAl = (port: number): number[] => [0xe4, port];
const lgdt = (at: number): number[] => [0x0f, 0x01, 0x15, ...u32(at)];
const lidt = (at: number): number[] => [0x0f, 0x01, 0x1d, ...u32(at)];
/** Relative to the end of the instruction, which is 6 bytes long. */
const jnz = (distance: number): number[] => [0x0f, 0x85, ...u32(distance)];
/** The same, 5 bytes. */
const jmp = (distance: number): number[] => [0xe9, ...u32(distance)];
const jmpFar = (selector: number, to: number): number[] => [0xea, ...u32(to), ...u16(selector)];

const string = (operation: readonly number[]): number[] => [
  PUSH_ECX,
  ...movEcx(STRING_ELEMENTS),
  ...movEdx(POST_PORT),
  ...movEsi(BUFFER),
  ...movEdi(BUFFER),
  ...operation,
  POP_ECX,
];

/** What is measured, in the order of the table. */
export const GUESTS: readonly Guest[] = [
  { name: 'OUT to a port', body: outAl(POST_PORT), iterations: 400 },
  { name: 'IN from a port', body: inAl(POST_PORT), iterations: 400 },
  { name: `REP INSB of ${STRING_ELEMENTS}`, body: string(REP_INSB), iterations: 200 },
  { name: `REP OUTSB of ${STRING_ELEMENTS}`, body: string(REP_OUTSB), iterations: 8 },
  { name: 'store to a register (I/O APIC)', body: store(IO_APIC, 0), iterations: 400 },
  { name: 'load from a register (I/O APIC)', body: load(IO_APIC), iterations: 400 },
  { name: 'load of a counter (HPET)', body: load(HPET_COUNTER), iterations: 400 },
  { name: 'load from the local APIC', body: load(APIC_ID), iterations: 400 },
  {
    name: 'interrupt to itself and its end (EOI)',
    body: store(APIC_COMMAND, SELF_IPI | VECTOR),
    iterations: 400,
  },
  {
    name: 'OUT to a coalesced port',
    body: outAl(POST_PORT),
    iterations: 5_000,
    zone: { start: POST_PORT, sizeBytes: 1, isPort: true },
  },
  {
    name: 'store to a coalesced register',
    body: store(IO_APIC, 0),
    iterations: 5_000,
    zone: { start: IO_APIC, sizeBytes: 4, isPort: false },
  },
];

/** The image of a guest, entered at its first byte. */
export function imageOf({ body, iterations }: Guest): Uint8Array {
  const code: number[] = [];
  const here = () => IMAGE_ADDRESS + code.length;
  /** Appends code and says where it begins; what comes earlier and needs that is written at the end. */
  const emit = (...bytes: number[]) => {
    const at = here();
    code.push(...bytes);
    return at;
  };
  const patch = (at: number, bytes: readonly number[]) => {
    for (const [i, byte] of bytes.entries()) code[at - IMAGE_ADDRESS + i] = byte;
  };
  const loadTables = emit(...lgdt(0), ...lidt(0), ...jmpFar(CODE_SELECTOR, 0));
  // MOV DS, ES, SS from AX
  const data = emit(...movEax(DATA_SELECTOR), 0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0, ...movEsp(STACK_TOP), CLD);
  // Nobody has initialized the 8259s.
  emit(...movEax(0xff), ...outAl(PIC1_MASK), ...outAl(PIC2_MASK));
  emit(...store(APIC_SPURIOUS, APIC_ENABLED), STI);
  const batch = emit(...movEcx(iterations));
  const iteration = emit(...body, DEC_ECX);
  emit(...jnz(iteration - (here() + 6)), ...outAl(TEST_EXIT_PORT));
  emit(...jmp(batch - (here() + 5)));
  const handler = emit(...store(APIC_EOI, 0), ...RETURN_FROM_INTERRUPT);
  while (here() % 8 !== 0) emit(NOP);
  // Null, code and data descriptor: 4 GiB, 32-bit, ring 0.
  const gdt = emit(
    ...u32(0),
    ...u32(0),
    ...u32(0xffff),
    ...u32(0xcf_9b00),
    ...u32(0xffff),
    ...u32(0xcf_9300),
  );
  const idt = emit(...new Array<number>(8 * VECTOR).fill(0));
  // A 32-bit interrupt gate.
  const gates = emit(...u16(handler), ...u16(CODE_SELECTOR), 0, 0x8e, ...u16(handler >>> 16));
  const gdtr = emit(...u16(idt - gdt - 1), ...u32(gdt));
  const idtr = emit(...u16(gates + 8 - idt - 1), ...u32(idt));
  patch(loadTables, [...lgdt(gdtr), ...lidt(idtr), ...jmpFar(CODE_SELECTOR, data)]);
  return Uint8Array.from(code);
}
