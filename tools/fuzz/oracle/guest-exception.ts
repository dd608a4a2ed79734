// What an instruction throws that cannot be completed: nothing that it has collected takes effect then.

/** An exception of the guest's: a vector of SDM vol. 3 table 6-1. */
export class GuestException extends Error {
  readonly vector: number;
  readonly errorCode: number;
  /** What CR2 becomes, of page faults; else 0. */
  readonly address: bigint;

  constructor(vector: number, errorCode = 0, address = 0n) {
    super(`exception ${vector}`);
    this.vector = vector;
    this.errorCode = errorCode;
    this.address = address;
  }
}
