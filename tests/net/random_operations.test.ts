/**
 * Random operations through real sockets: what arrives is what was accepted, byte for byte, and every send ends once. A failure
 * prints the operations, shrunk as far as a real kernel allows, and the seed.
 */
import fc from "fast-check";
import process from "node:process";
import { ENGINES, NO_ENGINE } from "../support/engines.ts";
import { testIf } from "../support/skip.ts";
import { type Operation, operation, play, type Setting, setting } from "./operations.ts";

const SEED = Number(process.env.RINGLET_OPERATIONS_SEED ?? Date.now() % 2 ** 31);
const SECONDS = Number(process.env.RINGLET_OPERATIONS_SECONDS ?? 3);
const OPERATIONS = 60;
/** A run that takes so long hangs. */
const HANG_MS = 10_000;

const ORDINARY: Setting = {
  transport: "tcp",
  pairs: 1,
  tight: false,
  limits: { entries: 1024, registeredBytes: 4 << 20, gathersRegistered: true },
  options: { arenaBytes: 4 << 20, maxSends: 1024, windowIds: 256, zeroCopyThresholdBytes: 0 },
  maxInFlightBytes: 4 << 20,
  ending: "close",
};

/** What once failed, and is played first. */
const FOUND: [Setting, Operation[]][] = [
  // News for a receive of a socket that was just closed: it heard of a connection that is not there.
  [{ ...ORDINARY, limits: { ...ORDINARY.limits, registeredBytes: 0 } }, [
    { do: "closeWrite", flow: 0 },
    { do: "receive", flow: 1, signal: false },
    { do: "closeWrite", flow: 1 },
  ]],
  // A send that was accepted in part had the error of the reset: the reader saw an orderly end.
  [{ ...ORDINARY, tight: true, limits: { ...ORDINARY.limits, gathersRegistered: false }, ending: "drain" }, [
    {
      do: "send",
      flow: 0,
      sizes: [100_270, 1, 55, 297, 7145, 6695, 6, 220, 1],
      as: "leases",
      signal: false,
    },
    { do: "flush" },
    { do: "send", flow: 1, sizes: [41], as: "bytes", signal: true },
    { do: "close", flow: 1, deadlineMs: 0 },
    { do: "send", flow: 1, sizes: [278, 5836, 10_894, 34], as: "bytes", signal: false },
  ]],
];

for (const engine of ENGINES) {
  const name = `random operations, RINGLET_OPERATIONS_SEED=${SEED} [${engine}]`;
  testIf(NO_ENGINE[engine], name, async () => {
    let last: Promise<void> | undefined;
    const operations = fc.array(operation, { maxLength: OPERATIONS, size: "max" });
    const property = fc.asyncProperty(setting, operations, (setting, operations) => {
      return last = play(engine, setting, operations);
    });
    const interruptAfterTimeLimit = SECONDS * 1000;
    await fc.assert(property, { seed: SEED, examples: FOUND, numRuns: 1e6, timeout: HANG_MS, interruptAfterTimeLimit });
    await last; // the one that was interrupted
  }, 1000 * SECONDS + 6 * HANG_MS);
}
