/**
 * Closing: patient until the deadline, final at it, and never losing what was accepted before.
 */
import { assert, assertEquals } from "@std/assert";
import { type Lease, RingletError } from "../../mod.ts";
import { fillPattern, leaseOf, mismatch, receive, receiveText } from "../support/bytes.ts";
import { eachEngine } from "../support/engines.ts";
import { fails } from "../support/failures.ts";
import { assertAllReturned, assertLedger } from "../support/ledger.ts";
import { connectedPair, tightPair, untilStalled } from "../support/pairs.ts";
import { settled, turns, until } from "../support/turns.ts";

/** Practically for ever: a close that needed its deadline would hang. */
const NEVER_MS = 2 ** 31 - 1;
const MEGABYTE = 1 << 20;

eachEngine("close delivers everything that was queued before it", async (io) => {
  const { conn, peer } = await tightPair(io);
  const sends = [];
  for (let i = 0; i < 3; i++) {
    const lease = await io.lease(500_000);
    fillPattern(lease.bytes, i * 500_000);
    sends.push(conn.send(lease));
  }
  const closing = conn.close({ deadlineMs: NEVER_MS });
  const bytes = await receive(io, peer);
  assertEquals([bytes.length, mismatch(bytes)], [1_500_000, -1]);
  await closing;
  for (const receipt of await Promise.all(sends)) await receipt.released;
  assertAllReturned(io);
});

for (const how of ["close", "closeWrite"] as const) {
  eachEngine(`${how} waits for sends that wait for a record`, async (io) => {
    const { conn, peer } = await connectedPair(io);
    const sends = Array.from({ length: 20 }, (_, i) => {
      const lease = io.tryLease(5000)!;
      fillPattern(lease.bytes, i * 5000);
      return conn.send(lease);
    });
    const ending = how === "close" ? conn.close({ deadlineMs: NEVER_MS }) : conn.closeWrite();
    const bytes = await receive(io, peer);
    assertEquals([bytes.length, mismatch(bytes)], [100_000, -1]);
    for (const receipt of await Promise.all(sends)) await receipt.released;
    await ending;
  }, { maxSends: 2 });
}

eachEngine("at the deadline nobody waits for a record that another socket has", async (io) => {
  const [stalled, other] = [await tightPair(io), await connectedPair(io)];
  const stuck = stalled.conn.send(new Uint8Array(2 * MEGABYTE)).catch(() => {});
  const lease = await io.lease(10);
  const waiting = other.conn.send(lease);
  const failed = fails("ERR_CLOSED", () => waiting);
  const closing = other.conn.close({ deadlineMs: 20 });
  await failed;
  await closing;
  assertEquals(lease.state, "leased");
  lease.release();
  await stalled.conn.abort();
  await stuck;
  await fails("ECONNRESET", () => receive(io, other.peer));
}, { maxSends: 1 });

eachEngine("a peer that was not sent what waited for room never sees an orderly end", async (io) => {
  const { conn, peer } = await connectedPair(io);
  using into = await io.lease(1000);
  using _rest = await io.lease(io.stats().arena.largestFreeBytes);
  const failed = fails("ERR_CLOSED", () => conn.send(new Uint8Array(2000)));
  await conn.close({ deadlineMs: 20 });
  await failed;
  await fails("ECONNRESET", () => peer.recv(into));
});

eachEngine("close with unread input still delivers", async (io) => {
  const { conn, peer } = await tightPair(io);
  await peer.send(new Uint8Array(1000)); // never read: the kernel resets when such a socket is closed
  await turns();
  const sent = conn.send(fillPattern(new Uint8Array(400_000)));
  const closing = conn.close({ deadlineMs: NEVER_MS });
  assertEquals(mismatch(await receive(io, peer, 400_000)), -1);
  await sent;
  await closing;
});

eachEngine("at the deadline the kernel's loans are taken back from a peer that never reads", async (io) => {
  const { conn, peer } = await tightPair(io, { sendBufferBytes: MEGABYTE, maxInFlightBytes: 4 * MEGABYTE });
  const leases: Lease[] = [];
  for (let i = 0; i < 6; i++) leases.push(await io.lease(MEGABYTE / 2));
  const outcomes = Promise.allSettled(leases.map((lease) => conn.send(lease)));
  await until(() => conn.stats().bytesAccepted > MEGABYTE);
  await conn.close({ deadlineMs: 50 });
  const errors = (await outcomes).filter(({ status }) => status === "rejected") as PromiseRejectedResult[];
  for (const { reason } of errors) {
    assertEquals([reason instanceof RingletError, reason.code], [true, "ECANCELED"]);
  }
  assertAllReturned(io);
  for (const lease of leases) lease[Symbol.dispose]();
  assertEquals(io.stats().arena.leases, 0);
  // The peer can tell this from an orderly end.
  await fails("ECONNRESET", () => receive(io, peer));
});

eachEngine("a peer that was not sent everything never sees an orderly end", async (io) => {
  const { conn, peer } = await tightPair(io);
  const small = Array.from({ length: 2000 }, () => conn.send(io.tryLease(1000)!).catch((error) => error));
  await until(() => conn.stats().accepted > 0);
  assert(conn.stats().queued > 0);
  await conn.close({ deadlineMs: 10 });
  const outcomes = await Promise.all(small);
  assert(outcomes.filter((outcome) => outcome.code === "ECANCELED" && outcome.bytesAccepted === 0).length > 0);
  await fails("ECONNRESET", () => receive(io, peer));
});

eachEngine("abort takes back at once what a patient close waits for", async (io) => {
  const { conn } = await tightPair(io);
  const lease = await io.lease(2 * MEGABYTE);
  const sent = conn.send(lease).catch((error) => error);
  const closing = conn.close({ deadlineMs: NEVER_MS });
  assertEquals(await settled(closing), false);
  await fails("ERR_CLOSED", () => conn.send(new Uint8Array(1)));
  await conn.abort();
  await closing;
  const error = await sent;
  assertEquals([error.code, error.syscall], ["ECANCELED", "close"]);
  assert(error.bytesAccepted > 0);
  await error.released;
  assertEquals(lease.state, "free");
});

eachEngine("two closes, and close after abort", async (io) => {
  const { conn, peer } = await connectedPair(io);
  const [first, second] = [conn.close(), conn.close({ deadlineMs: 1 })];
  await Promise.all([first, second, conn.close()]);
  await conn.close();
  await peer.abort();
  await peer.abort();
  await peer.close();
  await peer[Symbol.asyncDispose]();
  const udp = await io.bindUdp({ hostname: "127.0.0.1" });
  await Promise.all([udp.close(), udp.abort(), udp.close()]);
  assertEquals(io.stats().sockets, 0);
});

eachEngine("a close deadline that is no deadline is refused, and the socket stays open", async (io) => {
  const { conn, peer } = await connectedPair(io);
  for (const deadlineMs of [-1, NaN, 1.5, 2 ** 31, Infinity]) {
    await fails("ERR_OUT_OF_RANGE", () => conn.close({ deadlineMs }));
    await fails("ERR_OUT_OF_RANGE", () => io.close({ deadlineMs }));
  }
  await fails("ERR_INVALID_ARG", () => conn.close({ deadline: 5 } as never));
  await conn.send(await leaseOf(io, "still here"));
  assertEquals(await receiveText(io, peer, 10), "still here");
});

eachEngine("close fails what waits for the peer", async (io) => {
  const { conn } = await connectedPair(io);
  const listener = await io.listen({ hostname: "127.0.0.1", port: 0 });
  const udp = await io.bindUdp({ hostname: "127.0.0.1" });
  const leases = [await io.lease(10), await io.lease(10)];
  const waiting = [conn.recv(leases[0]), udp.recv(leases[1]), listener.accept()];
  const outcomes = Promise.allSettled(waiting);
  await Promise.all([conn.close(), udp.close(), listener.close()]);
  for (const outcome of await outcomes) {
    assertEquals(outcome.status === "rejected" && outcome.reason.code, "ERR_CLOSED");
  }
  assertEquals(leases.map(({ state }) => state), ["leased", "leased"]);
  for (const lease of leases) lease.release();
  await fails("ERR_CLOSED", () => listener.accept());
  await listener.close();
});

eachEngine("closing after the peer's reset has nothing to wait for", async (io) => {
  const { conn, peer } = await tightPair(io);
  const sent = conn.send(await io.lease(MEGABYTE)).catch((error) => error);
  await until(() => conn.stats().bytesAccepted > 0);
  await peer.abort();
  await (await sent).released;
  await conn.close({ deadlineMs: NEVER_MS });
});

eachEngine("one stalled peer beside a fast one", async (io) => {
  const stalled = await tightPair(io);
  const fast = await tightPair(io);
  const stuck = Array.from(
    { length: 3 },
    () => stalled.conn.send(new Uint8Array(2 * MEGABYTE)).catch((error) => error),
  );
  await untilStalled(io, stalled.conn);
  let moved = 0;
  const reading = (async () => {
    const bytes = await receive(io, fast.peer);
    assertEquals(mismatch(bytes), -1);
    moved = bytes.length;
  })();
  for (let i = 0; i < 40; i++) {
    const lease = await io.lease(250_000);
    fillPattern(lease.bytes, i * 250_000);
    await (await fast.conn.send(lease)).released;
    assertLedger(io);
  }
  await fast.conn.close();
  await reading;
  assertEquals(moved, 40 * 250_000);
  assert(stalled.conn.stats().bytesAccepted < 2 * MEGABYTE, "the other one did stall");
  await stalled.conn.abort();
  for (const error of await Promise.all(stuck)) assert(error instanceof RingletError, `${error}`);
});

eachEngine("io.close closes its sockets together, and leases can still be returned", async (io) => {
  const pairs = await Promise.all(Array.from({ length: 10 }, () => tightPair(io)));
  for (const { conn } of pairs) conn.send(new Uint8Array(MEGABYTE)).catch(() => {});
  const lease = await io.lease(10);
  await io.close({ deadlineMs: 100 });
  assertAllReturned(io);
  assertEquals(io.stats().sockets, 0);
  lease.release();
  await io[Symbol.asyncDispose]();
}, { arenaBytes: 16 * MEGABYTE });
