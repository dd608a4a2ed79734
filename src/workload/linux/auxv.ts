/**
 * The auxiliary vector: what the kernel tells a new program about itself and the machine. See getauxval(3),
 * and create_elf_tables() in Linux's fs/binfmt_elf.c for the order. There is no AT_SYSINFO_EHDR: no vDSO is
 * mapped.
 */

/** a_type values. Source: include/uapi/linux/auxvec.h and arch/x86/include/uapi/asm/auxvec.h. */
export const AuxType = {
  null: 0,
  programHeaders: 3,
  programHeaderSize: 4,
  programHeaderCount: 5,
  pageSize: 6,
  base: 7,
  flags: 8,
  entry: 9,
  uid: 11,
  euid: 12,
  gid: 13,
  egid: 14,
  platform: 15,
  hwcap: 16,
  clockTicks: 17,
  secure: 23,
  random: 25,
  hwcap2: 26,
  execFileName: 31,
  minSignalStack: 51,
} as const;

export type AuxName = Exclude<keyof typeof AuxType, 'null'>;

/** Values by name. Their order is the vector's. */
export type AuxValues = Readonly<Record<AuxName, number>>;

/** Bytes of the vector, AT_NULL included. */
export function encodeAuxv(values: AuxValues): Uint8Array {
  const entries = Object.entries(values) as [AuxName, number][];
  const words = new BigUint64Array(2 * entries.length + 2);
  for (const [i, [name, value]] of entries.entries()) {
    words[2 * i] = BigInt(AuxType[name]);
    words[2 * i + 1] = BigInt(value);
  }
  return new Uint8Array(words.buffer);
}
