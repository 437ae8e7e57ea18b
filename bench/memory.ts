/**
 * Whether memory grows with the number of sends.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import { open } from "../mod.ts";
import { type Row, row } from "./measure.ts";
import type { BenchOptions } from "./options.ts";

/** Memory may settle during so many sends. */
const SETTLING_SENDS = 100_000;
const PAYLOAD_BYTES = 64;
const BATCH = 64;
/** One batch of so many goes through promises. */
const PROMISES_EVERY = 8;
/** Largest growth that still is flat. */
const FLAT = 1.1;

function residentBytes(): number {
  return Number(readFileSync("/proc/self/statm", "utf8").split(" ")[1]) * 4096;
}

/** The row of memory: zero-copy sends, each with a lease of its own, in batches and by promises. */
export async function memory({ device, sends }: BenchOptions): Promise<Row[]> {
  await using io = await open({ engine: "auto", zeroCopy: "always", zeroCopyThresholdBytes: 0 });
  await using nobody = await io.bindUdp({ hostname: "127.0.0.1" });
  await using socket = await io.bindUdp({ remote: device ?? nobody.localAddr });
  let released = 0;
  const onEvent = (_id: number, event: string) => released += event === "released" ? 1 : 0;
  const take = () => {
    const lease = io.tryLease(PAYLOAD_BYTES)!;
    lease.bytes.fill(released);
    return lease;
  };
  let settled = 0;
  let largest = 0;
  for (let batch = 0, sent = 0; sent < sends; batch++, sent += BATCH) {
    if (batch % PROMISES_EVERY === 0) {
      const receipts = await Promise.all(Array.from({ length: BATCH }, () => socket.send(take())));
      for (const receipt of receipts) await receipt.released;
      released += BATCH;
    } else {
      for (let i = 0; i < BATCH; i++) socket.trySend(take());
      for (io.flush(), io.reap(onEvent); released < sent + BATCH; io.reap(onEvent)) await new Promise((turn) => setImmediate(turn));
    }
    if (sent < SETTLING_SENDS) settled = Math.max(settled, residentBytes());
    else if (batch % 64 === 0) largest = Math.max(largest, residentBytes());
  }
  const { lent, inFlight } = io.stats();
  if (lent < sends || inFlight !== 0) throw new Error(`${lent} loans, ${inFlight} of them out, after ${sends} sends`);
  const name = `resident memory over ${(sends / 1e6).toLocaleString("en")} million sends`;
  const peer = `after ${SETTLING_SENDS.toLocaleString("en")}`;
  return [row(name, "MiB", [largest / 2 ** 20], peer, [settled / 2 ** 20], ["at most", FLAT])];
}
