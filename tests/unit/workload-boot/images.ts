/** Small bootable images for tests, made from nothing: bzImage, ELF of both classes, multiboot headers. */
import { pattern } from './pc.ts';

/** Fields of a bzImage that tests change; offsets as in Linux's boot.rst. */
export interface BzImageOptions {
  version?: number;
  xLoadFlags?: number;
  loadFlags?: number;
  setupSects?: number;
  preferred?: number;
  initSize?: number;
  initrdMax?: number;
  commandLineSize?: number;
  jump?: number;
  sysSize?: number;
  payloadLength?: number;
}

export const KERNEL_BYTES = 0x1800;
export const KERNEL_ADDRESS = 0x20_0000;
const SETUP_BYTES = 3 * 512;

/** Two setup sectors behind the boot sector, then the protected-mode kernel. */
export function bzImage(options: BzImageOptions = {}): Uint8Array {
  const image = new Uint8Array(SETUP_BYTES + KERNEL_BYTES);
  const view = new DataView(image.buffer);
  // Outside of the setup header nothing may reach boot_params: fill it with something visible.
  image.fill(0xee, 0, SETUP_BYTES);
  image.fill(0, 0x1f1, 0x26c);
  image.set(pattern(KERNEL_BYTES), SETUP_BYTES);
  view.setUint8(0x1f1, options.setupSects ?? 2);
  view.setUint32(0x1f4, options.sysSize ?? KERNEL_BYTES / 16, true);
  view.setUint16(0x1fe, 0xaa55, true);
  view.setUint8(0x200, 0xeb);
  view.setUint8(0x201, options.jump ?? 0x6a);
  image.set(Buffer.from('HdrS'), 0x202);
  view.setUint16(0x206, options.version ?? 0x20f, true);
  view.setUint16(0x20e, 0x100, true);
  image.set(Buffer.from('5.6.7-test (nobody@nowhere) #1\0'), 0x300);
  view.setUint8(0x211, options.loadFlags ?? 0x01);
  view.setUint32(0x214, 0x10_0000, true);
  view.setUint32(0x22c, options.initrdMax ?? 0x7fff_ffff, true);
  view.setUint32(0x230, 0x20_0000, true);
  view.setUint8(0x234, 1);
  view.setUint16(0x236, options.xLoadFlags ?? 0x01, true);
  view.setUint32(0x238, options.commandLineSize ?? 2047, true);
  view.setUint32(0x248, 0x100, true);
  view.setUint32(0x24c, options.payloadLength ?? 0x1000, true);
  view.setBigUint64(0x258, BigInt(options.preferred ?? KERNEL_ADDRESS), true);
  view.setUint32(0x260, options.initSize ?? 0x10_0000, true);
  return image;
}

export interface Segment {
  type?: number;
  virtual?: bigint;
  physical: number;
  bytes: Uint8Array;
  memorySize?: number;
}

export interface ElfOptions {
  bits?: 32 | 64;
  entry?: bigint;
  machine?: number;
  type?: number;
  segments?: readonly Segment[];
}

export const ELF_ADDRESS = 0x20_0000;
/** Where the bytes of the first segment are in the file. */
export const FIRST_SEGMENT_OFFSET = 0x400;

/** ELF headers, program headers, and the segments one after the other from FIRST_SEGMENT_OFFSET. */
export function elf(options: ElfOptions = {}): Uint8Array {
  const wide = (options.bits ?? 64) === 64;
  const segments = options.segments ?? [{ physical: ELF_ADDRESS, bytes: pattern(256), memorySize: 0x1000 }];
  const size = segments.reduce((sum, one) => sum + one.bytes.length, FIRST_SEGMENT_OFFSET);
  const image = new Uint8Array(size);
  const view = new DataView(image.buffer);
  const word = (at: number, value: bigint | number) =>
    wide
      ? view.setBigUint64(at, BigInt(value), true)
      : view.setUint32(at, Number(BigInt.asUintN(32, BigInt(value))), true);
  image.set([0x7f, 0x45, 0x4c, 0x46, wide ? 2 : 1, 1, 1]);
  view.setUint16(16, options.type ?? 2, true);
  view.setUint16(18, options.machine ?? (wide ? 62 : 3), true);
  view.setUint32(20, 1, true);
  word(24, options.entry ?? BigInt(ELF_ADDRESS + 0x10));
  word(wide ? 32 : 28, wide ? 64 : 52);
  view.setUint16(wide ? 54 : 42, wide ? 56 : 32, true);
  view.setUint16(wide ? 56 : 44, segments.length, true);
  let offset = FIRST_SEGMENT_OFFSET;
  for (const [i, segment] of segments.entries()) {
    const at = wide ? 64 + 56 * i : 52 + 32 * i;
    view.setUint32(at, segment.type ?? 1, true);
    const fields = [
      offset,
      segment.virtual ?? segment.physical,
      segment.physical,
      segment.bytes.length,
      segment.memorySize ?? segment.bytes.length,
    ];
    for (const [n, value] of fields.entries()) word(at + (wide ? 8 + 8 * n : 4 + 4 * n), value);
    image.set(segment.bytes, offset);
    offset += segment.bytes.length;
  }
  return image;
}

/** A note of a Linux kernel: name "Linux", type LINUX_ELFNOTE_BUILD_SALT. */
export function linuxNote(): Uint8Array {
  return Buffer.concat([words(6, 4, 0x100), Buffer.from('Linux\0\0\0'), words(0)]);
}

export function words(...values: readonly number[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(4 * values.length));
  for (const [i, value] of values.entries()) view.setUint32(4 * i, value, true);
  return new Uint8Array(view.buffer);
}

/** Multiboot 1 header: magic, flags, checksum, then the address fields. */
export function multibootHeader(flags: number, addresses: readonly number[] = []): Uint8Array {
  return words(0x1bad_b002, flags, (2 ** 33 - 0x1bad_b002 - flags) % 2 ** 32, ...addresses);
}

export interface HeaderTag {
  type: number;
  optional?: boolean;
  fields?: readonly number[];
}

/** Multiboot 2 header with these tags and the end tag. */
export function multiboot2Header(tags: readonly HeaderTag[], architecture = 0): Uint8Array {
  const body = [...tags, { type: 0 }].map(({ type, optional = false, fields = [] }: HeaderTag) => {
    const bytes = Buffer.concat([
      words(type | (optional ? 0x1_0000 : 0), 8 + 4 * fields.length),
      words(...fields),
    ]);
    return Buffer.concat([bytes, new Uint8Array(-bytes.length & 7)]);
  });
  const length = 16 + body.reduce((sum, one) => sum + one.length, 0);
  const sum = 0xe852_50d6 + architecture + length;
  return Buffer.concat([words(0xe852_50d6, architecture, length, (2 ** 33 - sum) % 2 ** 32), ...body]);
}

/** An ELF kernel whose first segment begins with a header. */
export function elfWithHeader(header: Uint8Array, options: ElfOptions = {}): Uint8Array {
  const bytes = Buffer.concat([header, pattern(512)]);
  return elf({ bits: 32, segments: [{ physical: ELF_ADDRESS, bytes, memorySize: 0x2000 }], ...options });
}
