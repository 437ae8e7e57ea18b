/**
 * Chains that do not come to their end: links that fail, links that are cancelled. What a send says it had accepted is what the
 * receiver gets, and what the kernel says too late changes nothing but a counter.
 */
import { assert, assertEquals } from "@std/assert";
import { concat } from "@std/bytes";
import type { Uring } from "../../ffi/liburing.ts";
import { openSystem } from "../../ffi/system.ts";
import { type Io, type Receipt, type Release, RingletError, type TcpConn } from "../../mod.ts";
import { fillPattern, receive } from "../support/bytes.ts";
import { assertLedger } from "../support/ledger.ts";
import { type Pair, tightPair } from "../support/pairs.ts";
import { GATHERINGS, lateCompletions, NO_RING, readPast, withRing } from "../support/ring.ts";
import { testIf } from "../support/skip.ts";
import { settled, turns, until } from "../support/turns.ts";

const GIVEN_UP = new Error("given up");
const LEASES = 3;
const LEASE_BYTES = 100_000;

/** What became of a send. */
interface Fate {
  /** Bytes that the kernel took of it. */
  accepted: number;
  /** The code of its error; `undefined` when it was sent whole. */
  code: string | undefined;
  released: Promise<Release> | undefined;
}

/** Sends in flight on one connection, and what each of them carries. */
class Sends {
  readonly contents: Uint8Array[] = [];
  readonly fates: Promise<Fate>[] = [];
  readonly #aborts: AbortController[] = [];

  constructor(readonly io: Io, readonly conn: TcpConn) {}

  add(leases = LEASES, leaseBytes = LEASE_BYTES): void {
    const lease = this.io.tryLease(leases * leaseBytes)!;
    this.contents.push(fillPattern(lease.bytes, this.contents.length << 22).slice());
    const abort = new AbortController();
    this.#aborts.push(abort);
    const parts = lease.split(leaseBytes);
    const sent = this.conn.send(parts, { signal: abort.signal });
    this.fates.push(
      fateOf(sent, leases * leaseBytes).then((fate) => {
        // Nothing accepted: they are the program's again.
        if (fate.accepted === 0) { for (const part of parts) part.release(); }
        return fate;
      }),
    );
  }

  abort(i: number): void {
    this.#aborts[i].abort(GIVEN_UP);
  }

  /** What the receiver must have got, if every send is right about its fate. */
  async expected(): Promise<Uint8Array> {
    const fates = await Promise.all(this.fates);
    return concat(this.contents.map((bytes, i) => bytes.subarray(0, fates[i].accepted)));
  }
}

async function fateOf(sent: Promise<Receipt>, bytes: number): Promise<Fate> {
  try {
    const { bytes: accepted, released } = await sent;
    assertEquals(accepted, bytes);
    return { accepted, code: undefined, released };
  } catch (error) {
    if (error === GIVEN_UP) return { accepted: 0, code: "given up", released: undefined };
    if (!(error instanceof RingletError)) throw error;
    return { accepted: error.bytesAccepted ?? 0, code: error.code, released: error.released as Promise<Release> };
  }
}

/** Not `assertEquals`, which would print megabytes. */
function assertSame(actual: Uint8Array, expected: Uint8Array): void {
  assertEquals(actual.length, expected.length);
  const wrong = actual.findIndex((byte, i) => byte !== expected[i]);
  assertEquals(wrong, -1, `byte ${wrong} is wrong`);
}

/** Runs `body` with a connection whose peer stalls it soon. */
function withStalled(gathering: string, body: (io: Io, pair: Pair) => Promise<void>): Promise<void> {
  return withRing(GATHERINGS[gathering], { arenaBytes: 16 << 20 }, async (io) => {
    await body(io, await tightPair(io, { maxInFlightBytes: 16 << 20 }));
  });
}

for (const gathering of Object.keys(GATHERINGS)) {
  for (const [which, i] of Object.entries({ first: 0, middle: 2, last: 4 })) {
    testIf(NO_RING, `the ${which} of five sends in flight is given up: ${gathering}`, async () => {
      await withStalled(gathering, async (io, { conn, peer }) => {
        const sends = new Sends(io, conn);
        for (let i = 0; i < 5; i++) sends.add();
        await turns();
        sends.abort(i);
        // Nobody reads: the abort alone brings it to its end.
        const { accepted, code } = await sends.fates[i];
        assertEquals(code, accepted === 0 ? "given up" : "ECANCELED");
        assert(accepted < LEASES * LEASE_BYTES);
        assertLedger(io);
        const receiving = receive(io, peer);
        await Promise.all(sends.fates);
        await conn.closeWrite();
        assertSame(await receiving, await sends.expected());
        assertEquals((await Promise.all(sends.fates)).filter(({ code }) => code === undefined).length, 4);
        for (const fate of sends.fates) await (await fate).released;
        assertEquals(io.stats().inFlight, 0);
      });
    });
  }

  testIf(NO_RING, `aborts while the peer reads leave no hole and no byte too many: ${gathering}`, async () => {
    await withStalled(gathering, async (io, { conn, peer }) => {
      const receiving = receive(io, peer);
      const sends = new Sends(io, conn);
      for (let i = 0; i < 60; i++) {
        await until(() => io.stats().arena.freeBytes > 4 << 20);
        sends.add(1 + i % 5, 1 + i * 977 % 60_000);
        if (i % 2 === 0) sends.abort(Math.max(0, i - i % 7));
        if (i % 3 === 0) await turns(1);
        assertLedger(io);
      }
      await Promise.all(sends.fates);
      await conn.closeWrite();
      assertSame(await receiving, await sends.expected());
    });
  });

  testIf(NO_RING, `an abort finds the link whose turn it is: ${gathering}`, async () => {
    await withStalled(gathering, async (io, { conn, peer }) => {
      const sends = new Sends(io, conn);
      sends.add(2, 150_000);
      sends.add(1, 5_000_000); // more than an entry for several sends takes
      sends.add(1, 300_000);
      await turns();
      sends.abort(2);
      // Before the kernel hears of the abort, the link that it was to stop is over.
      const early = readPast(peer, 900_000);
      assertEquals(early.length, 900_000);
      assert(await settled(sends.fates[2]), "the abort was lost");
      const receiving = receive(io, peer);
      await Promise.all(sends.fates);
      await conn.closeWrite();
      assertSame(concat([early, await receiving]), await sends.expected());
      assertEquals((await sends.fates[2]).accepted, 0);
    });
  });

  testIf(NO_RING, `an abort finds what has come back to the queue: ${gathering}`, async () => {
    await withStalled(gathering, async (io, { conn, peer }) => {
      const sends = new Sends(io, conn);
      sends.add(1, 3_000_000);
      await turns();
      // The kernel is done with a part, which nobody has looked at yet; the rest waits in the queue when the abort comes.
      const early = readPast(peer, 100_000);
      sends.abort(0);
      assert(await settled(sends.fates[0]), "the abort was lost");
      const receiving = receive(io, peer);
      await conn.closeWrite();
      assertSame(concat([early, await receiving]), await sends.expected());
    });
  });

  testIf(NO_RING, `a peer that resets in the middle of a chain: ${gathering}`, async () => {
    await withStalled(gathering, async (io, { conn, peer }) => {
      const sends = new Sends(io, conn);
      for (let i = 0; i < 6; i++) sends.add(5);
      const read = await receive(io, peer, 700_000);
      await peer.abort();
      const fates = await Promise.all(sends.fates);
      const failed = fates.map(({ code }) => code).filter((code) => code !== undefined);
      assert(failed.length > 0);
      assertEquals(failed.filter((code) => code !== "ECONNRESET" && code !== "EPIPE"), []);
      const accepted = fates.reduce((sum, { accepted }) => sum + accepted, 0);
      assert(read.length <= accepted && accepted < 6 * 5 * LEASE_BYTES, `${accepted} bytes accepted`);
      assertEquals(conn.stats().bytesAccepted, accepted);
      for (const { released } of fates) await released;
      assertLedger(io);
      assertEquals([io.stats().inFlight, conn.stats().queued], [0, 0]);
      assertSame(read, (await sends.expected()).subarray(0, read.length));
      // All of it is the program's or free again.
      const again = new Sends(io, conn);
      again.add(5);
      const [{ accepted: none, code }] = await Promise.all(again.fates);
      assertEquals(none, 0);
      assert(code === "ECONNRESET" || code === "EPIPE", code);
    });
  });
}

testIf(
  NO_RING,
  "the late notification of a cancelled link finds its record in other hands, and changes nothing",
  async () => {
    await withRing({ gathersRegistered: false }, { arenaBytes: 4 << 20, maxSends: 8 }, async (io) => {
      const { conn, peer } = await tightPair(io, { maxInFlightBytes: 4 << 20 });
      const late = lateCompletions(conn);
      for (let round = 0; round < 20; round++) {
        // With few records and a small arena, the next round has the same ones.
        const sends = new Sends(io, conn);
        for (let i = 0; i < 5; i++) sends.add(16, 10_000);
        await turns(1);
        for (let i = 0; i < 5; i++) sends.abort(i);
        const more = new Sends(io, conn);
        more.add(16, 10_000);
        const fates = Promise.all([...sends.fates, ...more.fates]);
        let early: Uint8Array = new Uint8Array(0);
        while (!await settled(fates)) early = concat([early, readPast(peer, 65_536)]);
        const expected = concat([await sends.expected(), await more.expected()]);
        assertSame(concat([early, readPast(peer, expected.length - early.length)]), expected);
        assertLedger(io);
      }
      assert(lateCompletions(conn) > late, "no notification came late: nothing was tested");
      const { idsUnknown, idsDuplicate, staleHandles } = io.stats();
      assertEquals({ idsUnknown, idsDuplicate, staleHandles }, { idsUnknown: 0, idsDuplicate: 0, staleHandles: 0 });
    });
  },
);

testIf(NO_RING, "a chain that the kernel takes only in part does not go on beside itself", async () => {
  await withStalled("a linked entry for each lease, as before Linux 6.15", async (io, { conn, peer }) => {
    const uring = openSystem().uring() as { enter: Uring["enter"] };
    const { enter } = uring;
    let cut = 0;
    // As a kernel does that has no memory for more requests.
    uring.enter = (fd, count, ...rest) => {
      const most = 1 + cut % 7;
      if (count > most) cut += 1;
      return enter(fd, Math.min(count, most), ...rest);
    };
    try {
      const receiving = receive(io, peer);
      const sends = new Sends(io, conn);
      for (let i = 0; i < 20; i++) {
        sends.add(5);
        await turns(1);
      }
      await Promise.all(sends.fates);
      await conn.closeWrite();
      assertSame(await receiving, await sends.expected());
    } finally {
      uring.enter = enter;
    }
    assert(cut > 1, `only ${cut} submissions were cut`);
  });
});
