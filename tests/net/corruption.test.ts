/**
 * Memory is reused only after the kernel let go of it: megabytes of zero-copy sends stand in the queue of a receiver that stalls,
 * while the arena is far smaller than what is sent. The control gives leases back when they are accepted, and corrupts.
 */
import { assert, assertEquals } from "@std/assert";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type Io, open, type TcpConn } from "../../mod.ts";
import type { Endpoint } from "../../net/endpoint.ts";

const LEASE_BYTES = 64 * 1024;
const LEASES = 400;

/** Fills a lease with bytes that no other lease of the run has. */
function fill(bytes: Uint8Array, index: number): void {
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  for (let i = 0; i < words.length; i++) words[i] = Math.imul(index * words.length + i, 0x9e3779b1);
}

/** Reads a little, stalls, and goes on; answers the hash of everything. */
async function stallingReader(io: Io, peer: TcpConn): Promise<string> {
  const hash = createHash("sha256");
  using lease = await io.lease(LEASE_BYTES);
  for (let reads = 0;; reads++) {
    if (reads % 32 === 0) await sleep(5);
    const n = await peer.recv(lease);
    if (n === null) return hash.digest("hex");
    hash.update(lease.bytes.subarray(0, n));
  }
}

/** Sends through an arena of 4 MiB; `early` gives leases back at acceptance. Answers both hashes. */
async function transfer(early: boolean) {
  await using receiver = await open({ arenaBytes: 1 << 20 });
  await using sender = await open({ engine: "errqueue", arenaBytes: 4 << 20, zeroCopy: "always" });
  const listener = await receiver.listen({ hostname: "127.0.0.1", port: 0, receiveBufferBytes: 65_536 });
  const { port } = listener.localAddr as { port: number };
  const options = { hostname: "127.0.0.1", port, sendBufferBytes: 4 << 20, maxInFlightBytes: 4 << 20 };
  const conn = await sender.connect(options);
  const received = stallingReader(receiver, await listener.accept());
  const { slot, generation, hub } = (conn as unknown as { endpoint: Endpoint }).endpoint;
  const { raw, u32, out } = hub.core;

  const hash = createHash("sha256");
  let mostInFlight = 0;
  for (let i = 0; i < LEASES; i++) {
    const lease = await sender.lease(LEASE_BYTES);
    fill(lease.bytes, i);
    hash.update(lease.bytes);
    await conn.send(lease);
    mostInFlight = Math.max(mostInFlight, sender.stats().inFlight);
    if (early) {
      raw.socket_state(slot, generation);
      raw.complete(slot, generation, u32[out + 1], u32[out] - 1, 0);
      hub.dispatch();
    }
  }
  await conn.closeWrite();
  return { sent: hash.digest("hex"), received: await received, mostInFlight, stats: sender.stats() };
}

test("a lease is not handed out again before the kernel released it", async () => {
  const { sent, received, mostInFlight, stats } = await transfer(false);
  assertEquals(received, sent);
  assert(mostInFlight > 16, `the receiver did not stall: at most ${mostInFlight} loans in flight`);
  assert(stats.bytesZeroCopy > 0);
  assertEquals(stats.lent, stats.released + stats.inFlight);
});

test("control: giving leases back at acceptance corrupts", async () => {
  const { sent, received } = await transfer(true);
  assert(received !== sent, "nothing was corrupted: the test above proves nothing");
});
