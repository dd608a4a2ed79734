// The guest code of the KVM executor. It goes through a batch of cases by itself, in ring 3, and leaves the guest once per
// batch:
//
//   next:      area := background + patches; vector state by XRSTOR; FS and GS; general registers; IRETQ to the case
//   case ends  at END_ADDRESS ──JMP──▶ end ─┐
//   exception  ──▶ entry in ring 0: keeps the frame and CR2, IRETQ ──▶ fault ─┤
//   SYSCALL    ──▶ LSTAR (ring 3 under PVM, else SYSRETQ) ──▶ syscall ─┤
//   time-out   the host sets RIP ──▶ timeout ─┤
//                                             └▶ save: registers, RFLAGS, XSAVE; changed blocks of the area, which get their
//                                                background back; next
//   done:      store to the doorbell ──exit──▶ host reads the outcomes, fills in the next batch, enters again ──▶ next
//
// A case leaves arbitrary values in every register, any flag, unmasked floating-point exceptions and pending ones. Hence: before
// RFLAGS is saved nothing but MOV with operands relative to RIP, aligned (AC may be set); XSAVE does not wait for x87
// exceptions; the code uses SSE for integers only. IRETQ rather than POPFQ and JMP begins a case: it loads flags, RSP and RIP
// in one instruction, works in ring 3, and serializes, since the code has just been written through other addresses.

import { buildTss64, GdtBuilder, IdtBuilder } from '../../src/arch/x86/descriptors.ts';
import { pushesErrorCode, Vector } from '../../src/arch/x86/exceptions.ts';
import { PAGE_SIZE } from '../../src/arch/x86/page-table.ts';
import { Gpr } from '../../src/arch/x86/registers.ts';
import { SegmentAttribute, SegmentPreset, SystemType } from '../../src/arch/x86/segments.ts';
import { LinuxSelector } from '../../src/arch/x86/user-mode.ts';
import { AREA_BYTES } from './address-space.ts';
import { Assembler, le32 } from './assembler.ts';
import {
  BLOCK_BYTES,
  CHANGE,
  CONTROL,
  DOORBELL,
  FRAME,
  HIDDEN,
  INPUT,
  OUTPUT,
  PATCH,
  PHYSICAL,
  STUB,
  Way,
} from './kvm-layout.ts';

const { RAX, RCX, RDX, RBX, RSP, RSI, RDI } = Gpr;
const REX_W = 0x48;
const MOV_LOAD = [REX_W, 0x8b] as const;
const MOV_STORE = [REX_W, 0x89] as const;
const MOV_STORE_IMM32 = [REX_W, 0xc7] as const;
const LEA = [REX_W, 0x8d] as const;
const CMP_REG_MEM = [REX_W, 0x3b] as const;
const PUSH_MEM = { opcode: [0xff], reg: 6 } as const;
const JMP = [0xe9] as const;
const JE = [0x0f, 0x84] as const;
const JNE = [0x0f, 0x85] as const;
const JAE = [0x0f, 0x83] as const;
const IRETQ = [REX_W, 0xcf] as const;
const PUSHFQ = 0x9c;
const POPFQ = 0x9d;
const PUSH_IMM32 = 0x68;

/** RFLAGS of the guest code: IF and the bit that is always set. */
const PLAIN_RFLAGS = 0x202;

const control = (field: keyof typeof CONTROL): number => HIDDEN + PHYSICAL.control + CONTROL[field];
const USER_STACK_TOP = HIDDEN + PHYSICAL.userStack + PAGE_SIZE;
/** Where an exception's frame ends: the stack that ring 0 begins with. */
const STACK_TOP = PHYSICAL.stack + PAGE_SIZE;
const FRAME_AT = HIDDEN + STACK_TOP - FRAME.cr2;

/** What the executor has to know of the code. */
export interface Harness {
  /** Machine code by physical address. */
  readonly pieces: readonly { readonly at: number; readonly bytes: Uint8Array }[];
  /** Virtual addresses. */
  readonly start: number;
  readonly timeout: number;
  readonly syscall: number;
  /** Base and limit of GDT, IDT and TSS. */
  readonly gdt: { readonly base: number; readonly limit: number };
  readonly idt: { readonly base: number; readonly limit: number };
  readonly tss: { readonly base: number; readonly limit: number };
}

/**
 * The guest code, and the tables that lead to it.
 * @param restored state components that each case begins with, a mask of `Xcr0`  @param saved those that are told at its end
 */
export function buildHarness(restored: number, saved: number): Harness {
  const a = new Assembler(HIDDEN + PHYSICAL.code);
  emitBegin(a, restored);
  emitEnds(a);
  emitSave(a, saved);
  const entries = buildEntries(a.addressOf('fault'));
  const tables = HIDDEN + PHYSICAL.tables;
  const tss = buildTss64({ rsp: [BigInt(HIDDEN + STACK_TOP), 0n, 0n], ist: [] });
  const tssPlace = { base: HIDDEN + PHYSICAL.tss, limit: tss.length - 1 };
  const gdt = buildGdt(tssPlace);
  const idt = buildIdt();
  return {
    pieces: [
      { at: PHYSICAL.code, bytes: a.assemble() },
      { at: PHYSICAL.gateway, bytes: buildGateway(a.addressOf('end')) },
      { at: PHYSICAL.entries, bytes: entries },
      { at: PHYSICAL.tables, bytes: gdt.bytes },
      { at: PHYSICAL.tables + IDT_OFFSET, bytes: idt.bytes },
      { at: PHYSICAL.tss, bytes: tss },
    ],
    start: a.base,
    timeout: a.addressOf('timeout'),
    syscall: a.addressOf('lstar'),
    gdt: { base: tables, limit: gdt.limit },
    idt: { base: tables + IDT_OFFSET, limit: idt.limit },
    tss: tssPlace,
  };
}

/** From the top of the batch loop to the first instruction of the case. RBX: its input. */
function emitBegin(a: Assembler, restored: number): void {
  a.label('next');
  a.atAddress(LEA, RSP, USER_STACK_TOP);
  a.atAddress(MOV_LOAD, RAX, control('index'));
  a.atAddress(CMP_REG_MEM, RAX, control('count'));
  a.jump(JAE, 'done');
  a.atAddress(MOV_LOAD, RBX, control('input'));

  a.atBase(MOV_LOAD, RSI, RBX, INPUT.image);
  a.atAddress(CMP_REG_MEM, RSI, control('image'));
  a.jump(JE, 'patch');
  a.atAddress(MOV_STORE, RSI, control('image'));
  a.atAddress(LEA, RDI, HIDDEN + PHYSICAL.area);
  a.raw(0xb9, ...le32(AREA_BYTES / 8)); // mov ecx, …
  a.raw(0xf3, REX_W, 0xa5); // rep movsq

  a.label('patch');
  a.atBase(MOV_LOAD, RDX, RBX, INPUT.patches);
  a.label('nextPatch');
  a.atBase(MOV_LOAD, RCX, RDX, PATCH.length);
  a.raw(REX_W, 0x85, 0xc9); // test rcx, rcx
  a.jump(JE, 'patched');
  a.atBase(MOV_LOAD, RDI, RDX, PATCH.address);
  a.atBase(LEA, RSI, RDX, PATCH.bytes);
  a.raw(0xf3, 0xa4); // rep movsb
  a.atBase(LEA, RDX, RSI, 7);
  a.raw(REX_W, 0x83, 0xe2, 0xf8); // and rdx, −8
  a.jump(JMP, 'nextPatch');

  a.label('patched');
  a.raw(0xb8, ...le32(restored), 0x31, 0xd2); // mov eax, restored; xor edx, edx
  a.atBase([REX_W, 0x0f, 0xae], 5, RBX, INPUT.xsave); // xrstor64
  a.atBase(MOV_LOAD, RAX, RBX, INPUT.fsBase);
  a.raw(0xf3, REX_W, 0x0f, 0xae, 0xd0); // wrfsbase rax
  a.atBase(MOV_LOAD, RAX, RBX, INPUT.gsBase);
  a.raw(0xf3, REX_W, 0x0f, 0xae, 0xd8); // wrgsbase rax
  a.raw(PUSH_IMM32, ...le32(LinuxSelector.userData));
  for (const field of [INPUT.gpr + 8 * RSP, INPUT.rflags])
    a.atBase(PUSH_MEM.opcode, PUSH_MEM.reg, RBX, field);
  a.raw(PUSH_IMM32, ...le32(LinuxSelector.userCode));
  a.atBase(PUSH_MEM.opcode, PUSH_MEM.reg, RBX, INPUT.rip);
  for (let register = 0; register < 16; register++) {
    if (register !== RSP && register !== RBX)
      a.atBase(withRegister(MOV_LOAD, register), register & 7, RBX, INPUT.gpr + 8 * register);
  }
  a.atBase(MOV_LOAD, RBX, RBX, INPUT.gpr + 8 * RBX);
  a.raw(...IRETQ);
}

/** The ways to the end of a case, up to where they meet. No flag may change. */
function emitEnds(a: Assembler): void {
  const way = (label: keyof typeof Way): void => {
    a.atAddress(MOV_STORE_IMM32, 0, control('way'), le32(Way[label]));
    a.jump(JMP, 'save');
  };
  a.label('end');
  way('end');
  a.label('fault');
  way('exception');
  a.label('timeout');
  way('timeout');

  // SYSCALL has saved RIP and RFLAGS in RCX and R11. In ring 0, SYSRETQ goes on from there; in ring 3 (PVM) a jump.
  a.label('lstar');
  a.atAddress(MOV_STORE, RCX, control('rcx'));
  a.atAddress(withRegister(MOV_STORE, Gpr.R11), Gpr.R11 & 7, control('r11'));
  a.raw(0x8c, 0xc9); // mov ecx, cs
  a.raw(0xf6, 0xc1, 0x03); // test cl, 3
  a.jump(JNE, 'syscall');
  a.atLabel(LEA, RCX, 'syscall');
  a.raw(0x41, 0xbb, ...le32(PLAIN_RFLAGS)); // mov r11d, …
  a.raw(REX_W, 0x0f, 0x07); // sysretq
  a.label('syscall');
  a.atAddress(MOV_LOAD, RCX, control('rcx'));
  a.atAddress(withRegister(MOV_LOAD, Gpr.R11), Gpr.R11 & 7, control('r11'));
  way('syscall');
}

/** Saves what the case has left, and goes on with the next one. RBX: its output. */
function emitSave(a: Assembler, saved: number): void {
  a.label('save');
  a.atAddress(MOV_STORE, RSP, control('rsp'));
  a.atAddress(MOV_LOAD, RSP, control('output'));
  for (let register = 0; register < 16; register++) {
    if (register !== RSP)
      a.atBase(withRegister(MOV_STORE, register), register & 7, RSP, OUTPUT.gpr + 8 * register);
  }
  a.raw(REX_W, 0x89, 0xe3); // mov rbx, rsp
  a.atBase(LEA, RSP, RBX, OUTPUT.rflagsEnd);
  a.raw(PUSHFQ);
  a.atAddress(LEA, RSP, USER_STACK_TOP);
  a.raw(PUSH_IMM32, ...le32(PLAIN_RFLAGS), POPFQ);
  const copy = (from: number, to: number): void => {
    a.atAddress(MOV_LOAD, RAX, from);
    a.atBase(MOV_STORE, RAX, RBX, to);
  };
  copy(control('rsp'), OUTPUT.gpr + 8 * RSP);
  copy(control('way'), OUTPUT.way);
  for (let at = 0; at < FRAME.cr2; at += 8) copy(FRAME_AT + at, OUTPUT.frame + at);
  copy(control('cr2'), OUTPUT.frame + FRAME.cr2);
  a.raw(0xf3, REX_W, 0x0f, 0xae, 0xc0); // rdfsbase rax
  a.atBase(MOV_STORE, RAX, RBX, OUTPUT.fsBase);
  a.raw(0xf3, REX_W, 0x0f, 0xae, 0xc8); // rdgsbase rax
  a.atBase(MOV_STORE, RAX, RBX, OUTPUT.gsBase);
  a.raw(0xb8, ...le32(saved), 0x31, 0xd2); // mov eax, saved; xor edx, edx
  a.atBase([REX_W, 0x0f, 0xae], 4, RBX, OUTPUT.xsave); // xsave64
  emitCompare(a);
  a.atBase(withRegister(MOV_STORE, Gpr.R8), Gpr.R8 & 7, RBX, OUTPUT.changesEnd);
  a.atAddress(withRegister(MOV_STORE, Gpr.R8), Gpr.R8 & 7, control('changes'));

  a.atAddress([REX_W, 0x81], 0, control('input'), le32(INPUT.sizeBytes)); // add qword …
  a.atAddress([REX_W, 0x81], 0, control('output'), le32(OUTPUT.sizeBytes));
  a.atAddress([REX_W, 0x81], 0, control('index'), le32(1));
  a.jump(JMP, 'next');

  a.label('done');
  a.atAddress(MOV_STORE, RAX, HIDDEN + DOORBELL);
  a.jump(JMP, 'next');
}

/** Copies the blocks of the area that differ from the background to R8, and gives them the background back. */
function emitCompare(a: Assembler): void {
  const load = [0x66, 0x0f, 0x6f] as const; // movdqa xmm, m128
  const store = [0x66, 0x0f, 0x7f] as const; // movdqa m128, xmm
  const lines = Array.from({ length: BLOCK_BYTES / 16 }, (_, i) => i);
  a.atAddress(MOV_LOAD, RSI, control('image'));
  a.atAddress(LEA, RDI, HIDDEN + PHYSICAL.area);
  a.atAddress(withRegister(MOV_LOAD, Gpr.R8), Gpr.R8 & 7, control('changes'));
  a.raw(0xb9, ...le32(AREA_BYTES / BLOCK_BYTES)); // mov ecx, …
  a.label('block');
  for (const i of lines) {
    a.atBase(load, i, RDI, 16 * i);
    a.atBase([0x66, 0x0f, 0x74], i, RSI, 16 * i); // pcmpeqb
  }
  for (const i of lines.slice(1)) a.raw(0x66, 0x0f, 0xdb, 0xc0 | i); // pand xmm0, xmm<i>
  a.raw(0x66, 0x0f, 0xd7, 0xc0); // pmovmskb eax, xmm0
  a.raw(0x3d, ...le32(0xffff)); // cmp eax, 0xffff
  a.jump(JNE, 'changed');
  a.label('compared');
  a.raw(REX_W, 0x83, 0xc6, BLOCK_BYTES); // add rsi, …
  a.raw(REX_W, 0x83, 0xc7, BLOCK_BYTES); // add rdi, …
  a.raw(0xff, 0xc9); // dec ecx
  a.jump(JNE, 'block');
  a.jump(JMP, 'allCompared');

  a.label('changed');
  a.raw(REX_W, 0x89, 0xf8); // mov rax, rdi
  a.atAddress(LEA, RDX, HIDDEN + PHYSICAL.area);
  a.raw(REX_W, 0x29, 0xd0); // sub rax, rdx
  a.raw(0x49, 0x89, 0x00); // mov [r8], rax
  a.raw(0x4c, 0x89, 0xc2); // mov rdx, r8
  for (const i of lines) {
    a.atBase(load, i, RDI, 16 * i);
    a.atBase(store, i, RDX, CHANGE.bytes + 16 * i);
    a.atBase(load, i, RSI, 16 * i);
    a.atBase(store, i, RDI, 16 * i);
  }
  a.raw(0x49, 0x83, 0xc0, CHANGE.sizeBytes); // add r8, …
  a.jump(JMP, 'compared');
  a.label('allCompared');
}

/** The page at END_ADDRESS: a jump to where the case's end is told. Its pointer is aligned: AC may be set. */
function buildGateway(end: number): Uint8Array {
  const bytes = new Uint8Array(16);
  bytes.set([0xff, 0x25, ...le32(2)]); // jmp [rip + 2]
  new DataView(bytes.buffer).setBigUint64(8, BigInt(end), true);
  return bytes;
}

/**
 * Entries of exceptions in ring 0. PVM emulates them, instruction by instruction: therefore CR2 is read after page faults only,
 * and the frame for the way back lies ready instead of being pushed.
 */
function buildEntries(fault: number): Uint8Array {
  const a = new Assembler(HIDDEN + PHYSICAL.entries);
  for (let vector = 0; vector < STUB.exceptions; vector++) {
    if (!pushesErrorCode(vector)) a.raw(0x6a, 0); // push 0
    a.raw(0x6a, vector); // push vector
    if (vector === Vector.PF) {
      a.atAddress(MOV_STORE, RAX, control('rax'));
      a.raw(0x0f, 0x20, 0xd0); // mov rax, cr2
      a.atAddress(MOV_STORE, RAX, control('cr2'));
      a.atAddress(MOV_LOAD, RAX, control('rax'));
    }
    a.atLabel(LEA, RSP, 'frame');
    a.raw(...IRETQ);
    a.align(STUB.entryBytes);
  }
  a.label('frame');
  const frame = [fault, LinuxSelector.userCode, PLAIN_RFLAGS, 0, LinuxSelector.userData];
  a.raw(...new Uint8Array(BigUint64Array.from(frame, BigInt).buffer));
  return a.assemble();
}

const IDT_OFFSET = 0x800;

function buildGdt(tss: { base: number; limit: number }): GdtBuilder {
  const table = new GdtBuilder((LinuxSelector.tss >>> 3) + 2);
  table.set({ ...SegmentPreset.kernelCode64, selector: LinuxSelector.kernelCode });
  table.set({ ...SegmentPreset.kernelData, selector: LinuxSelector.kernelData });
  table.set({ ...SegmentPreset.userData, selector: LinuxSelector.userData });
  table.set({ ...SegmentPreset.userCode64, selector: LinuxSelector.userCode });
  const attributes = SegmentAttribute.P | SystemType.TSS_AVAILABLE;
  table.set({ selector: LinuxSelector.tss, base: BigInt(tss.base), limit: tss.limit, attributes });
  return table;
}

/** INT3 is for user code, INT n is not. */
function buildIdt(): IdtBuilder {
  const table = new IdtBuilder(STUB.exceptions);
  for (let vector = 0; vector < STUB.exceptions; vector++) {
    table.set({
      vector,
      selector: LinuxSelector.kernelCode,
      offset: BigInt(HIDDEN + PHYSICAL.entries + vector * STUB.entryBytes),
      type: SystemType.INTERRUPT_GATE,
      dpl: vector === 3 || vector === 4 ? 3 : 0,
      ist: 0,
    });
  }
  return table;
}

/** `opcode`, whose first byte is REX.W, for register `register` in the `reg` field of ModRM: REX.R for R8 to R15. */
function withRegister(opcode: readonly number[], register: number): number[] {
  return register < 8 ? [...opcode] : [opcode[0]! | 0x04, ...opcode.slice(1)];
}
