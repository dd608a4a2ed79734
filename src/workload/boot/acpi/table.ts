/** The header that all ACPI description tables share, and their checksum. ACPI specification 6.5 §5.2.6. */

export const TABLE_HEADER_BYTES = 36;
const At = {
  length: 4,
  revision: 8,
  checksum: 9,
  oemId: 10,
  oemTableId: 16,
  oemRevision: 24,
  creator: 28,
} as const;

export const OEM_ID = 'HYPERT';
const OEM_TABLE_ID = 'HYPERTCK';
const CREATOR_ID = 'HTCK';

/** The value that makes the sum of all bytes zero modulo 256, with the checksum's own byte zero. */
export function checksum(bytes: Uint8Array): number {
  return -bytes.reduce((sum, byte) => sum + byte, 0) & 0xff;
}

/** A table of `body` behind a header, with its checksum. */
export function buildTable(signature: string, revision: number, body: Uint8Array): Uint8Array {
  const table = new Uint8Array(TABLE_HEADER_BYTES + body.length);
  const view = new DataView(table.buffer);
  table.set(ascii(signature));
  view.setUint32(At.length, table.length, true);
  view.setUint8(At.revision, revision);
  table.set(ascii(OEM_ID), At.oemId);
  table.set(ascii(OEM_TABLE_ID), At.oemTableId);
  view.setUint32(At.oemRevision, 1, true);
  table.set(ascii(CREATOR_ID), At.creator);
  view.setUint32(At.creator + 4, 1, true);
  table.set(body, TABLE_HEADER_BYTES);
  table[At.checksum] = checksum(table);
  return table;
}

export function ascii(text: string): Uint8Array {
  return Buffer.from(text, 'latin1');
}
