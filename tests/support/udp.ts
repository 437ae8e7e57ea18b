/**
 * Datagrams for tests: made, told apart, and counted.
 */
import { type Io, type Lease, open, type ReceivedDatagram, type UdpSocket } from "../../mod.ts";
import { openSystem } from "../../ffi/system.ts";
import { C } from "../../ffi/abi.ts";
import { fillPattern } from "./bytes.ts";

/** Sending there needs SO_BROADCAST: EACCES. */
export const FORBIDDEN = { hostname: "255.255.255.255", port: 9 };

/** So many leases of `byteLength`. */
export function leases(io: Io, count: number, byteLength: number): Promise<Lease[]> {
  return Promise.all(Array.from({ length: count }, () => io.lease(byteLength)));
}

/** Gives leases back. */
export function releaseAll(leases: Iterable<Lease>): void {
  for (const lease of leases) lease.release();
}

/** A datagram that carries a number and then a pattern that depends on it. */
export function numbered(number: number, byteLength = 4): Uint8Array {
  const bytes = fillPattern(new Uint8Array(byteLength), number);
  new DataView(bytes.buffer).setUint32(0, number);
  return bytes;
}

/** The number that a datagram in a lease carries. */
export function numberIn({ lease }: Pick<ReceivedDatagram, "lease">): number {
  const { bytes } = lease;
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
}

/** Sends datagrams with the numbers from `from` to before `to`; loopback has copied them then. */
export async function sendNumbers(sender: UdpSocket, receiver: UdpSocket, from: number, to: number): Promise<void> {
  const sent = [];
  for (let i = from; i < to; i++) sent.push(sender.send(numbered(i), { to: receiver.localAddr }));
  for (const receipt of await Promise.all(sent)) await receipt.released;
}

/** Two sockets on loopback; what a test sends at once fits into the receiver's buffer. */
export async function udpPair(io: Io): Promise<{ sender: UdpSocket; receiver: UdpSocket }> {
  const hostname = "127.0.0.1";
  return {
    sender: await io.bindUdp({ hostname }),
    receiver: await io.bindUdp({ hostname, receiveBufferBytes: 1 << 20 }),
  };
}

/** Runs `body` with an io of its own beside the one under test. */
export async function withOther(body: (other: Io) => Promise<void>): Promise<void> {
  await using other = await open({ engine: "copy", arenaBytes: 1 << 20 });
  await body(other);
}

/** Counts the calls of recvmmsg of this thread, but not those that look at error queues. */
export function countReceives(): { readonly calls: number[]; [Symbol.dispose](): void } {
  const { libc } = openSystem();
  const { call } = libc;
  const calls: number[] = [];
  const recvmmsg: typeof call.recvmmsg = (fd, messages, n, flags, timeout) => {
    const received = call.recvmmsg(fd, messages, n, flags, timeout);
    if ((flags & C.MSG_ERRQUEUE) === 0) calls.push(received);
    return received;
  };
  (libc as { call: unknown }).call = { ...call, recvmmsg };
  return { calls, [Symbol.dispose]: () => void ((libc as { call: unknown }).call = call) };
}
