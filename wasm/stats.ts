import type { COUNTERS, SOCKET_COUNTERS } from "./layout.ts";

/** Totals of a core and its state now. */
export type CoreStats = Record<(typeof COUNTERS)[number], number> & {
  /** Loans now, counted by walking the lease records: `lent - released` if nothing was lost. */
  inFlight: number;
  /** Bytes of these loans. */
  inFlightBytes: number;
  /** Leases out, lent or not. */
  leases: number;
  /** Bytes of the arena that are not carved. */
  freeBytes: number;
  /** The longest stretch among them. */
  largestFreeBytes: number;
};

/** Totals of one socket and its state now. */
export type SocketStats = Record<(typeof SOCKET_COUNTERS)[number], number> & {
  /** The id of its next zero-copy send. */
  nextId: number;
  /** Ids outstanding. */
  idsOutstanding: number;
  /** Sends queued. */
  queued: number;
  /** Bytes lent and not released. */
  inFlightBytes: number;
};

/** Reads u64 counters by name. They stay below 2^53 for centuries. */
export function readCounters<Name extends string>(
  u32: Uint32Array,
  address: number,
  names: readonly Name[],
): Record<Name, number> {
  const counters = {} as Record<Name, number>;
  let at = address / 4;
  for (const name of names) {
    counters[name] = u32[at] + u32[at + 1] * 2 ** 32;
    at += 2;
  }
  return counters;
}
