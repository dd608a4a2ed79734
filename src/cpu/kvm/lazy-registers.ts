// LazyRegisters: which register classes are newer in the thread context and which in KVM. They are synchronized when
// somebody looks, class by class; a class is never newer on both sides.

export class LazyRegisters {
  readonly #all: number;
  readonly #load: (classes: number) => void;
  #tcDirty: number;
  #kvmDirty = 0;

  /**
   * @param allClasses mask of all register classes
   * @param load KVM → thread context, for the classes of a mask
   */
  constructor(allClasses: number, load: (classes: number) => void) {
    this.#all = allClasses;
    this.#tcDirty = allClasses;
    this.#load = load;
  }

  /** Classes that must be written to KVM before an entry. */
  get tcDirty(): number {
    return this.#tcDirty;
  }

  /** Brings the thread context up to date, for reading. */
  read(classes: number): void {
    const stale = classes & this.#kvmDirty;
    if (stale === 0) return;
    this.#load(stale);
    this.#kvmDirty &= ~stale;
  }

  /** The same, and the classes are to be written to KVM before the next entry. */
  modify(classes: number): void {
    this.read(classes);
    this.#tcDirty |= classes;
  }

  /** The classes that must be written now; the caller does it. */
  takeTcDirty(): number {
    const dirty = this.#tcDirty;
    this.#tcDirty = 0;
    return dirty;
  }

  /** The guest has run: everything that KVM holds is newer. */
  kvmIsNewer(): void {
    this.#kvmDirty = this.#all;
  }

  /** The thread context was replaced: what KVM holds counts no longer. */
  tcIsNewer(): void {
    this.#tcDirty = this.#all;
    this.#kvmDirty = 0;
  }
}
