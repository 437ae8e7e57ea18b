/**
 * A packet reflector: each datagram goes back to its sender from the lease that it came in, without a copy in user space. Clients send
 * numbered probes, and tell how many came back and how long that took.
 *
 * Run: `deno run -A examples/reflector.ts` (loopback only; ends by itself)
 *
 * @module
 */
import { open, type UdpSocket } from "@ringlet/ringlet";

const CLIENTS = 4;
const PROBES = 2_000;
const PROBE_BYTES = 512;
/** Probes that one client has on their way at most. */
const WINDOW = 16;
/** A probe that takes longer is lost. */
const PATIENCE_MS = 200;

await using io = await open({ arenaBytes: 4 << 20 });
const reflector = await io.bindUdp({ hostname: "127.0.0.1", receiveBufferBytes: 1 << 20 });
const reflecting = reflect(reflector);
const results = await Promise.all(Array.from({ length: CLIENTS }, probe));
await reflector.close(); // ends the loop
const reflected = await reflecting;

const back = results.reduce((sum, { back }) => sum + back, 0);
const medianMs = results.flatMap(({ tripsMs }) => tripsMs).sort((a, b) => a - b)[back >> 1];
console.log(`${CLIENTS * PROBES} probes, ${reflected} reflected, ${back} came back, median ${medianMs.toFixed(3)} ms`);
const { lent, released, inFlight, arena } = io.stats();
console.log(`${lent} loans lent, ${released} released, ${inFlight} in flight, ${arena.leases} leases out`);

/** Sends everything back until the socket is closed; answers how much. */
async function reflect(udp: UdpSocket): Promise<number> {
  let count = 0;
  for await (const { lease, bytes, from } of udp.datagrams({ leaseBytes: 2048 })) {
    count += 1;
    // The send takes the lease over: it goes back to the arena when the kernel is done with it, or here when it is refused.
    udp.send(lease, { to: from, byteLength: bytes }).catch(() => lease.release());
  }
  return count;
}

async function probe(): Promise<{ back: number; tripsMs: number[] }> {
  await using udp = await io.bindUdp({ hostname: "127.0.0.1", remote: reflector.localAddr });
  const sentMs = new Map<number, number>();
  const tripsMs: number[] = [];
  let next = 0;
  const send = async () => {
    const lease = await io.lease(PROBE_BYTES);
    new DataView(lease.bytes.buffer, lease.bytes.byteOffset).setUint32(0, next);
    sentMs.set(next++, performance.now());
    await udp.send(lease);
  };
  const leases = await Promise.all(Array.from({ length: WINDOW }, () => io.lease(PROBE_BYTES)));
  while (next < PROBES || sentMs.size > 0) {
    while (next < PROBES && sentMs.size < WINDOW) await send();
    const datagrams = await udp.recvMany(leases, { signal: AbortSignal.timeout(PATIENCE_MS) }).catch(() => []);
    if (datagrams.length === 0) sentMs.clear(); // what is still out is lost
    for (const { lease } of datagrams) {
      const number = new DataView(lease.bytes.buffer, lease.bytes.byteOffset).getUint32(0);
      const startMs = sentMs.get(number);
      if (startMs !== undefined) tripsMs.push(performance.now() - startMs);
      sentMs.delete(number);
    }
  }
  for (const lease of leases) lease.release();
  return { back: tripsMs.length, tripsMs };
}
