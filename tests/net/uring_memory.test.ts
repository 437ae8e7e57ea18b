/**
 * The ring with as much lockable memory as an ordinary user has, or less: the whole arena is registered, a part of it, nothing, or there
 * is no ring. In child processes without the capability that lifts the limit.
 */
import { assert, assertEquals } from "@std/assert";
import { type OpenOptions, RingletError } from "../../mod.ts";
import { openWithin } from "../../net/open.ts";
import { childJson, lockable, patiently } from "../support/child.ts";
import { lacks, testIf } from "../support/skip.ts";

const PROGRAM = new URL("./programs/uring_memory.ts", import.meta.url);
const MEBIBYTE = 2 ** 20;
/** What systemd and most distributions leave to a user. */
const USUAL_BYTES = 8 * MEBIBYTE;

interface Outcome {
  engine: { name: string; reason: string };
  engines: Record<string, number>;
  left: { descriptors: number; maps: number; threads: number };
  arenaBytes: number;
  registeredBytes: number;
  wrong: number;
  balanced: boolean;
}

const NO_LIMIT = lacks("needs prlimit and setpriv, and the right to drop capabilities", ...within(USUAL_BYTES));

function within(bytes: number): [string, ...string[]] {
  return [...lockable(bytes), "true"] as unknown as [string, ...string[]];
}

async function outcome(bytes: number, options: OpenOptions, times = 0): Promise<Outcome> {
  const args = [JSON.stringify(options), `${times}`];
  const result = await patiently(async () => {
    const flags = ["-A", "--v8-flags=--expose-gc"];
    const outcome = await childJson<Outcome>(PROGRAM, { args, flags, within: lockable(bytes) });
    if (bytes > 0) assertEquals(outcome.engine.name, "uring");
    return outcome;
  });
  assertEquals([result.wrong, result.balanced], [-1, true], JSON.stringify(result));
  return result;
}

testIf(NO_LIMIT, "an ordinary user gets a ring, and an arena that is registered whole", async () => {
  const { engine, arenaBytes, registeredBytes } = await outcome(USUAL_BYTES, {});
  assertEquals(engine, { name: "uring", reason: "io_uring with the whole arena registered" });
  assertEquals(arenaBytes, registeredBytes);
  assert(registeredBytes >= 4 * MEBIBYTE, `${registeredBytes}`);
});

testIf(NO_LIMIT, "of a larger arena a part is registered, and sends from all of it arrive", async () => {
  const { engine, arenaBytes, registeredBytes } = await outcome(USUAL_BYTES, { arenaBytes: 32 * MEBIBYTE });
  assertEquals(engine, { name: "uring", reason: "io_uring with 4 MiB of 32 MiB of the arena registered" });
  assertEquals([arenaBytes, registeredBytes], [32 * MEBIBYTE, 4 * MEBIBYTE]);
});

testIf(NO_LIMIT, "with hardly any lockable memory there is a small ring, and copies", async () => {
  const { engine, registeredBytes } = await outcome(64 * 1024, { arenaBytes: 4 * MEBIBYTE });
  assertEquals([engine.name, registeredBytes], ["uring", 0]);
});

testIf(NO_LIMIT, "without lockable memory there is no ring", async () => {
  const { engine } = await outcome(0, { arenaBytes: 4 * MEBIBYTE });
  assertEquals(engine.name, "errqueue");
  assert(engine.reason.startsWith("RLIMIT_MEMLOCK leaves no room for a ring; "), engine.reason);
});

testIf(NO_LIMIT, "thousands of opens and closes leave nothing behind", async () => {
  const { engines, left, engine } = await outcome(USUAL_BYTES, { arenaBytes: MEBIBYTE }, 5000);
  assertEquals(engines, { "io_uring with the whole arena registered": 5000 });
  assertEquals(engine.name, "uring");
  // The runtime has some of its own, and lets memory go late; what each open left would be thousands.
  assert(left.descriptors <= 4 && left.threads <= 4 && left.maps < 1000, JSON.stringify(left));
});

testIf(undefined, "a program says how much to register", async () => {
  for (const registerBytes of [0, 65_536, MEBIBYTE, 8 * MEBIBYTE]) {
    await using io = await openWithin({}, { engine: "uring", arenaBytes: 4 * MEBIBYTE, registerBytes });
    assertEquals(io.capabilities.registeredBytes, Math.min(registerBytes, 4 * MEBIBYTE));
  }
  const error = await openWithin({}, { registerBytes: -1 }).catch((error) => error);
  assert(error instanceof RingletError && error.code === "ERR_OUT_OF_RANGE");
});
