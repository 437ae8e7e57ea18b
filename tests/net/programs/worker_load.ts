/**
 * Workers that send and receive with an io each, all at once; others that are terminated in mid-flight meanwhile; and this thread,
 * which does the same work and checks every byte. Prints how many descriptors there were before and after. Argument: the engine.
 */
import { readdirSync } from "node:fs";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { type EngineName, open } from "../../../mod.ts";
import { fillPattern, mismatch } from "../../support/bytes.ts";
import { assertAllReturned } from "../../support/ledger.ts";
import { connectedPair } from "../../support/pairs.ts";

const WORKERS = 3;
const VICTIMS = 8;
const BYTES = 60_000;
const ROUNDS = 150;

/** Sends over a connection of its own, from memory that is written anew as soon as it is released. */
async function work(engine: EngineName, rounds: number): Promise<number> {
  const io = await open({ engine, arenaBytes: 2 << 20, zeroCopy: "always", zeroCopyThresholdBytes: 0 });
  const { conn, peer } = await connectedPair(io);
  let received = 0;
  const reading = (async () => {
    using into = await io.lease(BYTES);
    for (let n = await peer.recv(into); n !== null; n = await peer.recv(into)) {
      const wrong = mismatch(into.bytes.subarray(0, n), received);
      if (wrong >= 0) throw new Error(`byte ${wrong} is wrong`);
      received += n;
    }
  })();
  for (let i = 0; i < rounds; i++) {
    const lease = await io.lease(BYTES);
    fillPattern(lease.bytes, i * BYTES);
    await conn.send(lease);
  }
  await conn.closeWrite();
  await reading;
  await io.close();
  assertAllReturned(io);
  return received;
}

if (isMainThread) {
  const engine = process.argv[2] as EngineName;
  const start = (rounds: number) => new Worker(new URL(import.meta.url), { workerData: { engine, rounds } });
  const ended = (worker: Worker) =>
    new Promise<number>((resolve, reject) => {
      worker.once("message", resolve);
      worker.once("error", reject);
    });
  const descriptors = () => readdirSync("/proc/self/fd").length;
  await work(engine, 1);
  const before = descriptors();
  const working = Array.from({ length: WORKERS }, () => ended(start(ROUNDS)));
  const own = work(engine, ROUNDS);
  for (let i = 0; i < VICTIMS; i++) {
    const victim = start(1e9);
    victim.on("error", () => {});
    await sleep(60 + 10 * i);
    await victim.terminate();
  }
  const received = await Promise.all([own, ...working]);
  console.log(JSON.stringify({ received, leftPerVictim: (descriptors() - before) / VICTIMS }));
} else {
  const { engine, rounds } = workerData;
  parentPort!.postMessage(await work(engine, rounds));
}
