/**
 * The lease contract: free → leased → lent → free, and nothing else.
 */
import { assert, assertEquals, assertNotStrictEquals, assertStrictEquals } from "@std/assert";
import { open } from "../../mod.ts";
import { receive } from "../support/bytes.ts";
import { eachEngine, withIo } from "../support/engines.ts";
import { fails } from "../support/failures.ts";
import { tightPair } from "../support/pairs.ts";
import { testIf } from "../support/skip.ts";
import { until } from "../support/turns.ts";

testIf(undefined, "a lease is a piece of the arena of the asked length and alignment", () =>
  withIo({}, async (io) => {
    const leases = await Promise.all([64, 4096, 65_536, 1 << 20].map((alignBytes) => io.lease(1000, { alignBytes })));
    for (const [i, lease] of leases.entries()) {
      assertEquals([lease.byteLength, lease.bytes.length, lease.state], [1000, 1000, "leased"]);
      assertEquals(lease.bytes.byteOffset % [64, 4096, 65_536, 1 << 20][i], 0);
      assertStrictEquals(lease.bytes, lease.bytes, "one view, not one for each look");
      lease.bytes.fill(i + 1);
    }
    for (const [i, lease] of leases.entries()) assert(lease.bytes.every((byte) => byte === i + 1), "leases overlap");
    assertEquals(io.stats().arena.leases, 4);
    for (const lease of leases) lease.release();
    const { leases: left, freeBytes, bytes, largestFreeBytes } = io.stats().arena;
    assertEquals([left, freeBytes, largestFreeBytes], [0, bytes, bytes], "everything is one free piece again");
  }));

testIf(undefined, "a released lease cannot be used in any way", () =>
  withIo({}, async (io) => {
    const lease = await io.lease(100);
    lease.release();
    assertEquals(lease.state, "free");
    const udp = await io.bindUdp({ hostname: "127.0.0.1" });
    const uses: (() => unknown)[] = [
      () => lease.bytes,
      () => lease.retain(),
      () => lease.release(),
      () => lease.cut(50),
      () => lease.split(50),
      () => udp.send(lease, { to: udp.localAddr }),
      () => udp.send([lease, new Uint8Array(1)], { to: udp.localAddr }),
      () => udp.trySend(lease, { to: udp.localAddr }),
      () => udp.recv(lease),
    ];
    for (const use of uses) await fails("ERR_LEASE_RELEASED", use, { says: "take a new one" });
    lease[Symbol.dispose](); // `using` ends quietly
    assertEquals(io.stats().arena.leases, 0);
  }));

testIf(undefined, "a stale handle does not reach the lease that got its place", () =>
  withIo({}, async (io) => {
    const old = await io.lease(100);
    old.release();
    const young = await io.lease(100);
    young.bytes.fill(7);
    assertEquals(old.slot, young.slot, "the test needs the same place");
    await fails("ERR_LEASE_RELEASED", () => old.release());
    await fails("ERR_LEASE_RELEASED", () => old.bytes);
    old[Symbol.dispose]();
    assertEquals([old.state, young.state, young.bytes[99]], ["free", "leased", 7]);
    young.release();
  }));

testIf(undefined, "holds: each retain needs a release, and `using` ends one", () =>
  withIo({}, async (io) => {
    const lease = (await io.lease(100)).retain().retain();
    lease.release();
    lease.release();
    assertEquals(lease.state, "leased");
    {
      using held = lease;
      assertEquals(held.bytes.length, 100);
    }
    assertEquals(lease.state, "free");
    await fails("ERR_LEASE_RELEASED", () => lease.release());
  }));

testIf(
  undefined,
  "cut and split share out the memory; it goes back when every piece has",
  () =>
    withIo({}, async (io) => {
      const { freeBytes: before } = io.stats().arena;
      const whole = await io.lease(1000);
      const { byteOffset } = whole.bytes;
      const view = whole.bytes;
      const rest = whole.cut(300);
      assertEquals([whole.byteLength, whole.bytes.length, rest.byteLength], [300, 300, 700]);
      assertNotStrictEquals(whole.bytes, view);
      assertEquals(rest.bytes.byteOffset, byteOffset + 300);
      const parts = rest.split(200);
      assertEquals(parts.map(({ byteLength }) => byteLength), [200, 200, 200, 100]);
      assertStrictEquals(parts[0], rest);
      assertEquals(parts.map(({ bytes }) => bytes.byteOffset - byteOffset), [300, 500, 700, 900]);
      assertEquals(parts.at(-1)!.split(100).length, 1, "one segment: nothing is cut");
      for (const part of parts) part.release();
      assert(io.stats().arena.freeBytes < before, "the first piece is still out");
      whole.release();
      assertEquals(io.stats().arena.freeBytes, before);
    }),
);

testIf(undefined, "cut and split refuse what makes no sense", () =>
  withIo({}, async (io) => {
    const lease = await io.lease(100);
    for (const at of [0, 100, -1, 1.5, NaN, 2 ** 53]) await fails("ERR_OUT_OF_RANGE", () => lease.cut(at));
    for (const bytes of [0, 101, -1, 0.5, NaN]) await fails("ERR_OUT_OF_RANGE", () => lease.split(bytes));
    await fails("ERR_INVALID_ARG", () => lease.cut("5" as unknown as number));
    const kept = lease.retain();
    await fails("ERR_LEASE_HELD", () => kept.cut(50));
    kept.release();
    assertEquals(lease.cut(50).byteLength, 50);
  }));

testIf(
  undefined,
  "a split that would need too many leases changes nothing",
  () =>
    withIo({ maxLeases: 8 }, async (io) => {
      const lease = await io.lease(1000);
      await fails("ERR_TABLE_FULL", () => lease.split(100), { says: "maxLeases" });
      assertEquals([lease.byteLength, lease.bytes.length, io.stats().arena.leases], [1000, 1000, 1]);
      const segments = lease.split(125);
      assertEquals(segments.length, 8);
      await fails("ERR_TABLE_FULL", () => segments[0].cut(1));
      await fails("ERR_TABLE_FULL", () => segments[0].split(124));
      assertEquals(segments[0].split(125), [segments[0]], "nothing is cut, so nothing is needed");
      for (const segment of segments) segment.release();
      assertEquals(io.stats().arena.leases, 0);
    }),
);

testIf(undefined, "a lease of another arena is refused", async () => {
  await using other = await open({ arenaBytes: 65_536 });
  await withIo({}, async (io) => {
    const foreign = await other.lease(100);
    const udp = await io.bindUdp({ hostname: "127.0.0.1" });
    const to = udp.localAddr;
    await fails("ERR_LEASE_FOREIGN", () => udp.send(foreign, { to }));
    await fails("ERR_LEASE_FOREIGN", () => udp.send([new Uint8Array(5), foreign], { to }));
    await fails("ERR_LEASE_FOREIGN", () => udp.trySend(foreign, { to }));
    await fails("ERR_LEASE_FOREIGN", () => udp.recv(foreign));
    assertEquals([foreign.state, io.stats().arena.leases], ["leased", 0]);
    foreign.release();
  });
});

eachEngine("send consumes the lease: lent until the kernel lets go, then free", async (io) => {
  const { conn, peer } = await tightPair(io);
  const leases = await Promise.all(Array.from({ length: 8 }, () => io.lease(200_000)));
  const sends = leases.map((lease) => conn.send(lease));
  const last = leases.at(-1)!;
  assertEquals(last.state, "lent");
  await fails("ERR_LEASE_LENT", () => last.bytes, { says: "retain()" });
  await fails("ERR_LEASE_LENT", () => last.release());
  await fails("ERR_LEASE_LENT", () => last.retain());
  await fails("ERR_LEASE_LENT", () => last.cut(5));
  await fails("ERR_LEASE_LENT", () => conn.send(last));
  await fails("ERR_LEASE_LENT", () => conn.trySend(last));
  await fails("ERR_LEASE_LENT", () => peer.recv(last));
  last[Symbol.dispose]();
  assertEquals(last.state, "lent");
  await receive(io, peer, 8 * 200_000);
  for (const receipt of await Promise.all(sends)) await receipt.released;
  assertEquals(leases.map(({ state }) => state), Array(8).fill("free"));
});

eachEngine("a retained lease comes back to the program", async (io) => {
  const { conn, peer } = await tightPair(io);
  using lease = (await io.lease(50_000)).retain();
  for (let i = 0; i < 5; i++) {
    lease.bytes.fill(i);
    const receipt = await conn.send(lease);
    assert((await receive(io, peer, 50_000)).every((byte) => byte === i));
    await receipt.released;
    assertEquals(lease.state, "leased");
  }
});

eachEngine("released while it is lent, a retained lease goes back when the kernel lets go", async (io) => {
  const { conn, peer } = await tightPair(io);
  const lease = (await io.lease(1 << 20)).retain();
  const sent = conn.send(lease);
  assertEquals(lease.state, "lent");
  lease.release();
  assertEquals(lease.state, "lent");
  await fails("ERR_LEASE_LENT", () => lease.bytes);
  await receive(io, peer, 1 << 20);
  await (await sent).released;
  await until(() => lease.state === "free");
});

eachEngine("a pending recv lends the lease and hands it back", async (io) => {
  const { conn, peer } = await tightPair(io);
  const lease = await io.lease(100);
  const receiving = peer.recv(lease);
  assertEquals([lease.state, io.stats().inFlight], ["lent", 1]);
  await fails("ERR_LEASE_LENT", () => conn.send(lease));
  await fails("ERR_LEASE_LENT", () => peer.recv(lease));
  await fails("ERR_LEASE_LENT", () => lease.cut(5));
  await conn.send(new Uint8Array([1, 2, 3]));
  assertEquals(await receiving, 3);
  assertEquals([lease.state, ...lease.bytes.subarray(0, 3)], ["leased", 1, 2, 3]);
  lease.release();
});

eachEngine("a lease whose send waits for its turn is lent", async (io) => {
  const { conn, peer } = await tightPair(io);
  const sends = [conn.send(new Uint8Array(3_000_000))];
  const [given, kept] = [await io.lease(100), (await io.lease(100)).retain()];
  sends.push(conn.send(given), conn.send([kept, new Uint8Array(100)]));
  assertEquals([given.state, kept.state], ["lent", "lent"]);
  for (const action of [() => given.bytes, () => given.retain(), () => given.release(), () => given.cut(50)]) {
    await fails("ERR_LEASE_LENT", action);
  }
  for (const data of [given, [given], [kept, kept, given]]) await fails("ERR_LEASE_LENT", () => conn.send(data));
  await fails("ERR_LEASE_LENT", () => peer.recv(given));
  kept.bytes.fill(7); // which is still the program's, too
  await receive(io, peer, 3_000_300);
  for (const receipt of await Promise.all(sends)) await receipt.released;
  assertEquals([given.state, kept.state], ["free", "leased"]);
  kept.release();
}, { arenaBytes: 1 << 20 });
