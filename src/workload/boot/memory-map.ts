/**
 * The E820 map of a PC: which physical addresses are RAM that an operating system may use, and what the others are.
 * Derived from the board's layout, so that it cannot contradict it. ACPI specification 6.5 chapter 15.
 */
import { AddrRange, hex } from '../../mem/addr.ts';
import { FatalError } from '../../sim/trouble.ts';
import { type Claim, MemoryType, type PcLayout, type Span } from './pc-layout.ts';

const RSDP_BYTES = 36;

/** One entry of the map. Addresses in no entry are nobody's: a PCI device may get them. */
export interface MapEntry extends Span {
  readonly type: MemoryType;
}

/**
 * The map, by rising address: entries neither overlap nor touch one of their own type.
 * @throws FatalError where the firmware's own areas are not in RAM
 */
export function buildMemoryMap(layout: PcLayout): MapEntry[] {
  const claims = [...firmwareClaims(layout), ...layout.claims];
  const spans: readonly Span[] = [...layout.ram, ...claims];
  const edges = [...new Set(spans.flatMap((span) => [span.start, endOf(span)]))].sort((a, b) => a - b);
  const map: MapEntry[] = [];
  for (const [i, start] of edges.entries()) {
    const end = edges[i + 1];
    if (end === undefined) break;
    const type = typeAt(start, layout.ram, claims);
    if (type === undefined) continue;
    const last = map.at(-1);
    if (last !== undefined && last.type === type && endOf(last) === start) {
      map[map.length - 1] = { ...last, sizeBytes: end - last.start };
    } else {
      map.push({ start, sizeBytes: end - start, type });
    }
  }
  return map;
}

/** Where the span ends, exclusively. */
export function endOf(span: Span): number {
  return span.start + span.sizeBytes;
}

/** Whether `inner` lies in one of the spans as a whole. */
export function isWithin(spans: readonly Span[], inner: Span): boolean {
  return spans.some((span) => span.start <= inner.start && endOf(inner) <= endOf(span));
}

/** What the firmware keeps of the RAM for itself. */
function firmwareClaims(layout: PcLayout): Claim[] {
  const claims: Claim[] = [
    { ...layout.ebda, type: MemoryType.reserved, what: 'the extended BIOS data area' },
  ];
  if (layout.acpi !== undefined) {
    claims.push({ ...layout.acpi.tables, type: MemoryType.acpi, what: 'the ACPI tables' });
    const rsdp = { start: layout.acpi.rsdpAddress, sizeBytes: RSDP_BYTES };
    claims.push({ ...rsdp, type: MemoryType.reserved, what: 'the ACPI root pointer' });
    claims.push({ ...layout.acpi.facs, type: MemoryType.nvs, what: 'the FACS' });
  }
  for (const claim of claims) {
    if (claim.sizeBytes > 0 && isWithin(layout.ram, claim)) continue;
    const where = `${hex(claim.start)}–${hex(endOf(claim))}`;
    throw new FatalError(`memory map: ${claim.what} at ${where} is not in RAM: give the machine more memory`);
  }
  return claims;
}

/** The first claim on an address decides; RAM that nobody claims is usable. */
function typeAt(address: number, ram: readonly Span[], claims: readonly Claim[]): MemoryType | undefined {
  const holds = (span: Span) =>
    span.sizeBytes > 0 &&
    AddrRange.ofSize(span.start, span.sizeBytes).contains(address as AddrRange['start']);
  return claims.find(holds)?.type ?? (ram.some(holds) ? MemoryType.ram : undefined);
}
