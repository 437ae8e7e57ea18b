/**
 * Sends trains out of a device that segments, one that does not, and one that cannot even make checksums, to another network
 * namespace, and prints what became of them. Argument: the engine, or "receive".
 */
import { spawn } from "node:child_process";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { type EngineName, open } from "../../../mod.ts";
import { mismatch } from "../../support/bytes.ts";
import { withIo } from "../../support/engines.ts";
import { patterned } from "../../support/trains.ts";
import { connectTo, run } from "../../support/veth.ts";

const SEGMENT_BYTES = 1200;
const TRAIN_BYTES = 16 * SEGMENT_BYTES + 800;
const TRAINS = 5;
const HERE = "10.77.3.1";
const THERE = "10.77.3.2";
const [, , role] = process.argv;

/** Prints its port, and for each line of input how many datagrams and bytes have come since, all with the right content. */
async function receive(): Promise<void> {
  await using io = await open({ engine: "copy", arenaBytes: 1 << 20 });
  console.log("ready"); // now the devices are made
  const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  await lines.next();
  const udp = await io.bindUdp({ hostname: THERE, receiveBufferBytes: 4 << 20 });
  console.log(udp.localAddr.port);
  using into = await io.lease(65_536);
  for await (const _ of lines) {
    const lengths: number[] = [];
    let bytes = 0;
    while (bytes < TRAINS * TRAIN_BYTES) {
      const datagram = await udp.recv(into, { signal: AbortSignal.timeout(5000) });
      const at = bytes % TRAIN_BYTES;
      if (mismatch(into.bytes.subarray(0, datagram.bytes), at) !== -1) throw new Error(`byte ${bytes} is wrong`);
      bytes += datagram.bytes;
      lengths.push(datagram.bytes);
    }
    const expected = (i: number) => i % 17 === 16 ? 800 : SEGMENT_BYTES;
    console.log(lengths.every((length, i) => length === expected(i)) ? "whole" : `${lengths}`);
  }
}

async function send(engine: EngineName): Promise<void> {
  const script = fileURLToPath(import.meta.url);
  const receiver = spawn("unshare", ["-n", process.execPath, "run", "-A", "--no-check", script, "receive"], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const lines = createInterface({ input: receiver.stdout })[Symbol.asyncIterator]();
  const next = async () => (await lines.next()).value as string | undefined;
  await next();
  connectTo(receiver.pid, ["v0", `${HERE}/24`], ["v1", `${THERE}/24`]);
  receiver.stdin.write("\n");
  const to = { hostname: THERE, port: Number(await next()) };
  const outcome: Record<string, unknown> = {};
  for (
    const [device, off] of [["segments", []], ["sums up", ["tx-udp-segmentation"]], ["does neither", ["tx"]]] as const
  ) {
    for (const offload of off) run("ethtool", "-K", "v0", offload, "off");
    for (const zeroCopy of ["always", "never"] as const) {
      for (const own of [undefined, SEGMENT_BYTES]) {
        await withIo({ engine, zeroCopy }, async (io) => {
          const udp = await io.bindUdp({ hostname: HERE, segmentBytes: own });
          const receipts = [];
          for (let i = 0; i < TRAINS; i++) {
            // One after the other: those that go segment by segment mix.
            const segmentBytes = own === undefined ? SEGMENT_BYTES : undefined;
            receipts.push(await udp.send(await patterned(io, TRAIN_BYTES), { to, segmentBytes }));
          }
          receiver.stdin.write("\n");
          const came = await next();
          for (const { released } of receipts) await released;
          const { idsUnknown, idsDuplicate } = udp.stats();
          outcome[`${device}, ${zeroCopy}, ${own === undefined ? "said" : "own"}`] = [came, idsUnknown, idsDuplicate];
        });
      }
    }
  }
  receiver.stdin.end();
  console.log(JSON.stringify(outcome));
}

if (role === "receive") await receive();
else await send(role as EngineName);
