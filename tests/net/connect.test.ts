/**
 * Connecting: names with several addresses, refusals, timeouts, and giving up.
 */
import { assert, assertEquals } from "@std/assert";
import { childJson, inNamespace } from "../support/child.ts";
import { eachEngine, ENGINES, NO_ENGINE } from "../support/engines.ts";
import { fails, rejectsWith } from "../support/failures.ts";
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
const ABANDONED = new URL("./programs/abandoned.ts", import.meta.url);
/** How patient the system's resolver is: as little as it can be, or far more than a test. */
const QUICK = "timeout:1 attempts:1";
const SLOW = "timeout:30 attempts:5";

const setup = (resolver: string) => [
  "ip link set lo up",
  // A device where nobody answers: packets to its neighbours wait, and packets through its gateway vanish.
  "ip link add v0 type veth peer name v1",
  "ip addr add 10.99.0.1/24 dev v0",
  "ip link set v1 up",
  "ip link set v0 up",
  "ip neigh add 10.99.0.9 lladdr 02:00:00:00:00:09 dev v0",
  "hosts=$(mktemp)",
  'printf "127.0.0.7 several.test\\n127.0.0.8 several.test\\n10.99.0.9 mixed.test\\n127.0.0.8 mixed.test\\n" > $hosts',
  "mount --bind $hosts /etc/hosts",
  `printf "nameserver 10.99.0.9\\noptions ${resolver}\\n" > $hosts.resolv`,
  "mount --bind $hosts.resolv /etc/resolv.conf",
  // Addresses keep the order of the hosts file, whatever their scope.
  'printf "scopev4 ::ffff:0.0.0.0/96 14\\n" > $hosts.gai',
  "mount --bind $hosts.gai /etc/gai.conf",
  "rm $hosts $hosts.resolv $hosts.gai",
];

for (const engine of ENGINES) {
  testIf(
    NO_ENGINE[engine] ?? NO_NAMESPACE,
    `every address of a name is tried; timeouts and aborts of a silent peer [${engine}]`,
    async () => {
      const outcome = await childJson(PROGRAM, { args: [engine], within: inNamespace(...setup(QUICK)) });
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

  testIf(
    NO_ENGINE[engine] ?? NO_NAMESPACE,
    `what nobody waits for any more lets the process end [${engine}]`,
    async () => {
      const within = inNamespace(...setup(SLOW));
      const { timeout, ...rest } = await childJson<Record<string, string>>(ABANDONED, { args: [engine], within });
      assertEquals(
        timeout,
        "ETIMEDOUT getaddrinfo: Cannot connect to slow.test:9 within 50 ms: the name server did not answer",
      );
      for (const [name, outcome] of Object.entries(rest)) {
        const expected = name.includes("bort") ? "Error: no patience" : "ERR_CLOSED ";
        assert(outcome.startsWith(expected), `${name}: ${outcome}`);
      }
    },
  );
}
