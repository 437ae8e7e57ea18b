/**
 * Leaves something pending and falls off its end: the process must exit, or must not. Prints "end" when the program itself is done.
 * Arguments: the case, and the engine.
 */
import process from "node:process";
import { type EngineName, open } from "../../../mod.ts";
import { tightPair } from "../../support/pairs.ts";

const io = await open({ arenaBytes: 1 << 20, engine: process.argv[3] as EngineName });
const listener = await io.listen({ hostname: "127.0.0.1", port: 0 });
const udp = await io.bindUdp({ hostname: "127.0.0.1" });
const { conn, peer } = await tightPair(io);
const ignore = (promise: Promise<unknown>) => void promise.catch(() => {});

const cases: Record<string, () => Promise<void> | void> = {
  "idle sockets": () => {},
  "pending accept": () => ignore(listener.accept()),
  "pending accept, unref": () => {
    ignore(listener.accept());
    listener.unref();
  },
  "unref, then pending accept": () => {
    listener.unref();
    ignore(listener.accept());
  },
  "pending recv": async () => ignore(conn.recv(await io.lease(10))),
  "pending recv, unref": async () => {
    ignore(conn.recv(await io.lease(10)));
    conn.unref();
  },
  "pending recv, unref and ref": async () => {
    ignore(conn.recv(await io.lease(10)));
    conn.unref();
    conn.ref();
  },
  "pending recv of a datagram": async () => ignore(udp.recv(await io.lease(10))),
  "pending recv of a datagram, unref": async () => {
    ignore(udp.recv(await io.lease(10)));
    udp.unref();
  },
  "pending recvMany": async () => ignore(udp.recvMany([await io.lease(10)])),
  "pending recvMany, unref": async () => {
    ignore(udp.recvMany([await io.lease(10)]));
    udp.unref();
  },
  "pending loop over datagrams": () => ignore(udp.datagrams().next()),
  "pending loop over datagrams, unref": () => {
    ignore(udp.datagrams().next());
    udp.unref();
  },
  "aborted loop over datagrams": () => {
    const abort = new AbortController();
    ignore(udp.datagrams({ signal: abort.signal }).next());
    abort.abort();
  },
  "pending loop over errors": async () => {
    const hears = await io.bindUdp({ hostname: "127.0.0.1", errors: true });
    ignore(hears.errors().next());
  },
  "idle sockets that hear errors, on every engine": async () => {
    for (const engine of ["auto", "errqueue", "copy"] as const) {
      const other = await open({ arenaBytes: 1 << 20, engine });
      await other.bindUdp({ hostname: "127.0.0.1", errors: true });
    }
  },
  "pending send": async () => ignore(conn.send(await io.lease(900_000))),
  "pending send, unref": async () => {
    ignore(conn.send(await io.lease(900_000)));
    conn.unref();
  },
  "aborted recv": async () => {
    const abort = new AbortController();
    ignore(peer.recv(await io.lease(10), { signal: abort.signal }));
    abort.abort();
  },
  "finished recv": async () => {
    ignore(peer.recv(await io.lease(10)));
    await conn.send(new Uint8Array(1));
  },
  "one unref, another pending": async () => {
    ignore(conn.recv(await io.lease(10)));
    ignore(listener.accept());
    conn.unref();
  },
};
await cases[process.argv[2]]();
console.log("end");
