/**
 * Stalls megabytes of zero-copy sends on a peer that never reads, over a device that does not copy, closes, and prints what became of
 * the loans. Runs in a network namespace of its own that it connects to a second one. Arguments: the engine, and "close" or "abort".
 */
import { spawn } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { type EngineName, RingletError } from "../../../mod.ts";
import { withIo } from "../../support/engines.ts";
import { until } from "../../support/turns.ts";
import { connectTo } from "../../support/veth.ts";

const MEGABYTE = 1 << 20;
const [, , engine, how] = process.argv;

const script = fileURLToPath(new URL("./silent_peer.ts", import.meta.url));
const peer = spawn("unshare", ["-n", process.execPath, "run", "-A", script, "0.0.0.0"], {
  stdio: ["pipe", "pipe", "inherit"],
});
const port = Number(await new Promise((resolve) => peer.stdout.once("data", resolve)));
connectTo(peer.pid, ["v0", "10.77.1.1/24"], ["v1", "10.77.1.2/24"]);

await withIo({ engine: engine as EngineName, arenaBytes: 16 * MEGABYTE }, async (io) => {
  const conn = await io.connect({
    hostname: "10.77.1.2",
    port,
    sendBufferBytes: 4 * MEGABYTE,
    maxInFlightBytes: 16 * MEGABYTE,
  });
  const leases = await Promise.all(Array.from({ length: 24 }, () => io.lease(MEGABYTE / 2)));
  const outcomes = Promise.allSettled(leases.map((lease) => conn.send(lease)));
  // Megabytes are in the kernel's hands, it takes no more, and the peer's window is shut.
  let before = -1;
  await until(() => {
    const { bytesAccepted } = conn.stats();
    const stalled = bytesAccepted > 2 * MEGABYTE && bytesAccepted === before;
    before = bytesAccepted;
    return stalled;
  });
  const { inFlight, bytesZeroCopy, bytesAccepted } = io.stats();
  if (how === "abort") await conn.abort();
  else await conn.close({ deadlineMs: 200 });
  const errors: Record<string, number> = {};
  const releases: Promise<unknown>[] = [];
  for (const outcome of await outcomes) {
    if (outcome.status === "fulfilled") {
      releases.push(outcome.value.released);
      continue;
    }
    const { reason } = outcome;
    if (!(reason instanceof RingletError)) throw reason;
    errors[reason.code] = (errors[reason.code] ?? 0) + 1;
    if (reason.released !== undefined) releases.push(reason.released);
  }
  await Promise.all(releases);
  for (const lease of leases) lease[Symbol.dispose]();
  const after = io.stats();
  console.log(JSON.stringify({
    stalled: { inFlight, bytesZeroCopy, bytesAccepted },
    errors,
    inFlight: after.inFlight,
    leases: after.arena.leases,
    quarantined: after.quarantined.sends,
    balanced: after.lent === after.released + after.inFlight,
  }));
});
peer.stdin.end();
