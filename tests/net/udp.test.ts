/**
 * UDP: datagrams, their borders, and their errors.
 */
import { assert, assertEquals } from "@std/assert";
import { fillPattern, leaseOf, mismatch } from "../support/bytes.ts";
import { eachEngine } from "../support/engines.ts";
import { fails, rejectsWith } from "../support/failures.ts";
import { assertLedger } from "../support/ledger.ts";
import { settled } from "../support/turns.ts";

const hostname = "127.0.0.1";

eachEngine("every size from none to the most, whole and from the right sender", async (io) => {
  const [from, to] = [await io.bindUdp({ hostname }), await io.bindUdp({ hostname, receiveBufferBytes: 1 << 20 })];
  using into = await io.lease(65_536);
  for (const bytes of [0, 1, 1400, 10_239, 10_240, 65_507]) {
    const receipt = await from.send(fillPattern(new Uint8Array(bytes)), { to: to.localAddr });
    assertEquals(receipt.bytes, bytes);
    const received = await to.recv(into);
    assertEquals(received, { bytes, from: from.localAddr, truncated: false });
    assertEquals(mismatch(into.bytes.subarray(0, bytes)), -1);
    await receipt.released;
  }
});

eachEngine("more than a datagram carries is refused before anything is consumed", async (io) => {
  const udp = await io.bindUdp({ hostname });
  const lease = await io.lease(65_508);
  const to = udp.localAddr;
  await fails("EMSGSIZE", () => udp.send(lease, { to }), { says: "65507" });
  await fails("EMSGSIZE", () => udp.trySend(lease, { to }));
  await fails("EMSGSIZE", () => udp.send([lease, new Uint8Array(1)], { to }));
  await fails("EMSGSIZE", () => udp.send(new Uint8Array(65_508), { to }));
  assertEquals(lease.state, "leased");
  assertEquals((await udp.send(lease, { to, byteLength: 65_507 })).bytes, 65_507);
  const v6 = await io.bindUdp({ hostname: "::1" });
  const large = await io.lease(65_528);
  await fails("EMSGSIZE", () => v6.send(large, { to: v6.localAddr }), { says: "65527" });
  await (await v6.send(large, { to: v6.localAddr, offset: 1 })).released;
});

eachEngine("a datagram longer than the lease is cut, and says so", async (io) => {
  const [from, to] = [await io.bindUdp({ hostname }), await io.bindUdp({ hostname })];
  await from.send(fillPattern(new Uint8Array(100)), { to: to.localAddr });
  await from.send(new Uint8Array([42]), { to: to.localAddr });
  using into = await io.lease(10);
  const { bytes, truncated } = await to.recv(into);
  assertEquals([bytes, truncated, mismatch(into.bytes)], [10, true, -1]);
  assertEquals([(await to.recv(into)).truncated, into.bytes[0]], [false, 42]);
});

eachEngine("parts of up to sixteen leases and arrays make one datagram", async (io) => {
  const [from, to] = [await io.bindUdp({ hostname }), await io.bindUdp({ hostname })];
  const parts = await Promise.all(Array.from({ length: 16 }, (_, i) => {
    const bytes = fillPattern(new Uint8Array(100), i * 100);
    if (i % 2 === 0) return bytes;
    return io.lease(100).then((lease) => (lease.bytes.set(bytes), lease));
  }));
  const receipt = await from.send(parts, { to: to.localAddr });
  using into = await io.lease(2000);
  assertEquals([(await to.recv(into)).bytes, mismatch(into.bytes.subarray(0, 1600))], [1600, -1]);
  await receipt.released;
  assertEquals(io.stats().arena.leases, 1);
});

eachEngine("a datagram of leases on more pages than a packet can name", async (io) => {
  const [from, to] = [await io.bindUdp({ hostname }), await io.bindUdp({ hostname, receiveBufferBytes: 1 << 20 })];
  const leases = Array.from({ length: 32 }, () => io.tryLease(4032)!);
  const parts = leases.filter((_, i) => i % 2 === 0);
  for (const [i, { bytes }] of parts.entries()) fillPattern(bytes, i * 4032);
  const receipt = await from.send(parts, { to: to.localAddr });
  assertEquals(receipt.bytes, 16 * 4032);
  using into = await io.lease(65_536);
  assertEquals([(await to.recv(into)).bytes, mismatch(into.bytes.subarray(0, 16 * 4032))], [16 * 4032, -1]);
  await receipt.released;
  for (const [i, lease] of leases.entries()) if (i % 2 === 1) lease.release();
  assertEquals(io.stats().arena.leases, 1);
});

eachEngine("IPv6, both families on one socket, and names", async (io) => {
  const both = await io.bindUdp({ hostname: "::" });
  const { port } = both.localAddr;
  const [v4, v6] = [await io.bindUdp({ hostname }), await io.bindUdp({ hostname: "::1" })];
  using into = await io.lease(100);
  for (const [socket, target] of [[v4, hostname], [v6, "::1"]] as const) {
    await socket.send(new Uint8Array(1), { to: { hostname: target, port } });
    assertEquals((await both.recv(into)).from, socket.localAddr, "an IPv4 sender looks like one");
    await both.send(new Uint8Array(2), { to: socket.localAddr });
    assertEquals((await socket.recv(into)).bytes, 2);
  }
  await v4.send(new Uint8Array(3), { to: { hostname: "localhost", port } });
  assertEquals((await both.recv(into)).bytes, 3);
  await fails("EAFNOSUPPORT", () => v4.send(new Uint8Array(1), { to: { hostname: "::1", port } }), { says: "::" });
  await fails("ENOTFOUND", () => v4.send(new Uint8Array(1), { to: { hostname: "nosuch.invalid", port } }));
  const only = await io.bindUdp({ hostname: "::", ipv6Only: true });
  await fails("ENETUNREACH", () => only.send(new Uint8Array(1), { to: { hostname, port } }));
});

eachEngine("a socket with a remote has one peer, and hears that nobody listens", async (io) => {
  const peer = await io.bindUdp({ hostname });
  const stranger = await io.bindUdp({ hostname });
  const udp = await io.bindUdp({ hostname, remote: peer.localAddr });
  assertEquals([udp.remoteAddr, peer.remoteAddr], [peer.localAddr, undefined]);
  await udp.send(await leaseOf(io, "no address needed"));
  using into = await io.lease(100);
  assertEquals((await peer.recv(into)).bytes, 17);
  using mine = await io.lease(100);
  const receiving = udp.recv(mine);
  await stranger.send(new Uint8Array(1), { to: udp.localAddr });
  assertEquals(await settled(receiving), false, "strangers are not heard");
  await peer.send(new Uint8Array(5), { to: udp.localAddr });
  assertEquals((await receiving).bytes, 5);
  await peer.close();
  const first = await udp.send(new Uint8Array(1));
  await first.released;
  const lease = await io.lease(10);
  await fails("ECONNREFUSED", () => udp.send(lease), { says: "nobody listens" });
  assertEquals(lease.state, "leased");
  await (await udp.send(lease)).released; // the kernel says it once for each answer
});

eachEngine("without a destination, and to where one must not", async (io) => {
  const udp = await io.bindUdp({ hostname });
  const lease = await io.lease(10);
  await fails("EDESTADDRREQ", () => udp.send(lease), { says: "remote" });
  await fails("EDESTADDRREQ", () => udp.trySend(lease));
  const to = { hostname: "127.255.255.255", port: 9 };
  const error = await fails("EACCES", () => udp.send(lease, { to }), { syscall: "sendmsg", says: "broadcast" });
  assertEquals([error.bytesAccepted, error.released, lease.state], [0, undefined, "leased"]);
  lease.release();
  assertLedger(io);
});

eachEngine("a failed datagram does not stop the ones around it", async (io) => {
  const [from, to] = [await io.bindUdp({ hostname }), await io.bindUdp({ hostname, receiveBufferBytes: 1 << 20 })];
  const bad = { hostname: "127.255.255.255", port: 9 };
  const outcomes = await Promise.allSettled(Array.from({ length: 60 }, (_, i) => {
    const lease = io.tryLease(11_000)!;
    lease.bytes[0] = i;
    return from.send(lease, { to: i % 3 === 1 ? bad : to.localAddr })
      .catch((error) => (lease.release(), Promise.reject(error)));
  }));
  assertEquals(outcomes.map(({ status }) => status), outcomes.map((_, i) => i % 3 === 1 ? "rejected" : "fulfilled"));
  using into = await io.lease(11_000);
  for (let i = 0; i < 60; i++) {
    if (i % 3 === 1) continue;
    await to.recv(into);
    assertEquals(into.bytes[0], i);
  }
  for (const outcome of outcomes) if (outcome.status === "fulfilled") await outcome.value.released;
  assertLedger(io);
});

eachEngine("a receive given up loses no datagram, and receives keep their order", async (io) => {
  const [from, to] = [await io.bindUdp({ hostname }), await io.bindUdp({ hostname })];
  const leases = await Promise.all(Array.from({ length: 3 }, () => io.lease(10)));
  const abort = new AbortController();
  const reason = new Error("later");
  const givenUp = to.recv(leases[0], { signal: abort.signal });
  const [a, b] = [to.recv(leases[1]), to.recv(leases[2])];
  abort.abort(reason);
  await rejectsWith(reason, givenUp);
  for (const value of [1, 2]) await from.send(new Uint8Array([value]), { to: to.localAddr });
  await Promise.all([a, b]);
  assertEquals([leases[1].bytes[0], leases[2].bytes[0]], [1, 2]);
  for (const lease of leases) lease.release();
});

eachEngine("two sockets at one address: refused, unless both share it", async (io) => {
  const first = await io.bindUdp({ hostname, reusePort: true });
  await fails("EADDRINUSE", () => io.bindUdp({ ...first.localAddr }), { syscall: "bind" });
  const second = await io.bindUdp({ ...first.localAddr, reusePort: true });
  assertEquals(second.localAddr, first.localAddr);
  const third = await io.bindUdp({ hostname, reuseAddress: true });
  const fourth = await io.bindUdp({ ...third.localAddr, reuseAddress: true });
  assertEquals(fourth.localAddr, third.localAddr);
  await fails("EADDRNOTAVAIL", () => io.bindUdp({ hostname: "192.0.2.1" }));
  assert(first.localAddr.port > 0);
});
