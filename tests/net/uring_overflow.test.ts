/**
 * A ring with room for 8 entries and 32 completions, and far more to do than fits: the kernel keeps the rest, and nothing of it is
 * lost. A batch that fits goes with one entry into the kernel.
 */
import { assert, assertEquals } from "@std/assert";
import type { Datagram, Io, Lease, Receipt, UdpSocket } from "../../mod.ts";
import { fillPattern, mismatch, receive } from "../support/bytes.ts";
import { assertLedger } from "../support/ledger.ts";
import { connectedPair, tightPair } from "../support/pairs.ts";
import { countEntering, hasOverflowed, lacksGathering, NO_RING, withRing } from "../support/ring.ts";
import { testIf } from "../support/skip.ts";
import { turns } from "../support/turns.ts";

const SMALL = { entries: 8 };
const DATAGRAM_BYTES = 1000;

/** Two UDP sockets; the second one can keep what comes before anybody reads. */
async function udpPair(io: Io): Promise<[UdpSocket, UdpSocket]> {
  const from = await io.bindUdp({ hostname: "127.0.0.1" });
  return [from, await io.bindUdp({ hostname: "127.0.0.1", receiveBufferBytes: 4 << 20, remote: from.localAddr })];
}

function numbered(io: Io, i: number): Lease {
  const lease = io.tryLease(DATAGRAM_BYTES)!;
  fillPattern(lease.bytes, i * DATAGRAM_BYTES);
  return lease;
}

/** Receives `count` datagrams made by {@linkcode numbered}, which come in order on loopback. */
async function receiveNumbered(io: Io, udp: UdpSocket, count: number): Promise<void> {
  using lease = await io.lease(2 * DATAGRAM_BYTES);
  for (let i = 0; i < count; i++) {
    const { bytes }: Datagram = await udp.recv(lease);
    assertEquals([bytes, mismatch(lease.bytes.subarray(0, bytes), i * DATAGRAM_BYTES)], [DATAGRAM_BYTES, -1]);
  }
}

/** Sends `count` datagrams in one flush and reaps what became of them. */
function sendBatch(io: Io, from: UdpSocket, to: UdpSocket, count: number): Record<string, number> {
  for (let i = 0; i < count; i++) assert(from.trySend(numbered(io, i), { to: to.localAddr }) >= 0);
  io.flush();
  const events = { accepted: 0, released: 0, failed: 0, refused: 0 };
  while (events.released + events.refused < count) {
    io.reap((_, event) => events[event] += 1);
    assertLedger(io);
  }
  return events;
}

testIf(NO_RING, "five hundred datagrams at once through a ring of eight", async () => {
  await withRing(SMALL, {}, async (io) => {
    const [from, to] = await udpPair(io);
    let overflows = 0;
    using _entering = countEntering(() => overflows += Number(hasOverflowed(from)));
    const events = sendBatch(io, from, to, 500);
    assertEquals(events, { accepted: 500, released: 500, failed: 0, refused: 0 });
    assert(overflows > 0, "the completions fitted: nothing was tested");
    await receiveNumbered(io, to, 500);
  });
});

testIf(
  NO_RING,
  "five thousand datagrams whose completions nobody takes before the last one is handed over",
  async () => {
    await withRing(SMALL, {}, async (io) => {
      const from = await io.bindUdp({ hostname: "127.0.0.1", maxInFlightBytes: 16 << 20 });
      const receivers: UdpSocket[] = [];
      for (let i = 0; i < 5; i++) {
        receivers.push(await io.bindUdp({ hostname: "127.0.0.1", receiveBufferBytes: 4 << 20 }));
      }
      for (const to of receivers) {
        for (let i = 0; i < 1000; i++) assert(from.trySend(numbered(io, i), { to: to.localAddr }) >= 0);
      }
      let overflows = 0;
      using entering = countEntering(() => overflows += Number(hasOverflowed(from)));
      io.flush();
      const handedOver = entering.calls.reduce((sum, entries) => sum + entries);
      assertEquals(handedOver, 5000);
      const events = { accepted: 0, released: 0, failed: 0, refused: 0 };
      for (let reaps = 0; events.released + events.refused < 5000; reaps++) {
        assert(reaps < 100_000, `lost: ${JSON.stringify(events)}`);
        io.reap((_, event) => events[event] += 1);
        assertLedger(io);
      }
      assertEquals(events, { accepted: 5000, released: 5000, failed: 0, refused: 0 });
      assert(overflows > 100, `the kernel kept completions only ${overflows} times`);
      for (const to of receivers) await receiveNumbered(io, to, 1000);
    });
  },
);

testIf(NO_RING, "a hundred connections through a ring of eight", async () => {
  await withRing(SMALL, { arenaBytes: 32 << 20 }, async (io) => {
    const pairs = await Promise.all(Array.from({ length: 100 }, () => connectedPair(io)));
    let overflows = 0;
    using _entering = countEntering(() => overflows += Number(hasOverflowed(pairs[0].conn)));
    // Everybody waits for data first, so that a receive and sends of every connection complete together.
    const receiving = pairs.map(({ peer }) => receive(io, peer));
    await turns(2);
    const sends: Promise<Receipt>[] = [];
    for (let i = 0; i < 20; i++) {
      for (const { conn } of pairs) {
        const lease = io.tryLease(5000)!;
        fillPattern(lease.bytes, i * 5000);
        sends.push(conn.send(lease.split(1250)));
      }
    }
    const receipts = await Promise.all(sends);
    assertLedger(io);
    await Promise.all(pairs.map(({ conn }) => conn.closeWrite()));
    for (const bytes of await Promise.all(receiving)) assertEquals([bytes.length, mismatch(bytes)], [100_000, -1]);
    for (const { released } of receipts) await released;
    assert(overflows > 0, "the completions fitted: nothing was tested");
  });
});

testIf(NO_RING, "chains longer than the ring, and sends given up in it", async () => {
  await withRing({ ...SMALL, gathersRegistered: false }, {}, async (io) => {
    const { conn, peer } = await tightPair(io, { maxInFlightBytes: 16 << 20 });
    const abort = new AbortController();
    const leases = Array.from({ length: 30 }, (_, i) => {
      const lease = io.tryLease(160_000)!;
      fillPattern(lease.bytes, i * 160_000);
      return lease.split(10_000);
    });
    const kept = leases.slice(0, 20).map((parts) => conn.send(parts));
    const givenUp = leases.slice(20).map((parts) => conn.send(parts, { signal: abort.signal }).catch((error) => error));
    await turns();
    const reason = new Error("given up");
    abort.abort(reason);
    for (const error of await Promise.all(givenUp)) assert(error === reason, `${error}`);
    for (const part of leases.slice(20).flat()) part.release();
    const receiving = receive(io, peer);
    for (const receipt of await Promise.all(kept)) await receipt.released;
    await conn.closeWrite();
    const bytes = await receiving;
    assertEquals([bytes.length, mismatch(bytes)], [20 * 160_000, -1]);
  });
});

testIf(NO_RING, "a flush of a hundred datagrams enters the kernel once", async () => {
  await withRing({}, {}, async (io) => {
    const [from, to] = await udpPair(io);
    await turns(); // what the sockets' making left is over, and the bell is armed
    using entering = countEntering();
    for (let i = 0; i < 100; i++) from.trySend(numbered(io, i), { to: to.localAddr });
    assertEquals(entering.calls, []);
    assertEquals(io.flush(), 1);
    assertEquals(entering.calls, [100]);
    let released = 0;
    while (released < 100) io.reap((_, event) => released += Number(event === "released"));
    assertEquals(entering.calls.filter((entries) => entries > 0), [100]);
    await receiveNumbered(io, to, 100);
  });
});

testIf(
  await lacksGathering(),
  "promised sends of one task enter the kernel together, those of many sockets too",
  async () => {
    await withRing({}, {}, async (io) => {
      const pairs = await Promise.all(Array.from({ length: 10 }, () => connectedPair(io)));
      await turns();
      using entering = countEntering();
      const sends = pairs.flatMap(({ conn }) => [conn.send(io.tryLease(500)!), conn.send(io.tryLease(500)!)]);
      await Promise.all(sends);
      // Both sends of a connection are one entry.
      assertEquals(entering.calls.filter((entries) => entries > 0)[0], 10);
    });
  },
);
