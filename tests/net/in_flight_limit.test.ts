/**
 * `maxInFlightBytes`: what one socket may have lent to the kernel, so that it starves nobody.
 */
import { assert, assertEquals } from "@std/assert";
import { fillPattern, mismatch, receive } from "../support/bytes.ts";
import { eachEngine } from "../support/engines.ts";
import { fails } from "../support/failures.ts";
import { connectedPair, tightPair } from "../support/pairs.ts";
import { settled, turns, until } from "../support/turns.ts";

const MEGABYTE = 1 << 20;

eachEngine("zero-copy bytes in flight stay within the limit, and the rest follows", async (io, engine) => {
  const limit = 100_000;
  const { conn, peer } = await tightPair(io, { maxInFlightBytes: limit, sendBufferBytes: MEGABYTE });
  const sends = Array.from({ length: 40 }, (_, i) => {
    const lease = io.tryLease(20_000)!;
    fillPattern(lease.bytes, i * 20_000);
    return conn.send(lease);
  });
  await turns();
  const { inFlightBytes, queued } = conn.stats();
  assert(inFlightBytes <= limit, `${inFlightBytes} in flight`);
  if (engine !== "copy") assert(queued > 0, "the limit held something back");
  const bytes = await receive(io, peer, 40 * 20_000);
  assertEquals(mismatch(bytes), -1);
  for (const receipt of await Promise.all(sends)) await receipt.released;
  assertEquals(conn.stats().inFlightBytes, 0);
});

eachEngine("a send larger than the limit goes all the same", async (io) => {
  const { conn, peer } = await tightPair(io, { maxInFlightBytes: 100_000 });
  for (let i = 0; i < 2; i++) {
    const lease = await io.lease(MEGABYTE);
    fillPattern(lease.bytes);
    const sent = conn.send(lease);
    const bytes = await receive(io, peer, MEGABYTE);
    assertEquals(mismatch(bytes), -1);
    await (await sent).released;
  }
});

eachEngine("bytes that are copied into leases hold at most so much of the arena", async (io) => {
  const { conn, peer } = await tightPair(io, { maxInFlightBytes: MEGABYTE });
  const sent = conn.send(fillPattern(new Uint8Array(6 * MEGABYTE)));
  assertEquals(await settled(sent), false);
  const { freeBytes } = io.stats().arena;
  assert(freeBytes >= 2 * MEGABYTE, `the others have ${freeBytes} left`);
  assertEquals(mismatch(await receive(io, peer, 6 * MEGABYTE)), -1);
  await (await sent).released;
  await until(() => io.stats().arena.leases === 0);
});

eachEngine("the default is a quarter of the arena", async (io, engine) => {
  const { conn, peer } = await connectedPair(io, { sendBufferBytes: 4 * MEGABYTE });
  const sends = Array.from({ length: 30 }, () => conn.send(io.tryLease(100_000)!));
  await turns();
  const { inFlightBytes } = conn.stats();
  assert(inFlightBytes <= MEGABYTE, `${inFlightBytes} in flight`);
  if (engine !== "copy") assert(inFlightBytes > MEGABYTE / 2, `only ${inFlightBytes} in flight`);
  await receive(io, peer, 30 * 100_000);
  for (const receipt of await Promise.all(sends)) await receipt.released;
});

eachEngine("limits that make no sense are refused", async (io) => {
  const to = { hostname: "127.0.0.1", port: 9 };
  for (const maxInFlightBytes of [0, -1, NaN, 0.5, 2 ** 32]) {
    await fails("ERR_OUT_OF_RANGE", () => io.connect({ ...to, maxInFlightBytes }));
    await fails("ERR_OUT_OF_RANGE", () => io.listen({ port: 0, maxInFlightBytes }));
    await fails("ERR_OUT_OF_RANGE", () => io.bindUdp({ maxInFlightBytes }));
  }
  for (const zeroCopyThresholdBytes of [-1, NaN, 1.5, 2 ** 33]) {
    await fails("ERR_OUT_OF_RANGE", () => io.bindUdp({ zeroCopyThresholdBytes }));
  }
  await fails("ERR_INVALID_ARG", () => io.bindUdp({ zeroCopy: "sometimes" as "auto" }));
  assertEquals(io.stats().sockets, 0);
});
