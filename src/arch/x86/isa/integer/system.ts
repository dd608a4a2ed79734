/** The processor's identification, counters and random numbers, and privileged instructions. SDM vol. 2, by mnemonic. */

import { Vector } from '../../exceptions.ts';
import { Cr4, Gpr } from '../../registers.ts';
import { msrOffset } from '../../state-layout.ts';
import type { Cracker } from '../cracker.ts';
import type { Operand } from '../decoded.ts';
import { enc, type Form } from '../encoding.ts';
import { inst } from '../instruction.ts';
import { Ib, M, Rd, Rq, Rv } from '../operands.ts';
import type { Width } from '../ops.ts';
import { lacksCr4, privilegeLevel } from './privilege.ts';
import { getLow, setLow } from './registers.ts';

/** IA32_TSC_AUX. */
const TSC_AUX = msrOffset(0xc000_0103)!;

export const CPUID = inst('CPUID', {
  forms: [enc(0x0fa2)],
  crack(u) {
    u.assist('cpuid', getLow(u, 32, Gpr.RAX), getLow(u, 32, Gpr.RCX));
    for (const [i, index] of [Gpr.RAX, Gpr.RBX, Gpr.RCX, Gpr.RDX].entries())
      setLow(u, 32, index, u.assistResult(4 * i, 32));
  },
});

export const RDTSC = inst('RDTSC', {
  feature: 'tsc',
  forms: [enc(0x0f31)],
  crack(u) {
    readCounter(u);
  },
});

export const RDTSCP = inst('RDTSCP', {
  feature: 'rdtscp',
  forms: [enc(0x0f01).ext(7).rm(1)],
  crack(u) {
    readCounter(u);
    setLow(u, 32, Gpr.RCX, u.field(TSC_AUX, 32));
  },
});

function readCounter<V>(u: Cracker<V>): void {
  const isUser = u.ne(32, privilegeLevel(u), u.int(32, 0));
  u.faultIf(u.and(32, isUser, u.isZero(32, lacksCr4(u, Cr4.TSD))), Vector.GP);
  u.assist('rdtsc');
  setLow(u, 32, Gpr.RAX, u.assistResult(0, 32));
  setLow(u, 32, Gpr.RDX, u.assistResult(4, 32));
}

export const RDPID = inst('RDPID', {
  feature: 'rdpid',
  forms: [enc(0x0fc7, Rq).ext(7).pf3().o64(), enc(0x0fc7, Rd).ext(7).pf3().i64()],
  crack(u, dst) {
    u.write(dst, u.zext(64, dst.bits as Width, u.field(TSC_AUX, 64)));
  },
});

export const RDRAND = inst('RDRAND', {
  feature: 'rdrand',
  forms: [enc(0x0fc7, Rv).ext(6).np()],
  crack: readRandom,
});

export const RDSEED = inst('RDSEED', {
  feature: 'rdseed',
  forms: [enc(0x0fc7, Rv).ext(7).np()],
  crack: readRandom,
});

/** There always is a number. */
function readRandom<V>(u: Cracker<V>, dst: Operand): void {
  const z = dst.bits as Width;
  const low = u.assist('random');
  if (z < 64) u.write(dst, u.zext(32, z, low));
  else
    u.write(dst, u.or(64, u.zext(32, 64, low), u.shl(64, u.zext(32, 64, u.assist('random')), u.int(32, 32))));
  const zero = u.int(32, 0);
  u.setFlags({ cf: u.int(32, 1), pf: zero, af: zero, zf: zero, sf: zero, of: zero });
}

// ---- privileged: at privilege level 0 they are not there yet ----

function privileged(mnemonic: string, ...forms: Form[]) {
  return inst(mnemonic, { privileged: true, forms, crack: (u) => u.fault(Vector.UD) });
}

export const HLT = inst('HLT', {
  privileged: true,
  forms: [enc(0xf4)],
  crack(u) {
    u.leave('halt');
  },
});

/** Control registers that there are; of others, moves are #UD. ModRM.mod is ignored. */
const CONTROL_REGISTERS = [0, 2, 3, 4];
const DEBUG_REGISTERS = [0, 1, 2, 3, 4, 5, 6, 7];

export const PRIVILEGED = [
  privileged('CLTS', enc(0x0f06)),
  privileged('SYSRET', enc(0x0f07)),
  privileged('INVD', enc(0x0f08)),
  privileged('WBINVD', enc(0x0f09)),
  privileged('MOV', ...[0x0f20, 0x0f22].flatMap((code) => CONTROL_REGISTERS.map((n) => enc(code).ext(n)))),
  privileged('MOV', ...[0x0f21, 0x0f23].flatMap((code) => DEBUG_REGISTERS.map((n) => enc(code).ext(n)))),
  privileged('WRMSR', enc(0x0f30)),
  privileged('RDMSR', enc(0x0f32)),
  privileged('LLDT', enc(0x0f00).ext(2)),
  privileged('LTR', enc(0x0f00).ext(3)),
  privileged('LGDT', enc(0x0f01, M).ext(2)),
  privileged('LIDT', enc(0x0f01, M).ext(3)),
  privileged('LMSW', enc(0x0f01).ext(6)),
  privileged('INVLPG', enc(0x0f01, M).ext(7)),
  privileged('SWAPGS', enc(0x0f01).ext(7).rm(0).o64()),
  privileged('XSETBV', enc(0x0f01).ext(2).rm(1).np()),
  privileged('INVPCID', enc(0x0f3882, M).p66()),
  privileged('XSAVES', enc(0x0fc7, M).ext(5).np().feature('xsaves')),
  privileged('XRSTORS', enc(0x0fc7, M).ext(3).np().feature('xsaves')),
];

/** Counters of events are not there: a program may not read them, whatever CR4.PCE. */
export const RDPMC = inst('RDPMC', { forms: [enc(0x0f33)], crack: (u) => u.fault(Vector.GP) });

/** Programs have no ports: IOPL and the I/O permission bitmap, which may allow some, are not looked at. */
export const PORTS = [
  inst('IN', {
    forms: [enc(0xe4, Ib), enc(0xe5, Ib), enc(0xec), enc(0xed)],
    crack: (u) => u.fault(Vector.GP),
  }),
  inst('OUT', {
    forms: [enc(0xe6, Ib), enc(0xe7, Ib), enc(0xee), enc(0xef)],
    crack: (u) => u.fault(Vector.GP),
  }),
  inst('INS', { forms: [enc(0x6c), enc(0x6d)], crack: (u) => u.fault(Vector.GP) }),
  inst('OUTS', { forms: [enc(0x6e), enc(0x6f)], crack: (u) => u.fault(Vector.GP) }),
];
