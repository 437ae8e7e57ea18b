import type { CoreExports } from "./exports.ts";

/** Serial arithmetic on unsigned 32-bit ids: 4294967295 is followed by 0. */
export interface Sequence {
  /** The id after `id`. */
  next(id: number): number;
  /** Steps from one id to another. */
  distance(from: number, to: number): number;
  /** Whether an id is in the inclusive range, which may wrap. */
  contains(lo: number, hi: number, id: number): boolean;
  /** How many ids the inclusive range has, up to 4294967296. */
  length(lo: number, hi: number): number;
  /** Order as in RFC 1982; `undefined` for ids half the circle apart. */
  compare(a: number, b: number): -1 | 0 | 1 | undefined;
}

/** The core's own arithmetic with unsigned results. */
export function sequence(raw: CoreExports): Sequence {
  return {
    next: (id) => raw.seq_next(id) >>> 0,
    distance: (from, to) => raw.seq_distance(from, to) >>> 0,
    contains: (lo, hi, id) => raw.seq_contains(lo, hi, id) === 1,
    length: (lo, hi) => raw.seq_len(lo, hi) >>> 0 || 2 ** 32,
    compare(a, b) {
      const order = raw.seq_compare(a, b);
      return order === 2 ? undefined : order as -1 | 0 | 1;
    },
  };
}
