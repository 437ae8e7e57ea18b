/**
 * Datagrams that came in, and what the kernel tells about them.
 *
 * @module
 */
import type { InternetAddress } from "../ffi/address.ts";
import type { Lease } from "./lease.ts";

/** What the kernel tells about a datagram when an option of the socket asks for it. */
export interface Metadata {
  /**
   * With `receiveSegments`, for a train of datagrams that came as one: the length in bytes of each, but the last may be shorter.
   * Absent for a single datagram. See {@linkcode segmentsOf}.
   */
  readonly segmentBytes?: number;
  /** With `receiveLocalAddress`: the address it was sent to, one of this host's or that of a multicast or broadcast group. */
  readonly localAddress?: string;
  /** With `receiveLocalAddress`: the index of the interface it came in on. */
  readonly interfaceIndex?: number;
  /** With `receiveTrafficClass`: the traffic class (TOS) byte, 0 to 255, whose two lowest bits are `ecn`. */
  readonly trafficClass?: number;
  /** With `receiveTrafficClass`: explicit congestion notification, 0 none, 1 ECT(1), 2 ECT(0), 3 congestion experienced. */
  readonly ecn?: number;
  /** With `receiveHopLimit`: the hops it had left (TTL). */
  readonly hopLimit?: number;
  /** With `receiveTime`: when the kernel got it, in nanoseconds since 1970 by the system's clock. */
  readonly receivedNs?: bigint;
  /** With `receiveDropped`: how many datagrams the kernel had dropped before, since the socket was made. Absent while there are none. */
  readonly dropped?: number;
  /** The kernel had more to tell than there was room for, so that something may be missing above. */
  readonly metadataTruncated?: boolean;
}

/** A received datagram. */
export interface Datagram extends Metadata {
  /** Bytes that are at the front of the lease. */
  readonly bytes: number;
  /** Who sent it. */
  readonly from: InternetAddress;
  /** The datagram (or the train) was longer than the lease; the rest is lost. */
  readonly truncated: boolean;
}

/** A received datagram with the lease it is in, which the program owns. */
export interface ReceivedDatagram extends Datagram {
  /** Where it is. */
  readonly lease: Lease;
}

/**
 * The datagrams of a train, as views of the lease that it is in: nothing is copied. A single datagram is a train of one.
 *
 * To pass the datagrams on one by one, cut the lease itself: `lease.cut(bytes).release()`, then `lease.split(segmentBytes)`.
 *
 * @param datagram What was received; its lease is the program's still.
 * @returns A view of each datagram, in the order in which they were sent.
 *
 * @example
 * ```ts
 * import { open, segmentsOf } from "@ringlet/ringlet";
 * import { assertEquals } from "@std/assert";
 *
 * await using io = await open({ arenaBytes: 1 << 20 });
 * await using receiver = await io.bindUdp({ hostname: "127.0.0.1", receiveSegments: true });
 * await using sender = await io.bindUdp({ hostname: "127.0.0.1" });
 * await sender.send(new Uint8Array([1, 2, 3]), { to: receiver.localAddr });
 * const [datagram] = await receiver.recvMany([await io.lease(65_536)]);
 * using _lease = datagram.lease;
 * assertEquals(segmentsOf(datagram), [new Uint8Array([1, 2, 3])]);
 * ```
 */
export function segmentsOf({ lease, bytes, segmentBytes = bytes }: ReceivedDatagram): Uint8Array<ArrayBuffer>[] {
  const all = lease.bytes;
  if (segmentBytes >= bytes) return [all.subarray(0, bytes)];
  const segments = [];
  for (let at = 0; at < bytes; at += segmentBytes) segments.push(all.subarray(at, Math.min(at + segmentBytes, bytes)));
  return segments;
}
