/**
 * trySend, flush and reap: the same sends without promises.
 */
import { assert, assertEquals } from "@std/assert";
import { spawn } from "node:child_process";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { fillPattern, mismatch, receive } from "../support/bytes.ts";
import type { Io, SendEvent } from "../../mod.ts";
import { eachEngine } from "../support/engines.ts";
import { fails, rejectsWith } from "../support/failures.ts";
import { assertLedger } from "../support/ledger.ts";
import { connectedPair, tightPair, untilStalled } from "../support/pairs.ts";
import { SLOWNESS } from "../support/skip.ts";
import { turns } from "../support/turns.ts";

const hostname = "127.0.0.1";
const COUNTING = new URL("./programs/counting.ts", import.meta.url);
type Events = Map<number, [SendEvent, number][]>;

/** Reaps until `done`, a list of events for each send. */
async function reapUntil(io: Io, events: Events, done: () => boolean): Promise<void> {
  while (!done()) {
    io.flush();
    io.reap((id, event, value) => {
      const list = events.get(id) ?? [];
      list.push([event, value]);
      events.set(id, list);
    });
    assertLedger(io);
    await turns(1);
  }
}

function ended(events: Events): number {
  let count = 0;
  for (const list of events.values()) if (["released", "refused"].includes(list.at(-1)![0])) count += 1;
  return count;
}

eachEngine("each datagram is accepted and then released, exactly once", async (io) => {
  const [from, to] = [await io.bindUdp({ hostname }), await io.bindUdp({ hostname, receiveBufferBytes: 4 << 20 })];
  const events: Events = new Map();
  const ids: number[] = [];
  for (let i = 0; i < 100; i++) {
    const lease = io.tryLease(11_000)!;
    lease.bytes[0] = i;
    ids.push(from.trySend(lease, { to: to.localAddr, byteLength: 11_000 - i }));
    assertEquals(lease.state, "lent");
  }
  assertEquals(new Set(ids).size, 100, "every send has a number of its own");
  assertEquals(from.stats().queued, 100, "nothing goes out before flush");
  assertEquals([io.flush(), io.flush()], [1, 0], "sockets that had something");
  await reapUntil(io, events, () => ended(events) === 100);
  for (const [i, id] of ids.entries()) {
    const [accepted, released, ...more] = events.get(id)!;
    assertEquals([accepted, released[0], more.length], [["accepted", 11_000 - i], "released", 0]);
    assert(released[1] === 0 || released[1] === 1);
  }
  using into = await io.lease(11_000);
  for (let i = 0; i < 100; i++) {
    assertEquals([(await to.recv(into)).bytes, into.bytes[0]], [11_000 - i, i]);
  }
  assertEquals(io.reap(() => {}), 0);
});

eachEngine("streams: partial sends end as one, in order with send()", async (io) => {
  const { conn, peer } = await tightPair(io);
  const events: Events = new Map();
  const first = io.tryLease(600_000)!;
  fillPattern(first.bytes);
  const id = conn.trySend(first);
  const second = io.tryLease(100_000)!;
  fillPattern(second.bytes, 600_000);
  const sent = conn.send(second);
  const reading = receive(io, peer, 700_000);
  await reapUntil(io, events, () => ended(events) === 1);
  assertEquals(events.get(id)!.map(([event]) => event), ["accepted", "released"]);
  assertEquals(events.get(id)![0][1], 600_000);
  assertEquals(mismatch(await reading), -1);
  await (await sent).released;
});

eachEngine("-1 when every record is in use, and the lease stays the program's", async (io) => {
  const { conn, peer } = await tightPair(io);
  const events: Events = new Map();
  const leases = Array.from({ length: 5 }, () => io.tryLease(1000)!);
  const ids = leases.map((lease) => conn.trySend(lease));
  assertEquals(ids.map((id) => id >= 0), [true, true, true, true, false]);
  assertEquals(leases.map(({ state }) => state), ["lent", "lent", "lent", "lent", "leased"]);
  await reapUntil(io, events, () => ended(events) === 4);
  assert(conn.trySend(leases[4]) >= 0);
  await reapUntil(io, events, () => ended(events) === 5);
  assertEquals((await receive(io, peer, 5000)).length, 5000);
}, { maxSends: 4 });

eachEngine("events that nobody reaps stop further sends instead of piling up", async (io) => {
  const [from, to] = [await io.bindUdp({ hostname }), await io.bindUdp({ hostname })];
  using lease = io.tryLease(100)!.retain();
  let sent = 0;
  for (let i = 0; i < 1000; i++) {
    if (from.trySend(lease, { to: to.localAddr }) < 0) continue;
    sent += 1;
    io.flush();
    if (i % 10 === 0) await turns(1);
  }
  assert(sent < 100, `${sent} sends without a reap`);
  let released = 0;
  while (released < sent) {
    io.reap((_id, event) => event === "released" && released++);
    await turns(1);
  }
  assert(from.trySend(lease, { to: to.localAddr }) >= 0, "and then it goes on");
  io.flush();
}, { maxSends: 16 });

eachEngine("refused: the errno, and the lease is the program's again", async (io) => {
  const udp = await io.bindUdp({ hostname });
  const events: Events = new Map();
  const lease = io.tryLease(100)!;
  const id = udp.trySend(lease, { to: { hostname: "127.255.255.255", port: 9 } });
  await reapUntil(io, events, () => ended(events) === 1);
  assertEquals(events.get(id), [["refused", 13]], "EACCES");
  assertEquals(lease.state, "leased");
  lease.release();
  await fails("ERR_INVALID_ARG", () => udp.trySend(lease, { to: { hostname: "localhost", port: 9 } }), {
    says: "send()",
  });
});

eachEngine("failed: a part had been accepted, and then released", async (io) => {
  const { conn, peer } = await tightPair(io);
  const events: Events = new Map();
  const [partly, untouched] = [io.tryLease(1_000_000)!, io.tryLease(1000)!];
  const [first, second] = [conn.trySend(partly), conn.trySend(untouched)];
  io.flush();
  await untilStalled(io, conn);
  await peer.abort();
  await reapUntil(io, events, () => ended(events) === 2);
  assertEquals(events.get(first)!.map(([event]) => event), ["failed", "released"]);
  assertEquals(events.get(second)!.map(([event]) => event), ["refused"]);
  assert([32, 104].includes(events.get(first)![0][1]), "EPIPE or ECONNRESET");
  assertEquals([partly.state, untouched.state], ["free", "leased"]);
  untouched.release();
});

eachEngine("closing ends batch sends, too", async (io) => {
  const { conn } = await tightPair(io);
  const events: Events = new Map();
  for (let i = 0; i < 4; i++) conn.trySend(io.tryLease(500_000)!);
  io.flush();
  await conn.close({ deadlineMs: 10 });
  await reapUntil(io, events, () => ended(events) === 4);
  for (const list of events.values()) {
    assert(
      [["accepted", "released"], ["failed", "released"], ["refused"]].some((possible) =>
        possible.join() === list.map(([event]) => event).join()
      ),
      JSON.stringify(list),
    );
  }
});

eachEngine("what became of sends can be learnt after the io was closed", async (io) => {
  const { conn } = await tightPair(io);
  const ids = Array.from({ length: 4 }, () => conn.trySend(io.tryLease(500_000)!));
  io.flush();
  await io.close({ deadlineMs: 10 });
  await fails("ERR_INVALID_ARG", () => io.reap(undefined as never));
  const events: Events = new Map();
  const count = io.reap((id, event, value) => events.set(id, [...events.get(id) ?? [], [event, value]]));
  assertEquals([events.size, ended(events)], [4, 4]);
  assertEquals([...events.keys()].sort(), ids.sort());
  assertEquals([count > 4, io.reap(() => {})], [true, 0]);
});

eachEngine("the handler may send again", async (io) => {
  const { conn, peer } = await connectedPair(io);
  using lease = io.tryLease(20_000)!.retain();
  fillPattern(lease.bytes);
  let sent = 1;
  let released = 0;
  const reading = receive(io, peer, 50 * 20_000);
  conn.trySend(lease);
  while (released < 50) {
    io.flush();
    io.reap((_id, event) => {
      if (event !== "released") return;
      released += 1;
      if (sent < 50 && conn.trySend(lease) >= 0) sent += 1;
    });
    await turns(1);
  }
  const bytes = await reading;
  for (let i = 0; i < 50; i++) assertEquals(mismatch(bytes.subarray(i * 20_000, (i + 1) * 20_000)), -1);
});

eachEngine("a record that a refused send leaves goes to the send that waits for it", async (io) => {
  const udp = await io.bindUdp({ hostname });
  const refused = fails("EACCES", () => udp.send(new Uint8Array(1), { to: { hostname: "127.255.255.255", port: 9 } }));
  const waiting = udp.send(new Uint8Array(1), { to: udp.localAddr });
  const lease = io.tryLease(1)!;
  assertEquals(udp.trySend(lease, { to: udp.localAddr }), -1, "and nobody overtakes it");
  lease.release();
  await refused;
  await (await waiting).released;
}, { maxSends: 1 });

eachEngine("a handler that throws or reaps again gets every event once", async (io) => {
  const [from, to] = [await io.bindUdp({ hostname }), await io.bindUdp({ hostname, receiveBufferBytes: 4 << 20 })];
  const waiting = new Set<number>();
  for (let i = 0; i < 20; i++) waiting.add(from.trySend(io.tryLease(1000)!, { to: to.localAddr }));
  assertEquals(waiting.size, 20);
  const events: Events = new Map();
  const note = (id: number, event: SendEvent, value: number) =>
    events.set(id, [...events.get(id) ?? [], [event, value]]);
  while (ended(events) < 20) {
    io.flush();
    const inner = (id: number, event: SendEvent, value: number) => {
      note(id, event, value);
      assertEquals(io.reap(() => assert(false, "the call outside tells")), 0);
      if (events.size % 3 === 0) throw new Error("on purpose");
    };
    try {
      io.reap(inner);
    } catch (error) {
      assertEquals((error as Error).message, "on purpose");
    }
    await turns(1);
  }
  assertEquals(new Set(events.keys()), waiting);
  for (const list of events.values()) assertEquals(list.map(([event]) => event), ["accepted", "released"]);
});

eachEngine("reapable waits until there is something to reap", async (io) => {
  const udp = await io.bindUdp({ hostname });
  const seen: SendEvent[] = [];
  const reap = () => io.reap((_id, event) => seen.push(event));
  const first = io.reapable();
  await turns(3);
  udp.trySend(io.tryLease(11_000)!, { to: udp.localAddr });
  io.flush();
  await first;
  while (seen.at(-1) !== "released") {
    if (reap() === 0) await io.reapable();
  }
  assertEquals(seen, ["accepted", "released"]);

  udp.trySend(io.tryLease(11_000)!, { to: udp.localAddr });
  io.flush();
  await io.reapable();
  await io.reapable(); // nothing was reaped meanwhile, so it does not wait
  while (seen.length < 4) if (reap() === 0) await io.reapable();
});

eachEngine("reapable, while others wait: all of them are told", async (io) => {
  const { conn, peer } = await tightPair(io);
  const waiting = [io.reapable(), io.reapable(), io.reapable({ signal: AbortSignal.timeout(60_000) })];
  const id = conn.trySend(io.tryLease(600_000)!);
  io.flush();
  const reading = receive(io, peer, 600_000);
  await Promise.all(waiting);
  const events: Events = new Map();
  await reapUntil(io, events, () => ended(events) === 1);
  assertEquals([...events.keys()], [id]);
  await reading;
});

eachEngine("no wake-up is lost: a stream that only waits for reapable, or for leases, comes to its end", async (io) => {
  const reader = spawn(process.execPath, ["run", "-A", "--no-check", fileURLToPath(COUNTING)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const lines = createInterface({ input: reader.stdout })[Symbol.asyncIterator]();
  const conn = await io.connect({ hostname, port: Number((await lines.next()).value), noDelay: true });
  const [sends, bytes] = [Math.ceil(3000 / SLOWNESS), 60_000];
  const lent = new Set<number>();
  const reap = () => io.reap((id, event) => event === "released" && lent.delete(id));
  for (let i = 0; i < sends; i++) {
    lent.add(conn.trySend(io.tryLease(bytes)!));
    io.flush();
    while (reap(), lent.size > 1) await io.reapable();
  }
  // The arena has room for fewer: each waits until the kernel has let go of one before.
  for (let i = 0; i < sends; i++) {
    const lease = await io.lease(bytes);
    while (conn.trySend(lease) < 0) reap();
    io.flush();
  }
  await conn.close();
  assertEquals(Number((await lines.next()).value), 2 * sends * bytes);
}, { arenaBytes: 1 << 20 });

eachEngine("reapable is given up by a signal", async (io) => {
  const reason = new Error("enough");
  await rejectsWith(reason, io.reapable({ signal: AbortSignal.abort(reason) }));
  const giveUp = new AbortController();
  const waiting = io.reapable({ signal: giveUp.signal });
  giveUp.abort(reason);
  await rejectsWith(reason, waiting);
  await fails("ERR_INVALID_ARG", () => io.reapable({ timeout: 1 } as unknown as object));
  await fails("ERR_INVALID_ARG", () => io.reapable({ signal: 1 } as unknown as object));
});

eachEngine("reapable, when the io closes: first what became of the sends, then the end", async (io) => {
  const { conn } = await tightPair(io);
  const ids = [conn.trySend(io.tryLease(1 << 20)!), conn.trySend(io.tryLease(1 << 20)!)];
  io.flush();
  await untilStalled(io, conn);
  const ends = new Map<number, SendEvent>();
  const told = (async () => {
    for (;;) {
      await io.reapable();
      io.reap((id, event) => ends.set(id, event));
    }
  })();
  await Promise.all([fails("ERR_CLOSED", () => told), io.close({ deadlineMs: 50 })]);
  io.reap((id, event) => ends.set(id, event));
  assertEquals([...ends.keys()].sort(), ids.sort());
  for (const end of ends.values()) assert(end === "released" || end === "refused", end);
  await fails("ERR_CLOSED", () => io.reapable());
});
