/**
 * Starts a Worker that lends memory to the kernel and waits for more, terminates it, and then uses a lot of memory and checks it.
 * Arguments: the engine, and how often.
 */
import { createSocket } from "node:dgram";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { fillPattern, mismatch } from "../../support/bytes.ts";

const [, , engine, times] = process.argv;
const BLOCK_BYTES = 4 << 20;
const BLOCKS = 48;

for (let i = 0; i < Number(times); i++) {
  const worker = new Worker(new URL("./worker_lending.ts", import.meta.url), { workerData: engine });
  const { inFlight, waiting, port } = await new Promise<Record<string, number>>((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
  });
  if (inFlight === 0) throw new Error("the worker has nothing lent: nothing is tested");
  if (waiting === 0) throw new Error("the worker does not wait: nothing is tested");
  await worker.terminate();
  // What the kernel or a thread still wrote to the worker's memory would show up here.
  const blocks = Array.from({ length: BLOCKS }, () => fillPattern(new Uint8Array(BLOCK_BYTES)));
  // The descriptor is still open: what comes to it must stay in the kernel.
  const sender = createSocket("udp4");
  for (let n = 0; n < 80; n++) {
    await new Promise((resolve) => sender.send(fillPattern(new Uint8Array(1000), 7), port, "127.0.0.1", resolve));
  }
  sender.close();
  await sleep(50);
  for (const block of blocks) if (mismatch(block) >= 0) throw new Error(`changed at ${mismatch(block)}`);
}
console.log(JSON.stringify({ terminated: Number(times) }));
