import type { Handle } from "./handle.ts";

/** What kind of socket, and how much it may have in flight. */
export interface SocketOptions {
  /** A stream resumes where the transport stopped; a datagram is taken whole or not at all. Default `"stream"`. */
  kind?: "stream" | "datagram";
  /** Bytes of zero-copy sends in flight that batches stop at; default: no limit. */
  maxInFlightBytes?: number;
}

/** Which part of a lease is lent, and how. */
export interface LendOptions {
  /** First byte. Default 0. */
  at?: number;
  /** How many. Default: to the end. */
  bytes?: number;
  /** Whether the send asks for zero-copy. Default true. */
  zeroCopy?: boolean;
}

/** Where a lease is and who claims it. */
export interface LeaseState {
  /** First byte in the arena. */
  offset: number;
  /** How many. */
  bytes: number;
  /** Explicit holds. */
  holds: number;
  /** Whether the program still has the hold it took the lease with. */
  implicit: boolean;
  /** Sends that have not released it. */
  sends: number;
}

/** What {@linkcode Core.accept} did. */
export interface Accepted {
  /** The id that the transport will complete; `undefined` for a copy, which needs no completion. */
  id: number | undefined;
  /** Bytes of the send that are not accepted yet. */
  left: number;
}

/** What {@linkcode Core.fail} did. */
export interface Failed {
  /** Bytes that had been accepted. */
  bytesAccepted: number;
  /** Nothing had been: the leases are the program's again, and no event comes. */
  whole: boolean;
}

/** What {@linkcode Core.complete} found, in ids. */
export interface Resolution {
  /** Outstanding until now. */
  resolved: number;
  /** Resolved before. */
  duplicate: number;
  /** Nobody waited for them. */
  unknown: number;
  /** Found to have been taken by failed sends. */
  adopted: number;
}

/**
 * Called for each event: `"accepted"` with the bytes of the send, `"released"` with 1 if any part of it was copied,
 * else 0. After `"released"` the handle of the send is stale.
 */
export type DrainHandler = (event: "accepted" | "released", send: Handle, value: number) => void;

/** Byte addresses in the core's memory. `layout` says what is in them. */
export interface Regions {
  /** Further results of raw functions. */
  OUT: number;
  /** Totals. */
  COUNTERS: number;
  /** The event ring. */
  EVENTS: number;
  /** Lease records. */
  LEASES: number;
  /** Send records. */
  SENDS: number;
  /** Socket records. */
  SOCKETS: number;
  /** Messages of one batch. */
  BATCH: number;
  /** 64 KiB that the core never touches. */
  SCRATCH: number;
  /** The end of it all. */
  END: number;
  /** Ring: what the kernel shares, in its own layout. */
  RINGS: number;
  /** Ring: submission entries. */
  ENTRIES: number;
  /** One word: sends that were queued and are not over. */
  SENDS_OUT: number;
}
