/**
 * The calls without a promise for each send: `trySend` prepares, `flush` enters the kernel once for many sends, `reap` tells what
 * became of them, and `reapable` waits until it has something to tell.
 *
 * Run: `deno run -A examples/batch.ts` (loopback only; ends by itself)
 *
 * @module
 */
import { open } from "@ringlet/ringlet";

const DATAGRAMS = 100_000;
const DATAGRAM_BYTES = 1200;
const BATCH = 64;

await using io = await open({ arenaBytes: 1 << 20 });
const receiver = await io.bindUdp({ hostname: "127.0.0.1" });
const sender = await io.bindUdp({ hostname: "127.0.0.1", remote: receiver.localAddr });

const counts = { accepted: 0, released: 0, failed: 0, refused: 0 };
let prepared = 0;
const startedMs = performance.now();
while (counts.released + counts.refused < DATAGRAMS) {
  for (let i = 0; i < BATCH && prepared < DATAGRAMS; i++) {
    const lease = io.tryLease(DATAGRAM_BYTES);
    if (lease === undefined) break; // everything is lent: flush and reap first
    lease.bytes.fill(prepared);
    if (sender.trySend(lease) < 0) {
      lease.release();
      break;
    }
    prepared += 1;
  }
  io.flush();
  await io.reapable();
  io.reap((_id, event) => counts[event] += 1);
}
const seconds = (performance.now() - startedMs) / 1000;

console.log(`${DATAGRAMS} datagrams in ${seconds.toFixed(2)} s: ${JSON.stringify(counts)}`);
const { lent, released, inFlight } = io.stats();
console.log(`${lent} loans lent, ${released} released, ${inFlight} in flight`);
