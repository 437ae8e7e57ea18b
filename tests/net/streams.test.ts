/**
 * Connections as web streams.
 */
import { assert, assertEquals } from "@std/assert";
import { fillPattern, mismatch, receive } from "../support/bytes.ts";
import { eachEngine } from "../support/engines.ts";
import { fails, rejectsWith } from "../support/failures.ts";
import { connectedPair, tightPair } from "../support/pairs.ts";
import { endpointOf } from "../support/sockopt.ts";
import { settled, until } from "../support/turns.ts";

eachEngine("bytes go through writable and readable in order, and the end with them", async (io) => {
  const { conn, peer } = await tightPair(io);
  const source = ReadableStream.from(
    Array.from({ length: 40 }, (_, i) => fillPattern(new Uint8Array(33_333), i * 33_333)),
  );
  const sending = source.pipeTo(conn.writable);
  let total = 0;
  for await (const chunk of peer.readable) {
    assertEquals(mismatch(chunk, total), -1);
    total += chunk.length;
  }
  await sending;
  assertEquals(total, 40 * 33_333);
  assert(conn.readable === conn.readable && conn.writable === conn.writable, "one stream each");
  await until(() => io.stats().arena.leases === 0);
});

eachEngine("through standard transforms and back", async (io) => {
  const { conn, peer } = await connectedPair(io);
  const echoing = peer.readable.pipeTo(peer.writable);
  const text = "Ringlet ".repeat(100_000);
  const sending = ReadableStream.from([text]).pipeThrough(new TextEncoderStream()).pipeTo(conn.writable);
  const chunks = await Array.fromAsync(conn.readable.pipeThrough(new TextDecoderStream()));
  await Promise.all([sending, echoing]);
  assert(chunks.join("") === text, "what came back is not what was sent");
});

eachEngine("a peer that does not read holds the writer back", async (io) => {
  const { conn, peer } = await tightPair(io);
  const writer = conn.writable.getWriter();
  const writes: Promise<void>[] = [];
  for (let i = 0; i < 4; i++) writes.push(writer.write(fillPattern(new Uint8Array(500_000), i * 500_000)));
  assertEquals(await settled(writes[3]), false);
  const ended = writer.close();
  const bytes = await receive(io, peer);
  assertEquals([bytes.length, mismatch(bytes)], [2_000_000, -1]);
  await Promise.all([...writes, ended]);
});

eachEngine("cancelling readable ends the wait and leaves the connection open", async (io) => {
  const { conn, peer } = await connectedPair(io);
  const reader = peer.readable.getReader();
  const reading = reader.read();
  assertEquals(await settled(reading), false);
  await reader.cancel();
  assertEquals(await reading, { value: undefined, done: true });
  await until(() => io.stats().arena.leases === 0);
  await conn.send(new Uint8Array([1, 2, 3]));
  assertEquals([...await receive(io, peer, 3)], [1, 2, 3]);
});

eachEngine("a reset is an error of the stream, not its end", async (io) => {
  const { conn, peer } = await connectedPair(io);
  const reader = conn.readable.getReader();
  const reading = fails("ECONNRESET", () => reader.read());
  await peer.abort();
  await reading;
  const writer = conn.writable.getWriter();
  writer.closed.catch(() => {});
  await fails("EPIPE", () => writer.write(new Uint8Array(10)));
});

eachEngine("aborting writable resets the connection", async (io) => {
  const { conn, peer } = await connectedPair(io);
  await conn.writable.abort(new Error("no more"));
  await fails("ECONNRESET", () => receive(io, peer));
  await fails("ERR_CLOSED", () => conn.send(new Uint8Array(1)));
});

eachEngine("closing writable ends this side only", async (io) => {
  const { conn, peer } = await connectedPair(io);
  const writer = conn.writable.getWriter();
  await writer.write(new Uint8Array([7]));
  await writer.close();
  assertEquals([...await receive(io, peer)], [7]);
  await peer.send(new Uint8Array([8]));
  const reader = conn.readable.getReader();
  assertEquals([...(await reader.read()).value!], [8]);
  await fails("EPIPE", () => conn.send(new Uint8Array(1)));
});

eachEngine("what is written must be bytes", async (io) => {
  const { conn } = await connectedPair(io);
  const writer = conn.writable.getWriter();
  const failed = await fails("ERR_INVALID_ARG", () => writer.write("text" as unknown as Uint8Array));
  await rejectsWith(failed, writer.closed);
});

eachEngine("reading a closed connection touches no other socket", async (io) => {
  const { conn, peer } = await connectedPair(io);
  const { readable } = conn;
  const { fd } = endpointOf(conn);
  await Promise.all([conn.close(), peer.close()]);
  const others = [];
  do others.push(await io.bindUdp({ hostname: "127.0.0.1" })); while (endpointOf(others.at(-1)!).fd !== fd);
  const reading = fails("ERR_CLOSED", () => readable.getReader().read());
  assert(await settled(reading), "it waits for what is another's descriptor now");
  await reading;
});

for (const end of ["close", "abort"] as const) {
  eachEngine(`${end} ends a read that waits for room in the arena`, async (io) => {
    const { conn, peer } = await connectedPair(io);
    await peer.send(new Uint8Array(10));
    using _everything = await io.lease(io.stats().arena.largestFreeBytes);
    const reading = fails("ERR_CLOSED", () => conn.readable.getReader().read());
    await until(() => io.stats().arena.waiting === 1);
    await conn[end]();
    assert(await settled(reading), "it still waits");
    await reading;
  });
}
