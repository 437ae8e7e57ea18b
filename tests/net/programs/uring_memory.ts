/**
 * What an `open()` gets under the limits of this process, and whether sends from all parts of the arena arrive. Arguments: the options of
 * `open()` as JSON, and how often to open and close before.
 */
import process from "node:process";
import { readdirSync, readFileSync } from "node:fs";
import { open } from "../../../mod.ts";
import { fillPattern, mismatch, receive } from "../../support/bytes.ts";
import { connectedPair } from "../../support/pairs.ts";
import { turns } from "../../support/turns.ts";

const options = JSON.parse(process.argv[2]);
const times = Number(process.argv[3]);
/** What the system has of this process. */
const holdings = () => ({
  descriptors: readdirSync("/proc/self/fd").length,
  maps: readFileSync("/proc/self/maps", "utf8").split("\n").length,
  threads: readdirSync("/proc/self/task").length,
});

/** Memory is given back some time after it was collected. */
async function collectGarbage(): Promise<void> {
  for (let i = 0; i < 3; i++) {
    (globalThis as { gc?: () => void }).gc?.();
    await turns();
  }
}

const engines: Record<string, number> = {};
let before = holdings();
for (let i = 0; i < times; i++) {
  const io = await open({ arenaBytes: 1 << 20, ...options });
  engines[io.engine.reason] = (engines[io.engine.reason] ?? 0) + 1;
  await using udp = await io.bindUdp({ hostname: "127.0.0.1" });
  await (await udp.send(io.tryLease(20_000)!, { to: udp.localAddr })).released;
  await io.close();
  if (i === 100) {
    await collectGarbage();
    before = holdings();
  }
}
await collectGarbage();
const after = holdings();
const left = {
  descriptors: after.descriptors - before.descriptors,
  maps: after.maps - before.maps,
  threads: after.threads - before.threads,
};

const io = await open({ zeroCopy: "always", zeroCopyThresholdBytes: 0, ...options });
const { arena } = io.stats();
const { conn, peer } = await connectedPair(io);
const LEASE_BYTES = 50_000;
const leases = [];
for (let lease = io.tryLease(LEASE_BYTES); lease !== undefined; lease = io.tryLease(LEASE_BYTES)) leases.push(lease);
const spare = leases.pop()!; // for the receiver
spare.release();
leases.forEach((lease, i) => fillPattern(lease.bytes, i * LEASE_BYTES));
const bytes = leases.length * LEASE_BYTES;
const sends = leases.map((lease) => conn.send(lease));
const wrong = mismatch(await receive(io, peer, bytes));
for (const receipt of await Promise.all(sends)) await receipt.released;
await io.close();
const { lent, released } = io.stats();
const { registeredBytes } = io.capabilities;
console.log(JSON.stringify({
  engine: io.engine,
  engines,
  left,
  arenaBytes: arena.bytes,
  registeredBytes,
  wrong,
  balanced: lent === released,
}));
