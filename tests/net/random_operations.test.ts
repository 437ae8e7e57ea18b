/**
 * Random operations through real sockets: what arrives is what was accepted, byte for byte, and every send ends once. A failure
 * prints the operations, shrunk as far as a real kernel allows, and the seed.
 */
import fc from "fast-check";
import process from "node:process";
import { test } from "node:test";
import { ENGINES } from "../support/engines.ts";
import { operation, play, setting } from "./operations.ts";

const SEED = Number(process.env.RINGLET_OPERATIONS_SEED ?? Date.now() % 2 ** 31);
const SECONDS = Number(process.env.RINGLET_OPERATIONS_SECONDS ?? 3);
const OPERATIONS = 60;
/** A run that takes so long hangs. */
const HANG_MS = 10_000;

for (const engine of ENGINES) {
  const name = `random operations, RINGLET_OPERATIONS_SEED=${SEED} [${engine}]`;
  test(name, { timeout: 1000 * SECONDS + 6 * HANG_MS }, async () => {
    let last: Promise<void> | undefined;
    const operations = fc.array(operation, { maxLength: OPERATIONS, size: "max" });
    const property = fc.asyncProperty(setting, operations, (setting, operations) => {
      return last = play(engine, setting, operations);
    });
    const interruptAfterTimeLimit = SECONDS * 1000;
    await fc.assert(property, { seed: SEED, numRuns: 1e6, timeout: HANG_MS, interruptAfterTimeLimit });
    await last; // the one that was interrupted
  });
}
