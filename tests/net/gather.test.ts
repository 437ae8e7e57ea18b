/**
 * Queued sends of a stream that go out together: more parts than one message takes, sizes that no limit divides, and a kernel that
 * takes as much as it likes.
 */
import { assertEquals } from "@std/assert";
import type { Lease } from "../../mod.ts";
import { fillPattern, mismatch, receive } from "../support/bytes.ts";
import { eachEngine } from "../support/engines.ts";
import { connectedPair, tightPair } from "../support/pairs.ts";

const SENDS = 1500;

const CASES = {
  "copies through small buffers": { options: { zeroCopy: "never" }, pair: tightPair },
  "copies between zero-copy sends": {
    options: { zeroCopy: "always", zeroCopyThresholdBytes: 1000 },
    pair: connectedPair,
  },
} as const;

for (const [name, { options, pair }] of Object.entries(CASES)) {
  eachEngine(`queued sends arrive whole and in order: ${name}`, async (io) => {
    const { conn, peer } = await pair(io);
    const sizes = Array.from({ length: SENDS }, (_, i) => 1 + (i * 7919) % 1500);
    const total = sizes.reduce((sum, size) => sum + size, 0);
    const content = fillPattern(new Uint8Array(total));
    let at = 0;
    const leases: Lease[][] = sizes.map((size, i) => {
      const bytes = content.subarray(at, at += size);
      const lease = io.tryLease(size)!;
      lease.bytes.set(bytes);
      // Every third send has several parts.
      return i % 3 === 0 && size > 3 ? lease.split(Math.ceil(size / 3)) : [lease];
    });
    const receiving = receive(io, peer);
    const receipts = await Promise.all(leases.map((parts) => conn.send(parts)));
    await conn.closeWrite();
    const received = await receiving;
    assertEquals([received.length, mismatch(received)], [total, -1]);
    assertEquals(receipts.map(({ bytes }) => bytes), sizes);
    await Promise.all(receipts.map(({ released }) => released));
  }, options);
}
