/**
 * The page tables that 64-bit entry points start on: the first 4 GiB mapped to themselves by 2 MiB pages, writable
 * and executable. Intel SDM vol. 3 §4.5, tables 4-15, 4-17 and 4-18.
 */
import { PAGE_SIZE, PageFlag } from '../../arch/x86/page-table.ts';

const GIB_MAPPED = 4;
const LARGE_PAGE = 2 ** 21;
const ENTRIES = 512;
const TABLE = PageFlag.P | PageFlag.W | PageFlag.A;
/** Accessed and dirty beforehand, so that nobody writes to the tables. */
const LEAF = TABLE | PageFlag.D | PageFlag.PS;

/** One top-level table, one page-directory-pointer table, one page directory per GiB. */
export const IDENTITY_TABLES_BYTES = (2 + GIB_MAPPED) * PAGE_SIZE;

/** The tables as they look at physical address `root`, a multiple of 4 KiB, where the top-level one is. */
export function identityTables(root: number): Uint8Array {
  const tables = new Uint8Array(IDENTITY_TABLES_BYTES);
  const view = new DataView(tables.buffer);
  const set = (at: number, entry: number) => view.setBigUint64(at, BigInt(entry), true);
  const pointers = PAGE_SIZE;
  const directories = 2 * PAGE_SIZE;
  set(0, root + pointers + TABLE);
  for (let gib = 0; gib < GIB_MAPPED; gib++) {
    set(pointers + 8 * gib, root + directories + gib * PAGE_SIZE + TABLE);
  }
  for (let i = 0; i < GIB_MAPPED * ENTRIES; i++) set(directories + 8 * i, i * LARGE_PAGE + LEAF);
  return tables;
}
