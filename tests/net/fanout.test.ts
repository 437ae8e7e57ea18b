/**
 * One lease lent to many sends at once: it comes back when the last of them is released.
 */
import { assert, assertEquals } from "@std/assert";
import { fillPattern, mismatch, receive } from "../support/bytes.ts";
import { eachEngine } from "../support/engines.ts";
import { fails } from "../support/failures.ts";
import { assertLedger } from "../support/ledger.ts";
import { connectedPair, tightPair } from "../support/pairs.ts";
import { settled, until } from "../support/turns.ts";

eachEngine("one lease goes to many connections and counts as one loan", async (io) => {
  const pairs = await Promise.all(Array.from({ length: 12 }, () => tightPair(io)));
  const lease = (await io.lease(300_000)).retain();
  fillPattern(lease.bytes);
  const sends = pairs.map(({ conn }) => conn.send(lease));
  const { lent, inFlight, inFlightBytes } = io.stats();
  assertEquals([lent, inFlight, inFlightBytes], [1, 1, 300_000]);
  await Promise.all(pairs.map(async ({ peer }) => {
    const bytes = await receive(io, peer, 300_000);
    assertEquals([bytes.length, mismatch(bytes)], [300_000, -1]);
  }));
  for (const receipt of await Promise.all(sends)) await receipt.released;
  assertEquals(lease.state, "leased");
  lease.release();
  assertEquals(lease.state, "free");
});

eachEngine("a fan-out is released when the slowest peer has it", async (io) => {
  const fast = await tightPair(io);
  const slow = await tightPair(io);
  const lease = (await io.lease(1 << 20)).retain();
  const [toFast, toSlow] = [fast.conn.send(lease), slow.conn.send(lease)];
  lease.release();
  await receive(io, fast.peer, 1 << 20);
  await (await toFast).released;
  assertEquals(lease.state, "lent", "the slow peer still needs it");
  assertEquals(await settled(toSlow), false);
  await receive(io, slow.peer, 1 << 20);
  await (await toSlow).released;
  await until(() => lease.state === "free");
});

eachEngine("a hold that ends while its send waits for a record", async (io) => {
  const pairs = await Promise.all(Array.from({ length: 5 }, () => connectedPair(io)));
  const lease = (await io.lease(20_000)).retain();
  fillPattern(lease.bytes);
  const sends = pairs.map(({ conn }) => conn.send(lease));
  lease.release();
  await Promise.all(pairs.map(async ({ peer }) => assertEquals(mismatch(await receive(io, peer, 20_000)), -1)));
  for (const receipt of await Promise.all(sends)) await receipt.released;
  assertEquals(lease.state, "free");
}, { maxSends: 1 });

eachEngine("a hold that ends while its send waits for its turn, or for room", async (io) => {
  const { conn, peer } = await tightPair(io);
  const [first, second] = [(await io.lease(1000)).retain(), (await io.lease(1000)).retain()];
  for (const [i, { bytes }] of [first, second].entries()) fillPattern(bytes, 3_000_000 + i * 2000);
  const sends = [
    conn.send(fillPattern(new Uint8Array(3_000_000))), // more than the arena
    conn.send([first, fillPattern(new Uint8Array(1000), 3_001_000)]),
    conn.send([second, first]),
  ];
  first.release();
  second.release();
  const bytes = await receive(io, peer, 3_004_000);
  assertEquals([bytes.length, mismatch(bytes.subarray(0, 3_003_000)), mismatch(bytes.subarray(3_003_000), 3_000_000)], [
    3_004_000,
    -1,
    -1,
  ]);
  for (const receipt of await Promise.all(sends)) await receipt.released;
  assertEquals([first.state, second.state], ["free", "free"]);
}, { arenaBytes: 1 << 20 });

eachEngine("different ranges of one lease are one loan, too", async (io) => {
  const { conn, peer } = await connectedPair(io);
  const lease = (await io.lease(100_000)).retain();
  fillPattern(lease.bytes);
  const ranges = [[0, 1], [1, 9_999], [10_000, 60_000], [70_000, 30_000]];
  const sends = ranges.map(([offset, byteLength]) => conn.send(lease, { offset, byteLength }));
  assertEquals(io.stats().inFlight, 1);
  assertEquals(mismatch(await receive(io, peer, 100_000)), -1);
  const receipts = await Promise.all(sends);
  assertEquals(receipts.map(({ bytes }) => bytes), ranges.map(([, bytes]) => bytes));
  for (const receipt of receipts) await receipt.released;
  lease.release();
});

eachEngine("without retain a second send is refused, and the first is not harmed", async (io) => {
  const [a, b] = [await tightPair(io), await tightPair(io)];
  const lease = await io.lease(500_000);
  fillPattern(lease.bytes);
  const sent = a.conn.send(lease);
  await fails("ERR_LEASE_LENT", () => b.conn.send(lease), { says: "retain()" });
  await fails("ERR_LEASE_LENT", () => b.conn.send([new Uint8Array(10), lease]));
  assertLedger(io);
  const bytes = await receive(io, a.peer, 500_000);
  assertEquals([bytes.length, mismatch(bytes)], [500_000, -1]);
  await (await sent).released;
  assertEquals(lease.state, "free");
  assert(!await settled(b.peer.recv(await io.lease(1)).catch(() => {})), "nothing reached the other peer");
});

eachEngine("the same lease twice in one send", async (io) => {
  const { conn, peer } = await connectedPair(io);
  const lease = (await io.lease(1000)).retain();
  fillPattern(lease.bytes);
  const receipt = await conn.send([lease, lease]);
  assertEquals(receipt.bytes, 2000);
  const bytes = await receive(io, peer, 2000);
  assertEquals([mismatch(bytes.subarray(0, 1000)), mismatch(bytes.subarray(1000))], [-1, -1]);
  await receipt.released;
  assertEquals(lease.state, "leased");
  lease.release();
  const once = await io.lease(1000);
  await fails("ERR_LEASE_LENT", () => conn.send([once, once]));
  assertEquals(once.state, "leased", "a send that is refused gives back all its leases");
  once.release();
});
