/**
 * Receives trains over a veth pair between two network namespaces, and prints how they came: first as the sender's kernel made them,
 * then cut by the sending device and put together again by the receiving one (GRO). Argument: the engine, or "send" and a port.
 */
import { spawn } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { C } from "../../../ffi/abi.ts";
import { openSystem } from "../../../ffi/system.ts";
import { type EngineName, segmentsOf } from "../../../mod.ts";
import { setOption } from "../../../net/options.ts";
import { fillPattern, mismatch } from "../../support/bytes.ts";
import { withIo } from "../../support/engines.ts";
import { endpointOf } from "../../support/sockopt.ts";
import { connectTo, run } from "../../support/veth.ts";

const UDP_SEGMENT = 103;
const SEGMENT_BYTES = 1200;
const TRAIN_BYTES = 10 * SEGMENT_BYTES;
const TRAINS = 10;
const [, , role] = process.argv;

async function send(): Promise<void> {
  console.log("ready");
  const lines: string[] = [];
  for await (const chunk of process.stdin) {
    lines.push(...String(chunk).trim().split("\n"));
    while (lines.length > 0) {
      const to = { hostname: "10.77.2.1", port: Number(lines.shift()) };
      await withIo({ engine: "copy" }, async (io) => {
        const udp = await io.bindUdp({ hostname: "10.77.2.2" });
        setOption(openSystem(), endpointOf(udp).fd, C.IPPROTO_UDP, UDP_SEGMENT, SEGMENT_BYTES);
        for (let i = 0; i < TRAINS; i++) await udp.send(fillPattern(new Uint8Array(TRAIN_BYTES)), { to });
      });
    }
  }
}

async function receive(engine: EngineName): Promise<void> {
  const script = fileURLToPath(import.meta.url);
  const sender = spawn("unshare", ["-n", process.execPath, "run", "-A", "--no-check", script, "send"], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  await new Promise((resolve) => sender.stdout.once("data", resolve));
  const runAtSender = connectTo(sender.pid, ["v1", "10.77.2.1/24"], ["v0", "10.77.2.2/24"]);
  const results: Record<string, unknown> = {};
  await withIo({ engine }, async (io) => {
    for (const how of ["whole", "put together"]) {
      if (how === "put together") {
        // A veth device puts together only what comes from one that cannot cut TCP either.
        run("ethtool", "-K", "v1", "gro", "on");
        runAtSender("ethtool", "-K", "v0", "tso", "off", "tx-udp-segmentation", "off");
      }
      const udp = await io.bindUdp({ hostname: "10.77.2.1", receiveSegments: true, receiveBufferBytes: 1 << 20 });
      const result = { trains: 0, datagrams: 0, bad: 0 };
      sender.stdin.write(`${udp.localAddr.port}\n`);
      let at = 0;
      for await (const datagram of udp.datagrams()) {
        using _lease = datagram.lease;
        result.trains += 1;
        for (const segment of segmentsOf(datagram)) {
          result.datagrams += 1;
          if (segment.length !== SEGMENT_BYTES || mismatch(segment, at) >= 0) result.bad += 1;
          at = (at + segment.length) % TRAIN_BYTES;
        }
        if (result.datagrams >= TRAINS * 10) break;
      }
      results[how] = result;
      await udp.close();
    }
  });
  sender.stdin.end();
  console.log(JSON.stringify(results));
}

await (role === "send" ? send() : receive(role as EngineName));
