/**
 * Sends megabytes with zero-copy to readers that stall at first, under whatever limits this process has, and checks every byte.
 * Prints how often the kernel answered ENOBUFS or ENOMEM. Argument: the engine.
 */
import process from "node:process";
import { openSystem } from "../../../ffi/system.ts";
import { ERRNO } from "../../../ffi/errno.ts";
import type { EngineName } from "../../../mod.ts";
import { fillPattern, mismatch, receive } from "../../support/bytes.ts";
import { withIo } from "../../support/engines.ts";
import { connectedPair } from "../../support/pairs.ts";
import { turns } from "../../support/turns.ts";

const LEASE_BYTES = 50_000;
const LEASES = 60;

const engine = process.argv[2] as EngineName;
const refused = countRefusals();

await withIo({ engine, arenaBytes: 16 << 20 }, async (io) => {
  const pairs = await Promise.all(
    Array.from({ length: 3 }, () => connectedPair(io, { sendBufferBytes: 4 << 20, maxInFlightBytes: 16 << 20 })),
  );
  const sends = pairs.flatMap(({ conn }) =>
    Array.from({ length: LEASES }, (_, i) => {
      const lease = io.tryLease(LEASE_BYTES)!;
      fillPattern(lease.bytes, i * LEASE_BYTES);
      return conn.send(lease);
    })
  );
  await turns();
  const inFlight = io.stats().inFlight;
  for (const { peer } of pairs) {
    const bytes = await receive(io, peer, LEASES * LEASE_BYTES);
    if (mismatch(bytes) >= 0) throw new Error(`wrong byte at ${mismatch(bytes)}`);
  }
  for (const receipt of await Promise.all(sends)) await receipt.released;

  // Datagrams, too: many at once, and none may fail.
  const [from, to] = [await io.bindUdp({ hostname: "127.0.0.1" }), await io.bindUdp({ hostname: "127.0.0.1" })];
  const datagrams = Array.from({ length: 100 }, () => from.send(io.tryLease(40_000)!, { to: to.localAddr }));
  for (const receipt of await Promise.all(datagrams)) await receipt.released;

  const { lent, released, bytesZeroCopy, accepted } = io.stats();
  console.log(JSON.stringify({ refused: refused(), inFlight, lent, released, bytesZeroCopy, accepted }));
});

/** Counts ENOBUFS and ENOMEM at the system call itself. */
function countRefusals(): () => number {
  const { libc } = openSystem();
  const { call } = libc;
  let count = 0;
  let failure = 0;
  const sendmmsg: typeof call.sendmmsg = (...args) => {
    const taken = call.sendmmsg(...args);
    failure = taken < 0 ? libcErrno() : 0;
    if (failure === ERRNO.ENOBUFS || failure === ERRNO.ENOMEM) count += 1;
    return taken;
  };
  const libcErrno = libc.errno;
  const library = libc as { call: unknown; errno: () => number };
  library.call = { ...call, sendmmsg };
  library.errno = () => {
    const errno = failure || libcErrno();
    failure = 0;
    return errno;
  };
  return () => count;
}
