/**
 * The bytes of a stream keep their order, whatever they are sent from and however slowly they are read.
 */
import { assertEquals } from "@std/assert";
import { setTimeout as sleep } from "node:timers/promises";
import { type Io, type Receipt, RingletError, type TcpConn } from "../../mod.ts";
import { fillPattern, mismatch } from "../support/bytes.ts";
import { eachEngine } from "../support/engines.ts";
import { connectedPair, tightPair } from "../support/pairs.ts";
import { turns } from "../support/turns.ts";

/** Sizes around every edge there is: one byte, the threshold, a page, a chunk, more than the buffers. */
const SIZES = [1, 10_239, 10_240, 64, 4096, 100_000, 3, 65_536, 262_144, 262_145, 500, 1_000_000, 7];

/** Reads in odd pieces, with pauses; answers where the bytes went wrong, or their number. */
async function readSlowly(io: Io, peer: TcpConn): Promise<{ total: number; wrongAt: number }> {
  using lease = await io.lease(37_777);
  let total = 0;
  for (let reads = 0;; reads++) {
    if (reads % 16 === 0) await sleep(2);
    const n = await peer.recv(lease);
    if (n === null) return { total, wrongAt: -1 };
    const wrongAt = mismatch(lease.bytes.subarray(0, n), total);
    if (wrongAt >= 0) return { total, wrongAt };
    total += n;
  }
}

eachEngine("many concurrent sends of mixed sizes and kinds arrive in the order of the calls", async (io) => {
  const { conn, peer } = await tightPair(io);
  const reading = readSlowly(io, peer);
  const sends: Promise<Receipt>[] = [];
  let at = 0;
  for (let round = 0; round < 60; round++) {
    const bytes = SIZES[round % SIZES.length];
    if (round % 3 === 0) {
      sends.push(conn.send(fillPattern(new Uint8Array(bytes), at)));
    } else if (round % 3 === 1) {
      const lease = await io.lease(bytes);
      fillPattern(lease.bytes, at);
      sends.push(conn.send(lease));
    } else {
      const lease = await io.lease(bytes);
      fillPattern(lease.bytes, at + 5);
      sends.push(conn.send([fillPattern(new Uint8Array(5), at), lease]));
      at += 5;
    }
    at += bytes;
  }
  const receipts = await Promise.all(sends);
  assertEquals(receipts.reduce((sum, { bytes }) => sum + bytes, 0), at);
  await conn.closeWrite();
  assertEquals(await reading, { total: at, wrongAt: -1 });
  await Promise.all(receipts.map(({ released }) => released));
  assertEquals(conn.stats().bytesAccepted, at);
}, { arenaBytes: 8 << 20 });

eachEngine("accepted and released come in the order of the calls, too", async (io) => {
  const { conn, peer } = await tightPair(io);
  const reading = readSlowly(io, peer);
  const accepted: number[] = [];
  const released: number[] = [];
  let at = 0;
  await Promise.all(Array.from({ length: 24 }, async (_, i) => {
    const lease = io.tryLease(50_000 + i)!;
    fillPattern(lease.bytes, at);
    at += lease.byteLength;
    const receipt = await conn.send(lease);
    accepted.push(i);
    await receipt.released;
    released.push(i);
  }));
  await conn.closeWrite();
  assertEquals(await reading, { total: at, wrongAt: -1 });
  const inOrder = Array.from({ length: 24 }, (_, i) => i);
  assertEquals([accepted, released], [inOrder, inOrder]);
});

eachEngine("bytes between small leases in an arena smaller than the message", async (io) => {
  const { conn, peer } = await tightPair(io);
  const reading = readSlowly(io, peer);
  const message = fillPattern(new Uint8Array(3_000_000));
  const receipt = await conn.send(message);
  assertEquals(receipt.bytes, message.length);
  await conn.closeWrite();
  assertEquals(await reading, { total: message.length, wrongAt: -1 });
  await receipt.released;
}, { arenaBytes: 1 << 20 });

eachEngine("with few send records sends wait for one, in order", async (io) => {
  const { conn, peer } = await tightPair(io);
  const reading = readSlowly(io, peer);
  const sends = Array.from({ length: 100 }, (_, i) => {
    const lease = io.tryLease(5_000)!;
    fillPattern(lease.bytes, i * 5_000);
    return conn.send(lease);
  });
  for (const receipt of await Promise.all(sends)) await receipt.released;
  await conn.closeWrite();
  assertEquals(await reading, { total: 500_000, wrongAt: -1 });
}, { maxSends: 2 });

eachEngine("a queued send that is given up leaves no hole in the others", async (io) => {
  const { conn, peer } = await tightPair(io);
  const abort = new AbortController();
  let at = 0;
  const next = async (bytes: number, signal?: AbortSignal) => {
    const lease = await io.lease(bytes);
    fillPattern(lease.bytes, at);
    return { lease, sent: conn.send(lease, { signal }) };
  };
  const first = await next(1_000_000);
  at += 1_000_000;
  const second = await next(100_000, abort.signal);
  const third = await next(100_000);
  at += 100_000;
  abort.abort(new RingletError("ERR_TEST", "given up"));
  const reason = await second.sent.then(() => undefined, (error) => error);
  assertEquals(reason?.code, "ERR_TEST", "rejected with the signal's reason");
  assertEquals(second.lease.state, "leased", "refused whole: the lease is the program's again");
  second.lease.release();
  const reading = readSlowly(io, peer);
  for (const { sent } of [first, third]) await (await sent).released;
  await conn.closeWrite();
  assertEquals(await reading, { total: at, wrongAt: -1 });
});

eachEngine("with few send records nothing overtakes bytes that take several", async (io) => {
  const [{ conn, peer }, stalled] = [await connectedPair(io, { maxInFlightBytes: 20_000 }), await tightPair(io)];
  const lease = io.tryLease(1000)!;
  fillPattern(lease.bytes, 30_000);
  const sends = [conn.send(fillPattern(new Uint8Array(30_000))), conn.send(lease)];
  // Others take the records that the rest of the bytes needs.
  const others = Array.from({ length: 4 }, () => stalled.conn.send(io.tryLease(900_000)!).catch(() => {}));
  const reading = readSlowly(io, peer);
  await turns();
  await stalled.conn.abort();
  await Promise.all(others);
  for (const receipt of await Promise.all(sends)) await receipt.released;
  await conn.closeWrite();
  assertEquals(await reading, { total: 31_000, wrongAt: -1 });
}, { maxSends: 3, arenaBytes: 8 << 20 });

eachEngine("sends that wait for their turn keep no record from the one before them", async (io) => {
  const { conn, peer } = await connectedPair(io);
  const reading = readSlowly(io, peer);
  const leases = [io.tryLease(1000)!, io.tryLease(1000)!];
  leases.forEach((lease, i) => fillPattern(lease.bytes, 70_000 + i * 1000));
  const rest = io.tryLease(io.stats().arena.largestFreeBytes)!;
  // The bytes wait for room, and the leases behind them.
  const sends = [conn.send(fillPattern(new Uint8Array(70_000))), ...leases.map((lease) => conn.send(lease))];
  await turns();
  rest.release();
  for (const receipt of await Promise.all(sends)) await receipt.released;
  await conn.closeWrite();
  assertEquals(await reading, { total: 72_000, wrongAt: -1 });
}, { maxSends: 2 });
