/**
 * Sends a stream and datagrams to a second namespace, over a device with the given netem settings, and rewrites every lease as soon as it
 * is told to be free. Prints what both sides saw. Runs in a network namespace of its own.
 *
 * Arguments: the engine; "released" or "accepted", after which leases are rewritten; bytes of the stream; datagrams; netem's words.
 */
import { spawn } from "node:child_process";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { EngineName, Lease, Receipt } from "../../../mod.ts";
import { fillPattern } from "../../support/bytes.ts";
import { withIo } from "../../support/engines.ts";
import { connectTo, run } from "../../support/veth.ts";
import { SEQUENCE_BYTES } from "./netem_format.ts";

const [, , engine, rewrite, streamBytes, datagrams, ...weather] = process.argv;
const LEASES = 24;
const LEASE_BYTES = 20_000;
/** The second is cut into fragments by the network. */
const DATAGRAM_BYTES = [1400, 8000];
const ADDRESSES = { here: "10.77.3.1", there: "10.77.3.2" };

const script = fileURLToPath(new URL("./netem_receiver.ts", import.meta.url));
const receiver = spawn("unshare", ["-n", process.execPath, "run", "--no-check", "-A", script], {
  stdio: ["pipe", "pipe", "inherit"],
});
const lines = createInterface({ input: receiver.stdout })[Symbol.asyncIterator]();
const said = async () => JSON.parse((await lines.next()).value!);
const { tcpPort, udpPort } = await said();
connectTo(receiver.pid, ["v0", `${ADDRESSES.here}/24`], ["v1", `${ADDRESSES.there}/24`]);
run("tc", "qdisc", "add", "dev", "v0", "root", "netem", "limit", "10000", ...weather);

await withIo({ engine: engine as EngineName, arenaBytes: 8 << 20 }, async (io) => {
  const conn = await io.connect({ hostname: ADDRESSES.there, port: tcpPort });
  const udp = await io.bindUdp({ hostname: ADDRESSES.here });
  const to = { hostname: ADDRESSES.there, port: udpPort };

  /** Sends what `fill` puts into leases, over and over through the same few; answers how much was accepted and released. */
  async function sendAll(
    total: number,
    byteLength: (index: number) => number,
    fill: (bytes: Uint8Array, index: number) => void,
    send: (lease: Lease, byteLength: number) => Promise<Receipt>,
  ) {
    const free = await Promise.all(Array.from({ length: LEASES }, () => io.lease(LEASE_BYTES)));
    for (const lease of free) lease.retain();
    const count = { accepted: 0, released: 0 };
    const waiting: (() => void)[] = [];
    const over: Promise<void>[] = [];
    for (let index = 0; index < total; index++) {
      while (free.length === 0) await new Promise<void>((resolve) => waiting.push(resolve));
      const lease = free.pop()!;
      const bytes = byteLength(index);
      fill(lease.bytes.subarray(0, bytes), index);
      over.push(
        send(lease, bytes).then(async ({ released }) => {
          count.accepted += bytes;
          if (rewrite === "accepted") lease.bytes.fill(0xee);
          await released;
          count.released += bytes;
          lease.bytes.fill(0xee);
          free.push(lease);
          waiting.shift()?.();
        }),
      );
    }
    await Promise.all(over);
    for (const lease of free) lease.release();
    return count;
  }

  const chunks = Number(streamBytes) / LEASE_BYTES;
  const tcp = await sendAll(
    chunks,
    () => LEASE_BYTES,
    (bytes, index) => fillPattern(bytes, index * LEASE_BYTES),
    (lease) => conn.send(lease),
  );
  await conn.closeWrite();
  const datagram = await sendAll(
    Number(datagrams),
    (index) => DATAGRAM_BYTES[index % DATAGRAM_BYTES.length],
    (bytes, index) => {
      new DataView(bytes.buffer, bytes.byteOffset).setUint32(0, index);
      fillPattern(bytes.subarray(SEQUENCE_BYTES), index);
    },
    (lease, byteLength) => udp.send(lease, { to, byteLength }),
  );
  const perSend = DATAGRAM_BYTES.reduce((sum, bytes) => sum + bytes) / DATAGRAM_BYTES.length;
  receiver.stdin.end();
  const received = await said();
  const { lent, released, inFlight } = io.stats();
  console.log(JSON.stringify({
    tcp: { ...tcp, ...received.tcp },
    udp: { accepted: datagram.accepted / perSend, released: datagram.released / perSend, ...received.udp },
    balanced: lent === released + inFlight && inFlight === 0,
  }));
});
