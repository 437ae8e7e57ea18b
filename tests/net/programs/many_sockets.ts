/**
 * Ten thousand sockets in one io: datagrams of each, a connection of each, and what happens when there can be no more. Needs the
 * descriptors. Argument: the engine.
 */
import { assert, assertEquals } from "@std/assert";
import process from "node:process";
import { type EngineName, open, RingletError, type TcpConn, type UdpSocket } from "../../../mod.ts";
import { assertAllReturned, assertLedger } from "../../support/ledger.ts";

const SOCKETS = 10_000;
/** A listener and both ends of a connection. */
const CONNECTIONS = SOCKETS / 2 - 1;
const BYTES = 64;
const TOGETHER = 500;

const engine = process.argv[2] as EngineName;
const hostname = "127.0.0.1";
const options = { engine, arenaBytes: 4 << 20, zeroCopy: "always", zeroCopyThresholdBytes: 0 } as const;

/** `of(0)`, `of(1)`, … some at a time. */
async function each(count: number, of: (i: number) => Promise<unknown>): Promise<void> {
  for (let at = 0; at < count; at += TOGETHER) {
    await Promise.all(Array.from({ length: Math.min(TOGETHER, count - at) }, (_, i) => of(at + i)));
  }
}

async function datagrams(): Promise<number> {
  const io = await open({ ...options, maxSockets: SOCKETS });
  const receiver = await io.bindUdp({ hostname, receiveBufferBytes: 4 << 20 });
  const to = receiver.localAddr;
  const senders: UdpSocket[] = [];
  while (senders.length < SOCKETS - 1) senders.push(await io.bindUdp({ hostname }));
  const refused = await io.bindUdp({ hostname }).then(() => undefined, (error) => error);
  assert(refused instanceof RingletError && refused.code === "ERR_TABLE_FULL", `${refused}`);
  const seen = new Set<number>();
  await each(senders.length, async (i) => {
    const [lease, into] = [await io.lease(BYTES), await io.lease(BYTES)];
    new DataView(lease.bytes.buffer, lease.bytes.byteOffset).setUint32(0, i);
    const [receipt, { bytes }] = await Promise.all([senders[i].send(lease, { to }), receiver.recv(into)]);
    assertEquals(bytes, BYTES);
    seen.add(new DataView(into.bytes.buffer, into.bytes.byteOffset).getUint32(0));
    into.release();
    await receipt.released;
  });
  assertLedger(io);
  // One call into the kernel for all of them.
  const waiting = new Set<number>();
  for (const [i, sender] of senders.entries()) {
    if (i < 4000) waiting.add(sender.trySend(io.tryLease(BYTES)!, { to }));
  }
  assertEquals(io.flush(), 4000);
  while (waiting.size > 0) {
    io.reap((id, event) => event === "released" && waiting.delete(id));
    await new Promise((resolve) => setImmediate(resolve));
  }
  await io.close();
  assertAllReturned(io);
  return seen.size;
}

async function connections(): Promise<number> {
  const io = await open({ ...options, maxSockets: SOCKETS });
  const listener = await io.listen({ hostname, port: 0, backlog: 4096 });
  const { port } = listener.localAddr as { port: number };
  const pairs: { conn: TcpConn; peer: TcpConn }[] = [];
  await each(CONNECTIONS, async (i) => {
    const [conn, peer] = await Promise.all([io.connect({ hostname, port }), listener.accept()]);
    pairs[i] = { conn, peer };
  });
  let bytes = 0;
  await each(pairs.length, async (i) => {
    // Accepted in another order than they were made.
    const { conn, peer } = pairs[i];
    const [lease, into] = [await io.lease(BYTES), await io.lease(BYTES)];
    lease.bytes.fill(i);
    const [receipt, received] = await Promise.all([conn.send(lease), peer.recv(into)]);
    bytes += received!;
    into.release();
    await receipt.released;
  });
  assertLedger(io);
  await io.close();
  assertAllReturned(io);
  return bytes;
}

const seen = await datagrams();
const bytes = await connections();
console.log(JSON.stringify({ seen, bytes }));
