/**
 * Sends trains of segments around what an MTU of 1,500 bytes allows, and prints what became of them. Argument: the engine.
 */
import process from "node:process";
import { type EngineName, RingletError } from "../../../mod.ts";
import { withIo } from "../../support/engines.ts";
import { patterned, travel } from "../../support/trains.ts";

/** By address and how the socket knows the size of segments. */
const outcome: Record<string, Record<number, string>> = {};
await withIo({ engine: process.argv[2] as EngineName }, async (io) => {
  for (const [hostname, headers] of [["127.0.0.1", 28], ["::1", 48]] as const) {
    const receiver = await io.bindUdp({ hostname, receiveBufferBytes: 4 << 20 });
    for (const zeroCopy of ["always", "never"] as const) {
      const sender = await io.bindUdp({ hostname, zeroCopy });
      for (const segmentBytes of [-1, 0, 1].map((difference) => 1500 - headers + difference)) {
        const own = await io.bindUdp({ hostname, zeroCopy, segmentBytes });
        for (const [name, socket] of Object.entries({ said: sender, own })) {
          outcome[`${hostname} ${name}`] ??= {};
          outcome[`${hostname} ${name}`][segmentBytes] = await travel(io, socket, receiver, [5000, segmentBytes], {
            to: receiver.localAddr,
          }).then(() => "travelled", (error) => error instanceof RingletError ? error.code : `${error}`);
        }
      }
      // Segments that are too long are refused whole, and the lease is the program's again.
      const lease = await patterned(io, 3000);
      await sender.send(lease, { to: receiver.localAddr, segmentBytes: 1473 }).catch(() => {});
      if (lease.state !== "leased") throw new Error(`the lease is ${lease.state}`);
      lease.release();
    }
  }
});
console.log(JSON.stringify(outcome));
