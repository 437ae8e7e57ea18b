/**
 * Closing drains thousands of sends, while the program writes anew to all memory that it is told it may: had the kernel needed it
 * still, the reader would see that.
 */
import { assert, assertEquals } from "@std/assert";
import { type Io, type Lease, open, type TcpConn } from "../../mod.ts";
import { fillPattern, mismatch, receiveThrough } from "../support/bytes.ts";
import { eachEngine } from "../support/engines.ts";
import { assertAllReturned } from "../support/ledger.ts";
import { untilStalled } from "../support/pairs.ts";

const CONNECTIONS = 4;
const SENDS = 1000;
const LEASE_BYTES = 2000;
const STREAM_BYTES = SENDS * LEASE_BYTES;
/** A close that needed its deadline would hang. */
const NEVER = { deadlineMs: 2 ** 31 - 1 };

const WAYS: Record<string, (io: Io, conns: TcpConn[]) => Promise<unknown>> = {
  "close": (_, conns) => Promise.all(conns.map((conn) => conn.close(NEVER))),
  "io.close": (io) => io.close(NEVER),
};

for (const [way, close] of Object.entries(WAYS)) {
  eachEngine(`memory that comes back while ${way} drains thousands of sends may be written to`, async (io) => {
    await using other = await open({ engine: "copy", arenaBytes: 1 << 20 }); // which the close leaves alone
    const listener = await other.listen({ hostname: "127.0.0.1", port: 0, receiveBufferBytes: 65_536 });
    const to = listener.localAddr as { hostname: string; port: number };
    const conns: TcpConn[] = [];
    const peers: TcpConn[] = [];
    for (let i = 0; i < CONNECTIONS; i++) {
      const connecting = io.connect({ ...to, sendBufferBytes: 262_144, maxInFlightBytes: 4 << 20 });
      peers.push(await listener.accept());
      conns.push(await connecting);
    }
    const ends: Promise<void>[] = [];
    const batch = new Map<number, Lease>();
    for (const conn of conns) {
      for (let i = 0; i < SENDS; i++) {
        const lease = io.tryLease(LEASE_BYTES)!.retain();
        fillPattern(lease.bytes, i * LEASE_BYTES);
        if (i % 2 === 0) ends.push(conn.send(lease).then(({ released }) => released).then(() => giveBack(lease)));
        else batch.set(conn.trySend(lease), lease);
      }
    }
    assertEquals(batch.size, CONNECTIONS * SENDS / 2);
    io.flush();
    for (const conn of conns) await untilStalled(io, conn);
    const { inFlight } = io.stats();
    assert(inFlight > CONNECTIONS * SENDS / 2, `only ${inFlight} in flight`);

    let closed = false;
    const closing = close(io, conns).finally(() => closed = true);
    const reap = () =>
      io.reap((id, event) => {
        assert(event === "accepted" || event === "released", event);
        if (event === "accepted") return;
        giveBack(batch.get(id)!);
        batch.delete(id); // told twice, it would not be found
      });
    const reaping = (async () => {
      for (; !closed; await new Promise((resolve) => setImmediate(resolve))) reap();
    })();
    const into = await other.lease(65_536);
    for (const peer of peers) {
      const bytes = await receiveThrough(into, peer);
      assertEquals([bytes.length, mismatch(bytes)], [STREAM_BYTES, -1]);
    }
    into.release();
    await Promise.all([closing, reaping, ...ends]);
    reap();
    assertEquals([batch.size, io.stats().arena.leases], [0, 0]);
    assertAllReturned(io);
  }, { arenaBytes: 16 << 20, maxSends: CONNECTIONS * SENDS });
}

/** The program's again: it may write what it likes. */
function giveBack(lease: Lease): void {
  assertEquals(lease.state, "leased");
  lease.bytes.fill(0xee);
  lease.release();
}
