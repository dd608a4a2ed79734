/**
 * Reads back the AML that describes a machine: names, scopes, devices, and data. It knows no methods, and refuses
 * every byte that the grammar (ACPI specification 6.5 chapter 20) does not allow where it is.
 */
import assert from 'node:assert/strict';

/** A resource descriptor in words. */
export type Resource = string;
export type Value = number | string | Resource[] | Value[];

/** All named objects of a definition block's body, by their full paths. */
export function parseDsdt(body: Uint8Array): Map<string, Value> {
  const reader = new AmlReader(body);
  reader.terms('', body.length);
  return reader.objects;
}

class AmlReader {
  readonly objects = new Map<string, Value>();
  readonly #bytes: Buffer;
  #at = 0;

  constructor(body: Uint8Array) {
    this.#bytes = Buffer.from(body);
  }

  terms(scope: string, end: number): void {
    while (this.#at < end) {
      const op = this.#byte();
      if (op === 0x08) {
        const path = this.#path(scope);
        this.objects.set(path, this.#value());
      } else {
        if (op === 0x5b) assert.equal(this.#byte(), 0x82);
        else assert.equal(op, 0x10);
        const inner = this.#length();
        this.terms(this.#path(scope), inner);
      }
    }
    assert.equal(this.#at, end, 'a package ends where its content does');
  }

  #byte(): number {
    assert.ok(this.#at < this.#bytes.length);
    return this.#bytes[this.#at++]!;
  }

  #number(count: number): number {
    let value = 0;
    for (let i = 0; i < count; i++) value += this.#byte() * 256 ** i;
    return value;
  }

  /** Where the package ends. */
  #length(): number {
    const start = this.#at;
    const first = this.#byte();
    const following = first >> 6;
    if (following === 0) return start + first;
    assert.equal(first & 0x30, 0);
    return start + (first & 0xf) + this.#number(following) * 16;
  }

  #path(scope: string): string {
    const isAbsolute = this.#bytes[this.#at] === 0x5c;
    if (isAbsolute) this.#at++;
    const segment = this.#bytes.toString('latin1', this.#at, this.#at + 4);
    this.#at += 4;
    assert.match(segment, /^[A-Z_][A-Z0-9_]{3}$/);
    return isAbsolute ? `\\${segment}` : `${scope}.${segment}`;
  }

  #value(): Value {
    const op = this.#byte();
    switch (op) {
      case 0x00:
      case 0x01:
        return op;
      case 0x0a:
        return this.#number(1);
      case 0x0b:
        return this.#number(2);
      case 0x0c:
        return this.#number(4);
      case 0x0d: {
        const end = this.#bytes.indexOf(0, this.#at);
        const value = this.#bytes.toString('latin1', this.#at, end);
        this.#at = end + 1;
        return value;
      }
      case 0x11:
        return this.#resources(this.#length());
      case 0x12: {
        const end = this.#length();
        const values = Array.from({ length: this.#byte() }, () => this.#value());
        assert.equal(this.#at, end);
        return values;
      }
      default:
        assert.fail(`byte ${op} is no data object`);
    }
  }

  #resources(end: number): Resource[] {
    assert.equal(this.#value(), end - this.#at, 'size of the buffer');
    const found: Resource[] = [];
    for (let tag = this.#byte(); tag !== 0x79; tag = this.#byte()) found.push(this.#resource(tag));
    this.#byte();
    assert.equal(this.#at, end);
    return found;
  }

  #resource(tag: number): Resource {
    if (tag === 0x22) return `irq ${Math.log2(this.#number(2))}`;
    if (tag === 0x47) {
      const [, low, high] = [this.#byte(), this.#number(2), this.#number(2)];
      assert.equal(low, high);
      this.#byte();
      return `io 0x${low.toString(16)}+${this.#byte()}`;
    }
    const end = this.#number(2) + this.#at;
    if (tag === 0x86) {
      this.#byte();
      return `memory 0x${this.#number(4).toString(16)}+${this.#number(4)}`;
    }
    assert.ok(tag === 0x87 || tag === 0x88, `tag ${tag}`);
    const width = tag === 0x87 ? 4 : 2;
    const kind = this.#byte();
    this.#number(2);
    const [, low, high, , length] = Array.from({ length: 5 }, () => this.#number(width));
    assert.equal(this.#at, end);
    return `window ${kind}: 0x${low!.toString(16)}–0x${high!.toString(16)}, ${length}`;
  }
}
