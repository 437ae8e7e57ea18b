/**
 * Sends a file over TCP without copying it in user space: it is read straight into leases, the kernel sends from them, and each goes
 * back to the arena when the kernel has let go of it. The receiver writes nothing; it compares the hash.
 *
 * Run: `deno run -A examples/send_file.ts [FILE]` (loopback only; ends by itself)
 *
 * @module
 */
import { createHash } from "node:crypto";
import { open as openFile } from "node:fs/promises";
import process from "node:process";
import { open, type TcpConn } from "@ringlet/ringlet";

const CHUNK_BYTES = 256 * 1024;
const path = process.argv[2] ?? process.execPath;

await using file = await openFile(path);
await using io = await open({ arenaBytes: 8 << 20 });
await using listener = await io.listen({ hostname: "127.0.0.1", port: 0 });
const { port } = listener.localAddr as { port: number };

await using conn = await io.connect({ hostname: "127.0.0.1", port });
const peer = await listener.accept();
const [sent, received] = await Promise.all([sendAll(conn), receiveAll(peer)]);
console.log(`sent      ${sent}\nreceived  ${received}`);

const { lent, released, inFlight, maxInFlight } = io.stats();
console.log(
  `${lent} loans lent, ${released} released, ${inFlight} in flight, at most ${maxInFlight} at once (${io.engine.name})`,
);

async function sendAll(conn: TcpConn): Promise<string> {
  const hash = createHash("sha256");
  const releases: Promise<unknown>[] = [];
  for (;;) {
    const lease = await io.lease(CHUNK_BYTES); // waits while everything is lent: this is what bounds the memory
    const { bytesRead } = await file.read(lease.bytes);
    if (bytesRead === 0) {
      lease.release();
      break;
    }
    hash.update(lease.bytes.subarray(0, bytesRead));
    releases.push(conn.send(lease, { byteLength: bytesRead }).then((receipt) => receipt.released));
  }
  await Promise.all(releases);
  await conn.closeWrite();
  return hash.digest("hex");
}

async function receiveAll(peer: TcpConn): Promise<string> {
  const hash = createHash("sha256");
  using lease = await io.lease(CHUNK_BYTES);
  for (let bytes; (bytes = await peer.recv(lease)) !== null;) hash.update(lease.bytes.subarray(0, bytes));
  await peer.close();
  return hash.digest("hex");
}
