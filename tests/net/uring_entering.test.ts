/** How often the ring enters the kernel: once for a batch, and not at all while nothing happens. */
import { assert, assertEquals } from "@std/assert";
import process from "node:process";
import { openSystem } from "../../ffi/system.ts";
import { open } from "../../mod.ts";
import { connectedPair } from "../support/pairs.ts";
import { NO_RING } from "../support/ring.ts";
import { testIf } from "../support/skip.ts";

/** Counts the entries into the kernel from now on. */
function countEntries(): { count: number } & Disposable {
  const uring = openSystem().uring() as { enter: (...args: [number, number, number, number]) => number };
  const { enter } = uring;
  const counter = { count: 0, [Symbol.dispose]: () => void (uring.enter = enter) };
  uring.enter = (...args) => {
    counter.count += 1;
    return enter(...args);
  };
  return counter;
}

testIf(NO_RING, "one entry into the kernel for a batch over many sockets", async () => {
  await using io = await open({ engine: "uring", arenaBytes: 1 << 20 });
  const sockets = await Promise.all(Array.from({ length: 10 }, () => io.bindUdp({ hostname: "127.0.0.1" })));
  const ids = new Set<number>();
  for (let i = 0; i < 200; i++) {
    const [from, to] = [sockets[i % 10], sockets[(i + 1) % 10]];
    ids.add(from.trySend(io.tryLease(100)!, { to: to.localAddr }));
  }
  using entries = countEntries();
  assertEquals(io.flush(), 10);
  assertEquals(entries.count, 1);
  while (ids.size > 0) io.reap((id, event) => event === "released" && ids.delete(id));
});

testIf(NO_RING, "one entry into the kernel for many datagrams", async () => {
  await using io = await open({ engine: "uring", arenaBytes: 1 << 20 });
  const [from, to] = await Promise.all([1, 2].map(() => io.bindUdp({ hostname: "127.0.0.1" })));
  const lease = await io.lease(100);
  using entries = countEntries();
  const { accepted } = await from.fanOut(lease, Array(1000).fill(to.localAddr));
  assertEquals([accepted, entries.count], [1000, 1]);
});

testIf(NO_RING, "sends, receives and connects of one turn go together", async () => {
  await using io = await open({ engine: "uring", arenaBytes: 1 << 20 });
  const pairs = await Promise.all(Array.from({ length: 8 }, () => connectedPair(io)));
  const leases = await Promise.all(pairs.map(() => io.lease(10)));
  const receiving = pairs.map(({ peer }, i) => peer.recv(leases[i]));
  await new Promise((resolve) => setTimeout(resolve, 20));
  using entries = countEntries();
  const sends = pairs.map(({ conn }) => conn.send(io.tryLease(10)!));
  await Promise.all(sends);
  assertEquals(entries.count, 1);
  assertEquals(await Promise.all(receiving), pairs.map(() => 10));
  for (const lease of leases) lease.release();
});

testIf(NO_RING, "an idle io costs nothing", async () => {
  await using io = await open({ engine: "uring", arenaBytes: 1 << 20 });
  const { conn, peer } = await connectedPair(io);
  const lease = await io.lease(10);
  const receiving = peer.recv(lease);
  await new Promise((resolve) => setTimeout(resolve, 100));
  using entries = countEntries();
  // The runtime may be compiling or collecting what tests before this one have left; an io that costs something does so in every second.
  let spent = Infinity;
  for (let seconds = 0; spent >= 200_000 && seconds < 10; seconds++) {
    const cpu = process.cpuUsage();
    await new Promise((resolve) => setTimeout(resolve, 1000));
    const { user, system } = process.cpuUsage(cpu);
    spent = user + system;
  }
  assertEquals(entries.count, 0);
  assert(spent < 200_000, `${spent} microseconds of processor time in an idle second`);
  await conn.send(new Uint8Array(3));
  assertEquals(await receiving, 3);
  lease.release();
});
