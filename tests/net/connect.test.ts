/**
 * Connecting: names with several addresses, refusals, timeouts, and giving up.
 */
import { assertEquals } from "@std/assert";
import { childJson, inNamespace } from "../support/child.ts";
import { eachEngine, ENGINES, NO_ENGINE } from "../support/engines.ts";
import { fails, rejectsWith } from "../support/failures.ts";
import { QUICK, silentNetwork } from "../support/silent_network.ts";
import { NO_NAMESPACE, testIf } from "../support/skip.ts";

eachEngine("refused, unreachable, unknown", async (io) => {
  const listener = await io.listen({ hostname: "127.0.0.1", port: 0 });
  const at = listener.localAddr as { hostname: string; port: number };
  await listener.close();
  await fails("ECONNREFUSED", () => io.connect(at), { syscall: "connect", says: "nobody listens" });
  await fails("ENOTFOUND", () => io.connect({ hostname: "nosuch.invalid", port: 9 }), { syscall: "getaddrinfo" });
  await fails("ENOTFOUND", () => io.listen({ hostname: "nosuch.invalid", port: 0 }));
  await fails("ENOTFOUND", () => io.bindUdp({ hostname: "nosuch.invalid" }));
  assertEquals(io.stats().sockets, 0, "nothing is left behind");
});

eachEngine("an aborted signal, before and while the name is looked up", async (io) => {
  const reason = new Error("changed my mind");
  const to = { hostname: "127.0.0.1", port: 9 };
  await rejectsWith(reason, io.connect({ ...to, signal: AbortSignal.abort(reason) }));
  const abort = new AbortController();
  const connecting = io.connect({ hostname: "localhost", port: 9, signal: abort.signal });
  abort.abort(reason);
  await rejectsWith(reason, connecting);
  assertEquals(io.stats().sockets, 0);
});

eachEngine("closing the io while a name is looked up leaves no socket behind", async (io) => {
  const pending = [
    io.connect({ hostname: "localhost", port: 9 }),
    io.listen({ hostname: "localhost", port: 0 }),
    io.bindUdp({ hostname: "localhost" }),
  ];
  const outcomes = Promise.allSettled(pending);
  await io.close();
  for (const outcome of await outcomes) {
    assertEquals(outcome.status === "rejected" && outcome.reason.code, "ERR_CLOSED");
  }
  assertEquals(io.stats().sockets, 0);
});

const PROGRAM = new URL("./programs/connecting.ts", import.meta.url);

for (const engine of ENGINES) {
  testIf(
    NO_ENGINE[engine] ?? NO_NAMESPACE,
    `every address of a name is tried; timeouts and aborts of a silent peer [${engine}]`,
    async () => {
      const outcome = await childJson(PROGRAM, { args: [engine], within: inNamespace(...silentNetwork(QUICK)) });
      assertEquals(outcome, {
        chosen: "127.0.0.8",
        refused: "ECONNREFUSED",
        timedOut: "ETIMEDOUT",
        silentFirst: "ECONNREFUSED",
        aborted: "Error: no patience",
        lookupAborted: "Error: no patience",
        datagramAborted: "Error: no patience",
        lookupTimedOut: "ETIMEDOUT",
        lookupFailed: "EAI_AGAIN",
        closed: "ERR_CLOSED",
        unreachable: "ENETUNREACH",
        sockets: 0,
      });
    },
  );
}
