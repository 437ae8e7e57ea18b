/**
 * Trains of datagrams, sent and compared with what arrives.
 */
import { assertEquals } from "@std/assert";
import type { DatagramOptions, Io, Receipt, UdpSocket } from "../../mod.ts";
import { C } from "../../ffi/abi.ts";
import { openSystem } from "../../ffi/system.ts";
import { setOption } from "../../net/options.ts";
import { fillPattern, mismatch } from "./bytes.ts";
import { endpointOf } from "./sockopt.ts";

/** Bytes that are sent with one call, and the size of their segments. */
export type Train = readonly [bytes: number, segmentBytes: number];

/** The lengths of the datagrams that a train is. */
export function segmentsOf([bytes, segmentBytes]: Train): number[] {
  return Array.from(
    { length: Math.ceil(bytes / segmentBytes) },
    (_, i) => Math.min(segmentBytes, bytes - i * segmentBytes),
  );
}

/** A lease with as many bytes of the pattern. */
export async function patterned(io: Io, bytes: number) {
  const lease = await io.lease(bytes);
  fillPattern(lease.bytes);
  return lease;
}

const SO_NO_CHECK = 11;

/** Without checksums the kernel takes no trains: EINVAL. */
export function withoutChecksums(socket: UdpSocket, without = true): void {
  assertEquals(setOption(openSystem(), endpointOf(socket).fd, C.SOL_SOCKET, SO_NO_CHECK, Number(without)), 0);
}

/** No id of the socket's came that nobody knows, and none twice. */
export function assertIds(socket: UdpSocket): void {
  const { idsUnknown, idsDuplicate } = socket.stats();
  assertEquals([idsUnknown, idsDuplicate], [0, 0]);
}

/** Receives the datagrams of a train, in order, and compares every byte. */
export async function receiveTrain(io: Io, receiver: UdpSocket, train: Train): Promise<void> {
  using into = await io.lease(65_536);
  let at = 0;
  for (const expected of segmentsOf(train)) {
    const { bytes, truncated } = await receiver.recv(into, { signal: AbortSignal.timeout(5000) });
    assertEquals([bytes, truncated], [expected, false], `at byte ${at} of ${train[0]} in segments of ${train[1]}`);
    assertEquals(mismatch(into.bytes.subarray(0, bytes), at), -1);
    at += bytes;
  }
}

/** Sends a train and compares what arrives; answers the receipt. `options` may say another size of segments, or none. */
export async function travel(
  io: Io,
  sender: UdpSocket,
  receiver: UdpSocket,
  train: Train,
  options: DatagramOptions = {},
): Promise<Receipt> {
  const [bytes, segmentBytes] = train;
  const lease = await patterned(io, bytes);
  const receipt = await sender.send(lease, { segmentBytes, ...options });
  assertEquals(receipt.bytes, bytes);
  await receiveTrain(io, receiver, train);
  await receipt.released;
  assertEquals(lease.state, "free");
  return receipt;
}
