/**
 * Sends that have to wait for their turn or for room: what was called first goes first, and an orderly end waits for all of them.
 */
import { assertEquals } from "@std/assert";
import { fillPattern, mismatch, receive, receiveThrough } from "../support/bytes.ts";
import { eachEngine } from "../support/engines.ts";
import { fails } from "../support/failures.ts";
import { connectedPair, tightPair } from "../support/pairs.ts";
import { turns, until } from "../support/turns.ts";

const MEGABYTE = 1 << 20;

eachEngine("a lease behind bytes that wait is lent at the call", async (io) => {
  const { conn, peer } = await tightPair(io, { maxInFlightBytes: MEGABYTE });
  const first = conn.send(fillPattern(new Uint8Array(3 * MEGABYTE)));
  await turns();
  const lease = io.tryLease(1000)!;
  fillPattern(lease.bytes, 3 * MEGABYTE);
  const second = conn.send(lease);
  assertEquals(lease.state, "lent");
  await fails("ERR_LEASE_LENT", () => lease.bytes);
  await fails("ERR_LEASE_LENT", () => lease.release());
  await fails("ERR_LEASE_LENT", () => conn.send(lease));
  assertEquals(mismatch(await receive(io, peer, 3 * MEGABYTE + 1000)), -1);
  for (const sent of [first, second]) await (await sent).released;
  assertEquals(lease.state, "free");
});

eachEngine("a lease whose turn was given up is the program's again", async (io) => {
  const { conn, peer } = await tightPair(io, { maxInFlightBytes: MEGABYTE });
  const first = conn.send(new Uint8Array(3 * MEGABYTE));
  const lease = io.tryLease(1000)!;
  const abort = new AbortController();
  const second = conn.send(lease, { signal: abort.signal });
  const third = conn.send(new Uint8Array(5));
  abort.abort(new Error("changed my mind"));
  await second.then(() => Promise.reject("it was sent"), () => {});
  assertEquals(lease.state, "leased");
  lease.release();
  assertEquals((await receive(io, peer, 3 * MEGABYTE + 5)).length, 3 * MEGABYTE + 5);
  for (const sent of [first, third]) await (await sent).released;
});

eachEngine("closeWrite lets everything out that was sent before", async (io) => {
  const { conn, peer } = await tightPair(io, { maxInFlightBytes: MEGABYTE });
  const sent = conn.send(fillPattern(new Uint8Array(6 * MEGABYTE)));
  const closed = conn.closeWrite();
  await fails("EPIPE", () => conn.send(new Uint8Array(1)));
  const bytes = await receive(io, peer);
  assertEquals([bytes.length, mismatch(bytes)], [6 * MEGABYTE, -1]);
  await (await sent).released;
  await closed;
});

eachEngine("close lets everything out that was sent before, if there is time", async (io) => {
  const { conn, peer } = await tightPair(io, { maxInFlightBytes: MEGABYTE });
  using lease = await io.lease(65_536);
  const sent = conn.send(fillPattern(new Uint8Array(6 * MEGABYTE)));
  const closed = conn.close({ deadlineMs: 30_000 });
  const bytes = await receiveThrough(lease, peer);
  assertEquals([bytes.length, mismatch(bytes)], [6 * MEGABYTE, -1]);
  await (await sent).released;
  await closed;
});

eachEngine("at the deadline of a close, sends that wait for their turn fail", async (io) => {
  const { conn } = await tightPair(io, { maxInFlightBytes: MEGABYTE });
  const first = conn.send(new Uint8Array(6 * MEGABYTE));
  const firstFailed = first.then(() => Promise.reject("it was sent"), (error) => error.released);
  const secondFailed = fails("ERR_CLOSED", () => conn.send(new Uint8Array(10)));
  await turns();
  await conn.close({ deadlineMs: 20 });
  assertEquals((await secondFailed).bytesAccepted ?? 0, 0);
  await firstFailed;
});

eachEngine("readers that wait leave the arena to others", async (io) => {
  const pairs = await Promise.all(Array.from({ length: 100 }, () => connectedPair(io)));
  const reading = pairs.map(({ peer }) => peer.readable.getReader().read());
  await turns();
  assertEquals(io.stats().arena.leases, 0);
  for (const { conn } of pairs) await conn.send(new Uint8Array([7]));
  for (const { value } of await Promise.all(reading)) assertEquals(value, new Uint8Array([7]));
  await until(() => io.stats().arena.leases === 0);
});
