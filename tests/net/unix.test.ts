/**
 * Unix stream sockets, by path and in the abstract namespace. They copy, whatever the engine.
 */
import { assert, assertEquals } from "@std/assert";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import process from "node:process";
import { fillPattern, leaseOf, mismatch, receive, receiveText } from "../support/bytes.ts";
import { eachEngine } from "../support/engines.ts";
import { fails } from "../support/failures.ts";
import { connectedPair } from "../support/pairs.ts";
import { settled } from "../support/turns.ts";

/** Runs `body` with the path of a socket that does not exist yet. */
async function withPath(body: (path: string) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(`${tmpdir()}/ringlet-`);
  try {
    await body(`${directory}/socket`);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

eachEngine("by path: both ways, half-close, and the addresses", (io) =>
  withPath(async (path) => {
    const { conn, peer } = await connectedPair(io, {}, { path });
    assertEquals([conn.remoteAddr, peer.localAddr], [{ path }, { path }]);
    const payload = fillPattern(new Uint8Array(700_000));
    const receiving = receive(io, peer);
    const receipt = await conn.send(payload);
    await conn.closeWrite();
    assertEquals(mismatch(await receiving), -1);
    assertEquals(await receipt.released, { copied: true });
    await peer.send(await leaseOf(io, "back"));
    assertEquals(await receiveText(io, conn, 4), "back");
    const { bytesZeroCopy, bytesAccepted } = io.stats();
    assertEquals([bytesZeroCopy, bytesAccepted], [0, 700_004]);
  }));

eachEngine("in the abstract namespace: no file, and free when the listener is closed", async (io) => {
  const path = `\0ringlet-test-${process.pid}-${Math.random()}`;
  const listener = await io.listen({ path });
  assertEquals(listener.localAddr, { path });
  await fails("EADDRINUSE", () => io.listen({ path }));
  const conn = await io.connect({ path });
  const peer = await listener.accept();
  await conn.send(await leaseOf(io, "hello"));
  assertEquals(await receiveText(io, peer, 5), "hello");
  await listener.close();
  await fails("ECONNREFUSED", () => io.connect({ path }));
  await (await io.listen({ path })).close();
});

eachEngine("options that a Unix socket does not have are refused", (io) =>
  withPath(async (path) => {
    const tcp = { hostname: "localhost", port: 5, noDelay: true, keepAlive: false, keepAliveIdleSeconds: 5 };
    for (const [name, value] of Object.entries({ ...tcp, reuseAddress: true, reusePort: false, ipv6Only: true })) {
      await fails("ERR_INVALID_ARG", () => io.listen({ path, [name]: value }), { says: `${name} does not go` });
    }
    for (const [name, value] of Object.entries({ ...tcp, localPort: 5, localHostname: "::1", reuseAddress: true })) {
      await fails("ERR_INVALID_ARG", () => io.connect({ path, [name]: value }), { says: `${name} does not go` });
    }
    const both = { path, hostname: undefined, zeroCopy: "auto", maxInFlightBytes: 5, sendBufferBytes: 9000 } as const;
    const listener = await io.listen({ ...both, backlog: 5 });
    await io.connect({ ...both, timeoutMs: 1000, signal: new AbortController().signal });
    await listener.close();
  }));

eachEngine("the file goes with its listener, and only with that", (io) =>
  withPath(async (path) => {
    for (const end of ["close", "close", "dispose"]) {
      const listener = await io.listen({ path });
      assert(existsSync(path));
      if (end === "close") await listener.close();
      else await listener[Symbol.asyncDispose]();
      assert(!existsSync(path), end);
    }
    // Another's socket that has taken the path in the meantime stays.
    const old = await io.listen({ path });
    rmSync(path);
    const young = await io.listen({ path });
    await old.close();
    await io.connect({ path });
    rmSync(path);
    await young.close();
    await (await io.listen({ path })).close();
    await io.listen({ path });
    await io.close();
    assert(!existsSync(path), "the io was closed");
  }));

eachEngine("a listener that cannot be made leaves no file", (io) =>
  withPath(async (path) => {
    await io.bindUdp({ hostname: "127.0.0.1" });
    await fails("ERR_TABLE_FULL", () => io.listen({ path }));
    assert(!existsSync(path));
  }), { maxSockets: 1 });

eachEngine("paths that cannot be used", (io) =>
  withPath(async (path) => {
    await fails("ENOENT", () => io.connect({ path }), { syscall: "connect" });
    await fails("ENOENT", () => io.listen({ path: `${path}/deeper` }), { syscall: "bind" });
    const listener = await io.listen({ path });
    assert(existsSync(path));
    await fails("EADDRINUSE", () => io.listen({ path }), { says: "remove" });
    await listener.close();
    await fails("ENOENT", () => io.connect({ path }));
    await fails("ERR_INVALID_ARG", () => io.connect({ path, hostname: "localhost" }));
  }));

eachEngine(
  "a peer that does not read stalls the sender; closed at the deadline, every send ends",
  (io) =>
    withPath(async (path) => {
      const { conn, peer } = await connectedPair(io, { sendBufferBytes: 65_536 }, { path });
      const lease = await io.lease(2 << 20);
      const sent = conn.send(lease).catch((error) => error);
      assertEquals(await settled(sent), false);
      await conn.close({ deadlineMs: 20 });
      const error = await sent;
      assertEquals([error.code, error.bytesAccepted > 0], ["ECANCELED", true]);
      await error.released;
      assertEquals(lease.state, "free");
      assertEquals((await receive(io, peer)).length, error.bytesAccepted);
    }),
);

eachEngine("the peer is gone: EPIPE, and the lease is the program's", (io) =>
  withPath(async (path) => {
    const { conn, peer } = await connectedPair(io, {}, { path });
    await peer.abort();
    using lease = await io.lease(10);
    const error = await fails("EPIPE", () => conn.send(lease), { syscall: "sendmsg" });
    assertEquals([error.bytesAccepted, lease.state], [0, "leased"]);
    assertEquals(await conn.recv(lease), null);
  }));
