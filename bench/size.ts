/**
 * How long a benchmark runs.
 *
 * @module
 */

/** Rounds, and what each does. */
export interface Size {
  /** Odd, so that there is a middle one. */
  readonly rounds: number;
  /** Bytes that a contender sends in a round, at least. */
  readonly roundBytes: number;
  /** Sends of the memory benchmark. */
  readonly sends: number;
}

export const QUICK: Size = { rounds: 7, roundBytes: 500e6, sends: 2e6 };
export const FULL: Size = { rounds: 15, roundBytes: 2e9, sends: 10e6 };
