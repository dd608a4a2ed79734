/**
 * Pins: one-bit wires between devices, as gem5's IntSourcePin and IntSinkPin. A source has one sink.
 *
 * A pin is no state of its own: its owner drives it again in `restored()`. A sink that looks for edges keeps the level
 * it last saw in its own state, and so sees no edge then.
 */

/** An input: an interrupt controller's, a reset line. */
export interface PinSink {
  /** The level is now this; called on changes, and once more after a restore. */
  setLevel(level: boolean): void;
}

/** A device's output. Not connected, it leads nowhere. */
export class OutputPin {
  #sink: PinSink | undefined;
  #level = false;

  /** Joins the output to an input; each output once. */
  connect(sink: PinSink): void {
    if (this.#sink !== undefined) throw new Error('the pin is connected already');
    this.#sink = sink;
    if (this.#level) sink.setLevel(true);
  }

  get level(): boolean {
    return this.#level;
  }

  /** Drives the line; the sink hears of changes only. */
  set(level: boolean): void {
    if (level === this.#level) return;
    this.#level = level;
    this.#sink?.setLevel(level);
  }

  /** A rising and a falling edge. */
  pulse(): void {
    this.set(true);
    this.set(false);
  }
}

/** One signal that arrives at several inputs, as an ISA interrupt does at the 8259 and at the I/O APIC. */
export function fanOut(...sinks: readonly PinSink[]): PinSink {
  return {
    setLevel: (level) => {
      for (const sink of sinks) sink.setLevel(level);
    },
  };
}

/** A wire that several devices pull: high while any of them is. Each call makes one more input. */
export function wiredOr(sink: PinSink): () => PinSink {
  let high = 0;
  return () => {
    let isHigh = false;
    return {
      setLevel: (level) => {
        if (level === isHigh) return;
        isHigh = level;
        high += level ? 1 : -1;
        if (high === (level ? 1 : 0)) sink.setLevel(level);
      },
    };
  };
}
