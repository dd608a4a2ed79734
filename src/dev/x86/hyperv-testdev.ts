/**
 * What test kernels want of Hyper-V's interface, QEMU's `hyperv-testdev`: a hand on synthetic interrupt sources, and ports
 * for messages and events that arrive at the processor that made them. Of kvm-unit-tests, `hyperv_synic`,
 * `hyperv_connections` and `hyperv_stimer` use it. TLFS, "Inter-Partition Communication".
 */
import {
  type HyperVPartition,
  type HyperVPorts,
  HyperVStatus,
  MESSAGE_PAYLOAD_BYTES,
  SINT_COUNT,
  type Synic,
} from '../../arch/x86/hyper-v.ts';
import type { PhysAddr } from '../../mem/addr.ts';
import type { ParamInputs } from '../../sim/params.ts';
import type { SimObject } from '../../sim/sim-object.ts';
import {
  arrayCell,
  asRecord,
  customCell,
  decodeNumber,
  decodeString,
  isJsonArray,
  type Json,
  StateError,
} from '../../sim/state.ts';
import { PIO_DEVICE_PARAMS, PioDevice } from '../pio-device.ts';
import { bits, RegisterFile, reg } from '../register-file.ts';

export const HYPERV_TEST_REGISTERS = {
  control: reg({
    at: 0,
    sizeBytes: 4,
    access: 'wo',
    fields: { connection: bits(31, 24), command: bits(23, 16), vp: bits(15, 8), sint: bits(7, 0) },
    doc:
      'command 1 makes, 2 removes a route to a SINT, 3 raises it; 4 makes, 5 removes a message connection, ' +
      '6 makes, 7 removes an event connection; connections are removed by their number alone',
  }),
};

const Command = {
  CREATE_ROUTE: 1,
  DESTROY_ROUTE: 2,
  RAISE: 3,
  CREATE_MESSAGE: 4,
  DESTROY_MESSAGE: 5,
  CREATE_EVENT: 6,
  DESTROY_EVENT: 7,
} as const;

/** Connections have numbers of eight bits. */
const LAST_CONNECTION = 0xff;

/** Where a connection leads. */
type Target = {
  /** Index of the virtual processor. */
  readonly vp: number;
  readonly sint: number;
};

/** A port for messages: it holds one that waits for the slot. */
interface MessagePort extends Target {
  waiting: { readonly type: number; readonly payload: Uint8Array } | undefined;
}

export class HypervTestdev extends PioDevice implements HyperVPorts {
  /** Takes a command apart; nothing of it stays. */
  readonly #control = new RegisterFile(HYPERV_TEST_REGISTERS);
  readonly #synics: readonly Synic[];
  /** By virtual processor, a bit for each SINT that has a route. */
  readonly #routes: Uint16Array;
  readonly #messages = new Map<number, MessagePort>();
  readonly #events = new Map<number, Target>();

  constructor(
    parent: SimObject,
    name: string,
    {
      base,
      partition,
      ...given
    }: { readonly base: PhysAddr; readonly partition: HyperVPartition } & ParamInputs<
      typeof PIO_DEVICE_PARAMS
    >,
  ) {
    super(parent, name);
    this.pioLatency = this.resolveParams(PIO_DEVICE_PARAMS, given).pioLatency;
    this.#synics = partition.synics;
    this.#routes = this.state('routes', arrayCell(new Uint16Array(partition.synics.length))).array;
    this.state(
      'connections',
      customCell(
        () => this.#save(),
        (saved) => this.#restore(saved),
      ),
    );
    this.addBank(base, {
      sizeBytes: 4,
      read: () => 0,
      // A part of a command is none.
      write: (_offset, sizeBytes, value) => {
        if (sizeBytes === 4) this.#execute(value);
      },
    });
    partition.connect(this);
  }

  // ---- hypercalls ----

  postMessage(connection: number, type: number, payload: Uint8Array): HyperVStatus {
    const port = this.#messages.get(connection);
    if (port === undefined) return HyperVStatus.INVALID_CONNECTION_ID;
    if (port.waiting !== undefined) return HyperVStatus.INSUFFICIENT_BUFFERS;
    port.waiting = { type, payload };
    this.#deliver(connection, port);
    return HyperVStatus.SUCCESS;
  }

  /** A port has one event flag, which has the number of its connection. */
  signalEvent(connection: number, flag: number): HyperVStatus {
    const target = this.#events.get(connection);
    if (target === undefined) return HyperVStatus.INVALID_CONNECTION_ID;
    if (flag !== 0) return HyperVStatus.INVALID_PARAMETER;
    this.#synics[target.vp]!.setEventFlag(target.sint, connection);
    return HyperVStatus.SUCCESS;
  }

  endOfMessage(): void {
    for (const [connection, port] of this.#messages) this.#deliver(connection, port);
  }

  #deliver(connection: number, port: MessagePort): void {
    const { sint, vp, waiting } = port;
    if (waiting === undefined) return;
    if (this.#synics[vp]!.postMessage(sint, { ...waiting, port: connection })) port.waiting = undefined;
  }

  // ---- commands ----

  #execute(value: number): void {
    const control = this.#control;
    control.set('control', value);
    const [sint, vp] = [control.field('control', 'sint'), control.field('control', 'vp')];
    const command = control.field('control', 'command');
    const connection = control.field('control', 'connection');
    // Removing a connection names neither.
    if (command === Command.DESTROY_MESSAGE) this.#messages.delete(connection);
    else if (command === Command.DESTROY_EVENT) this.#events.delete(connection);
    else if (this.#exists({ vp, sint })) this.#executeFor({ vp, sint }, command, connection);
  }

  #executeFor(target: Target, command: number, connection: number): void {
    const { vp, sint } = target;
    switch (command) {
      case Command.CREATE_ROUTE:
        this.#routes[vp]! |= 1 << sint;
        break;
      case Command.DESTROY_ROUTE:
        this.#routes[vp]! &= ~(1 << sint);
        break;
      case Command.RAISE:
        if ((this.#routes[vp]! >>> sint) & 1) this.#synics[vp]!.raise(sint);
        break;
      case Command.CREATE_MESSAGE:
        if (!this.#messages.has(connection))
          this.#messages.set(connection, { ...target, waiting: undefined });
        break;
      case Command.CREATE_EVENT:
        if (!this.#events.has(connection)) this.#events.set(connection, target);
        break;
    }
  }

  #exists({ vp, sint }: Target): boolean {
    return vp < this.#synics.length && sint < SINT_COUNT;
  }

  // ---- state ----

  /** Lists: of messages that wait for one slot, that of the older connection comes first. */
  #save(): Json {
    return {
      messages: [...this.#messages].map(([connection, { vp, sint, waiting }]) => ({
        ...{ connection, vp, sint },
        ...(waiting && { type: waiting.type, payload: waiting.payload.toHex() }),
      })),
      events: [...this.#events].map(([connection, target]) => ({ connection, ...target })),
    };
  }

  #restore(saved: Json): void {
    const { messages = null, events = null } = asRecord(saved);
    const ports = asList(messages).map((json) => {
      const { type, payload = null } = json;
      const waiting = type === undefined ? undefined : decodeMessage(type, payload);
      return [decodeConnection(json), { ...this.#decodeTarget(json), waiting }] as const;
    });
    const targets = asList(events).map((json) => [decodeConnection(json), this.#decodeTarget(json)] as const);
    this.#messages.clear();
    this.#events.clear();
    for (const [connection, port] of ports) this.#messages.set(connection, port);
    for (const [connection, target] of targets) this.#events.set(connection, target);
  }

  #decodeTarget({ vp = null, sint = null }: SavedRecord): Target {
    const target = { vp: decodeNumber(vp), sint: decodeNumber(sint) };
    if (!this.#exists(target)) throw new StateError('a connection to a SINT that is not there');
    return target;
  }
}

type SavedRecord = ReturnType<typeof asRecord>;

function asList(saved: Json): SavedRecord[] {
  if (!isJsonArray(saved)) throw new StateError('expected a list of connections');
  return saved.map(asRecord);
}

function decodeConnection({ connection = null }: SavedRecord): number {
  const number = decodeNumber(connection);
  if (!Number.isInteger(number) || number < 0 || number > LAST_CONNECTION)
    throw new StateError(`connection ${number}`);
  return number;
}

function decodeMessage(type: Json, hex: Json): NonNullable<MessagePort['waiting']> {
  const digits = decodeString(hex);
  if (!/^([0-9a-f]{2})*$/.test(digits) || digits.length > 2 * MESSAGE_PAYLOAD_BYTES)
    throw new StateError('a message that is none');
  return { type: decodeNumber(type), payload: Uint8Array.fromHex(digits) };
}
