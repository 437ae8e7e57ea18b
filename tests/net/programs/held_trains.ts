/**
 * Has a train wait in the kernel for room while the kernel refuses another datagram of a socket that cuts by itself, and prints what
 * arrives in another network namespace. Argument: the engine, or "receive".
 */
import { spawn } from "node:child_process";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { C } from "../../../ffi/abi.ts";
import { type EngineName, open, RingletError } from "../../../mod.ts";
import { fillPattern, mismatch } from "../../support/bytes.ts";
import { withIo } from "../../support/engines.ts";
import { getOption } from "../../support/sockopt.ts";
import { segmentsOf, type Train } from "../../support/trains.ts";
import { turns } from "../../support/turns.ts";
import { connectTo, run } from "../../support/veth.ts";

const SEGMENT_BYTES = 1200;
/** The first fills the smallest send buffer; the second would fit into one as a single datagram. */
const TRAINS: readonly Train[] = [[30_000, SEGMENT_BYTES], [2500, SEGMENT_BYTES]];
/** The lengths of all datagrams, by where in the pattern they begin. */
const DATAGRAMS = new Map<number, number>();
let patternBytes = 0;
for (const length of TRAINS.flatMap(segmentsOf)) {
  DATAGRAMS.set(patternBytes, length);
  patternBytes += length;
}
const HERE = "10.77.4.1";
const THERE = "10.77.4.2";
const [, , role] = process.argv;

/** Prints its port, and then where in the pattern each datagram begins, and its length, until all bytes are there. */
async function receive(): Promise<void> {
  await using io = await open({ engine: "copy", arenaBytes: 1 << 20 });
  console.log("ready"); // now the devices are made
  for await (const _ of createInterface({ input: process.stdin })) break;
  const udp = await io.bindUdp({ hostname: THERE, receiveBufferBytes: 4 << 20 });
  console.log(udp.localAddr.port);
  using into = await io.lease(65_536);
  const came: [at: number, bytes: number][] = [];
  for (let left = patternBytes; left > 0;) {
    const { bytes } = await udp.recv(into, { signal: AbortSignal.timeout(10_000) });
    const datagram = into.bytes.subarray(0, bytes);
    came.push([[...DATAGRAMS.keys()].find((at) => mismatch(datagram, at) === -1) ?? -1, bytes]);
    left -= bytes;
  }
  console.log(JSON.stringify(came));
}

async function send(engine: EngineName): Promise<void> {
  const script = fileURLToPath(import.meta.url);
  const receiver = spawn("unshare", ["-n", process.execPath, "run", "-A", "--no-check", script, "receive"], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const lines = createInterface({ input: receiver.stdout })[Symbol.asyncIterator]();
  const next = async () => (await lines.next()).value as string;
  await next();
  const runThere = connectTo(receiver.pid, ["v0", `${HERE}/24`], ["v1", `${THERE}/24`]);
  // While the other end does not say who it is, the kernel keeps what is sent to it on the account of the sender, usually for 3 seconds.
  run("ip", "ntable", "change", "name", "arp_cache", "dev", "v0", "mcast_probes", "60");
  runThere("ip", "link", "set", "v1", "arp", "off");
  receiver.stdin.write("\n");
  const remote = { hostname: THERE, port: Number(await next()) };
  await withIo({ engine, zeroCopy: "never" }, async (io) => {
    const udp = await io.bindUdp({ hostname: HERE, remote, segmentBytes: SEGMENT_BYTES, sendBufferBytes: 1 });
    const [first, second] = await Promise.all(TRAINS.map(([bytes]) => io.lease(bytes)));
    fillPattern(first.bytes);
    fillPattern(second.bytes, first.byteLength);
    await udp.send(first);
    const waiting = udp.send(second);
    await turns();
    const refused = udp.send(new Uint8Array(100), { localAddress: "127.0.0.1" }) // which does not leave this host
      .then(() => "accepted", (error) => error instanceof RingletError ? error.code : `${error}`);
    await turns();
    runThere("ip", "link", "set", "v1", "arp", "on");
    await waiting;
    // What was kept leaves from one processor, what follows from another: they may overtake each other.
    const came = (JSON.parse(await next()) as [at: number, bytes: number][]).sort(([a], [b]) => a - b);
    console.log(JSON.stringify({
      came: came.join() === [...DATAGRAMS].join() ? "whole" : came,
      refused: await refused,
      maxSegments: udp.maxSegments,
      option: getOption(udp, C.IPPROTO_UDP, C.UDP_SEGMENT),
    }));
  });
  receiver.stdin.end();
}

if (role === "receive") await receive();
else await send(role as EngineName);
