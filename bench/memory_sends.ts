/**
 * Sends and sends, each time with a lease of its own, and prints how much memory was resident after the first sends and at most later,
 * in bytes. Each look is after a full collection, so that garbage does not count; needs `--expose-gc`.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import { type EngineName, open, RingletError } from "../mod.ts";

const PAYLOAD_BYTES = 64;
const BATCH = 64;
/** One batch of so many goes through promises. */
const PROMISES_EVERY = 8;
const LOOKS = 50;
/** The exit code where there is no such engine. */
const NOT_HERE = 3;

const [engine, hostname] = Deno.args as [EngineName, string];
const [port, sends, settlingSends] = Deno.args.slice(2).map(Number);
const { gc } = globalThis as unknown as { gc(): void };

function residentBytes(): number {
  gc();
  return Number(readFileSync("/proc/self/statm", "utf8").split(" ")[1]) * 4096;
}

const io = await open({ engine, zeroCopy: "always", zeroCopyThresholdBytes: 0 }).catch((error) => {
  if (!(error instanceof RingletError)) throw error;
  console.error(`SKIP ${engine}: ${error.message}`);
  Deno.exit(NOT_HERE);
});
console.log("ready");
const nobody = await io.bindUdp({ hostname: "127.0.0.1" });
const socket = await io.bindUdp({ remote: hostname === "" ? nobody.localAddr : { hostname, port } });
let released = 0;
const onEvent = (_id: number, event: string) => {
  if (event === "released") released += 1;
};
const take = () => {
  const lease = io.tryLease(PAYLOAD_BYTES)!;
  lease.bytes.fill(released);
  return lease;
};

let settled = 0;
let largest = 0;
let nextLook = settlingSends;
for (let batch = 0, sent = 0; sent < sends; batch++) {
  sent += BATCH;
  if (batch % PROMISES_EVERY === 0) {
    const receipts = await Promise.all(Array.from({ length: BATCH }, () => socket.send(take())));
    for (const receipt of receipts) await receipt.released;
    released += BATCH;
  } else {
    for (let i = 0; i < BATCH; i++) socket.trySend(take());
    for (io.flush(), io.reap(onEvent); released < sent; io.reap(onEvent)) {
      await new Promise((turn) => setImmediate(turn));
    }
  }
  if (sent < nextLook) continue;
  nextLook += sends / LOOKS;
  if (settled === 0) settled = residentBytes();
  else largest = Math.max(largest, residentBytes());
}
const { lent, inFlight } = io.stats();
if (lent < sends || inFlight !== 0) throw new Error(`${lent} loans, ${inFlight} of them out, after ${sends} sends`);
console.log(settled, largest);
await io.close();
