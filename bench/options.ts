/**
 * What all parts of the benchmark are told.
 *
 * @module
 */
import type { Destination } from "./child.ts";

/** How long a benchmark runs. */
export interface Size {
  readonly quick: boolean;
  /** Odd, so that there is a middle one. */
  readonly rounds: number;
  /** Rounds before those, for compilers and buffers to settle. */
  readonly warmUps: number;
  /** How long a contender sends in a round, at least. */
  readonly roundSeconds: number;
  /** Sends of the memory benchmark. */
  readonly sends: number;
}

export const QUICK: Size = { quick: true, rounds: 7, warmUps: 5, roundSeconds: 0.04, sends: 500_000 };
export const FULL: Size = { quick: false, rounds: 15, warmUps: 5, roundSeconds: 0.3, sends: 10e6 };

/** See the module. */
export interface BenchOptions extends Size {
  /** A UDP destination behind a device that does not copy; none where there may be no network namespace. */
  readonly device: Destination | undefined;
  /** The C ceiling's program; none where it could not be compiled. */
  readonly ceiling: string | undefined;
}
