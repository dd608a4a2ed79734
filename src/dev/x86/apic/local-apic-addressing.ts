/**
 * Addresses of interrupt messages: what the ICR sends, which destinations are a local APIC's own; and its modes, which
 * decide how both are written. Intel SDM vol. 3A §10.6.1, §10.6.2, §10.12.2–§10.12.5.
 */
import {
  ALL_PROCESSORS,
  DeliveryMode,
  destinationFrom8Bits,
  type InterruptMessage,
} from '../../../arch/x86/interrupts.ts';
import type { ApicBus, InterruptTarget } from './apic-bus.ts';
import { Shorthand, WORD } from './local-apic-registers.ts';

/** Model of the destination format register, bits 31:28. */
const FLAT = 0xf;
const CLUSTER = 0;

const REMOTE_READ = 3;
const ICR_LOGICAL = 0x800;
const ICR_ASSERT = 0x4000;
const ICR_LEVEL = 0x8000;

/** Vectors below 16 are illegal in fixed messages and in LVT entries (§10.5.2). */
export function isLegalVector(vector: number): boolean {
  return vector >= 16;
}

/**
 * Sends what the interrupt command register says. Its fields decide; combinations that the manual calls invalid do what
 * their fields say. False: the vector is illegal, and nothing is sent.
 */
export function sendCommand(
  bus: ApicBus,
  sender: InterruptTarget,
  low: number,
  high: number,
  isX2Apic: boolean,
): boolean {
  const message = messageFromIcr(low, high, isX2Apic);
  if (message === undefined) return true;
  if (message.deliveryMode <= DeliveryMode.LowestPriority && !isLegalVector(message.vector)) return false;
  const shorthand = shorthandOf(low);
  if (shorthand === Shorthand.Self) sender.accept(message);
  else bus.send(message, shorthand === Shorthand.Others ? sender : undefined);
  return true;
}

/** The message of an interrupt command; undefined if its delivery mode is reserved. */
function messageFromIcr(low: number, high: number, isX2Apic: boolean): InterruptMessage | undefined {
  const deliveryMode = (low >>> 8) & 7;
  if (deliveryMode === REMOTE_READ || deliveryMode === DeliveryMode.ExtInt) return undefined;
  const hasShorthand = shorthandOf(low) !== Shorthand.None;
  const own = isX2Apic ? high : destinationFrom8Bits(high >>> 24);
  // Level and trigger mean something for INIT only: the other messages are edges (§10.6.1).
  const isLevelInit = deliveryMode === DeliveryMode.Init && (low & ICR_LEVEL) !== 0;
  return {
    destination: hasShorthand ? ALL_PROCESSORS : own,
    isLogical: !hasShorthand && (low & ICR_LOGICAL) !== 0,
    deliveryMode,
    vector: low & 0xff,
    isLevel: isLevelInit,
    assert: !isLevelInit || (low & ICR_ASSERT) !== 0,
  };
}

function shorthandOf(low: number): number {
  return (low >>> 18) & 3;
}

/** Whether a destination names the APIC with these registers. */
export function isDestination(
  words: Uint32Array,
  isX2Apic: boolean,
  destination: number,
  isLogical: boolean,
): boolean {
  if (destination === ALL_PROCESSORS) return true;
  if (!isLogical) return destination === words[WORD.id]! >>> 24;
  const ldr = words[WORD.ldr]!;
  if (isX2Apic) return destination >>> 16 === ldr >>> 16 && (destination & ldr & 0xffff) !== 0;
  if (destination > 0xff) return false;
  const logicalId = ldr >>> 24;
  switch (words[WORD.dfr]! >>> 28) {
    case FLAT:
      return (destination & logicalId) !== 0;
    case CLUSTER: {
      const cluster = destination >>> 4;
      return (cluster === 0xf || cluster === logicalId >>> 4) && (destination & logicalId & 0xf) !== 0;
    }
    default:
      return false;
  }
}

/** In x2APIC mode the logical id follows from the id: a cluster of 16, and a bit in it (§10.12.10.2). */
export function logicalIdX2Apic(id: number): number {
  return ((id >>> 4) << 16) | (1 << (id & 0xf));
}

/** Modes of a local APIC: bits 11 and 10 of IA32_APIC_BASE. Bit 10 alone is illegal. */
export const ApicMode = { Disabled: 0, Invalid: 0x400, XApic: 0x800, X2Apic: 0xc00 } as const;

export function modeOf(apicBase: number): number {
  return apicBase & ApicMode.X2Apic;
}

/** Bits 7:0, 9, and those beyond the 52 that an address can have. */
const RESERVED = 0xfff0_0000_0000_02ffn;

/** Whether software may write `value` over `present` (§10.12.5, figure 10-27). False: #GP. */
export function isLegalBase(present: number, value: bigint, hasX2Apic: boolean): boolean {
  if ((value & RESERVED) !== 0n) return false;
  const from = modeOf(present);
  const to = modeOf(Number(value & 0xfffn));
  if (to === ApicMode.Invalid || (to === ApicMode.X2Apic && !hasX2Apic)) return false;
  return (
    !(from === ApicMode.X2Apic && to === ApicMode.XApic) &&
    !(from === ApicMode.Disabled && to === ApicMode.X2Apic)
  );
}
