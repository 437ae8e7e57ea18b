/**
 * What `io.engine`, `io.capabilities` and `stats()` say, and the options of `open` that they show.
 */
import { assert, assertEquals } from "@std/assert";
import { open } from "../../mod.ts";
import { receive } from "../support/bytes.ts";
import { eachEngine, ENGINES, NO_ENGINE } from "../support/engines.ts";
import { fails } from "../support/failures.ts";
import { connectedPair, tightPair } from "../support/pairs.ts";
import { testIf } from "../support/skip.ts";

const hostname = "127.0.0.1";

testIf(undefined, "open says which engine it chose, and why", async () => {
  for (const engine of ENGINES.filter((engine) => NO_ENGINE[engine] === undefined)) {
    await using io = await open({ engine, arenaBytes: 65_536 });
    assertEquals([io.engine.name, io.stats().engine], [engine, engine]);
    assert(io.engine.reason.includes("asked for"), io.engine.reason);
  }
  await using io = await open({ arenaBytes: 65_536 });
  assert(io.engine.reason.length > 0 && !io.engine.reason.includes("asked for"), io.engine.reason);
  assertEquals(io.capabilities.zeroCopyTcp, true, "every Linux that these tests run on has it");
});

testIf(undefined, "sizes of open: rounded up, defaults, and full tables", async () => {
  await using io = await open({ arenaBytes: 65_537, maxSockets: 2, maxLeases: 3 });
  assertEquals(io.stats().arena.bytes, 131_072);
  await using standard = await open();
  assertEquals(standard.stats().arena.bytes, 64 << 20);
  const sockets = [await io.bindUdp({ hostname }), await io.bindUdp({ hostname })];
  await fails("ERR_TABLE_FULL", () => io.bindUdp({ hostname }), { says: "maxSockets" });
  assertEquals(io.stats().sockets, 2);
  await sockets[0].close();
  await (await io.bindUdp({ hostname })).close();
  const leases = [io.tryLease(64)!, io.tryLease(64)!, io.tryLease(64)!];
  assertEquals(io.tryLease(64), undefined);
  for (const lease of leases) lease.release();
});

testIf(undefined, "several opens do not touch each other", async () => {
  const ios = await Promise.all(Array.from({ length: 8 }, () => open({ arenaBytes: 65_536 })));
  for (const [i, io] of ios.entries()) {
    const lease = io.tryLease(65_536)!;
    lease.bytes.fill(i + 1);
  }
  for (const io of ios) assertEquals(io.stats().arena.leases, 1);
  await ios[3].close();
  const udp = await ios[4].bindUdp({ hostname });
  await (await udp.send(new Uint8Array(0), { to: udp.localAddr })).released;
  await Promise.all(ios.map((io) => io.close()));
});

eachEngine("counters of a socket, and those of all sockets", async (io, engine) => {
  const one = await connectedPair(io);
  const two = await connectedPair(io);
  for (const [{ conn, peer }, times] of [[one, 3], [two, 5]] as const) {
    for (let i = 0; i < times; i++) {
      const receipt = await conn.send(await io.lease(20_000));
      await receive(io, peer, 20_000);
      await receipt.released;
    }
  }
  const [a, b, all] = [one.conn.stats(), two.conn.stats(), io.stats()];
  assertEquals([a.sends, b.sends, all.sends], [3, 5, 8]);
  assertEquals([a.accepted, b.accepted, all.accepted], [3, 5, 8]);
  assertEquals([a.bytesAccepted, b.bytesAccepted, all.bytesAccepted], [60_000, 100_000, 160_000]);
  const zeroCopy = engine === "copy" ? 0 : 160_000;
  assertEquals([a.bytesZeroCopy + b.bytesZeroCopy, all.bytesZeroCopy], [zeroCopy, zeroCopy]);
  if (engine !== "copy") assert(all.idsCopied >= 8 && all.notifications > 0, "loopback copies, and says so");
  assertEquals([a.queued, a.inFlight, a.inFlightBytes], [0, 0, 0]);
  await one.conn.close();
  assertEquals(one.conn.stats().bytesAccepted, 60_000, "the last numbers stay");
  assertEquals(io.stats().sends, 8);
});

eachEngine("loans: lent, released, in flight, and the most at once", async (io) => {
  const { conn, peer } = await tightPair(io);
  const sends = Array.from({ length: 6 }, () => conn.send(io.tryLease(300_000)!));
  const during = io.stats();
  assertEquals([during.lent, during.released, during.inFlight, during.inFlightBytes], [6, 0, 6, 1_800_000]);
  await receive(io, peer, 1_800_000);
  for (const receipt of await Promise.all(sends)) await receipt.released;
  const after = io.stats();
  assertEquals([after.inFlight, after.inFlightBytes], [0, 0]);
  assert(after.maxInFlight >= 6 && after.maxInFlightBytes >= 1_800_000, JSON.stringify(after));
  assertEquals(after.lent, after.released);
});

eachEngine("a small id window holds zero-copy sends back and loses none", async (io) => {
  const { conn, peer } = await connectedPair(io, { sendBufferBytes: 1 << 20 });
  const sends = Array.from({ length: 100 }, () => conn.send(io.tryLease(5000)!));
  assertEquals((await receive(io, peer, 500_000)).length, 500_000);
  for (const receipt of await Promise.all(sends)) await receipt.released;
}, { windowIds: 2 });

eachEngine("receipts say how many bytes, and whether they were copied", async (io) => {
  const { conn, peer } = await connectedPair(io);
  const receipt = await conn.send(await io.lease(20_000));
  assertEquals(receipt.bytes, 20_000);
  await receive(io, peer, 20_000);
  assertEquals(await receipt.released, { copied: true }, "loopback always copies");
  assertEquals(await receipt.released, await receipt.released, "it can be asked again");
  const several = await conn.send(new Uint8Array(600_000));
  await receive(io, peer, 600_000);
  assertEquals([several.bytes, (await several.released).copied], [600_000, true]);
});
