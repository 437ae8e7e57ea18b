/**
 * Tries everything that reaches the outside, and prints what each came to: "done", or the error's name and message.
 * Arguments: an allowed port (0 for none), and a directory for a Unix socket.
 */
import process from "node:process";
import { type Io, open, type UdpSocket } from "../../../mod.ts";

const allowedPort = Number(process.argv[2]);
const path = `${process.argv[3]}/socket`;
const results: Record<string, string> = {};

async function attempt(name: string, action: () => unknown): Promise<void> {
  try {
    await action();
    results[name] = "done";
  } catch (error) {
    results[name] = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  }
}

let io: Io | undefined;
await attempt("open", async () => io = await open({ arenaBytes: 1 << 20 }));
if (io !== undefined) {
  const mine = io;
  const hostname = "127.0.0.1";
  await attempt("listen", () => mine.listen({ hostname, port: allowedPort }));
  await attempt("connect", () => mine.connect({ hostname, port: allowedPort || 9 }));
  await attempt("connect elsewhere", () => mine.connect({ hostname: "127.0.0.2", port: 9, timeoutMs: 2000 }));
  await attempt("connect to a name", () => mine.connect({ hostname: "localhost.invalid", port: 9 }));
  let udp: UdpSocket | undefined;
  await attempt("bindUdp", async () => udp = await mine.bindUdp({ hostname, port: allowedPort }));
  await attempt("bindUdp with remote", () => mine.bindUdp({ hostname, remote: { hostname, port: 9 } }));
  const to = { hostname: "127.0.0.2", port: 9 };
  await attempt("first datagram to a host", async () => await udp?.send(new Uint8Array(1), { to }));
  await attempt("first batched datagram to a host", () => udp?.trySend(mine.tryLease(1)!, { to }));
  await attempt("listen at a path", () => mine.listen({ path }));
  await attempt("connect to a path", () => mine.connect({ path }));
  const { lent, released, inFlight, sockets } = mine.stats();
  results.ledger = `${lent === released + inFlight}`;
  await mine.close();
  results.sockets = `${sockets}`;
}
console.log(JSON.stringify(results));
