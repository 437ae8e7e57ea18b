/**
 * The other side of netem_sender.ts: prints its ports, checks one stream and all datagrams until its input ends, and prints what came.
 */
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { open } from "../../../mod.ts";
import { mismatch } from "../../support/bytes.ts";
import { SEQUENCE_BYTES } from "./netem_format.ts";

/** Datagrams that are still under way when the sender is done. */
const LATE_MS = 500;

const io = await open({ engine: "copy", arenaBytes: 1 << 20 });
const listener = await io.listen({ hostname: "0.0.0.0", port: 0 });
const udp = await io.bindUdp({ hostname: "0.0.0.0", receiveBufferBytes: 4 << 20 });
console.log(JSON.stringify({ tcpPort: (listener.localAddr as { port: number }).port, udpPort: udp.localAddr.port }));

async function readStream() {
  const conn = await listener.accept();
  const lease = await io.lease(65_536);
  let [received, wrong] = [0, -1];
  for (let n = await conn.recv(lease); n !== null; n = await conn.recv(lease)) {
    if (wrong < 0) wrong = mismatch(lease.bytes.subarray(0, n), received);
    received += n;
  }
  return { received, wrong };
}

const exact = new Set<number>();
let wrong = 0;
async function readDatagrams() {
  const lease = await io.lease(65_536);
  for (;;) {
    const { bytes } = await udp.recv(lease);
    const index = new DataView(lease.bytes.buffer, lease.bytes.byteOffset).getUint32(0);
    const good = bytes > SEQUENCE_BYTES && mismatch(lease.bytes.subarray(SEQUENCE_BYTES, bytes), index) < 0;
    if (good) exact.add(index);
    else wrong += 1;
  }
}

const stream = readStream();
readDatagrams().catch(() => {});
process.stdin.resume();
await new Promise((resolve) => process.stdin.once("end", resolve));
await sleep(LATE_MS);
console.log(JSON.stringify({ tcp: await stream, udp: { exact: exact.size, wrong } }));
await io.close({ deadlineMs: 0 });
process.exit(0);
