/**
 * What a program has given up, or closed, does not keep it alive: not even the look-up of a name that takes the resolver minutes.
 */
import { assert, assertEquals } from "@std/assert";
import { childJson, inNamespace } from "../support/child.ts";
import { ENGINES, NO_ENGINE } from "../support/engines.ts";
import { silentNetwork, SLOW } from "../support/silent_network.ts";
import { NO_NAMESPACE, testIf } from "../support/skip.ts";

const PROGRAM = new URL("./programs/abandoned.ts", import.meta.url);

for (const engine of ENGINES) {
  testIf(
    NO_ENGINE[engine] ?? NO_NAMESPACE,
    `what nobody waits for any more lets the process end [${engine}]`,
    async () => {
      const within = inNamespace(...silentNetwork(SLOW));
      const { timeout, ...rest } = await childJson<Record<string, string>>(PROGRAM, { args: [engine], within });
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
