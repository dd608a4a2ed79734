/**
 * The assists behind XSAVE, XRSTOR, their variants and XGETBV: xsave-instructions.ts on the engine's thread context and memory.
 * Nothing is written, to memory or to registers, before all faults are known. Of page faults that of the area's last byte comes
 * first, then that of its first; for XRSTOR the header's comes before both, and #GP for what is in it behind: as on Zen 4.
 */

import { Vector } from '../../arch/x86/exceptions.ts';
import { XSAVE_ARGUMENTS, XsaveKind } from '../../arch/x86/isa/assists.ts';
import { OFFSET } from '../../arch/x86/state-layout.ts';
import type { X86ThreadContext } from '../../arch/x86/thread-context.ts';
import { XSAVE_HEADER, type XsaveFormat, XsaveImageError } from '../../arch/x86/xsave.ts';
import {
  areaBytes,
  type ByteRange,
  componentsInUse,
  readHeader,
  restoreFromImage,
  type SaveKind,
  saveToImage,
  type XsaveRequest,
} from '../../arch/x86/xsave-instructions.ts';

/** The area lies at a multiple of this: no line of so many bytes crosses a page. */
const LINE_BYTES = 64;
const TWO_32 = 2 ** 32;
const KINDS: readonly SaveKind[] = ['standard', 'optimized', 'compacted'];
const HEADER: ByteRange = [XSAVE_HEADER.at, XSAVE_HEADER.end];

/** Memory as the instruction sees it. */
export interface XsaveMemory {
  readonly ram: Uint8Array;
  /** Where bytes of one page lie in RAM; −1, with the fault's cells set, where they cannot be accessed. */
  place(lo: number, hi: number, sizeBytes: number, isWrite: boolean): number;
  setFault(vector: number, errorCode: number): void;
}

export class XsaveAssist {
  readonly #tc: X86ThreadContext;
  readonly #format: XsaveFormat;
  readonly #memory: XsaveMemory;
  readonly #allowsCompacted: boolean;
  readonly #image: { readonly bytes: Uint8Array; readonly words: Uint32Array };
  #lo = 0;
  #hi = 0;

  /** @param allowsCompacted whether the processor has XSAVEC */
  constructor(tc: X86ThreadContext, format: XsaveFormat, allowsCompacted: boolean, memory: XsaveMemory) {
    this.#tc = tc;
    this.#format = format;
    this.#allowsCompacted = allowsCompacted;
    this.#memory = memory;
    const words = new Uint32Array(Math.ceil(format.sizeBytes / LINE_BYTES) * (LINE_BYTES / 4));
    this.#image = { bytes: new Uint8Array(words.buffer), words };
  }

  /** XCR0 as far as there are components: no others can be enabled. */
  get #enabled(): number {
    return this.#tc.u32[OFFSET.xcr0 >> 2]! & this.#format.components;
  }

  /** XINUSE, for XGETBV. */
  inUse(): number {
    return componentsInUse(this.#tc, this.#enabled);
  }

  save(given: DataView, kind: number, pointerBits: number, is64: boolean): void {
    const request = this.#request(given, pointerBits, is64);
    const end = areaBytes(this.#format, request.components, kind === XsaveKind.compacted);
    if (!this.#isAccessible(end - 1, true) || !this.#isAccessible(0, true)) return;
    if (kind !== XsaveKind.compacted) this.#copy(HEADER, false);
    for (const range of saveToImage(this.#tc, this.#format, KINDS[kind]!, request, this.#image))
      this.#copy(range, true);
  }

  restore(given: DataView, pointerBits: number, is64: boolean): void {
    const request = this.#request(given, pointerBits, is64);
    if (!this.#isAccessible(XSAVE_HEADER.at, false)) return;
    this.#copy(HEADER, false);
    try {
      this.#restore(request);
    } catch (error) {
      if (!(error instanceof XsaveImageError)) throw error;
      this.#memory.setFault(Vector.GP, 0);
    }
  }

  #restore(request: XsaveRequest): void {
    const { components } = request;
    if (!this.#isAccessible(areaBytes(this.#format, components, false) - 1, false)) return;
    if (!this.#isAccessible(0, false)) return;
    const header = readHeader(this.#image.words, this.#enabled, this.#allowsCompacted);
    const { isCompacted, placed } = header;
    const end = areaBytes(this.#format, isCompacted ? placed : components, isCompacted);
    if (!this.#copy([0, end], false)) return;
    restoreFromImage(this.#tc, this.#format, header, request, this.#image);
  }

  #request(given: DataView, pointerBits: number, is64: boolean): XsaveRequest {
    this.#lo = given.getUint32(XSAVE_ARGUMENTS.area, true);
    this.#hi = given.getInt32(XSAVE_ARGUMENTS.area + 4, true);
    const components = given.getUint32(XSAVE_ARGUMENTS.components, true) & this.#enabled;
    return { components, is64, pointerBits };
  }

  #isAccessible(offset: number, isWrite: boolean): boolean {
    return this.#place(offset, 1, isWrite) >= 0;
  }

  #place(offset: number, sizeBytes: number, isWrite: boolean): number {
    const lo = this.#lo + offset;
    return this.#memory.place(lo % TWO_32, lo < TWO_32 ? this.#hi : this.#hi + 1, sizeBytes, isWrite);
  }

  /** Copies bytes of the image to memory, or from there. Returns whether they are accessible. */
  #copy([start, end]: ByteRange, toMemory: boolean): boolean {
    const { bytes } = this.#image;
    const { ram } = this.#memory;
    for (let at = start; at < end; ) {
      const next = Math.min(end, at - (at % LINE_BYTES) + LINE_BYTES);
      const place = this.#place(at, next - at, toMemory);
      if (place < 0) return false;
      if (toMemory) ram.set(bytes.subarray(at, next), place);
      else bytes.set(ram.subarray(place, place + next - at), at);
      at = next;
    }
    return true;
  }
}
