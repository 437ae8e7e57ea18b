/**
 * An arena without room: those who wait are served in order, can stop waiting, and are told when there is nothing to wait for.
 */
import { assertEquals } from "@std/assert";
import type { Lease } from "../../mod.ts";
import { receiveThrough } from "../support/bytes.ts";
import { eachEngine } from "../support/engines.ts";
import { fails, rejectsWith } from "../support/failures.ts";
import { tightPair } from "../support/pairs.ts";
import { settled, turns } from "../support/turns.ts";

const ARENA_BYTES = 1 << 20;
const QUARTER = ARENA_BYTES / 4;
const SMALL = { arenaBytes: ARENA_BYTES };

eachEngine("waiters get room in the order of their calls, whatever their size", async (io) => {
  const all = await io.lease(ARENA_BYTES);
  const served: number[] = [];
  const sizes = [ARENA_BYTES, 64, QUARTER, 64];
  const waiting = sizes.map((size, i) => io.lease(size).then((lease) => (served.push(i), lease)));
  await turns();
  assertEquals([served.length, io.stats().arena.waiting], [0, 4]);
  assertEquals(io.tryLease(64), undefined, "nobody overtakes those who wait");
  all.release();
  const first = await waiting[0];
  await turns();
  assertEquals(served, [0], "the small ones do not slip past");
  first.release();
  for (const lease of await Promise.all(waiting.slice(1))) lease.release();
  assertEquals(served, [0, 1, 2, 3]);
  assertEquals(io.stats().arena.waiting, 0);
}, SMALL);

eachEngine("an aborted waiter leaves the queue, and those behind it move up", async (io) => {
  const held = await io.lease(QUARTER);
  const most = await io.lease(ARENA_BYTES - QUARTER);
  const abort = new AbortController();
  const big = io.lease(ARENA_BYTES, { signal: abort.signal });
  const small = io.lease(QUARTER);
  most.release();
  assertEquals(await settled(small), false, "the big one is first in line");
  const reason = new Error("no more patience");
  abort.abort(reason);
  await rejectsWith(reason, big);
  // Nothing was released by the abort, yet there is room for the next in line.
  (await small).release();
  held.release();
  assertEquals(io.stats().arena.freeBytes, ARENA_BYTES);
}, SMALL);

eachEngine("an aborted signal is refused at once, even where there is room", async (io) => {
  const reason = new Error("too late");
  await rejectsWith(reason, io.lease(64, { signal: AbortSignal.abort(reason) }));
  assertEquals(io.stats().arena.leases, 0);
}, SMALL);

eachEngine("aborting after the lease was served changes nothing", async (io) => {
  const abort = new AbortController();
  const all = await io.lease(ARENA_BYTES);
  const waiting = io.lease(64, { signal: abort.signal });
  all.release();
  abort.abort();
  const lease = await waiting;
  assertEquals(lease.state, "leased");
  lease.release();
}, SMALL);

eachEngine("what never fits is refused instead of waited for", async (io) => {
  await fails("ERR_OUT_OF_RANGE", () => io.lease(ARENA_BYTES + 1));
  await fails("ERR_OUT_OF_RANGE", () => io.tryLease(ARENA_BYTES + 1));
  await fails("ERR_OUT_OF_RANGE", () => io.lease(64, { alignBytes: 3 }));
  await fails("ERR_OUT_OF_RANGE", () => io.lease(64, { alignBytes: 2 * ARENA_BYTES }));
  const all = io.tryLease(ARENA_BYTES, { alignBytes: ARENA_BYTES });
  assertEquals(all?.byteLength, ARENA_BYTES, "the whole arena can be one lease");
  all?.release();
}, SMALL);

eachEngine("room that the kernel returns goes to those who wait", async (io) => {
  const { conn, peer } = await tightPair(io, { maxInFlightBytes: ARENA_BYTES });
  using into = await io.lease(65_536);
  const most = ARENA_BYTES - into.byteLength;
  const sent = conn.send(await io.lease(most));
  const waiting = io.lease(QUARTER);
  assertEquals(await settled(waiting), false);
  await receiveThrough(into, peer, most);
  (await waiting).release();
  await (await sent).released;
}, SMALL);

eachEngine("closing the io tells everyone who waits", async (io) => {
  const all = await io.lease(ARENA_BYTES);
  const waiting = [io.lease(64), io.lease(64)];
  const outcomes = Promise.allSettled(waiting);
  await io.close();
  for (const outcome of await outcomes) {
    assertEquals(outcome.status === "rejected" && outcome.reason.code, "ERR_CLOSED");
  }
  await fails("ERR_CLOSED", () => io.lease(64));
  await fails("ERR_CLOSED", () => io.tryLease(64));
  all.release();
  assertEquals(all.state, "free", "a lease can still be returned");
}, SMALL);

eachEngine("without a free lease record leases wait, too", async (io) => {
  const leases: Lease[] = [];
  for (let i = 0; i < 4; i++) leases.push(await io.lease(64));
  const waiting = io.lease(64);
  assertEquals(await settled(waiting), false);
  await fails("ERR_TABLE_FULL", () => leases[0].cut(32), { says: "maxLeases" });
  leases[1].release();
  (await waiting).release();
  for (const i of [0, 2, 3]) leases[i].release();
}, { ...SMALL, maxLeases: 4 });

eachEngine("arrays that go out together need one lease, accepted or refused", async (io) => {
  const { conn, peer } = await tightPair(io);
  const arrays = Array.from({ length: 16 }, (_, i) => new Uint8Array(100).fill(i));
  await (await conn.send(arrays)).released;
  assertEquals(io.stats().arena.leases, 0);
  using into = await io.lease(1600);
  const bytes = await receiveThrough(into, peer, 1600);
  assertEquals(arrays.findIndex((array, i) => !array.every((byte, j) => byte === bytes[i * 100 + j])), -1);
  const udp = await io.bindUdp({ hostname: "127.0.0.1" });
  await fails("EACCES", () => udp.send(arrays, { to: { hostname: "127.255.255.255", port: 9 } }));
  assertEquals(io.stats().arena.leases, 1);
}, { ...SMALL, maxLeases: 2 });
