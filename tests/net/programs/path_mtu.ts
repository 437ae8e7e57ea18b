/**
 * Sends datagrams around an MTU of 1,500 bytes with each way of path MTU discovery, and prints what became of them. Argument: the
 * engine.
 */
import process from "node:process";
import { type EngineName, type PathMtuDiscovery, RingletError } from "../../../mod.ts";
import { withIo } from "../../support/engines.ts";

const outcome: Record<string, Record<number, string>> = {};
await withIo({ engine: process.argv[2] as EngineName }, async (io) => {
  using into = await io.lease(3000);
  for (const [hostname, headers] of [["127.0.0.1", 28], ["::1", 48]] as const) {
    const receiver = await io.bindUdp({ hostname });
    for (const pathMtuDiscovery of ["off", "want", "do", "probe"] satisfies PathMtuDiscovery[]) {
      const sender = await io.bindUdp({ hostname, remote: receiver.localAddr, pathMtuDiscovery });
      const of: Record<number, string> = outcome[`${hostname} ${pathMtuDiscovery} ${sender.pathMtuBytes}`] = {};
      for (const bytes of [1500 - headers, 1501 - headers, 3000]) {
        const lease = await io.lease(bytes);
        of[bytes + headers] = await sender.send(lease).then(
          async () => bytes === (await receiver.recv(into)).bytes ? "travelled" : "cut short",
          (error) => error instanceof RingletError ? error.code : `${error}`,
        );
        if (of[bytes + headers] !== "travelled") lease.release();
      }
    }
  }
});
console.log(JSON.stringify(outcome));
