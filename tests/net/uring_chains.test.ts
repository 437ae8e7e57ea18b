/**
 * Sends on one stream as chains of linked entries: order and every byte, in each way in which a kernel takes them.
 */
import { assert, assertEquals } from "@std/assert";
import { setTimeout as sleep } from "node:timers/promises";
import type { Io, Receipt, TcpConn } from "../../mod.ts";
import { fillPattern, mismatch } from "../support/bytes.ts";
import { assertLedger } from "../support/ledger.ts";
import { connectedPair, tightPair } from "../support/pairs.ts";
import { countEntering, GATHERINGS, NO_RING, withRing } from "../support/ring.ts";
import { testIf } from "../support/skip.ts";

const MEGABYTE = 1 << 20;
/** One byte, around the threshold, around a page, more than the buffers, megabytes. */
const SIZES = [1, 9_999, 10_000, 4096, 3 * MEGABYTE, 7, 100_000, 65_537, 2, 250_000, 1_000_003];

/** Reads in odd pieces, with pauses; answers where the bytes went wrong, or their number. */
async function readSlowly(io: Io, peer: TcpConn): Promise<{ total: number; wrongAt: number }> {
  using lease = await io.lease(77_777);
  let total = 0;
  for (let reads = 0;; reads++) {
    if (reads % 32 === 0) await sleep(1);
    const n = await peer.recv(lease);
    if (n === null) return { total, wrongAt: -1 };
    const wrongAt = mismatch(lease.bytes.subarray(0, n), total);
    if (wrongAt >= 0) return { total, wrongAt };
    total += n;
  }
}

for (const [name, limits] of Object.entries(GATHERINGS)) {
  testIf(NO_RING, `mixed sends of many leases arrive whole and in order: ${name}`, async () => {
    // Below the threshold sends are copied: their entries stand between the others.
    await withRing(limits, { arenaBytes: 32 << 20, zeroCopyThresholdBytes: 10_000 }, async (io) => {
      const { conn, peer } = await tightPair(io, { maxInFlightBytes: 16 << 20 });
      const reading = readSlowly(io, peer);
      const sends: Promise<Receipt>[] = [];
      const sizes: number[] = [];
      let at = 0;
      for (let i = 0; i < 66; i++) {
        const bytes = SIZES[i * 7 % SIZES.length];
        const lease = await io.lease(bytes);
        fillPattern(lease.bytes, at);
        // One lease, a few, or as many as a send takes.
        const parts = [1, 3, 16][i % 3];
        sends.push(bytes < 16 ? conn.send(lease) : conn.send(lease.split(Math.ceil(bytes / parts))));
        sizes.push(bytes);
        at += bytes;
        if (i % 8 === 0) assertLedger(io);
      }
      const receipts = await Promise.all(sends);
      assertEquals(receipts.map(({ bytes }) => bytes), sizes);
      await conn.closeWrite();
      assertEquals(await reading, { total: at, wrongAt: -1 });
      await Promise.all(receipts.map(({ released }) => released));
      const { bytesAccepted, bytesZeroCopy } = conn.stats();
      assertEquals(bytesAccepted, at);
      assertEquals(bytesZeroCopy, sizes.filter((bytes) => bytes >= 10_000).reduce((sum, bytes) => sum + bytes));
    });
  });

  testIf(NO_RING, `one send larger than any entry: ${name}`, async () => {
    const bytes = 35 * MEGABYTE + 1;
    await withRing(limits, { arenaBytes: 40 << 20 }, async (io) => {
      const { conn, peer } = await connectedPair(io);
      const reading = readSlowly(io, peer);
      const lease = await io.lease(bytes);
      fillPattern(lease.bytes);
      // A part of 33 MiB, and one that begins in the middle of a page.
      const receipt = await conn.send(lease.split(33 * MEGABYTE + 100));
      assertEquals(receipt.bytes, bytes);
      await conn.closeWrite();
      assertEquals(await reading, { total: bytes, wrongAt: -1 });
      await receipt.released;
    });
  });
}

testIf(NO_RING, "without gathering every lease has a linked entry of its own, up to 64 in a chain", async () => {
  await withRing({ gathersRegistered: false }, {}, async (io) => {
    assertEquals(io.capabilities.gathersRegistered, false);
    const { conn, peer } = await connectedPair(io, {}, { receiveBufferBytes: 4 << 20 });
    const sends: Promise<Receipt>[] = [];
    for (let i = 0; i < 10; i++) {
      const lease = io.tryLease(16_000)!;
      fillPattern(lease.bytes, i * 16_000);
      sends.push(conn.send(lease.split(1000)));
    }
    using entering = countEntering();
    io.flush();
    // Four sends of sixteen leases make the first chain; the next one begins when it is over.
    assertEquals(entering.calls[0], 64);
    await Promise.all(sends);
    assertEquals(Math.max(...entering.calls), 64);
    const handedOver = entering.calls.reduce((sum, entries) => sum + entries);
    assert(handedOver >= 160, `${handedOver} entries for 160 leases`);
    const reading = readSlowly(io, peer);
    await conn.closeWrite();
    assertEquals(await reading, { total: 160_000, wrongAt: -1 });
  });
});
