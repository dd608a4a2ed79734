/** Builds ELF files for tests, right ones and wrong ones: every header field can be given another value. */

export const PT = { load: 1, interp: 3, gnuStack: 0x6474_e551 } as const;
export const PF = { x: 1, w: 2, r: 4 } as const;

export interface Header {
  type: number;
  flags: number;
  offset: number | bigint;
  vaddr: number | bigint;
  filesz: number | bigint;
  memsz: number | bigint;
  align: number | bigint;
}

export interface ElfOptions {
  magic?: number;
  elfClass?: number;
  data?: number;
  version?: number;
  type?: number;
  machine?: number;
  entry?: number | bigint;
  phoff?: number | bigint;
  phentsize?: number;
  phnum?: number;
  size?: number;
}

/** A PT_LOAD of one page, readable and executable, unless said otherwise. */
export function load(header: Partial<Header> = {}): Header {
  return {
    type: PT.load,
    flags: PF.r | PF.x,
    offset: 0,
    vaddr: 0x40_0000,
    filesz: 0x1000,
    memsz: header.filesz ?? 0x1000,
    align: 0x1000,
    ...header,
  };
}

/** A file with these program headers at offset 64; bytes after them count up. */
export function elfFile(headers: readonly Header[], options: ElfOptions = {}): Uint8Array {
  const bytes = Uint8Array.from({ length: options.size ?? 0x4000 }, (_, i) => i & 0xff);
  const view = new DataView(bytes.buffer);
  const u64 = (at: number, value: number | bigint) => view.setBigUint64(at, BigInt(value), true);
  view.setUint32(0, options.magic ?? 0x464c_457f, true);
  view.setUint8(4, options.elfClass ?? 2);
  view.setUint8(5, options.data ?? 1);
  view.setUint8(6, options.version ?? 1);
  view.setUint16(16, options.type ?? 2, true);
  view.setUint16(18, options.machine ?? 62, true);
  view.setUint32(20, 1, true);
  u64(24, options.entry ?? 0x40_0100);
  u64(32, options.phoff ?? 64);
  view.setUint16(54, options.phentsize ?? 56, true);
  view.setUint16(56, options.phnum ?? headers.length, true);
  for (const [i, header] of headers.entries()) {
    const at = 64 + 56 * i;
    view.setUint32(at, header.type, true);
    view.setUint32(at + 4, header.flags, true);
    u64(at + 8, header.offset);
    u64(at + 16, header.vaddr);
    u64(at + 32, header.filesz);
    u64(at + 40, header.memsz);
    u64(at + 48, header.align);
  }
  return bytes;
}
