/*
 * C structures as data: members in order, offsets by the natural alignment of the x86-64 and arm64 ABIs
 * (System V ABI, AMD64 supplement, section 3.1.2: a scalar is aligned to its size).
 */

/** A scalar's size in bytes; its alignment is the same. */
export type Scalar = 1 | 2 | 4 | 8;

/** A member: a scalar, a structure, or an array of either. */
export type Member = Scalar | Layout | readonly [element: Scalar | Layout, count: number];

/** Size of a structure and offsets of its members, in bytes. */
export interface Layout<Name extends string = string> {
  /** The structure's name in the kernel's headers, without `struct`. */
  readonly name: string;
  readonly size: number;
  readonly align: number;
  /** Offset of each member. */
  readonly at: Readonly<Record<Name, number>>;
}

export const u8 = 1;
export const u16 = 2;
export const u32 = 4;
export const u64 = 8;

/** Lays out a structure. Members are named as in the kernel's headers. */
export function struct<const M extends Readonly<Record<string, Member>>>(
  name: string,
  members: M,
): Layout<keyof M & string> {
  const at: Record<string, number> = {};
  let size = 0;
  let align = 1;
  for (const [member, type] of Object.entries<Member>(members)) {
    const [element, count]: readonly [Scalar | Layout, number] =
      typeof type === 'number' || 'size' in type ? [type, 1] : type;
    const elementSize = typeof element === 'number' ? element : element.size;
    const elementAlign = typeof element === 'number' ? element : element.align;
    at[member] = roundUp(size, elementAlign);
    size = at[member] + elementSize * count;
    align = Math.max(align, elementAlign);
  }
  return { name, size: roundUp(size, align), align, at: at as Record<keyof M & string, number> };
}

function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}
