// The ABI tables against the C headers of this host: every structure's size, every member's offset, every
// constant and ioctl number. The expected values come out of a C program that is generated from the
// tables' names.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Errno } from '../../src/host/errors.ts';
import * as kvm from '../../src/host/kvm/abi.ts';
import * as x86 from '../../src/host/kvm/abi-x86.ts';
import type { Layout } from '../../src/host/layout.ts';
import * as perf from '../../src/host/perf-abi.ts';
import { scratchDirectory } from '../support/hypertick.ts';

/** C expressions and what the tables say about them. */
type Claims = Map<string, number>;

/** Tables of constants: the prefix of their names in the headers. */
const CONSTANTS: readonly (readonly [prefix: string, table: Readonly<Record<string, number>>])[] = [
  ['KVM_CAP_', kvm.KvmCap],
  ['KVM_EXIT_', kvm.KvmExitReason],
  ['KVM_INTERNAL_ERROR_', kvm.KvmInternalError],
  ['KVM_SYSTEM_EVENT_', kvm.KvmSystemEvent],
  ['KVM_MEM_', kvm.KvmMem],
  ['KVM_MP_STATE_', kvm.KvmMpState],
  ['KVM_EXIT_IO_', kvm.KvmIo],
  ['KVM_EXIT_HYPERV_', kvm.KvmExitHyperv],
  ['KVM_GUESTDBG_', kvm.KvmGuestDbg],
  ['KVM_', kvm.KvmIoctl],
  ['KVM_', x86.KvmX86Ioctl],
  ['KVM_VCPUEVENT_VALID_', x86.KvmVcpuEventValid],
  ['KVM_X86_SHADOW_INT_', x86.KvmX86ShadowInt],
  ['KVM_SYNC_X86_', x86.KvmSyncX86],
  ['KVM_CPUID_FLAG_', x86.KvmCpuidFlag],
  ['KVM_GUESTDBG_', x86.KvmX86GuestDbg],
  ['KVM_MSR_EXIT_REASON_', x86.KvmMsrExitReason],
  ['KVM_RUN_X86_', x86.KvmRunX86],
  ['KVM_IRQCHIP_', x86.KvmIrqchipId],
  ['KVM_IRQ_ROUTING_', x86.KvmIrqRoutingType],
  ['KVM_MSR_FILTER_', x86.KvmMsrFilterFlag],
  ['PERF_TYPE_', perf.PerfType],
  ['PERF_COUNT_HW_', perf.PerfHardware],
  ['PERF_COUNT_SW_', perf.PerfSoftware],
  ['PERF_EVENT_IOC_', perf.PerfIoctl],
  ['', Errno],
];

const SINGLE: Readonly<Record<string, number>> = {
  KVM_API_VERSION: kvm.KVM_API_VERSION,
  KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES:
    kvm.KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES,
  KVM_PIO_PAGE_OFFSET: x86.KVM_PIO_PAGE_OFFSET,
  KVM_COALESCED_MMIO_PAGE_OFFSET: x86.KVM_COALESCED_MMIO_PAGE_OFFSET,
  KVM_VCPU_TSC_CTRL: x86.KvmVcpuTscCtrl.GROUP,
  KVM_VCPU_TSC_OFFSET: x86.KvmVcpuTscCtrl.OFFSET,
  PERF_FLAG_FD_CLOEXEC: perf.PERF_FLAG_FD_CLOEXEC,
  PERF_ATTR_SIZE_VER5: perf.PerfEventAttr.size,
};

/** Enumerators, which the preprocessor cannot ask for. */
const isEnumerator = (name: string): boolean => /^PERF_(TYPE|COUNT)_/.test(name);

function claimsOfConstants(): Claims {
  const claims: Claims = new Map(Object.entries(SINGLE));
  for (const [prefix, table] of CONSTANTS) {
    for (const [name, value] of Object.entries(table)) claims.set(prefix + name, value);
  }
  return claims;
}

function isLayout(value: unknown): value is Layout {
  return typeof value === 'object' && value !== null && 'at' in value;
}

function claimsOfLayouts(): Claims {
  const claims: Claims = new Map();
  const named = [...Object.values(kvm), ...Object.values(x86)].filter(isLayout);
  for (const { name, size, at } of named) {
    claims.set(`sizeof(struct ${name})`, size);
    for (const [member, offset] of Object.entries(at)) claims.set(offsetOf(name, member), offset);
  }
  const nested = (outer: string, part: Layout): void => {
    const start = offsetOf(outer, part.name);
    for (const [member, offset] of Object.entries(part.at)) {
      claims.set(`${offsetOf(outer, `${part.name}.${member}`)} - ${start}`, offset);
    }
  };
  for (const part of Object.values(kvm.KvmExitLayouts)) {
    nested('kvm_run', part);
    claims.set(offsetOf('kvm_run', part.name), kvm.KVM_RUN_EXIT_OFFSET);
  }
  for (const part of Object.values(x86.KvmVcpuEventParts)) nested('kvm_vcpu_events', part);
  for (const [member, offset] of Object.entries(perf.PerfEventAttr.at)) {
    if (member !== 'flags') claims.set(offsetOf('perf_event_attr', member), offset);
  }
  return claims;
}

function offsetOf(structure: string, member: string): string {
  return `offsetof(struct ${structure}, ${member})`;
}

/** A bit field has no offset: the program sets the member and shows where the bit went. */
function bitFieldProbe(member: string): string {
  return `{ struct perf_event_attr a = {0}; a.${member} = 1; unsigned long long v;
    memcpy(&v, (char *)&a + ${perf.PerfEventAttr.at.flags}, 8); printf("bit ${member}=%llu\\n", v); }`;
}

function cProgram(claims: Claims): string {
  const lines = [...claims.keys()].map((expression) => {
    const print = `printf("%s=%llu\\n", "${expression}", (unsigned long long)(${expression}));`;
    const isMacro = /^\w+$/.test(expression) && !isEnumerator(expression);
    // A header older than the constant is no fault of the table.
    return isMacro ? `#ifdef ${expression}\n${print}\n#endif` : print;
  });
  return `#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <linux/kvm.h>
#include <linux/perf_event.h>
int main(void) {
${lines.join('\n')}
${Object.keys(perf.PerfFlag).map(bitFieldProbe).join('\n')}
return 0; }
`;
}

function whyNot(): string | false {
  if (process.arch !== 'x64') return 'the tables are for x86-64';
  if (spawnSync('cc', ['--version']).error !== undefined) return 'cc is not installed';
  return existsSync('/usr/include/linux/kvm.h') ? false : "the kernel's headers are not installed";
}

test("every size, offset and number is the C headers' own", { skip: whyNot() }, (t) => {
  const claims: Claims = new Map([...claimsOfConstants(), ...claimsOfLayouts()]);
  const directory = scratchDirectory(t);
  const source = join(directory, 'abi.c');
  writeFileSync(source, cProgram(claims));
  const compiled = spawnSync('cc', ['-Wall', '-o', join(directory, 'abi'), source], { encoding: 'utf8' });
  assert.equal(compiled.status, 0, compiled.stderr);
  const output = spawnSync(join(directory, 'abi'), { encoding: 'utf8' }).stdout;

  const actual = new Map(output.split('\n').map((line) => line.split('=') as [string, string]));
  const wrong: string[] = [];
  let checked = 0;
  for (const [expression, expected] of [...claims, ...bitClaims()]) {
    const value = actual.get(expression);
    if (value === undefined) continue;
    checked++;
    if (Number(value) !== expected) wrong.push(`${expression}: table ${expected}, header ${value}`);
  }
  assert.deepEqual(wrong, []);
  // Headers may lack the newest constants, but not many.
  assert.ok(checked > 0.9 * claims.size, `${checked} of ${claims.size} are in the headers`);
});

function bitClaims(): Claims {
  return new Map(Object.entries(perf.PerfFlag).map(([name, bit]) => [`bit ${name}`, bit]));
}
