/**
 * Sends to a peer that does not read, says how many bytes were accepted, and leaves without closing anything. Arguments: the engine,
 * where to connect to as JSON, how to send ("send" or "trySend"), and how to leave.
 */
import process from "node:process";
import { type EngineName, type Io, open, type TcpConn } from "../../../mod.ts";
import { fillPattern } from "../../support/bytes.ts";
import { turns } from "../../support/turns.ts";

const LEASE_BYTES = 50_000;
/** More than the kernel takes before somebody reads. */
const LEASES = 60;

const [, , engine, target, call, how] = process.argv;
const io = await open({ engine: engine as EngineName, zeroCopy: "always" });
const conn = await io.connect({ ...JSON.parse(target), sendBufferBytes: 1 << 20, maxInFlightBytes: 64 << 20 });
const accepted = call === "send" ? await sendAll(io, conn) : await sendBatch(io, conn);
const { registeredBytes } = io.capabilities;
console.log(JSON.stringify({ accepted, registeredBytes, inFlight: io.stats().inFlight }));
if (how === "exit") process.exit(7);
if (how === "error") throw new Error("nobody catches this");
if (how === "stay") setInterval(() => {}, 1000);
conn.unref();

/** The next lease with its piece of the pattern. */
function fill(i: number) {
  const lease = io.tryLease(LEASE_BYTES)!;
  fillPattern(lease.bytes, i * LEASE_BYTES);
  return lease;
}

/** Answers once nothing more is accepted. */
async function settled(accepted: () => number): Promise<number> {
  for (let before = -1; before !== accepted() || before === 0;) {
    before = accepted();
    await turns();
  }
  return accepted();
}

function sendAll(_io: Io, conn: TcpConn): Promise<number> {
  let bytes = 0;
  for (let i = 0; i < LEASES; i++) conn.send(fill(i)).then((receipt) => bytes += receipt.bytes, () => {});
  return settled(() => bytes);
}

function sendBatch(io: Io, conn: TcpConn): Promise<number> {
  let bytes = 0;
  for (let i = 0; i < LEASES; i++) conn.trySend(fill(i));
  io.flush();
  return settled(() => {
    io.reap((_id, event, value) => bytes += event === "accepted" ? value : 0);
    return bytes;
  });
}
