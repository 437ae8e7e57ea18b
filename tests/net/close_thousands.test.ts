/**
 * Closing with thousands of sends in flight, however it is done: each settles once and says the truth, and no memory comes back early.
 */
import { assert, assertEquals } from "@std/assert";
import { type Io, RingletError, type SendEvent, type TcpConn } from "../../mod.ts";
import { fillPattern, mismatch, receive } from "../support/bytes.ts";
import { eachEngine } from "../support/engines.ts";
import { assertAllReturned, assertLedger } from "../support/ledger.ts";
import { connectedPair, tightPair } from "../support/pairs.ts";
import { turns } from "../support/turns.ts";

const SENDS = 4000;
const BYTES = 512;
const OPTIONS = { arenaBytes: 8 << 20, maxSends: SENDS };

/** What became of a send, and how often it was told. */
interface Fate {
  told: number;
  accepted: number;
}

/** Thousands of sends on a connection whose peer does not read. */
async function queue(io: Io, conn: TcpConn): Promise<Fate[]> {
  const fates: Fate[] = [];
  for (let i = 0; i < SENDS; i++) {
    const lease = await io.lease(BYTES);
    fillPattern(lease.bytes, i * BYTES);
    const fate: Fate = { told: 0, accepted: 0 };
    fates.push(fate);
    const tell = (accepted: number) => {
      fate.told += 1;
      fate.accepted = accepted;
    };
    conn.send(lease).then(({ bytes }) => tell(bytes), (error) => {
      assert(error instanceof RingletError, `${error}`);
      tell(error.bytesAccepted ?? 0);
      if (!error.bytesAccepted) lease.release(); // the program's again
    });
  }
  return fates;
}

/** All were told once, and those accepted are the first ones. Answers how many bytes. */
function bytesOf(fates: readonly Fate[]): number {
  assertEquals(fates.filter(({ told }) => told !== 1).length, 0, "told once");
  const whole = fates.findIndex(({ accepted }) => accepted < BYTES);
  if (whole >= 0) assertEquals(fates.slice(whole + 1).filter(({ accepted }) => accepted > 0).length, 0, "in order");
  return fates.reduce((sum, { accepted }) => sum + accepted, 0);
}

eachEngine("close drains thousands of sends", async (io) => {
  const { conn, peer } = await connectedPair(io, { sendBufferBytes: 65_536, maxInFlightBytes: 8 << 20 });
  const fates = await queue(io, conn);
  const closing = conn.close({ deadlineMs: 2 ** 31 - 1 });
  const bytes = await receive(io, peer);
  await closing;
  await turns();
  assertEquals([bytes.length, mismatch(bytes), bytesOf(fates)], [SENDS * BYTES, -1, SENDS * BYTES]);
  assertAllReturned(io);
}, OPTIONS);

const WAYS: Record<string, (io: Io, conn: TcpConn) => Promise<void>> = {
  "abort": (_io, conn) => conn.abort(),
  "a close at its deadline": (_io, conn) => conn.close({ deadlineMs: 30 }),
  "closing the io": (io) => io.close({ deadlineMs: 30 }),
};

for (const [how, end] of Object.entries(WAYS)) {
  eachEngine(`${how} takes thousands of sends back`, async (io) => {
    const { conn, peer } = await tightPair(io, { maxInFlightBytes: 8 << 20 });
    const fates = await queue(io, conn);
    await turns();
    assertLedger(io);
    assert(io.stats().inFlight > 1000, `only ${io.stats().inFlight} loans are in flight`);
    const reading = how === "closing the io" ? undefined : receive(io, peer).catch(() => new Uint8Array(0));
    await end(io, conn);
    await turns();
    const accepted = bytesOf(fates);
    assertEquals(conn.stats().bytesAccepted, accepted);
    const received = await reading;
    if (received !== undefined) {
      assert(received.length <= accepted, `${received.length} bytes came of ${accepted}`);
      assertEquals(mismatch(received), -1);
    }
    assertAllReturned(io);
  }, OPTIONS);
}

eachEngine("closing with thousands of batch sends in flight tells of each", async (io) => {
  const { conn } = await tightPair(io, { maxInFlightBytes: 8 << 20 });
  const events = new Map<number, SendEvent[]>();
  for (let i = 0; i < SENDS; i++) {
    const id = conn.trySend(io.tryLease(BYTES)!);
    assert(id >= 0 && !events.has(id));
    events.set(id, []);
  }
  io.flush();
  await io.close({ deadlineMs: 30 });
  io.reap((id, event) => events.get(id)!.push(event));
  const ended = [...events.values()].map((list) => list.join());
  const kinds = new Set(ended);
  for (const kind of kinds) assert(["accepted,released", "refused", "failed,released"].includes(kind), kind);
  assert(kinds.has("refused"), "none was waiting: nothing was tested");
  assertEquals(io.reap(() => {}), 0);
  assertAllReturned(io);
}, OPTIONS);
