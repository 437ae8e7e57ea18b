/**
 * Lends to the kernel what no peer will read, leaves receives pending, and says so.
 */
import { parentPort, workerData } from "node:worker_threads";
import { open } from "../../../mod.ts";
import { tightPair } from "../../support/pairs.ts";
import { turns } from "../../support/turns.ts";

const io = await open({ engine: workerData, arenaBytes: 16 << 20, zeroCopy: "always" });
const { conn, peer } = await tightPair(io);
for (let i = 0; i < 4; i++) conn.send(await io.lease(1 << 20)).catch(() => {});
const udp = await io.bindUdp({ hostname: "127.0.0.1", errors: true });
const many = await Promise.all(Array.from({ length: 64 }, () => io.lease(2048)));
let waiting = 0;
for (
  const receive of [
    udp.recv(await io.lease(65_536)),
    udp.recvMany(many),
    udp.datagrams().next(),
    udp.errors().next(),
    conn.recv(await io.lease(65_536)),
  ]
) {
  waiting += 1;
  receive.catch(() => {});
}
await turns();
void peer;
parentPort!.postMessage({ inFlight: io.stats().inFlight, waiting, port: udp.localAddr.port });
