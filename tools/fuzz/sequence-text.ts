// Cases and their outcomes as text, to be kept in files and run again. One item per line, numbers in hexadecimal:
//
//   case
//   code 414ff8 4889d8 0f05        address, instructions
//   fill 3                         left out if 0
//   data 500ff8 aabbcc             as often as needed
//   rax 5                          registers that differ from emptyState()
//   outcome exception e 6 500000   vector, error code, address; or: end, syscall, timeout, refused REASON
//   rip 400ffb                     registers that differ from the initial state
//   memory 500ff8 00               bytes that have changed
//
// Empty lines and what follows a `#` mean nothing. Several cases in a file follow one another.

import type { X86ThreadContext } from '../../src/arch/x86/thread-context.ts';
import type { Ending, MemoryBytes, Outcome, Sequence } from './sequence.ts';
import { copyUserState, emptyState, USER_REGISTERS } from './user-state.ts';

/** A case, and what came of it if that is known. */
export interface RecordedCase {
  readonly sequence: Sequence;
  readonly outcome?: Outcome | undefined;
}

/** A text that is no list of cases. */
export class SequenceTextError extends Error {
  override readonly name = 'SequenceTextError';
}

export function formatCases(cases: readonly RecordedCase[]): string {
  return cases.map(({ sequence, outcome }) => formatCase(sequence, outcome)).join('\n');
}

/** One case, ending with a newline. */
export function formatCase(sequence: Sequence, outcome?: Outcome): string {
  const { codeAddress, instructions, fill, data, state } = sequence;
  const lines = ['case', ['code', codeAddress.toString(16), ...instructions.map(hexBytes)].join(' ')];
  if (fill !== 0) lines.push(`fill ${fill.toString(16)}`);
  lines.push(...data.map((piece) => formatBytes('data', piece)));
  lines.push(...formatRegisters(state, emptyState(), ['rip']));
  if (outcome !== undefined) {
    lines.push(`outcome ${formatEnding(outcome.ending)}`);
    if (hasState(outcome.ending)) lines.push(...formatRegisters(outcome.state, state, []));
    lines.push(...outcome.memory.map((piece) => formatBytes('memory', piece)));
  }
  return `${lines.join('\n')}\n`;
}

/** @throws SequenceTextError where the text is not as {@link formatCases} writes it */
export function parseCases(text: string): RecordedCase[] {
  const lines = text
    .split('\n')
    .map((line) => line.replace(/#.*/, '').trim().split(/\s+/))
    .filter(([first]) => first !== '');
  const starts = lines.flatMap(([word], i) => (word === 'case' ? [i] : []));
  if (lines.length > 0 && starts[0] !== 0) throw new SequenceTextError("the first line is not 'case'");
  return starts.map((start, i) => parseCase(lines.slice(start + 1, starts[i + 1])));
}

function parseCase(lines: readonly string[][]): RecordedCase {
  const outcomeAt = lines.findIndex(([word]) => word === 'outcome');
  const given = outcomeAt < 0 ? lines : lines.slice(0, outcomeAt);
  const sequence = parseSequence(given);
  if (outcomeAt < 0) return { sequence };
  const state = emptyState();
  copyUserState(state, sequence.state);
  const memory: MemoryBytes[] = [];
  for (const [word = '', ...rest] of lines.slice(outcomeAt + 1)) {
    if (word === 'memory') memory.push(parseBytes(rest));
    else setRegister(state, word, rest[0]);
  }
  return { sequence, outcome: { ending: parseEnding(lines[outcomeAt]!.slice(1)), state, memory } };
}

function parseSequence(lines: readonly string[][]): Sequence {
  const state = emptyState();
  const data: MemoryBytes[] = [];
  let fill = 0;
  let code: Pick<Sequence, 'codeAddress' | 'instructions'> | undefined;
  for (const [word = '', ...rest] of lines) {
    if (word === 'code')
      code = { codeAddress: parseNumber(rest[0]), instructions: rest.slice(1).map(parseHexBytes) };
    else if (word === 'fill') fill = parseNumber(rest[0]);
    else if (word === 'data') data.push(parseBytes(rest));
    else setRegister(state, word, rest[0]);
  }
  if (code === undefined) throw new SequenceTextError("a case without 'code'");
  state.ripNumber = code.codeAddress;
  return { ...code, state, fill, data };
}

/** Whether an outcome tells state and memory. */
function hasState({ kind }: Ending): boolean {
  return kind !== 'timeout' && kind !== 'refused';
}

function formatEnding(ending: Ending): string {
  switch (ending.kind) {
    case 'exception':
      return `exception ${[ending.vector, ending.errorCode, ending.address].map((n) => n.toString(16)).join(' ')}`;
    case 'refused':
      return `refused ${ending.reason}`;
    default:
      return ending.kind;
  }
}

function parseEnding([kind, ...rest]: readonly string[]): Ending {
  switch (kind) {
    case 'end':
    case 'syscall':
    case 'timeout':
      return { kind };
    case 'refused':
      return { kind, reason: rest.join(' ') };
    case 'exception':
      return {
        kind,
        vector: parseNumber(rest[0]),
        errorCode: parseNumber(rest[1]),
        address: parseBig(rest[2]),
      };
    default:
      throw new SequenceTextError(`no outcome is called '${kind ?? ''}'`);
  }
}

/** Registers of `state` that differ from `base`. */
function formatRegisters(state: X86ThreadContext, base: X86ThreadContext, but: readonly string[]): string[] {
  return USER_REGISTERS.filter(({ name }) => !but.includes(name))
    .map((register) => ({ name: register.name, value: state.hex(register), old: base.hex(register) }))
    .filter(({ value, old }) => value !== old)
    .map(({ name, value }) => `${name} ${value.replace(/^0x0*(?=.)/, '')}`);
}

function setRegister(state: X86ThreadContext, name: string, digits = ''): void {
  const register = USER_REGISTERS.find((candidate) => candidate.name === name);
  if (register === undefined) throw new SequenceTextError(`no register or item is called '${name}'`);
  const { at, sizeBytes } = register;
  if (digits.length > 2 * sizeBytes) throw new SequenceTextError(`${name}: ${digits} does not fit`);
  const bytes = parseHexBytes(digits.padStart(2 * sizeBytes, '0'));
  for (const [i, byte] of bytes.entries()) state.u8[at + sizeBytes - 1 - i] = byte;
}

function formatBytes(word: string, { address, bytes }: MemoryBytes): string {
  return `${word} ${address.toString(16)} ${hexBytes(bytes)}`;
}

function parseBytes([address, bytes]: readonly string[]): MemoryBytes {
  return { address: parseNumber(address), bytes: parseHexBytes(bytes ?? '') };
}

export function hexBytes(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

function parseHexBytes(digits: string): Uint8Array {
  if (!/^([0-9a-f]{2})+$/.test(digits))
    throw new SequenceTextError(`'${digits}' is not bytes in hexadecimal`);
  return Uint8Array.from(digits.match(/../g)!, (pair) => Number.parseInt(pair, 16));
}

function parseBig(digits = ''): bigint {
  if (!/^[0-9a-f]+$/.test(digits)) throw new SequenceTextError(`'${digits}' is not a hexadecimal number`);
  return BigInt(`0x${digits}`);
}

function parseNumber(digits?: string): number {
  return Number(parseBig(digits));
}
