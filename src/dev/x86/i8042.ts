/**
 * The PC's keyboard controller (Intel 8042 with IBM's program: PS/2 Hardware Interface Technical Reference) at ports 0x60
 * and 0x64, and system control port A at 0x92. Software uses it to reset the machine, to open address line 20, and to
 * ask for keyboard and mouse: a keyboard that nobody types on is there, a mouse is there if `mouse` says so.
 */
import { portAddress } from '../../arch/x86/address-spaces.ts';
import { bool, declareParams, type ParamInputs } from '../../sim/params.ts';
import { OutputPin } from '../../sim/pin.ts';
import type { SimObject } from '../../sim/sim-object.ts';
import { numberCell } from '../../sim/state.ts';
import { PIO_DEVICE_PARAMS, PioDevice } from '../pio-device.ts';
import { bit, RegisterFile, reg } from '../register-file.ts';
import { OutputQueue, type Source } from './i8042-output.ts';
import { Ps2Keyboard, Ps2Mouse } from './ps2-device.ts';

export const I8042_DATA_REGISTERS = {
  data: reg({
    at: 0,
    doc: 'read: next byte for the host; write: argument of a command, or a byte for the keyboard',
  }),
};

export const I8042_COMMAND_REGISTERS = {
  status: reg({
    at: 0,
    access: 'ro',
    reset: 0x18,
    doc: 'status: byte for the host, self test passed, last write was a command, not locked, from mouse, time-out',
    fields: {
      outputFull: bit(0),
      inputFull: bit(1),
      system: bit(2),
      command: bit(3),
      unlocked: bit(4),
      fromMouse: bit(5),
      timeout: bit(6),
    },
  }),
  command: reg({ at: 0, access: 'wo', doc: 'command' }),
};

export const I8042_CONTROL_A_REGISTERS = {
  controlA: reg({
    at: 0,
    reset: 0x02,
    doc: 'system control port A: a one resets the processor, address line 20',
    fields: { reset: bit(0), a20: bit(1) },
  }),
};

/** Bits of the command byte. */
const Mode = {
  keyboardInterrupt: 0x01,
  mouseInterrupt: 0x02,
  system: 0x04,
  keyboardOff: 0x10,
  mouseOff: 0x20,
  translate: 0x40,
} as const;

/** Bits of the output port. */
const Output = { notReset: 0x01, a20: 0x02, mouseFull: 0x20, keyboardFull: 0x10 } as const;
/** The input port as on a PC: keyboard not inhibited, colour display, 256 KiB and more on the board. */
const INPUT_PORT = 0xa0;
const MOUSE_MISSING = 0xfe;

export const I8042_PARAMS = declareParams({
  ...PIO_DEVICE_PARAMS,
  mouse: bool({ default: false, description: 'a mouse is plugged in, which nobody moves' }),
});

/** What answers of a keyboard become on their way from scan code set 2 to 1; commands' acknowledgements stay. */
const TRANSLATED: Readonly<Record<number, number>> = { 131: 0x41, 1: 0x43, 2: 0x41, 3: 0x3f };

export class I8042 extends PioDevice {
  /** IRQ 1. */
  readonly keyboardInterrupt = new OutputPin();
  /** IRQ 12. */
  readonly mouseInterrupt = new OutputPin();
  /** Pulsed to reset the processor. */
  readonly reset = new OutputPin();
  /** High while address line 20 is passed on. */
  readonly a20 = new OutputPin();
  readonly #data = this.state(
    'data',
    new RegisterFile(I8042_DATA_REGISTERS, {
      data: { read: () => this.#readData(), write: (value) => this.#writeData(value) },
    }),
  );
  readonly #commands = this.state(
    'commands',
    new RegisterFile(I8042_COMMAND_REGISTERS, {
      status: { read: () => this.#status() },
      command: { write: (value) => this.#command(value) },
    }),
  );
  readonly #controlA = this.state(
    'controlA',
    new RegisterFile(I8042_CONTROL_A_REGISTERS, {
      controlA: {
        read: () => this.#controlAValue(),
        write: (value, previous) => this.#writeControlA(value, previous),
      },
    }),
  );
  /** The command byte, as firmware leaves it. */
  readonly #mode = this.state('mode', numberCell(Mode.translate | Mode.system | Mode.keyboardInterrupt));
  readonly #outputPort = this.state('outputPort', numberCell(Output.notReset | Output.a20));
  /** The command that the next write of data is for; 0: none, it is for the keyboard. */
  readonly #awaited = this.state('awaited', numberCell());
  readonly #queue = this.state('queue', new OutputQueue());
  readonly #keyboard = this.state('keyboard', new Ps2Keyboard());
  readonly #mouse = this.state('mouse', new Ps2Mouse());
  readonly #hasMouse: boolean;
  /** Commands without an argument. */
  readonly #actions: ReadonlyMap<number, () => void> = new Map<number, () => void>([
    [0x20, () => this.#answer(this.#mode.value)],
    // Mouse off, mouse on, test of its lines (no error found).
    [0xa7, () => this.#setMode(this.#mode.value | Mode.mouseOff)],
    [0xa8, () => this.#setMode(this.#mode.value & ~Mode.mouseOff)],
    [0xa9, () => this.#answer(0x00)],
    // Self test passed; test of the keyboard's lines, keyboard off, keyboard on.
    [0xaa, () => this.#passSelfTest()],
    [0xab, () => this.#answer(0x00)],
    [0xad, () => this.#setMode(this.#mode.value | Mode.keyboardOff)],
    [0xae, () => this.#setMode(this.#mode.value & ~Mode.keyboardOff)],
    // Read input port, read output port, close and open address line 20.
    [0xc0, () => this.#answer(INPUT_PORT)],
    [0xd0, () => this.#answer(this.#outputPortValue())],
    [0xdd, () => this.#setA20(false)],
    [0xdf, () => this.#setA20(true)],
  ]);
  /** What to do with the byte after a command; after no command it is for the keyboard. */
  readonly #arguments: ReadonlyMap<number, (value: number) => void> = new Map<
    number,
    (value: number) => void
  >([
    [0x00, (value) => this.#sendToKeyboard(value)],
    [0x60, (value) => this.#setMode(value)],
    [0xd1, (value) => this.#writeOutputPort(value)],
    // As if it came from the keyboard, from the mouse; to the mouse.
    [0xd2, (value) => this.#answer(value, 'keyboard')],
    [0xd3, (value) => this.#answer(value, 'mouse')],
    [0xd4, (value) => this.#sendToMouse(value)],
  ]);

  constructor(parent: SimObject, name: string, given: ParamInputs<typeof I8042_PARAMS> = {}) {
    super(parent, name);
    const params = this.resolveParams(I8042_PARAMS, given);
    this.pioLatency = params.pioLatency;
    this.#hasMouse = params.mouse;
    this.addBank(portAddress(0x60), this.#data);
    this.addBank(portAddress(0x64), this.#commands);
    this.addBank(portAddress(0x92), this.#controlA);
    this.a20.set(true);
  }

  override restored(): void {
    this.a20.set((this.#outputPort.value & Output.a20) !== 0);
    this.#driveInterrupts();
  }

  // ---- output to the host ----

  #status(): number {
    const first = this.#queue.first;
    return (
      (this.#commands.get('status') & 0x18) |
      (first === undefined ? 0 : 0x01) |
      (this.#mode.value & Mode.system) |
      (first?.source === 'mouse' ? 0x20 : 0) |
      (first?.isTimeout === true ? 0x40 : 0)
    );
  }

  #readData(): number {
    const value = this.#queue.take();
    // The line falls between two bytes: each is an edge of its own.
    this.keyboardInterrupt.set(false);
    this.mouseInterrupt.set(false);
    this.#driveInterrupts();
    return value;
  }

  #answer(byte: number, source: Source = 'controller', isTimeout = false): void {
    this.#queue.put({ byte, source, isTimeout });
    this.#driveInterrupts();
  }

  /** The controller's own answers come with the keyboard's interrupt. */
  #driveInterrupts(): void {
    const source = this.#queue.first?.source;
    const mode = this.#mode.value;
    const isForKeyboard = source !== undefined && source !== 'mouse';
    this.keyboardInterrupt.set(isForKeyboard && (mode & Mode.keyboardInterrupt) !== 0);
    this.mouseInterrupt.set(source === 'mouse' && (mode & Mode.mouseInterrupt) !== 0);
  }

  // ---- commands ----

  #command(command: number): void {
    this.#commands.setField('status', 'command', 1);
    this.#awaited.value = 0;
    const action = this.#actions.get(command);
    if (action !== undefined) action();
    else if (command >= 0xf0) this.#pulse(command);
    else if (command >= 0x21 && command <= 0x3f) this.#answer(0);
    else if (command >= 0x60 && command <= 0x7f) this.#awaited.value = command;
    else if (command !== 0 && this.#arguments.has(command)) this.#awaited.value = command;
    else this.warnOnce(`command 0x${command.toString(16)} is unknown: it does nothing`);
  }

  #writeData(value: number): void {
    const command = this.#awaited.value;
    this.#awaited.value = 0;
    this.#commands.setField('status', 'command', 0);
    const action = this.#arguments.get(command);
    // Of the controller's RAM only byte 0 means anything.
    if (action !== undefined) action(value);
  }

  #passSelfTest(): void {
    this.#setMode(this.#mode.value | Mode.system);
    this.#answer(0x55);
  }

  #setMode(mode: number): void {
    this.#mode.value = mode;
    this.#driveInterrupts();
  }

  /** A byte for the keyboard switches it on; its answers pass through the translation that the mode asks for. */
  #sendToKeyboard(value: number): void {
    this.#mode.value &= ~Mode.keyboardOff;
    for (const byte of this.#keyboard.receive(value)) {
      const isTranslating = (this.#mode.value & Mode.translate) !== 0;
      this.#answer((isTranslating ? TRANSLATED[byte] : undefined) ?? byte, 'keyboard');
    }
  }

  #sendToMouse(value: number): void {
    this.#mode.value &= ~Mode.mouseOff;
    if (!this.#hasMouse) this.#answer(MOUSE_MISSING, 'mouse', true);
    else for (const byte of this.#mouse.receive(value)) this.#answer(byte, 'mouse');
  }

  // ---- output port and port 0x92 ----

  /** Commands 0xf0 to 0xff pull the lines of the lower output port low for 6 µs whose bits are 0. */
  #pulse(command: number): void {
    if ((command & 0x01) === 0) this.reset.pulse();
  }

  #outputPortValue(): number {
    const source = this.#queue.first?.source;
    const full = source === 'mouse' ? Output.mouseFull : source === undefined ? 0 : Output.keyboardFull;
    return this.#outputPort.value | full;
  }

  #writeOutputPort(value: number): void {
    this.#setA20((value & Output.a20) !== 0);
    if ((value & Output.notReset) === 0) this.reset.pulse();
  }

  #setA20(isOpen: boolean): void {
    this.#outputPort.value = Output.notReset | (isOpen ? Output.a20 : 0);
    this.a20.set(isOpen);
  }

  #controlAValue(): number {
    const isOpen = (this.#outputPort.value & Output.a20) !== 0;
    return (this.#controlA.get('controlA') & ~0x02) | (isOpen ? 0x02 : 0);
  }

  #writeControlA(value: number, previous: number): void {
    this.#setA20((value & 0x02) !== 0);
    if ((value & ~previous & 0x01) !== 0) this.reset.pulse();
  }
}
