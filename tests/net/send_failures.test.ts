/**
 * Sends that fail: what was accepted is told, what was not is the program's again, and every send ends exactly once.
 */
import { assert, assertEquals } from "@std/assert";
import { type Lease, RingletError } from "../../mod.ts";
import { receive } from "../support/bytes.ts";
import { eachEngine } from "../support/engines.ts";
import { fails, rejectsWith } from "../support/failures.ts";
import { assertLedger } from "../support/ledger.ts";
import { connectedPair, tightPair, untilStalled } from "../support/pairs.ts";
import { settled, until } from "../support/turns.ts";

const MEGABYTE = 1 << 20;

eachEngine("the peer resets in mid-send: the first send was partly accepted, the others not at all", async (io) => {
  const { conn, peer } = await tightPair(io);
  const leases: Lease[] = [];
  for (let i = 0; i < 3; i++) leases.push(await io.lease(MEGABYTE));
  const sends = leases.map((lease) => conn.send(lease));
  const outcomes = Promise.allSettled(sends);
  const stalledAt = await untilStalled(io, conn);
  await peer.abort();
  const [first, ...others] = (await outcomes).map((outcome) => {
    assertEquals(outcome.status, "rejected");
    return (outcome as PromiseRejectedResult).reason as RingletError;
  });
  assert(["ECONNRESET", "EPIPE"].includes(first.code), first.message);
  const { bytesAccepted } = conn.stats();
  assertEquals([first.syscall, first.bytesAccepted], ["sendmsg", bytesAccepted]);
  if (stalledAt > 0) assertEquals(bytesAccepted, stalledAt);
  assert(bytesAccepted > 0 && bytesAccepted < MEGABYTE, `partly: ${bytesAccepted}`);
  assert(first.released !== undefined, "a partly accepted send tells when the memory is free");
  await first.released;
  assertEquals(leases[0].state, "free", "what was partly sent is consumed");
  for (const [i, error] of others.entries()) {
    assert(["ECONNRESET", "EPIPE"].includes(error.code), error.message);
    assertEquals([error.bytesAccepted, error.released], [0, undefined]);
    assertEquals(leases[i + 1].state, "leased", "what was not sent is the program's");
    leases[i + 1].release();
  }
  assertLedger(io);
  const more = await io.lease(10);
  const again = await fails("EPIPE", () => conn.send(more), { says: "open a new one" });
  assertEquals([again.bytesAccepted, more.state], [0, "leased"]);
  more.release();
});

eachEngine("a send in mid-flight that is given up says what was accepted", async (io) => {
  const { conn, peer } = await tightPair(io);
  const abort = new AbortController();
  const lease = await io.lease(2 * MEGABYTE);
  const sent = conn.send(lease, { signal: abort.signal });
  const outcome = sent.then(() => undefined, (error) => error);
  await untilStalled(io, conn);
  const { bytesAccepted, queued } = conn.stats();
  assertEquals(queued, 1);
  const reason = new Error("enough");
  abort.abort(reason);
  const error = await outcome;
  assert(error instanceof RingletError, `an error that says how much: ${error}`);
  assertEquals([error.code, error.bytesAccepted, error.cause], ["ECANCELED", bytesAccepted, reason]);
  await receive(io, peer, bytesAccepted);
  await error.released;
  assertEquals(lease.state, "free");
});

eachEngine("giving up before, and after it is too late", async (io) => {
  const { conn, peer } = await connectedPair(io);
  const reason = new Error("too early");
  const lease = await io.lease(100);
  await rejectsWith(reason, conn.send(lease, { signal: AbortSignal.abort(reason) }));
  assertEquals(lease.state, "leased");
  const abort = new AbortController();
  const receipt = await conn.send(lease, { signal: abort.signal });
  abort.abort();
  await receipt.released;
  assertEquals((await receive(io, peer, 100)).length, 100);
});

eachEngine("bytes that wait for their turn can be given up, and those behind them go on", async (io) => {
  const { conn, peer } = await tightPair(io, { maxInFlightBytes: MEGABYTE });
  const stalled = conn.send(new Uint8Array(3 * MEGABYTE));
  const abort = new AbortController();
  const reason = new Error("enough");
  const waiting = conn.send(new Uint8Array(100).fill(7), { signal: abort.signal });
  const last = conn.send(new Uint8Array(100).fill(9));
  assertEquals(await settled(waiting), false);
  abort.abort(reason);
  await rejectsWith(reason, waiting); // at once: the peer may never read
  assertEquals(await settled(last), false, "nobody overtakes");
  const bytes = await receive(io, peer, 3 * MEGABYTE + 100);
  assertEquals([bytes.length, bytes.at(-1), bytes.includes(7)], [3 * MEGABYTE + 100, 9, false]);
  for (const receipt of [await stalled, await last]) await receipt.released;
});

eachEngine("giving up large bytes in mid-flight stops the chunks that follow", async (io) => {
  const { conn, peer } = await tightPair(io, { maxInFlightBytes: MEGABYTE });
  const abort = new AbortController();
  const sent = conn.send(new Uint8Array(8 * MEGABYTE), { signal: abort.signal }).catch((error) => error);
  await untilStalled(io, conn);
  assert(conn.stats().queued > 0);
  abort.abort(new Error("enough"));
  const error = await sent;
  assert(error instanceof RingletError && error.bytesAccepted! > 0, `${error}`);
  const { bytesAccepted } = conn.stats();
  assertEquals(error.bytesAccepted, bytesAccepted);
  await conn.closeWrite();
  assertEquals((await receive(io, peer)).length, bytesAccepted, "not a byte more");
  await error.released;
  assertEquals(io.stats().arena.leases, 0);
});

eachEngine("a send on a closed socket, an aborted one, and one closed for writing", async (io) => {
  const { conn, peer } = await connectedPair(io);
  using lease = await io.lease(100);
  const { localAddr, remoteAddr } = conn;
  await conn.closeWrite();
  await fails("EPIPE", () => conn.send(lease), { says: "closeWrite" });
  await fails("EPIPE", () => conn.trySend(lease));
  await conn.closeWrite();
  await conn.close();
  await fails("ERR_CLOSED", () => conn.send(lease));
  await fails("ERR_CLOSED", () => conn.trySend(lease));
  await fails("ERR_CLOSED", () => conn.recv(lease));
  await fails("ERR_CLOSED", () => conn.closeWrite());
  await fails("ERR_CLOSED", () => conn.configure({ noDelay: true }));
  await peer.abort();
  await fails("ERR_CLOSED", () => peer.send(new Uint8Array(5)));
  assertEquals(lease.state, "leased");
  assertEquals([conn.localAddr, conn.remoteAddr], [localAddr, remoteAddr], "what was known stays known");
  // Its descriptor may be another socket's by now, so nobody is asked.
  await fails("ERR_CLOSED", () => peer.localAddr);
  assertEquals(peer.remoteAddr, undefined);
});

eachEngine("a closed io refuses everything", async (io) => {
  const { conn } = await connectedPair(io);
  const udp = await io.bindUdp({ hostname: "127.0.0.1" });
  const lease = await io.lease(100);
  await io.close();
  await io.close();
  const uses: (() => unknown)[] = [
    () => io.connect({ hostname: "127.0.0.1", port: 9 }),
    () => io.listen({ hostname: "127.0.0.1", port: 0 }),
    () => io.bindUdp(),
    () => io.lease(100),
    () => io.tryLease(100),
    () => io.flush(),
    () => conn.send(lease),
    () => udp.send(lease, { to: { hostname: "127.0.0.1", port: 9 } }),
    () => udp.recv(lease),
    () => udp.joinMulticast("239.1.1.1"),
    () => udp.configure({ broadcast: true }),
  ];
  for (const use of uses) await fails("ERR_CLOSED", use);
  assertEquals(io.reap(() => {}), 0, "what there is to know can still be asked for");
  assertEquals(io.stats().sockets, 0);
  lease.release();
});

eachEngine("a reset that a send in mid-flight learns of is no orderly end for the reader", async (io) => {
  const { conn, peer } = await tightPair(io);
  const sent = conn.send(await io.lease(2 * MEGABYTE)).catch((error) => error);
  const lost = peer.send(await io.lease(MEGABYTE)).catch((error) => error);
  await until(() => conn.stats().bytesAccepted > 0 && peer.stats().bytesAccepted > 0);
  await peer.abort();
  const { code, bytesAccepted } = await sent;
  assert(["ECONNRESET", "EPIPE"].includes(code) && bytesAccepted > 0, code);
  await lost;
  await fails("ECONNRESET", () => receive(io, conn));
});
