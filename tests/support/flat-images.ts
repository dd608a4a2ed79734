// Tiny flat images for `hypertick boot`, as bytes: 32-bit protected mode unless said otherwise. SDM vol. 2 for encodings.

/** mov dx, port; mov al, value; out dx, al */
export const out8 = (port: number, value: number): number[] => [
  ...[0x66, 0xba, port & 0xff, port >> 8],
  ...[0xb0, value, 0xee],
];
/** mov dx, port; mov ax, value; out dx, ax */
export const out16 = (port: number, value: number): number[] => [
  ...[0x66, 0xba, port & 0xff, port >> 8],
  ...[0x66, 0xb8, value & 0xff, value >> 8, 0x66, 0xef],
];
/** mov edi, value */
export const movEdi = (value: number): number[] => [0xbf, ...u32(value)];
/** mov esi, value */
export const movEsi = (value: number): number[] => [0xbe, ...u32(value)];
/** mov eax, [address] */
export const load = (address: number): number[] => [0xa1, ...u32(address)];
export const CLI_HLT = [0xfa, 0xf4];
export const STI_HLT = [0xfb, 0xf4];
/** jmp to itself */
export const SPIN = [0xeb, 0xfe];
/** ud2 */
export const UD2 = [0x0f, 0x0b];

const COM1 = 0x3f8;
const TEST_EXIT = 0xf4;

export const print = (text: string): number[] => [...Buffer.from(text)].flatMap((byte) => out8(COM1, byte));
export const testExit = (value: number): number[] => [...out8(TEST_EXIT, value), ...CLI_HLT];

/** gem5's pseudo-instruction `fn`, arguments in registers. */
export const m5 = (fn: number): number[] => load(0xffff_0000 + (fn << 8));

/** Sends back what it receives, polling, and ends with value 5 after a `q`. */
export const ECHO: readonly number[] = [
  ...[0x66, 0xba, 0xfd, 0x03, 0xec], // mov dx, 0x3fd; in al, dx
  ...[0xa8, 0x01, 0x74, 0xf7], // test al, 1; jz to the start
  ...[0x66, 0xba, 0xf8, 0x03, 0xec, 0xee], // mov dx, 0x3f8; in al, dx; out dx, al
  ...[0x3c, 0x71, 0x75, 0xed], // cmp al, 'q'; jne to the start
  ...testExit(5),
];

/**
 * A boot sector (real mode) that counts interrupts of the PIT, 100 a second, by way of the 8259, prints a dot for each and
 * halts in between; at the end it exits with value 1.
 */
export function clockSector(ticks: number): Uint8Array {
  const HANDLER_AT = 9;
  const outImm = (port: number, value: number) => [0xb0, value, 0xe6, port];
  const code = [
    ...[0xfa, 0x31, 0xc0, 0x8e, 0xd8], // cli; xor ax, ax; mov ds, ax
    ...[0xc7, 0x06, 0x80, 0x00, 0, 0], // mov word [0x80], handler
    ...[0xc7, 0x06, 0x82, 0x00, 0, 0], // mov word [0x82], 0
    ...outImm(0x20, 0x11),
    ...[0x20, 0x04, 0x01, 0xfe].flatMap((word) => outImm(0x21, word)),
    ...outImm(0x43, 0x34),
    // 1,193,182 Hz / 11,932
    ...[0x9c, 0x2e].flatMap((byte) => outImm(0x40, byte)),
    ...[0xb9, ticks & 0xff, ticks >> 8, 0xfb], // mov cx, ticks; sti
    ...[0xf4, 0xe2, 0xfd], // hlt; loop to it
    ...outImm(0xf4, 1),
    ...CLI_HLT,
  ];
  const handler = 0x7c00 + code.length;
  code[HANDLER_AT] = handler & 0xff;
  code[HANDLER_AT + 1] = handler >> 8;
  // push ax; push dx; '.' to COM1; end of interrupt; pop dx; pop ax; iret
  code.push(0x50, 0x52, 0xba, 0xf8, 0x03, 0xb0, 0x2e, 0xee, ...outImm(0x20, 0x20), 0x5a, 0x58, 0xcf);
  const sector = new Uint8Array(512);
  sector.set(code);
  sector.set([0x55, 0xaa], 510);
  return sector;
}

function u32(value: number): number[] {
  return [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff);
}
