/**
 * What an `open()` gets under the limits of this process, and whether sends from all parts of the arena arrive. Arguments: the options of
 * `open()` as JSON, and how often to open and close before.
 */
import process from "node:process";
import { readdirSync } from "node:fs";
import { open } from "../../../mod.ts";
import { fillPattern, mismatch, receive } from "../../support/bytes.ts";
import { connectedPair } from "../../support/pairs.ts";

const options = JSON.parse(process.argv[2]);
const times = Number(process.argv[3]);
const descriptors = () => readdirSync("/proc/self/fd").length;

const engines: Record<string, number> = {};
let before = 0;
for (let i = 0; i < times; i++) {
  const io = await open({ arenaBytes: 1 << 20, ...options });
  engines[io.engine.reason] = (engines[io.engine.reason] ?? 0) + 1;
  await using udp = await io.bindUdp({ hostname: "127.0.0.1" });
  await (await udp.send(io.tryLease(20_000)!, { to: udp.localAddr })).released;
  await io.close();
  if (i === 10) before = descriptors();
}
const left = times > 10 ? descriptors() - before : 0;

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
