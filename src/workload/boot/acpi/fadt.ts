/**
 * FADT and FACS: the fixed hardware. ACPI specification 6.5 §5.2.9 and §5.2.10. There is no SMI command port, so the
 * machine is in ACPI mode from the start: SCI_EN must read as one.
 */
import type { PcTables } from '../pc-layout.ts';
import { ascii, buildTable, TABLE_HEADER_BYTES } from './table.ts';

/** Revision 6.5 of the table. */
const MAJOR = 6;
const MINOR = 5;
const FADT_BYTES = 276;
/** Offsets of table 5.9; a field `x…` is the 64-bit form of the one without. */
const At = {
  facs: 36,
  dsdt: 40,
  sciInterrupt: 46,
  pm1aEvent: 56,
  pm1aControl: 64,
  pmTimer: 76,
  pm1EventLength: 88,
  pm1ControlLength: 89,
  pmTimerLength: 91,
  c2Latency: 96,
  c3Latency: 98,
  century: 108,
  bootArchitecture: 109,
  flags: 112,
  resetRegister: 116,
  resetValue: 128,
  minorVersion: 131,
  xDsdt: 140,
  xPm1aEvent: 148,
  xPm1aControl: 172,
  xPmTimer: 208,
} as const;

const Flag = {
  WBINVD: 1 << 0,
  PROC_C1: 1 << 2,
  /** Set means: PM1 has no power button. The same for the sleep button and the alarm clock. */
  NO_POWER_BUTTON: 1 << 4,
  NO_SLEEP_BUTTON: 1 << 5,
  NO_FIXED_RTC: 1 << 6,
  TIMER_32_BITS: 1 << 8,
  RESET_REGISTER: 1 << 10,
} as const;
const BootArchitecture = { LEGACY_DEVICES: 1 << 0, I8042: 1 << 1, NO_VGA: 1 << 2, NO_RTC: 1 << 5 } as const;
/** Latencies beyond 100 µs and 1000 µs say that there is no C2 and no C3. */
const NO_C2 = 0xfff;
const NO_C3 = 0xfff;

const EVENT_BYTES = 4;
const CONTROL_BYTES = 2;
const TIMER_BYTES = 4;

export function buildFadt(machine: PcTables, dsdt: number, facs: number): Uint8Array {
  const { power } = machine;
  const fadt = new DataView(new ArrayBuffer(FADT_BYTES));
  fadt.setUint32(At.facs, facs, true);
  fadt.setUint32(At.dsdt, dsdt, true);
  fadt.setBigUint64(At.xDsdt, BigInt(dsdt), true);
  fadt.setUint16(At.sciInterrupt, power.sciIrq, true);
  setBlock(fadt, At.pm1aEvent, At.xPm1aEvent, power.eventPort, EVENT_BYTES);
  setBlock(fadt, At.pm1aControl, At.xPm1aControl, power.controlPort, CONTROL_BYTES);
  setBlock(fadt, At.pmTimer, At.xPmTimer, power.timerPort, TIMER_BYTES);
  fadt.setUint8(At.pm1EventLength, EVENT_BYTES);
  fadt.setUint8(At.pm1ControlLength, CONTROL_BYTES);
  fadt.setUint8(At.pmTimerLength, TIMER_BYTES);
  fadt.setUint16(At.c2Latency, NO_C2, true);
  fadt.setUint16(At.c3Latency, NO_C3, true);
  fadt.setUint8(At.century, machine.rtc?.centuryRegister ?? 0);
  fadt.setUint16(At.bootArchitecture, bootArchitecture(machine), true);
  fadt.setUint32(At.flags, flags(machine), true);
  setAddress(fadt, At.resetRegister, power.reset.port, 1, 1);
  fadt.setUint8(At.resetValue, power.reset.value);
  fadt.setUint8(At.minorVersion, MINOR);
  return buildTable('FACP', MAJOR, new Uint8Array(fadt.buffer).subarray(TABLE_HEADER_BYTES));
}

/** The structure that firmware and operating system share: global lock, waking vector. It has no checksum. */
export function buildFacs(): Uint8Array {
  const facs = new Uint8Array(64);
  facs.set(ascii('FACS'));
  facs[4] = facs.length;
  facs[32] = 2;
  return facs;
}

function flags({ power }: PcTables): number {
  return (
    Flag.WBINVD |
    Flag.PROC_C1 |
    (power.powerButton ? 0 : Flag.NO_POWER_BUTTON) |
    Flag.NO_SLEEP_BUTTON |
    (power.suspendType === undefined ? Flag.NO_FIXED_RTC : 0) |
    (power.timerBits === 32 ? Flag.TIMER_32_BITS : 0) |
    Flag.RESET_REGISTER
  );
}

function bootArchitecture(machine: PcTables): number {
  return (
    BootArchitecture.LEGACY_DEVICES |
    (machine.keyboardController === undefined ? 0 : BootArchitecture.I8042) |
    BootArchitecture.NO_VGA |
    (machine.rtc === undefined ? BootArchitecture.NO_RTC : 0)
  );
}

/** A register block, in its old 32-bit field and as generic address. */
function setBlock(fadt: DataView, at: number, xAt: number, port: number, sizeBytes: number): void {
  fadt.setUint32(at, port, true);
  // PM1 is accessed in words, each of status, enable and control being one; the timer in one piece.
  setAddress(fadt, xAt, port, sizeBytes, at === At.pmTimer ? 3 : 2);
}

/** Generic address structure of I/O ports, §5.2.3.2. Access size 1 is byte, 2 is word, 3 is dword. */
function setAddress(table: DataView, at: number, port: number, sizeBytes: number, accessSize: number): void {
  const SYSTEM_IO = 1;
  table.setUint8(at, SYSTEM_IO);
  table.setUint8(at + 1, 8 * sizeBytes);
  table.setUint8(at + 3, accessSize);
  table.setBigUint64(at + 4, BigInt(port), true);
}
