/** What a core has counted since its start. */
export interface CoreCounters {
  /** Loans begun: times a lease went from no send to one. */
  lent: number;
  /** Loans ended. */
  released: number;
  /** Sends queued. */
  sends: number;
  /** Sends accepted to the last byte. */
  accepted: number;
  /** Sends that left their queue before that: failed or cancelled. */
  failed: number;
  /** Bytes accepted. */
  bytesAccepted: number;
  /** Those of them that were lent rather than copied at once. */
  bytesZeroCopy: number;
  /** Completions looked at. */
  notifications: number;
  /** Ids resolved as copied after all. */
  idsCopied: number;
  /** Ids resolved without a copy. */
  idsNotCopied: number;
  /** Ids taken by sends that failed. */
  idsTaken: number;
  /** Ids completed twice. */
  idsDuplicate: number;
  /** Ids completed that nobody was waiting for. */
  idsUnknown: number;
  /** Handles refused because their slot has moved on. */
  staleHandles: number;
  /** Most loans out at once. */
  maxInFlight: number;
  /** Most bytes lent at once. */
  maxInFlightBytes: number;
  /** Completions of operations that were over. A cancelled zero-copy send of a ring causes one. */
  lateCompletions: number;
}

/** Totals of a core and its state now. */
export interface CoreStats extends CoreCounters {
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
}

/** What one socket has counted since it was made. */
export type SocketCounters = Pick<
  CoreCounters,
  | "sends"
  | "accepted"
  | "bytesAccepted"
  | "bytesZeroCopy"
  | "idsCopied"
  | "idsNotCopied"
  | "idsTaken"
  | "idsDuplicate"
  | "idsUnknown"
  | "notifications"
>;

/** Totals of one socket and its state now. */
export interface SocketStats extends SocketCounters {
  /** The id of its next zero-copy send. */
  nextId: number;
  /** Ids outstanding. */
  idsOutstanding: number;
  /** Sends queued. */
  queued: number;
  /** Bytes lent and not released. */
  inFlightBytes: number;
}

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
