/**
 * An encoder for the little AML that describes a machine: names, scopes, devices, packages, buffers. ACPI
 * specification 6.5 chapter 20; each function builds one production of its grammar.
 */

export type Aml = Uint8Array;

const Op = {
  zero: 0x00,
  one: 0x01,
  name: 0x08,
  byte: 0x0a,
  word: 0x0b,
  dword: 0x0c,
  string: 0x0d,
  qword: 0x0e,
  scope: 0x10,
  buffer: 0x11,
  package: 0x12,
  dualName: 0x2e,
  multiName: 0x2f,
  extended: 0x5b,
  device: 0x82,
} as const;

/** Scope(path) { terms } */
export function scope(path: string, ...terms: readonly Aml[]): Aml {
  return bytes([Op.scope], sized(nameString(path), ...terms));
}

/** Device(path) { terms } */
export function device(path: string, ...terms: readonly Aml[]): Aml {
  return bytes([Op.extended, Op.device], sized(nameString(path), ...terms));
}

/** Name(path, object) */
export function name(path: string, object: Aml): Aml {
  return bytes([Op.name], nameString(path), object);
}

/** Package() { elements }, of at most 255 elements */
export function pack(...elements: readonly Aml[]): Aml {
  if (elements.length > 255) throw new RangeError(`${elements.length} elements do not fit a package`);
  return bytes([Op.package], sized([elements.length], ...elements));
}

/** Buffer(size) { content } */
export function buffer(content: Uint8Array): Aml {
  return bytes([Op.buffer], sized(integer(content.length), content));
}

/** The shortest encoding of a non-negative integer below 2^53. */
export function integer(value: number): Aml {
  if (value === 0) return bytes([Op.zero]);
  if (value === 1) return bytes([Op.one]);
  if (value < 2 ** 8) return bytes([Op.byte], littleEndian(value, 1));
  if (value < 2 ** 16) return bytes([Op.word], littleEndian(value, 2));
  if (value < 2 ** 32) return bytes([Op.dword], littleEndian(value, 4));
  return bytes([Op.qword], littleEndian(value, 8));
}

/** An ASCII string. */
export function text(value: string): Aml {
  return bytes([Op.string], Buffer.from(`${value}\0`, 'latin1'));
}

/**
 * A plug-and-play identifier such as `PNP0A03`, packed into an integer (§19.3.4, EISAID): three letters of 5 bits and
 * four hex digits, most significant byte first.
 */
export function eisaId(id: string): Aml {
  if (!/^[A-Z]{3}[0-9A-F]{4}$/.test(id)) throw new RangeError(`'${id}' is not a plug-and-play identifier`);
  const letters = [...id.slice(0, 3)].reduce((sum, letter) => (sum << 5) | (letter.charCodeAt(0) - 0x40), 0);
  const digits = Number.parseInt(id.slice(3), 16);
  return bytes([Op.dword, letters >> 8, letters & 0xff, digits >> 8, digits & 0xff]);
}

/** A path such as `\_SB_.PCI0`; segments are padded with underscores to four characters. §20.2.2 */
export function nameString(path: string): Uint8Array {
  const isAbsolute = path.startsWith('\\');
  const segments = (isAbsolute ? path.slice(1) : path).split('.').map((segment) => segment.padEnd(4, '_'));
  const wrong = segments.find((segment) => !/^[A-Z_][A-Z0-9_]{3}$/.test(segment));
  if (wrong !== undefined) throw new RangeError(`'${wrong}' in ${path} is not an ACPI name`);
  const prefix =
    segments.length === 1 ? [] : segments.length === 2 ? [Op.dualName] : [Op.multiName, segments.length];
  return bytes(isAbsolute ? [0x5c] : [], prefix, Buffer.from(segments.join(''), 'latin1'));
}

/** `value` in `count` bytes, least significant first. */
export function littleEndian(value: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => Math.floor(value / 256 ** i) % 256);
}

/**
 * PkgLength, then the content: the length counts itself. One byte up to 63, else the low 4 bits in the first byte and
 * 8 more in each of up to three that follow. §20.2.4
 */
function sized(...content: readonly (Uint8Array | readonly number[])[]): Uint8Array {
  const body = bytes(...content);
  if (body.length + 1 < 2 ** 6) return bytes([body.length + 1], body);
  for (const following of [1, 2, 3]) {
    const length = body.length + 1 + following;
    if (length >= 2 ** (4 + 8 * following)) continue;
    return bytes([(following << 6) | (length & 0xf)], littleEndian(length >> 4, following), body);
  }
  throw new RangeError(`${body.length} bytes of AML do not fit a package length`);
}

/** The parts one after the other. */
export function bytes(...parts: readonly (Uint8Array | readonly number[])[]): Uint8Array {
  return Buffer.concat(parts.map((part) => Uint8Array.from(part)));
}
