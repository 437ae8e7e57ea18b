/**
 * Numbers about an `open()` and its sockets.
 *
 * @module
 */
import type { ArenaStats } from "./arena.ts";
import type { Endpoint } from "./endpoint.ts";
import type { EngineName } from "./engine.ts";
import type { Hub } from "./hub.ts";
import type { ZeroCopyStats } from "./zerocopy_policy.ts";

/** What sends came to, for one socket or all of them. */
export interface SendStats {
  /** Sends that were queued. */
  sends: number;
  /** Sends that the kernel accepted whole. */
  accepted: number;
  /** Bytes that the kernel accepted. */
  bytesAccepted: number;
  /** Those of them that went with MSG_ZEROCOPY. */
  bytesZeroCopy: number;
  /** Zero-copy calls whose notification said "copied". */
  idsCopied: number;
  /** Zero-copy calls whose notification said "not copied". */
  idsNotCopied: number;
  /** Ids that failed sends took. */
  idsTaken: number;
  /** Ids that were reported twice. Should stay 0. */
  idsDuplicate: number;
  /** Ids that nobody owned. Should stay 0. */
  idsUnknown: number;
  /** Ranges read from error queues. */
  notifications: number;
}

/** Numbers about a socket. */
export interface SocketStats extends SendStats {
  /** Sends without an end yet. */
  inFlight: number;
  /** Sends that wait for the kernel to take them. */
  queued: number;
  /** Bytes that the kernel took with zero-copy and has not released. */
  inFlightBytes: number;
  /** Which sends ask for zero-copy. */
  zeroCopy: ZeroCopyStats;
}

/** Numbers about an `open()`. */
export interface Stats extends SendStats {
  /** The engine at work. */
  engine: EngineName;
  /** Loans begun. */
  lent: number;
  /** Loans ended. `lent === released + inFlight`, always. */
  released: number;
  /** Loans now, counted by walking the records. */
  inFlight: number;
  /** Bytes of those loans. */
  inFlightBytes: number;
  /** The most loans there ever were at once. */
  maxInFlight: number;
  /** The most bytes that ever were lent at once. */
  maxInFlightBytes: number;
  /** Uses of a lease that was no longer there. */
  staleHandles: number;
  /** Sockets that are open. */
  sockets: number;
  /** Closed sockets whose loans the kernel still holds, and what it holds. */
  quarantined: { sockets: number; sends: number };
  /** The arena. */
  arena: ArenaStats;
}

/** Collects a socket's numbers. */
export function socketStats(endpoint: Endpoint): SocketStats {
  const { nextId: _nextId, idsOutstanding: _ids, ...counters } = endpoint.counters();
  return { ...counters, inFlight: endpoint.inFlight, zeroCopy: endpoint.sends.zeroCopyStats() };
}

/** Collects the numbers of an `open()`. */
export function hubStats(hub: Hub): Stats {
  const { core } = hub;
  const { failed: _failed, leases: _leases, freeBytes: _free, largestFreeBytes: _largest, ...counters } = core.stats();
  let sends = 0;
  for (const endpoint of hub.quarantine) sends += endpoint.inFlight;
  return {
    engine: hub.engine.name,
    ...counters,
    sockets: hub.endpoints.size,
    quarantined: { sockets: hub.quarantine.size, sends },
    arena: hub.arena.stats(),
  };
}
