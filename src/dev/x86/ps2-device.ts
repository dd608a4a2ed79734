/**
 * Keyboard and mouse at the other end of a PS/2 line, as far as software that sets them up can tell: they take every
 * command and answer as the PS/2 Hardware Interface Technical Reference says, but nobody types or moves.
 */
import { asRecord, decodeNumber, type Json, type StateCell } from '../../sim/state.ts';

const ACK = 0xfa;
const RESEND = 0xfe;
const SELF_TEST_PASSED = 0xaa;
/** No argument of a keyboard's command is as high. */
const FIRST_KEYBOARD_COMMAND = 0xed;

abstract class Ps2Device implements StateCell {
  /** The command that the next byte is an argument of; 0: none. */
  protected awaited = 0;

  /** A byte from the host; returns the answer. */
  receive(byte: number): readonly number[] {
    if (this.awaited === 0 || this.interrupts(byte)) {
      this.awaited = 0;
      return this.command(byte);
    }
    const command = this.awaited;
    this.awaited = 0;
    return this.argument(command, byte);
  }

  /** Whether a byte is a command even where an argument is awaited. */
  protected interrupts(_byte: number): boolean {
    return false;
  }

  protected abstract command(command: number): readonly number[];
  protected abstract argument(command: number, value: number): readonly number[];

  /** Waits for the argument of a command. */
  protected expect(command: number): readonly number[] {
    this.awaited = command;
    return [ACK];
  }

  abstract save(): Json;
  abstract restore(saved: Json): void;
}

/** An MF-II keyboard. */
export class Ps2Keyboard extends Ps2Device {
  #scanCodeSet = 2;

  protected override interrupts(byte: number): boolean {
    return byte >= FIRST_KEYBOARD_COMMAND;
  }

  protected command(command: number): readonly number[] {
    switch (command) {
      case 0xed: // set the lights
      case 0xf0: // scan code set
      case 0xf3: // typematic rate
      case 0xfb: // three commands that change how one key of set 3 repeats
      case 0xfc:
      case 0xfd:
        return this.expect(command);
      case 0xee: // echo
        return [0xee];
      case 0xf2: // identify
        return [ACK, 0xab, 0x83];
      case 0xf4: // enable scanning
      case 0xf5: // disable scanning
      case 0xf6: // defaults
      case 0xf7: // four commands that change how all keys of set 3 repeat
      case 0xf8:
      case 0xf9:
      case 0xfa:
        return [ACK];
      case 0xfe: // send the last byte again
        return [ACK];
      case 0xff: // reset
        this.#scanCodeSet = 2;
        return [ACK, SELF_TEST_PASSED];
      default:
        return [RESEND];
    }
  }

  protected argument(command: number, value: number): readonly number[] {
    if (command !== 0xf0) return [ACK];
    if (value === 0) return [ACK, this.#scanCodeSet];
    if (value > 3) return [RESEND];
    this.#scanCodeSet = value;
    return [ACK];
  }

  override save(): Json {
    return { awaited: this.awaited, scanCodeSet: this.#scanCodeSet };
  }

  override restore(saved: Json): void {
    const { awaited = null, scanCodeSet = null } = asRecord(saved);
    this.awaited = decodeNumber(awaited);
    this.#scanCodeSet = decodeNumber(scanCodeSet);
  }
}

const MOUSE_DEFAULTS = { sampleRate: 100, resolution: 2, status: 0 };

/** A mouse with two buttons, the kind that identifies itself as 0. */
export class Ps2Mouse extends Ps2Device {
  #settings = MOUSE_DEFAULTS;

  protected command(command: number): readonly number[] {
    const { status, resolution, sampleRate } = this.#settings;
    switch (command) {
      case 0xe6: // scaling 1:1
        return this.#setStatus(status & ~0x10);
      case 0xe7: // scaling 2:1
        return this.#setStatus(status | 0x10);
      case 0xe8: // resolution
      case 0xf3: // sample rate
        return this.expect(command);
      case 0xe9: // status
        return [ACK, status, resolution, sampleRate];
      case 0xea: // stream mode
        return this.#setStatus(status & ~0x40);
      case 0xeb: // read: no button, no movement
        return [ACK, 0x08, 0, 0];
      case 0xf0: // remote mode
        return this.#setStatus(status | 0x40);
      case 0xf2: // identify
        return [ACK, 0x00];
      case 0xf4: // enable reports
        return this.#setStatus(status | 0x20);
      case 0xf5: // disable reports
        return this.#setStatus(status & ~0x20);
      case 0xf6: // defaults
        this.#settings = MOUSE_DEFAULTS;
        return [ACK];
      case 0xff: // reset
        this.#settings = MOUSE_DEFAULTS;
        return [ACK, SELF_TEST_PASSED, 0x00];
      default:
        return [RESEND];
    }
  }

  protected argument(command: number, value: number): readonly number[] {
    const name = command === 0xe8 ? 'resolution' : 'sampleRate';
    this.#settings = { ...this.#settings, [name]: value };
    return [ACK];
  }

  override save(): Json {
    return { awaited: this.awaited, ...this.#settings };
  }

  override restore(saved: Json): void {
    const { awaited = null, sampleRate = null, resolution = null, status = null } = asRecord(saved);
    this.awaited = decodeNumber(awaited);
    this.#settings = {
      sampleRate: decodeNumber(sampleRate),
      resolution: decodeNumber(resolution),
      status: decodeNumber(status),
    };
  }

  #setStatus(status: number): readonly number[] {
    this.#settings = { ...this.#settings, status };
    return [ACK];
  }
}
