/**
 * TCP connections and listeners: the calls, and the ends of a stream told apart.
 */
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { once } from "node:events";
import * as net from "node:net";
import { fillPattern, leaseOf, mismatch, receive, receiveText } from "../support/bytes.ts";
import { eachEngine } from "../support/engines.ts";
import { fails, rejectsWith } from "../support/failures.ts";
import { connectedPair, tightPair } from "../support/pairs.ts";
import { settled, turns, until } from "../support/turns.ts";

eachEngine("both ends know both addresses", async (io) => {
  const listener = await io.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.localAddr as { port: number };
  assert(port > 0, "port 0: the system chooses");
  const conn = await io.connect({ hostname: "127.0.0.1", port });
  const peer = await listener.accept();
  assertEquals(conn.remoteAddr, { hostname: "127.0.0.1", port });
  assertEquals(peer.localAddr, { hostname: "127.0.0.1", port });
  assertEquals(peer.remoteAddr, conn.localAddr);
});

eachEngine("IPv6, and IPv4 over a dual-stack listener", async (io) => {
  const listener = await io.listen({ hostname: "::", port: 0 });
  const { port } = listener.localAddr as { port: number };
  for (const hostname of ["::1", "127.0.0.1"]) {
    const conn = await io.connect({ hostname, port });
    const peer = await listener.accept();
    assertEquals((peer.remoteAddr as { hostname: string }).hostname, hostname);
    await conn.send(await leaseOf(io, hostname));
    assertEquals(await receiveText(io, peer, hostname.length), hostname);
  }
  const only = await io.listen({ hostname: "::", port: 0, ipv6Only: true });
  await fails(
    "ECONNREFUSED",
    () => io.connect({ hostname: "127.0.0.1", port: (only.localAddr as { port: number }).port }),
  );
});

eachEngine("local address and port of a connection", async (io) => {
  const listener = await io.listen({ hostname: "127.0.0.1", port: 0 });
  const to = listener.localAddr as { hostname: string; port: number };
  const first = await io.connect({ ...to, localHostname: "127.0.0.77" });
  assertEquals((first.localAddr as { hostname: string }).hostname, "127.0.0.77");
  const second = await io.connect({ ...to, localHostname: "127.0.0.78", localPort: await freePort() });
  assertEquals((second.localAddr as { hostname: string }).hostname, "127.0.0.78");
  const localPort = await freePort();
  const third = await io.connect({ ...to, localPort });
  assertEquals(third.localAddr, { hostname: "127.0.0.1", port: localPort });
  await fails("EADDRNOTAVAIL", () => io.connect({ ...to, localHostname: "192.0.2.1" }), { syscall: "bind" });
  await fails("ERR_INVALID_ARG", () => io.connect({ ...to, localHostname: "localhost" }));

  async function freePort(): Promise<number> {
    await using free = await io.listen({ port: 0 });
    return (free.localAddr as { port: number }).port;
  }
});

eachEngine("half-close: this side ends, the other goes on", async (io) => {
  const { conn, peer } = await connectedPair(io);
  await conn.send(await leaseOf(io, "question"));
  await conn.closeWrite();
  assertEquals(await receiveText(io, peer), "question");
  using into = await io.lease(10);
  assertEquals([await peer.recv(into), await peer.recv(into)], [null, null], "the end stays the end");
  const answer = fillPattern(new Uint8Array(300_000));
  const sent = peer.send(answer);
  assertEquals(mismatch(await receive(io, conn, answer.length)), -1);
  await sent;
  await peer.closeWrite();
  assertEquals(await conn.recv(into), null);
});

eachEngine("closeWrite comes after everything that is queued", async (io) => {
  const { conn, peer } = await tightPair(io, { maxInFlightBytes: 4 << 20 });
  const lease = await io.lease(2_000_000);
  fillPattern(lease.bytes);
  const sent = conn.send(lease);
  const closed = conn.closeWrite();
  assertEquals(await settled(closed), false);
  const bytes = await receive(io, peer);
  assertEquals([bytes.length, mismatch(bytes)], [2_000_000, -1]);
  await closed;
  await (await sent).released;
});

eachEngine("a reset is no end of stream", async (io) => {
  const { conn, peer } = await connectedPair(io);
  using into = await io.lease(100);
  const receiving = fails("ECONNRESET", () => conn.recv(into), { syscall: "recvmsg" });
  await peer.abort();
  await receiving;
  assertEquals(into.state, "leased", "the lease is handed back");
  await fails("ECONNRESET", () => conn.recv(into));
});

eachEngine("bytes that came before a reset or while nobody received are not lost", async (io) => {
  const { conn, peer } = await connectedPair(io);
  await conn.send(await leaseOf(io, "kept"));
  await turns();
  assertEquals(await receiveText(io, peer, 4), "kept");
  await peer.send(await leaseOf(io, "last words"));
  await peer.close();
  assertEquals(await receiveText(io, conn), "last words");
});

eachEngine("receives are served in the order of the calls", async (io) => {
  const { conn, peer } = await connectedPair(io);
  const leases = await Promise.all(Array.from({ length: 10 }, () => io.lease(1)));
  const receiving = leases.map((lease) => peer.recv(lease));
  await conn.send(new Uint8Array(10).map((_, i) => i));
  await Promise.all(receiving);
  assertEquals(leases.map(({ bytes }) => bytes[0]), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  for (const lease of leases) lease.release();
});

eachEngine("a receive that is given up loses no bytes", async (io) => {
  const { conn, peer } = await connectedPair(io);
  using into = await io.lease(100);
  const abort = new AbortController();
  const reason = new Error("later");
  const receiving = peer.recv(into, { signal: abort.signal });
  await turns();
  abort.abort(reason);
  await rejectsWith(reason, receiving);
  assertEquals(into.state, "leased");
  await rejectsWith(reason, peer.recv(into, { signal: abort.signal }));
  await conn.send(await leaseOf(io, "now"));
  assertEquals(await receiveText(io, peer, 3), "now");
});

eachEngine("accepting: in order, by iteration, given up, and ended by close", async (io) => {
  const listener = await io.listen({ hostname: "127.0.0.1", port: 0 });
  const to = listener.localAddr as { hostname: string; port: number };
  const abort = new AbortController();
  const reason = new Error("nobody comes");
  const givenUp = listener.accept({ signal: abort.signal });
  const [a, b] = [listener.accept(), listener.accept()];
  abort.abort(reason);
  await rejectsWith(reason, givenUp);
  await rejectsWith(reason, listener.accept({ signal: abort.signal }));
  const first = await io.connect(to);
  const second = await io.connect(to);
  assertEquals([(await a).remoteAddr, (await b).remoteAddr], [first.localAddr, second.localAddr]);
  const seen: unknown[] = [];
  const iterating = (async () => {
    for await (const peer of listener) seen.push(peer.remoteAddr);
  })();
  const more = await Promise.all([io.connect(to), io.connect(to), io.connect(to)]);
  while (seen.length < 3) await turns(1);
  await listener.close();
  await iterating;
  const ports = (list: unknown[]) => list.map((address) => (address as { port: number }).port).sort();
  assertEquals(ports(seen), ports(more.map(({ localAddr }) => localAddr)));
  await fails("ECONNREFUSED", () => io.connect(to), { syscall: "connect" });
});

eachEngine("two listeners at one address: refused, unless both share the port", async (io) => {
  const first = await io.listen({ hostname: "127.0.0.1", port: 0, reusePort: true });
  const at = first.localAddr as { hostname: string; port: number };
  await fails("EADDRINUSE", () => io.listen(at), { syscall: "bind", says: "0 for any free one" });
  const second = await io.listen({ ...at, reusePort: true });
  assertEquals(second.localAddr, at);
});

eachEngine("the runtime's own sockets understand us, and we them", async (io) => {
  const server = net.createServer((socket) => socket.pipe(socket));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const conn = await io.connect({ hostname: "127.0.0.1", port: (server.address() as net.AddressInfo).port });
  const payload = fillPattern(new Uint8Array(1_000_000));
  const echoed = receive(io, conn);
  await conn.send(payload);
  await conn.closeWrite();
  assertEquals(mismatch(await echoed), -1);
  assertNotEquals(conn.localAddr, undefined);
  server.close();
  await once(server, "close");
});

eachEngine("one byte, one part of many, and none at all", async (io) => {
  const { conn, peer } = await connectedPair(io);
  assertEquals((await conn.send(new Uint8Array([1]))).bytes, 1);
  assertEquals((await conn.send(new Uint8Array(0))).bytes, 0);
  assertEquals((await conn.send([])).bytes, 0);
  const one = await io.lease(1);
  one.bytes[0] = 2;
  assertEquals((await conn.send([one])).bytes, 1, "an array of one lease is that lease");
  const parts = Array.from({ length: 16 }, (_, i) => new Uint8Array([i + 3]));
  assertEquals((await conn.send(parts)).bytes, 16);
  await fails("ERR_OUT_OF_RANGE", () => conn.send([...parts, new Uint8Array(1)]), { says: "16" });
  await conn.closeWrite();
  assertEquals([...await receive(io, peer)], Array.from({ length: 18 }, (_, i) => i + 1));
  await until(() => io.stats().arena.leases === 0);
});
